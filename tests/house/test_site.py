"""The docs as a site: they build without a warning, what is generated is current, and the reference is complete."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement

import rheostat
from pages import ROOT
from rheostat.graph.events import EVENT_TYPES, listen

REFERENCE = ROOT / "docs" / "reference"


@pytest.mark.skipif(not importlib.util.find_spec("mkdocs"), reason="the docs tools aren't installed: rheostat[docs]")
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Broken links, anchors and references, pages that the nav lacks, and names that don't exist are warnings."""
    command = [sys.executable, "-W", "ignore", "-m", "mkdocs", "build", "--site-dir", str(tmp_path / "site")]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    shown = (tmp_path / "site" / "reference" / "api" / "money" / "index.html").read_text()
    assert 'id="rheostat.money.budget.Budget"' in shown
    assert "fonts.googleapis.com" not in shown


def _tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / "house" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cli_page", "llms"])
def test_a_generated_page_is_current(name: str) -> None:
    """`make docs-pages` writes it anew."""
    tool = _tool(name)
    assert tool.PAGE.read_text(encoding="utf-8") == tool.page()


def test_every_public_name_is_in_the_reference() -> None:
    shown = {
        name.rpartition(".")[2]
        for page in (REFERENCE / "api").glob("*.md")
        for name in re.findall(r"^::: (\S+)", page.read_text(), re.M)
    }
    errors = set(rheostat.errors.__all__)  # one page shows the module
    state = {"RheostatState"}  # on the page of the state
    assert set(rheostat.__all__) - shown - errors - state == set()


def test_every_environment_variable_is_in_the_reference() -> None:
    read = {
        name
        for folder in ("src", "graphs", "tools/rheostat_tools")
        for file in (ROOT / folder).rglob("*.py")
        for name in re.findall(r"\bRHEOSTAT_[A-Z]+\b", file.read_text(encoding="utf-8"))
    }
    assert set(re.findall(r"RHEOSTAT_[A-Z]+", (REFERENCE / "environment.md").read_text())) == read


def test_every_event_and_its_fields_are_in_the_reference() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \|[^|]*\|(.*)\|$", text := (REFERENCE / "events.md").read_text(), re.M))
    told.pop("type", None)  # of the table's head
    told["sample"] += text[text.index("A `sample` has") :].partition("\n## ")[0]
    assert sorted(told) == sorted(EVENT_TYPES)
    seen: dict[str, set[str]] = {}
    stop = listen(lambda kind, data: seen.setdefault(kind, set()).update(data))
    try:
        _events()
    finally:
        stop()
    assert {"difficulty", "estimate", "plan", "hold", "call", "settle", "sample", "verdict", "score", "tool"} <= set(
        seen
    )
    for kind, fields in seen.items():
        assert fields <= set(re.findall(r"`(\w+)`", told[kind])), kind


def _events() -> None:
    from rheostat import BestOfN, Budget, Scorer, Verdict, build_agent, build_solver
    from rheostat.testing import Said, ScriptedModel, scripted

    class Half(Scorer):
        name = "half"

        def read(self, task: Any, candidate: Any, reply: Any) -> Verdict:
            return Verdict(None, "half", score=0.5)

    def look(word: str) -> str:
        """Look a word up."""
        return word

    at, _ = scripted(Said(tool_calls=(("look", {"word": "dial"}),)), "no", "42")
    agent = build_agent(at, [look], budget=Budget(tokens=50_000), verifier=lambda text: "42" in text)
    agent.compile().invoke({"messages": [("user", "What is it?")]})
    models = (ScriptedModel(script=["41", "42"]), ScriptedModel(script=["one", "two"]))
    build_solver(models[0], budget=Budget(tokens=9_000), verifier=lambda text: text == "42").compile().invoke(
        {"question": "What is 6 * 7?"}
    )
    build_solver(models[1], budget=Budget(tokens=3_000), strategy=BestOfN(samples=2), scorer=Half()).compile().invoke(
        {"question": "Write a poem."}
    )


def test_the_supported_versions_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["agents"]]
    page = (REFERENCE / "support.md").read_text()
    for each in map(Requirement, asked):
        if each.name in (
            "langgraph",
            "langchain",
            "langchain-core",
            "langchain-openai",
            "langchain-anthropic",
            "openai",
            "anthropic",
        ):
            low, high = (next(part.version for part in each.specifier if part.operator == sign) for sign in (">=", "<"))
            row = next(
                line for line in page.splitlines() if re.search(rf"^\|.*(?<![\w-]){each.name}(?![\w-]).*\|", line)
            )
            assert f"≥ {low}, < {high}" in row, each.name
    versions = [name.rpartition(" ")[2] for name in project["classifiers"] if " :: 3." in name]
    assert f"| Python | {', '.join(versions)} |" in page


def test_the_picture_names_every_setting(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from rheostat.bench.picture import main

    main(str(ROOT / "docs/benchmarks/arms.jsonl"), str(tmp_path / "arms.svg"))
    drawn = (tmp_path / "arms.svg").read_text()
    for name in ("steps 62 %", "program 71 %", "thorough 77 %", "balanced 71 %", "fast 73 %", "bare 50 %", "120 tasks"):
        assert name in drawn
        assert name in (ROOT / "docs/benchmarks/arms.svg").read_text()
