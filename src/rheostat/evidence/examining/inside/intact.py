"""Notice if what decides about tests was replaced while they ran, whatever replaced it.

The guards keep the code's text from running here. Libraries may still make objects of text and set attributes by it.

Runs inside the sandbox, in the examiner: standard library and pytest only.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

_DECIDING = ("_pytest", "pluggy", "unittest", "builtins", "operator", "math")
_OF_CLASSES = (property, classmethod, staticmethod)


class Intact:
    """Remembers the functions and classes that decide about tests, and their methods."""

    def __init__(self) -> None:
        self._before = dict(_parts(sys.modules))

    def remember(self, name: str) -> None:
        """Remember the parts of a module that was imported later, too."""
        self._before |= _parts({name: sys.modules[name]})

    def doubts(self) -> Iterator[str]:
        """A reason for each part that isn't what it was."""
        now = dict(_parts(sys.modules))
        for name, part in self._before.items():
            if name not in now or now[name] is not part:
                yield f"{name[:100]} was replaced while the tests ran"


def _parts(modules: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, module in list(modules.items()):
        if name.partition(".")[0] not in _DECIDING:
            continue
        for each, value in list(vars(module).items()):
            if callable(value):
                yield f"{name}.{each}", value
            if isinstance(value, type) and value.__module__ == name:
                own = sorted(attribute for attribute in vars(value) if attribute[:1] != "_")
                yield f"{name}.{each} with {', '.join(own)}", None
                for attribute, part in list(vars(value).items()):
                    if callable(part) or isinstance(part, _OF_CLASSES):
                        yield f"{name}.{each}.{attribute}", part
