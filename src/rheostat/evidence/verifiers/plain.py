"""Verifiers that compare text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from rheostat.errors import VerifierInvalid
from rheostat.evidence.forms import AnswerForm
from rheostat.evidence.verifiers.patterns import compiled, matches_whole
from rheostat.evidence.verifiers.verdict import Verdict

__all__ = ["Exact", "Matches"]


@dataclass(frozen=True, slots=True)
class Exact:
    """The answer must be this text; white space at the ends and case don't count.

    The reason doesn't reveal the expected text, because the model must find it.
    """

    expected: str
    form: AnswerForm | None = field(default="text")

    def check(self, answer: str) -> Verdict:
        """Compare: equal or not."""
        same = answer.strip().casefold() == self.expected.strip().casefold()
        return Verdict(same, "" if same else f"{answer.strip()[:200]!r} is not the expected answer")


@dataclass(frozen=True, slots=True)
class Matches:
    """The whole answer must match a regular expression. A match that takes more than a second is "can't tell".

    Raises:
        VerifierInvalid: The pattern isn't a regular expression.
    """

    pattern: str
    form: AnswerForm | None = field(default="text")

    def __post_init__(self) -> None:
        try:
            compiled(self.pattern)
        except re.error as error:
            raise VerifierInvalid(f"not a regular expression: {self.pattern!r}: {error}") from None

    def check(self, answer: str) -> Verdict:
        """Match: whole answer, not, or can't tell."""
        same = matches_whole(self.pattern, answer.strip())
        if same is None:
            return Verdict(None, f"the regular expression {self.pattern} took too long on this answer")
        if same:
            return Verdict(True)
        return Verdict(False, f"the answer must match the regular expression {self.pattern}")
