"""Tools for tests of code that uses Rheostat: a scripted chat model, and a test of the rules of every ledger.

`ledger_machine` needs hypothesis (`pip install hypothesis`); the rest needs nothing else.
"""

from rheostat.testing.model import Said, ScriptedModel, free, scripted
from rheostat.testing.truth import LedgerTruth, timeless

__all__ = ["LedgerTruth", "Said", "ScriptedModel", "free", "ledger_machine", "scripted", "timeless"]


def __getattr__(name: str) -> object:
    if name == "ledger_machine":
        from rheostat.testing.machine import ledger_machine

        return ledger_machine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
