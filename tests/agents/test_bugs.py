"""The repositories under examples/bugs: their tests fail as shipped and pass with the reference solution."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

BUGS = Path(__file__).parents[2] / "examples" / "bugs"
NAMES = sorted(path.parent.name for path in BUGS.glob("*/task.txt"))

Run = Callable[[str, bool], subprocess.CompletedProcess[str]]


def _apply(patch: Path, folder: Path) -> None:
    command = ["patch", "-p1", "-s", "-i"] if shutil.which("patch") else ["git", "apply", "-p1"]
    subprocess.run([*command, str(patch)], cwd=folder, check=True, capture_output=True, timeout=60)


def _pytest(name: str, solved: bool, base: Path) -> subprocess.CompletedProcess[str]:
    folder = base / ("solved" if solved else "shipped") / name
    shutil.copytree(BUGS / name, folder, ignore=shutil.ignore_patterns("solution.patch", "__pycache__"))
    if solved:
        _apply(BUGS / name / "solution.patch", folder)
    # plugins would only cost time
    env = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    env.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    return subprocess.run(command, cwd=folder, env=env, check=False, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """What pytest said about a repository; each is run in the background, once, as soon as one is asked for."""
    base = tmp_path_factory.mktemp("bugs")
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        runs: dict[tuple[str, bool], Future[subprocess.CompletedProcess[str]]] = {
            (name, solved): pool.submit(_pytest, name, solved, base) for name in NAMES for solved in (False, True)
        }
        yield lambda name, solved: runs[name, solved].result()


def _changed(name: str) -> tuple[list[str], list[str]]:
    """The files that a solution touches and the lines that it adds."""
    lines = (BUGS / name / "solution.patch").read_text().splitlines()
    files = [line.removeprefix("+++ b/") for line in lines if line.startswith("+++ ")]
    return files, [line[1:].strip() for line in lines if line.startswith("+") and not line.startswith("+++ ")]


def test_all_twelve_are_in_the_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| (?:trivial|easy|middling) \|$", (BUGS / "README.md").read_text(), re.M)
    assert len(NAMES) == 12
    assert sorted(rows) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_fails_as_shipped(run: Run, name: str) -> None:
    done = run(name, False)
    assert done.returncode == 1, done.stdout + done.stderr
    # the tests that pass come first, since -x stops at the one that fails
    assert re.search(r"^1 failed, [1-9]\d* passed in ", done.stdout, re.M), done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_passes_with_the_solution(run: Run, name: str) -> None:
    done = run(name, True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_task_does_not_give_the_solution_away(name: str) -> None:
    task = (BUGS / name / "task.txt").read_text()
    files, added = _changed(name)
    assert added
    assert not [line for line in added if line in task]
    assert not [file for file in files if file.startswith("test_") or not file.endswith(".py")]
    assert files[0] not in task
