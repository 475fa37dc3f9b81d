"""Verdicts of small projects that are written out for one test."""

from __future__ import annotations

import tempfile
import textwrap
from pathlib import Path
from typing import Any

from rheostat.evidence.examining import Examined, examine
from rheostat.sandbox import Limits, Sandbox, why_not
from rheostat_tools.pristine import Pristine

APART: list[Sandbox] = [kind for kind in ("bubblewrap", "namespaces") if why_not(kind) is None]
"""The sandboxes of this machine that run code in another process."""

BARE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def judge(root: Path, files: dict[str, str], kind: Sandbox = "auto", *, seconds: float = 20) -> Examined:
    """What is found of a tree of these files; those named test_*, conftest or below tests/ are the tests' own."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(textwrap.dedent(text))
    start = Pristine(str(root))
    said: list[bytes] = []
    with tempfile.TemporaryDirectory() as place:
        found = examine(
            start.lay_out(place, {}, bare=False),
            root=str(root),
            own=start.own,
            limits=Limits(seconds=seconds),
            arguments=["-q", "-x", "-p", "no:cacheprovider"],
            sandbox=kind,
            output=said.append,
            variables=BARE,
        )
    print(b"".join(said).decode(errors="replace"))
    return found


def judge_case(root: Path, case: tuple[Any, ...]) -> Examined:
    """What is found of (code, its tests), or of (code, its tests, further files by name)."""
    code, tests, *more = case
    return judge(root, {"m.py": code, "test_m.py": tests, **(more[0] if more else {})})
