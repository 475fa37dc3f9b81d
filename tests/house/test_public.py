"""What users lean on: names, docs, and code blocks that run."""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rheostat

ROOT = Path(__file__).parents[2]
MODULES = [
    module.name
    for module in pkgutil.walk_packages(rheostat.__path__, "rheostat.")
    if not module.name.endswith("__main__") and ".cli." not in module.name
]


def test_all_is_complete_and_documented() -> None:
    names = rheostat.__all__  # its order is ruff's to check (RUF022)
    assert sorted(names) == sorted(rheostat._ROOM_OF)
    assert set(names) <= set(dir(rheostat))
    for name in names:
        assert getattr(rheostat, name).__doc__, name


def test_a_ledger_needs_neither_langgraph_nor_an_sdk() -> None:
    heavy = "{'langgraph', 'openai', 'anthropic', 'genai_prices', 'psycopg'}"
    program = f"import sys; from rheostat import Account, SQLiteLedger; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Bugdet'"):
        _ = rheostat.Bugdet


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_a_docstring_and_an_honest_all(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    for exported in getattr(module, "__all__", []):
        assert hasattr(module, exported)


def test_the_exception_tree_in_the_docstring_is_the_real_one() -> None:
    from rheostat import errors

    for name in errors.__all__:
        assert name in (errors.__doc__ or ""), name


def test_no_file_is_larger_than_one_can_hold_in_mind() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 400, path


PAGES = ("README.md", *(f"docs/{name}.md" for name in ("agents", "ledger", "providers", "report", "strategies")))
BLOCKS = [block for page in PAGES for block in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.S)]


@pytest.mark.model
@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_the_code_in_the_docs_runs(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(BLOCKS[number], f"block {number}", "exec"), {})  # noqa: S102 - our own documentation


def test_the_graphs_are_small_and_use_the_public_api_only() -> None:
    for path in (ROOT / "graphs").glob("*.py"):
        text = path.read_text()
        assert len(text.splitlines()) <= 40
        assert not re.search(r"from rheostat\.|import rheostat\.", text)
