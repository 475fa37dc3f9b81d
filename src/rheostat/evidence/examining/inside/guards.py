"""Keep everything that the code wrote from running in the examiner's process, however the tests might run it.

Runs inside the sandbox: standard library only.
"""

from __future__ import annotations

import os
import sys
import sysconfig
import types
from collections.abc import Callable, Collection
from typing import Any

_MAKERS = (
    "collections", "dataclasses", "timeit", "_pytest.assertion", "_pytest.mark.expression", "pluggy", "attr",
    "hypothesis", "pydantic", "decorator",
)  # fmt: skip
"""Modules that compile functions from their own text."""
_DATA = {
    "datetime",
    "decimal",
    "collections",
    "uuid",
    "fractions",
    "pathlib",
    "zoneinfo",
    "_collections",
    "array",
    "enum",
}
_DATA_BUILTINS = {"set", "frozenset", "bytearray", "complex", "range", "slice", "object", "bytes", "list", "dict"}


def guard(root: str, own: Collection[str], refuse: Callable[[str], Exception]) -> None:
    """Install an audit hook that refuses to run code unless it belongs to Python, an installed package or the tests.

    Args:
        root: The workspace.
        own: Real paths of the tests' files.
        refuse: Turns a reason into the exception to raise.
    """
    here = os.path.dirname(os.path.abspath(__file__))
    # read now, because a test may later add places to the path where the code wrote files
    installed = tuple(f"{place}/" for place in installed_places(root) | {here})

    def trusted(path: str) -> bool:
        return path.startswith("<frozen ") or _real(path).startswith(installed)

    def made_by_trusted(frame: types.FrameType | None) -> bool:
        caller = frame
        while (
            frame is not None
            and trusted(frame.f_code.co_filename)
            and os.path.dirname(frame.f_code.co_filename) != here
        ):
            if frame.f_code.co_name == "<module>":
                return True
            frame = frame.f_back
        name = str(caller.f_globals.get("__name__", "")) if caller is not None else ""
        return caller is not frame and f"{name}.".startswith(tuple(f"{maker}." for maker in _MAKERS))

    def hook(event: str, values: tuple[Any, ...]) -> None:
        if event == "exec":
            path = getattr(values[0], "co_filename", "")
            if path.startswith("<") and not path.startswith("<frozen "):
                if not made_by_trusted(sys._getframe(1)):
                    raise refuse("the tests run text as code, which the code may have made")
            elif not trusted(path) and _real(path) not in own:
                raise refuse(f"{path} is not the tests' own, and would have been run beside them")
        elif event == "pickle.find_class":
            module, name = values
            known = name in _DATA_BUILTINS if module == "builtins" else module.partition(".")[0] in _DATA
            if not known and (module, name) != ("copyreg", "_reconstructor"):
                raise refuse(f"the tests unpickle {module}.{name}")
        elif event == "marshal.loads" and not trusted(sys._getframe(1).f_code.co_filename):
            raise refuse("the tests read compiled code")
        elif event in ("import", "ctypes.dlopen"):
            path = values[1] if event == "import" else values[0]
            if isinstance(path, str) and os.sep in path and not trusted(path) and not path.startswith(("/lib", "/usr")):
                raise refuse(f"{path} is a compiled module, and not installed")

    sys.addaudithook(hook)


def _real(path: str) -> str:
    return os.path.realpath(path)


def installed_places(root: str) -> set[str]:
    """The real paths of the directories from which Python imports, without those of the workspace."""
    places = {*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix, *filter(None, sys.path)}
    real = {os.path.realpath(place) for place in places}
    return {place for place in real if not f"{place}/".startswith(f"{root}/") or "/site-packages" in place} - {
        "/",
        os.path.realpath(root),
    }
