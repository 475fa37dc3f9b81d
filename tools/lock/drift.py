"""The tests on other versions than the lock's: the newest there are, or the lowest that pyproject.toml allows.

`python tools/lock/drift.py latest|lowest PYTHON` makes a virtual environment of its own (.venv-latest, .venv-lowest)
with the interpreter PYTHON, says what is installed there, and runs the tests. Warnings are
listed, not errors: they say what will break. Releases that our ranges exclude are listed too, and so is a lower bound
that can't be installed beside the others: it has never been tried.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

import lock

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, check: bool = True) -> int:
    """One command, seen."""
    print("+", *command, flush=True)
    return subprocess.run([str(part) for part in command], check=check, cwd=ROOT).returncode


def install(which: str, interpreter: str) -> Path:
    """The virtual environment with those versions; returns its interpreter."""
    folder = ROOT / f".venv-{which}"
    run(interpreter, "-m", "venv", "--clear", folder)
    python = folder / "bin" / "python"
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "-r", "tools/lock/torch.txt", "--retries", "1", "--no-deps")
    if which == "latest":
        run(*pip, "--upgrade", "-e", ".[dev]")
        return python
    with tempfile.TemporaryDirectory() as scratch:
        lowest = Path(scratch) / "lowest.txt"
        extra = (
            "--extra",
            "dev",
            "--python",
            interpreter,
            "--resolution",
            "lowest-direct",
            "--no-emit-package",
            "torch",
        )
        run(sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", *extra, "--quiet", "--output-file", lowest)
        kept = [line for line in lowest.read_text().splitlines() if not line.startswith(("nvidia-", "cuda-", "triton"))]
        lowest.write_text("\n".join(kept))
        untried(lowest.read_text())
        run(*pip, "--no-deps", "-r", lowest)
    run(*pip, "--no-deps", "-e", ".")
    return python


def untried(resolved: str) -> None:
    """Say which lower bounds of pyproject.toml can't be installed together with the others."""
    installed = {pin.name: pin.version for pin in lock.pins(resolved)}
    for asked in lock.requirements(lock.read(), "dev"):
        bound = next((Version(part.version) for part in asked.specifier if part.operator == ">="), None)
        found = installed.get(canonicalize_name(asked.name))
        if bound is not None and found is not None and Version(found) != bound:
            print(f"! {asked}: the lowest that installs beside the others is {found}: raise the bound")


def main(which: str, interpreter: str) -> int:
    """Install and test."""
    python = install(which, interpreter)
    run(python, "-m", "pip", "check", check=False)
    run(python, "-m", "pip", "list", "--disable-pip-version-check", *(("--outdated",) if which == "latest" else ()))
    run(python, "-m", "rheostat", "models", "pull")
    return run(python, "-m", "pytest", "-n", "3", "-o", "filterwarnings=default", check=False)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("latest", "lowest"):
        raise SystemExit(__doc__)
    raise SystemExit(main(*sys.argv[1:]))
