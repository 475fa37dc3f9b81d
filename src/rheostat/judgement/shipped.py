"""The profile that is used without another one: what ships with the package, and your own."""

from __future__ import annotations

import contextlib
import functools
import os
import warnings
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Final

from rheostat.errors import BadInput
from rheostat.files import locked, write_whole
from rheostat.judgement.profile import Profile
from rheostat.judgement.router import Router

__all__ = [
    "OWN", "Changing", "calibrated", "changing", "default_profile", "default_router", "learned_path", "own_path",
    "prior", "router_path", "shipped",
]  # fmt: skip

OWN: Final = "RHEOSTAT_PROFILE"
"""Names the file of your own profile; `none`: go by the weak prior alone."""


@functools.cache
def prior() -> Profile:
    """The weak prior in the package, alone."""
    text = (files("rheostat.judgement.profiles") / "prior.json").read_text(encoding="utf-8")
    return Profile.from_text(text, "prior.json")


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


def learned_path() -> Path:
    """Where `rheostat learn` puts what your runs have taught."""
    return own_path().with_name("learned.json")


def router_path() -> Path:
    """Where `rheostat learn --text` puts what the texts of your tasks have taught."""
    return own_path().with_name("router.json")


def default_router() -> Router | None:
    """What was learned from the texts of your tasks; `None`: nothing."""
    path = router_path()
    if os.environ.get(OWN) == "none" or not path.exists():
        return None
    return _router(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=2)
def _router(path: Path, changed_ns: int) -> Router | None:
    try:
        return Router.read(path)
    except BadInput as error:
        _left_out(error)
        return None


def calibrated() -> Profile:
    """The shipped profile, with yours over it, without what was learned."""
    return _together(())


def default_profile() -> Profile:
    """The shipped profile, with yours over it, and what was learned from your runs."""
    return _together((learned_path(),))


def _together(more: tuple[Path, ...]) -> Profile:
    if os.environ.get(OWN) == "none":
        return Profile()
    return _with(tuple((path, path.stat().st_mtime_ns) for path in (own_path(), *more) if path.exists()))


@functools.lru_cache(maxsize=4)
def _with(paths: tuple[tuple[Path, int], ...]) -> Profile:
    made = shipped()
    for path, _ in paths:
        try:
            made = made.merged(Profile.read(path))
        except BadInput as error:
            if path != learned_path():
                raise
            _left_out(error)
    return made


def _left_out(error: BadInput) -> None:
    """What was learned by itself doesn't stop a run, unlike a profile that someone wrote."""
    said = f"what was learned isn't used: {error}. Learn it again, or delete it: rheostat learn --forget"
    warnings.warn(said, RuntimeWarning, stacklevel=2)


class Changing:
    """A profile's file that no other process changes meanwhile."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Profile:
        """The profile; empty if there is none."""
        return Profile.read(self.path) if self.path.exists() else Profile()

    def write(self, profile: Profile) -> None:
        """Replace it as a whole: a reader sees the old one or the new one."""
        write_whole(self.path, profile.to_text())


@contextlib.contextmanager
def changing(path: Path) -> Iterator[Changing]:
    """Read and write a profile's file, one process at a time."""
    with locked(path):
        yield Changing(path)
