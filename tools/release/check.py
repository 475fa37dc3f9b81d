"""`make release-check`: the wheel and the sdist, as a user gets them: built, looked into, installed, typed, run.

    python tools/release/check.py [FOLDER]

Needs PyPI: what the wheel depends on is installed into a fresh virtual environment.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONSUMER = Path(__file__).with_name("consumer.py")
CHECKERS = ("mypy>=2.4,<3", "basedpyright>=1.40,<2")


def run(*words: str | Path, cwd: Path | None = None) -> None:
    """Run a command, and stop where it fails."""
    print("$", *words, flush=True)
    subprocess.run([str(word) for word in words], cwd=cwd, check=True)


def main() -> None:
    """Build, install and check, in a folder of its own."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="rheostat-release-"))
    run(sys.executable, "-m", "uv", "build", "--out-dir", folder / "dist", ROOT)
    [wheel] = (folder / "dist").glob("*.whl")
    [sdist] = (folder / "dist").glob("*.tar.gz")
    for made in (wheel, sdist):
        print(f"{made.name}: {made.stat().st_size / 1e6:.1f} MB")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", f"{wheel}[agents,cli,verifiers]", *CHECKERS)
    empty = folder / "empty"
    empty.mkdir(exist_ok=True)
    program = empty / CONSUMER.name
    program.write_text(CONSUMER.read_text(encoding="utf-8"), encoding="utf-8")
    run(python, "-W", "error::DeprecationWarning:rheostat", program, cwd=empty)
    run(python, "-m", "mypy", "--strict", program, cwd=empty)
    run(folder / "venv" / "bin" / "basedpyright", "--pythonpath", python, "--level", "error", program, cwd=empty)
    run(folder / "venv" / "bin" / "rheostat", "--version", cwd=empty)
    print("the wheel installs, is typed, and runs")


if __name__ == "__main__":
    main()
