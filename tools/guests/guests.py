"""Others' own test suites with our line in every agent: `make test-guests`.

LangChain's agent tests and langgraph-prebuilt's, from their source distributions at the installed versions:
untouched, with an idle middleware (a control), and with Rheostat, under a budget in tokens and calls and under one in
dollars. What fails only with us must stand in `accepted.toml`, with its reason; anything else is a failure.

    python tools/guests/guests.py [--quick]

`--quick`: one budget, no control, and only the files named in `accepted.toml` as the sample. Everything is kept in
`.venv-guests`.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import site
import subprocess
import sys
import tarfile
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
HOME = HERE.parent.parent / ".venv-guests"
NEEDED = (
    "hatchling", "pytest", "pytest-asyncio", "pytest-socket", "syrupy", "pytest-mock", "pytest-xdist",
    "pytest-timeout", "toml",
)  # fmt: skip
BUDGETS = {"tokens": {"tokens": 10_000_000, "calls": 10_000}, "dollars": {"usd": "100"}}


@dataclass(frozen=True)
class Suite:
    """One project's tests."""

    package: str
    tests: str
    options: str
    controlled: bool
    """Whether an idle middleware says something: our model has no idle counterpart."""

    @property
    def version(self) -> str:
        return importlib.metadata.version(self.package)


SUITES = (
    Suite("langchain", "tests/unit_tests/agents", "--strict-markers --strict-config --snapshot-warn-unused", True),
    Suite("langgraph-prebuilt", "tests", "--strict-markers", False),
)


def prepare() -> Path:
    """An environment with the suites' own plugins, over ours."""
    python = HOME / "bin" / "python"
    if not python.exists():
        print("making .venv-guests (a minute) ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", HOME], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *NEEDED], check=True)
    [packages] = HOME.glob("lib/python*/site-packages")
    dirs = "; ".join(f"site.addsitedir({each!r})" for each in site.getsitepackages())
    (packages / "ours.pth").write_text(f"import site; {dirs}\n")
    return python


def unpacked(suite: Suite, python: Path) -> Path:
    """The suite's tests, fetched once."""
    name = f"{suite.package.replace('-', '_')}-{suite.version}"
    if not (HOME / name).is_dir():
        command = ["download", "-q", "--no-deps", "--no-binary", ":all:", "--no-build-isolation", "-d", str(HOME)]
        subprocess.run([python, "-m", "pip", *command, f"{suite.package}=={suite.version}"], check=True)
        with tarfile.open(HOME / f"{name}.tar.gz") as archive:
            archive.extractall(HOME, filter="data")
    return HOME / name


def run(suite: Suite, python: Path, mode: str, only: Sequence[str] = ()) -> dict[str, str]:
    """What became of each test: `pass`, `fail` or `skip`."""
    where = unpacked(suite, python)
    sampled = "-sample" if only else ""
    result = HOME / f"{suite.package}-{suite.version}-{mode}{sampled}.xml"
    if mode == "bare" and result.exists() and not only:
        return read(result)
    for old in HOME.glob(f"{suite.package}-{suite.version}-{mode}*.json"):
        old.unlink()
    env = {
        **os.environ, "NO_DOCKER": "true", "LANGGRAPH_TEST_FAST": "true", "PYTHONPATH": str(HERE),
        "GUESTS_MODE": "idle" if mode == "idle" else "on", "GUESTS_BUDGET": json.dumps(BUDGETS.get(mode)),
        "GUESTS_COUNTS": str(result),
    }  # fmt: skip
    plugin = [] if mode == "bare" else ["-p", "inject"]
    print(f"{suite.package} {suite.version}, {mode} ...", flush=True)
    tests = [path for path in only if (where / path).exists()] or [suite.tests]
    command = [
        str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "60", "--timeout-method=thread",
        "-n", "2", *plugin, f"--junitxml={result}", *tests, "-o", f"addopts={suite.options}",
    ]  # fmt: skip
    log = result.with_suffix(".log")
    with log.open("w") as file:
        subprocess.run(command, cwd=where, env=env, stdout=file, stderr=subprocess.STDOUT, timeout=900, check=False)
    if not result.exists():
        raise SystemExit(f"{suite.package} didn't run at all: see {log}")
    return read(result)


def read(path: Path) -> dict[str, str]:
    """Outcomes by test."""
    found = {}
    for case in ET.parse(path).getroot().iter("testcase"):
        kinds = {part.tag for part in case}
        outcome = "fail" if kinds & {"failure", "error"} else "skip" if "skipped" in kinds else "pass"
        found[f"{case.get('classname')}::{case.get('name')}"] = outcome
    return found


def counts(suite: Suite, mode: str) -> str:
    """It wasn't inert: what left with a plan, and what was held."""
    parts = [json.loads(p.read_text()) for p in HOME.glob(f"{suite.package}-{suite.version}-{mode}*.json")]
    return ", ".join(f"{sum(part[name] for part in parts):,} requests {name}" for name in (parts[0] if parts else ()))


def judge(suite: Suite, mode: str, bare: Mapping[str, str], idle: Mapping[str, str], ours: Mapping[str, str]) -> int:
    """Print what fails only with us; how many of those aren't accepted."""
    accepted = tomllib.loads((HERE / "accepted.toml").read_text())["accepted"]
    new = [name for name, outcome in ours.items() if outcome == "fail" and bare.get(name, "pass") == "pass"]
    theirs = [name for name in new if idle.get(name) == "fail"]
    known = [name for name in new if name not in theirs and any(re.search(each, name) for each in accepted)]
    strange = [name for name in new if name not in theirs and name not in known]
    passed = sum(outcome == "pass" for outcome in ours.values())
    print(
        f"{suite.package}, {mode}: {passed:,} pass; fail with us only: {len(new)} (with an idle middleware too: "
        f"{len(theirs)}, accepted: {len(known)}, not accepted: {len(strange)}); {counts(suite, mode)}"
    )
    for name in strange:
        print(f"    {name}")
    return len(strange)


def main(arguments: Sequence[str]) -> int:
    """Run; how many tests of others we break."""
    python, quick, broken = prepare(), "--quick" in arguments, 0
    sample = tomllib.loads((HERE / "accepted.toml").read_text())["sample"] if quick else []
    for suite in SUITES:
        if quick and not any((unpacked(suite, python) / path).exists() for path in sample):
            continue
        bare = run(suite, python, "bare", sample)
        idle = run(suite, python, "idle", sample) if suite.controlled else {}
        for mode in ["tokens"] if quick or not suite.controlled else BUDGETS:
            broken += judge(suite, mode, bare, idle, run(suite, python, mode, sample))
    if not quick:  # its own tests aren't in its source distribution
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "deepagents"], check=True)
        broken += subprocess.run([python, HERE / "deep.py"], check=False).returncode
    return broken


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)
