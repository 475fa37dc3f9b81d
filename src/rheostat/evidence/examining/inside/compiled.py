"""Read installed modules from their compiled files, and no others: beside those of the tests the code may write.

Runs inside the sandbox, in the examiner: standard library only.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Callable, Collection
from typing import Any


class Compiled(importlib.abc.MetaPathFinder):
    """Finds installed modules; takes effect on what is imported after it was made.

    Args:
        places: The real paths of the directories of installed modules.
    """

    def __init__(self, places: Collection[str]) -> None:
        self._places = tuple(f"{place}/" for place in places)
        sys.pycache_prefix = "/nonexistent"
        sys.meta_path.insert(sys.meta_path.index(importlib.machinery.PathFinder), self)

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        loader: Any = spec.loader if spec is not None else None
        if not isinstance(loader, importlib.machinery.SourceFileLoader):
            return None
        if not os.path.realpath(loader.path).startswith(self._places):
            return None
        loader.get_code = functools.partial(_code, loader.get_code)  # type: ignore[method-assign]
        return spec


def _code(get_code: Callable[[str], Any], name: str) -> Any:
    kept, sys.pycache_prefix = sys.pycache_prefix, None
    try:
        return get_code(name)
    finally:
        sys.pycache_prefix = kept
