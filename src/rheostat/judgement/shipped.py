"""The profile that is used without another one: what ships with the package, and your own."""

from __future__ import annotations

import functools
import os
from importlib.resources import files
from pathlib import Path
from typing import Final

from rheostat.judgement.profile import Profile

__all__ = ["OWN", "default_profile", "own_path", "shipped"]

OWN: Final = "RHEOSTAT_PROFILE"
"""Names the file of your own profile; `none`: go by the weak prior alone."""


@functools.cache
def shipped() -> Profile:
    """The profiles in the package: the embedded models, as measured, and the weak prior for all others."""
    made = Profile()
    for each in sorted(files("rheostat.judgement.profiles").iterdir(), key=lambda one: one.name):
        if each.name.endswith(".json"):
            made = made.merged(Profile.from_text(each.read_text(encoding="utf-8"), each.name))
    return made


def own_path() -> Path:
    """Where your own profile is, whether it exists or not."""
    named = os.environ.get(OWN, "")
    if named and named != "none":
        return Path(named)
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "rheostat" / "profile.json"


def default_profile() -> Profile:
    """The shipped profile, with yours over it."""
    if os.environ.get(OWN) == "none":
        return Profile()
    path = own_path()
    if not path.exists():
        return shipped()
    changed = path.stat().st_mtime_ns
    return _with_own(path, changed)


@functools.lru_cache(maxsize=4)
def _with_own(path: Path, changed_ns: int) -> Profile:
    return shipped().merged(Profile.read(path))
