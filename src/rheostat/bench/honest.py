"""How honest packages are judged: `python -m rheostat.bench.honest DIRECTORY …`, each an unpacked sdist with tests.

For each test module: plain pytest, on a copy, and `test_runner`. A red verdict where pytest passes is a false one.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import typer

from rheostat_tools import test_runner

__all__ = ["main"]

_SECONDS = 60.0


def _passes(tree: Path, words: list[str]) -> bool:
    """Whether plain pytest passes on a copy of a tree."""
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place, tree.name)
        shutil.copytree(tree, copy, symlinks=True)
        try:
            done = subprocess.run(  # noqa: S603 - our own words
                [sys.executable, *words, "--disable-plugin-autoload"],
                cwd=copy,
                check=False,
                capture_output=True,
                timeout=_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0


def main(trees: list[Path], *, why: bool = False) -> None:
    """Print a row for each package; with `--why` also a line for each module that isn't PASSED though pytest passes."""
    typer.echo("| package | modules that pytest passes | PASSED | NOT PROVEN | FAILED |\n|---|--:|--:|--:|--:|")
    for tree in trees:
        sources = ["-o", "pythonpath=src"] if (tree / "src").is_dir() else []
        words = ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-o", "addopts=", *sources]
        tool = test_runner(tree, command=("python", *words), seconds=_SECONDS)
        said: Counter[str] = Counter()
        for module in sorted({*tree.rglob("test_*.py"), *tree.rglob("*_test.py")}):
            path = str(module.relative_to(tree))
            if not _passes(tree, [*words, path]):
                continue
            first = str(tool.invoke({"target": path})).splitlines()[0]
            verdict = next(each for each in ("PASSED", "NOT PROVEN", "") if first.startswith(each))
            said[verdict] += 1
            if why and verdict != "PASSED":
                typer.echo(f"{tree.name}/{path}: {first}", err=True)
        typer.echo(f"| {tree.name} | {said.total()} | {said['PASSED']} | {said['NOT PROVEN']} | {said['']} |")


if __name__ == "__main__":
    typer.run(main)
