"""A report without names: every text becomes a pseudonym, unless it is a word of Rheostat's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, get_args

from rheostat import errors
from rheostat.evidence.candidate import Status
from rheostat.judgement.baselines import BEST_FIXED, STRONG_ALWAYS
from rheostat.report.data import Report, State
from rheostat.task import PRESETS, Effort, Kind, Purpose

__all__ = ["redacted"]

T = TypeVar("T")

WORDS = frozenset({
    *Effort, *PRESETS, *get_args(Kind), *get_args(Purpose), *get_args(Status), *get_args(State), BEST_FIXED,
    STRONG_ALWAYS, "passed", "refused", "account", "thread", "run", "usd", "tokens", "usd_nanos", "output_tokens",
    "thinking_tokens", "calls", "seconds", "day", "month", "accept", "stop", "sample", "correct", "escalate", "draw",
    "end", "length", "tool_calls", "user", "preset", "caps", "room", "model", "policy", "call", "judge", "others",
    *errors.__all__,
})  # fmt: skip
"""Words that can stand in any field without telling anything of the user."""
_NOUNS = {
    "what": "account", "above": "account", "reasons": "reason", "models": "model", "nodes": "node",
    "scores": "scorer", "chosen": "candidate", "parent": "candidate", "effort_asked": "effort",
    "effort_planned": "effort", "effort_seen": "effort", "request_id": "request", "decided_by": "decider",
}  # fmt: skip
"""What a pseudonym begins with where it isn't the field's name."""


def redacted(report: Report, accounts: Sequence[tuple[str, str]]) -> Report:
    """The same report with pseudonyms: equal texts get equal ones, numbered in the order of their appearance.

    Args:
        accounts: The name and the kind (`account`, `thread`, `run`) of all accounts of the ledger, in a lasting order,
            which numbers them.
    """
    tops = [row.account for row in report.accounts if row.depth == 0]
    what = tops[0] if len(tops) == 1 else ""
    return _Pseudonyms(accounts).of(replace(report, what=what), "")


class _Pseudonyms:
    def __init__(self, accounts: Sequence[tuple[str, str]]) -> None:
        self._names: dict[str, dict[str, str]] = {}
        self._names["account"] = {name: f"{kind}-{place}" for place, (name, kind) in enumerate(accounts, 1)}

    def of(self, value: T, noun: str) -> T:
        """The value with every text in it replaced: one in a new field is too, until it is a word."""
        changed: dict[str, Any] = {
            each.name: self._within(noun if each.name == "name" else _NOUNS.get(each.name, each.name), one)
            for each in fields(value)  # type: ignore[arg-type] # T is one of our dataclasses
            for one in [getattr(value, each.name)]
        }
        return replace(value, **changed)  # type: ignore[type-var] # as above

    def _within(self, noun: str, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(noun, value)
        if isinstance(value, tuple):
            return tuple(self._within(noun, each) for each in value)
        return self.of(value, noun) if is_dataclass(value) else value

    def _text(self, noun: str, text: str) -> str:
        if noun == "question":
            return ""
        if not text or (text in WORDS and noun != "account"):
            return text
        names = self._names.setdefault(noun, {})
        return names.setdefault(text, f"{noun}-{len(names) + 1}")
