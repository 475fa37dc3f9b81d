"""Old import paths: they still work, with a warning that names the new one."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import warnings
from collections.abc import Sequence
from types import ModuleType

__all__ = ["install"]

_MOVED = {
    "usage": "money.usage", "budget": "money.budget", "pricing": "money.pricing", "ledger": "money.ledger",
    "effort": "task", "difficulty": "thinking.difficulty", "clamps": "thinking.clamps", "policy": "judgement.policy",
    "pacing": "judgement.schedule", "meter": "calling.meter", "purse": "calling.holds", "request": "calling.waits",
    "exchange": "calling.sample", "asked": "calling.call_options", "streams": "calling.stream",
    "thinker": "calling.step", "fitting": "calling.fit", "shaping": "calling.shape", "events": "graph.events",
    "cover": "graph.unplanned", "state": "solver.state", "builders": "solver.build", "nodes": "solver",
    "agent": "agents.core", "middleware": "agents.middleware", "agent_nodes": "agents.nodes",
    "toolcalls": "agents.tools", "coder": "agents.coder", "autonomous": "agents.autonomous",
    "guided": "agents.guided", "otel": "report.spans",
}  # fmt: skip


class _Moved(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds moved modules under their old names. It comes first, or files below such a module would run twice."""

    def __init__(self) -> None:
        self._specs: dict[str, importlib.machinery.ModuleSpec | None] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of a module that has moved; `None`: it hasn't."""
        package, _, rest = name.partition(".")
        if package != "rheostat" or rest.partition(".")[0] not in _MOVED:
            return None
        return importlib.machinery.ModuleSpec(name, self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """Import the module under its new name."""
        old, _, below = spec.name.removeprefix("rheostat.").partition(".")
        new = ".".join(filter(None, ("rheostat", _MOVED[old], below)))
        warnings.warn(f"{spec.name} is {new} now", DeprecationWarning, stacklevel=2)
        module = importlib.import_module(new)
        self._specs[module.__name__] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Restore the spec of a module that has already run."""
        module.__spec__ = self._specs[module.__name__]


def install() -> None:
    """Install the finder; once, when the package is imported."""
    if not any(isinstance(finder, _Moved) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Moved())
