"""The tests on other versions than the lock's: the newest there are, or the lowest that pyproject.toml allows.

`python tools/lock/drift.py latest|lowest PYTHON` makes a virtual environment of its own (.venv-latest, .venv-lowest)
with the interpreter PYTHON, says what is installed there, and runs the tests. On the newest versions warnings are
listed, not errors: they say what will break. Releases that our ranges exclude are listed too.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

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
        run(*pip, "--no-deps", "-r", lowest)
    run(*pip, "--no-deps", "-e", ".")
    return python


def main(which: str, interpreter: str) -> int:
    """Install and test."""
    python = install(which, interpreter)
    run(python, "-m", "pip", "check", check=False)
    run(python, "-m", "pip", "list", "--disable-pip-version-check", *(("--outdated",) if which == "latest" else ()))
    run(python, "-m", "rheostat", "models", "pull")
    warnings = ("-o", "filterwarnings=default", "-W", "default") if which == "latest" else ()
    return run(python, "-m", "pytest", *warnings, check=False)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("latest", "lowest"):
        raise SystemExit(__doc__)
    raise SystemExit(main(*sys.argv[1:]))
