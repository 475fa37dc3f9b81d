"""Verify that an answer equals a known value."""

from __future__ import annotations

from dataclasses import dataclass, field

from rheostat.errors import VerifierInvalid
from rheostat.evidence.answers import answer_of
from rheostat.evidence.equality import compatible
from rheostat.evidence.forms import AnswerForm
from rheostat.evidence.verifiers.verdict import Verdict

__all__ = ["MathsAnswer"]


@dataclass(frozen=True, slots=True)
class MathsAnswer:
    """The answer must equal a known value (a check that *you* have, never the benchmark's gold answer).

    Numbers are compared exactly, units are converted, and expressions are read by math-verify's parser. A unit that
    only one of the two has is forgiven (`rheostat.compatible`). A value that isn't a number (a letter, a time, a word)
    is compared in its own form.

    Raises:
        VerifierInvalid: The value is empty.
    """

    expected: str
    form: AnswerForm | None = field(init=False)

    def __post_init__(self) -> None:
        if not str(self.expected).strip():
            raise VerifierInvalid("MathsAnswer needs a value to compare with")
        read = answer_of(str(self.expected))
        form: AnswerForm | None = "number" if read is not None and read.form in ("number", "quantity") else None
        object.__setattr__(self, "form", form)

    def check(self, answer: str) -> Verdict:
        """Compare: equal, not equal, or can't tell. The reason doesn't reveal the value."""
        same = compatible(answer, str(self.expected))
        if same is None:
            return Verdict(None, f"can't compare {answer[:80]!r} mathematically")
        return Verdict(same, "" if same else f"{answer.strip()[:80]} is not right")
