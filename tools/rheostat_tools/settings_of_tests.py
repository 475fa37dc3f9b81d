"""Read which files and folders pytest's settings, and the command that runs it, call tests."""

from __future__ import annotations

import configparser
import os
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

__all__ = ["SettingsOfTests"]

_INI = {"pytest.ini": "pytest", ".pytest.ini": "pytest", "tox.ini": "pytest", "setup.cfg": "tool:pytest"}
_TOML = {
    "pytest.toml": (("pytest",),),
    ".pytest.toml": (("pytest",),),
    "pyproject.toml": (("tool", "pytest"), ("tool", "pytest", "ini_options")),
}
_OVERRIDE = re.compile(r"(?:-o|--override-ini)?=?python_files=(.*)", re.DOTALL)
_ANY = re.compile(r"[*?.\[\]!]|py$")


class SettingsOfTests:
    """What the settings at the root of a tree and the words of a command say.

    Args:
        root: The tree.
        command: The words of the command after the first.
    """

    def __init__(self, root: str, command: Sequence[str]) -> None:
        found = list(_sections(Path(root)))
        files = [word for each in found for word in _words(each.get("python_files"))]
        for word in command:
            if said := _OVERRIDE.fullmatch(word):
                files += said[1].split()
        self.patterns = tuple(each.casefold() for each in files if _ANY.sub("", each))
        """Patterns of the names of tests; those that any module has, such as `*.py`, are left out."""
        places = [word for each in found for word in _words(each.get("testpaths"))]
        places += [word.partition("::")[0] for word in command]
        self.folders = frozenset(
            os.path.normpath(each).casefold() for each in places if each and os.path.isdir(os.path.join(root, each))
        )
        """Folders of tests, in lower case."""


def _sections(root: Path) -> Iterator[dict[str, Any]]:
    for name, section in _INI.items():
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string((root / name).read_text(encoding="utf-8"))
        except (OSError, ValueError, configparser.Error):
            continue
        if parser.has_section(section):
            yield dict(parser.items(section))
    for name, sections in _TOML.items():
        try:
            told: Any = tomllib.loads((root / name).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        for path in sections:
            found = told
            for part in path:
                found = found.get(part) if isinstance(found, dict) else None
            if isinstance(found, dict):
                yield found


def _words(value: Any) -> list[str]:
    if isinstance(value, list):
        return [str(each) for each in value]
    return value.split() if isinstance(value, str) else []
