"""What is in the wheel and the sdist: all that the package reads at run time, and nothing of a workplace."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = "import sys, hatchling.build as build; print(build.build_{kind}(sys.argv[1]))"


def built(kind: str, folder: Path) -> Path:
    code = BUILD.format(kind=kind)
    said = subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return folder / said.stdout.split()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return zipfile.ZipFile(built("wheel", tmp_path_factory.mktemp("wheel")))


def test_the_wheel_has_all_that_the_package_reads(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    for package in ("src/rheostat", "tools/rheostat_tools"):
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert path.relative_to(ROOT / package).as_posix() in {
                    name.partition("/")[2] for name in names if name.startswith(path.relative_to(ROOT).parts[1])
                }, path
    assert {"rheostat/py.typed", "rheostat/judgement/profiles/prior.json"} <= names
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"rheostat", "rheostat_tools"}


def test_its_metadata_is_whole(wheel: zipfile.ZipFile) -> None:
    [path] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    said = wheel.read(path).decode()
    for line in ("Name: rheostat", "License-Expression: MIT", "Requires-Python: >=3.11", "Classifier: Typing :: Typed"):
        assert line in said
    assert "# Rheostat" in said  # the README
    [entry] = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    assert "rheostat = rheostat.cli:main" in wheel.read(entry).decode()


def test_the_sdist_can_be_worked_with(tmp_path: Path) -> None:
    with tarfile.open(built("sdist", tmp_path)) as made:
        names = {name.partition("/")[2] for name in made.getnames()}
    for needed in (
        "pyproject.toml",
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
        "src/rheostat/py.typed",
        "tests/conftest.py",
    ):
        assert needed in names, needed
    assert not [
        name for name in names if name.startswith((".venv", "shared", ".ci", ".mypy_cache")) or "__pycache__" in name
    ]
