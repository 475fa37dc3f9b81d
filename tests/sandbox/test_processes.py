"""Processes that we start run what is installed, not what lies about, and get no secrets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rheostat.sandbox.processes import environment, python_module

PLANTED = (
    "xllamacpp",
    "pip",
    "runpy",
    "json",
    "rheostat",
    "site",
    "encodings",
    "sitecustomize",
    "usercustomize",
    "numpy",
)


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, and one on PYTHONPATH, with modules that leave a mark when they are imported."""
    for name in PLANTED:
        package = tmp_path / name
        package.mkdir()
        mark = f"open({str(tmp_path / 'executed')!r}, 'a').write({name!r})\n"
        (package / "__init__.py").write_text(mark)
        (package / "__main__.py").write_text(mark)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "pip" / "__init__.py"))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret-of-anthropic")
    monkeypatch.setenv("OPENAI_API_KEY", "secret-of-openai")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-aws")
    return tmp_path


def test_the_plain_way_executes_what_lies_in_the_current_directory(evil: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH")
    subprocess.run([sys.executable, "-m", "pip", "--version"], check=False, capture_output=True)
    assert (evil / "executed").exists()


def test_pip_is_the_installed_one(evil: Path) -> None:
    ran = subprocess.run(
        python_module("pip", "--version"), env=environment(pip=True), capture_output=True, text=True, check=True
    )
    assert "site-packages" in ran.stdout
    assert not (evil / "executed").exists()


def test_the_server_imports_what_is_installed(evil: Path) -> None:
    settings = json.dumps({"model": "none.gguf", "slots": 1, "context_tokens": 1, "port": 0, "key": "k", "ready": "r"})
    ran = subprocess.run(
        python_module("rheostat.local.serve"),
        env=environment(),
        input=settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode  # no such model; that it got so far means that the real xllamacpp was imported
    assert "none.gguf" in ran.stderr + ran.stdout
    assert not (evil / "executed").exists()


@pytest.mark.parametrize("pip", [False, True])
def test_no_key_is_handed_on(evil: Path, pip: bool) -> None:
    handed = json.dumps(environment(pip=pip))
    assert "secret" not in handed
    assert "PYTHON" not in handed
    assert environment(pip=pip)["PATH"] == os.environ["PATH"]
