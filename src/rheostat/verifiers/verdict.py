"""What a verifier is and what it says."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from rheostat.errors import VerifierInvalid

__all__ = ["AnswerForm", "Check", "Verdict", "Verifier", "as_verifier"]

AnswerForm: TypeAlias = Literal["number", "code", "json", "text"]
"""What an answer looks like: it decides how it is asked for, found in a reply, and compared."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the evidence says about one answer."""

    passed: bool | None
    """True, False, or `None`: the verifier abstains (it can't tell)."""
    reason: str = ""
    """Why; on failure this text goes back to the model."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for state."""
        return asdict(self)


@runtime_checkable
class Verifier(Protocol):
    """Judges an answer by something outside the model. `check` may block; async graphs run it in a thread."""

    @property
    def form(self) -> AnswerForm | None:
        """The form of answer that it judges; `None`: any."""

    def check(self, answer: str) -> Verdict:
        """Judge one answer. An exception means that the verifier is broken: it counts as an abstention."""


Check: TypeAlias = Callable[[str], "bool | str | Verdict | None"]
"""A function of the answer; what it may return is said in `as_verifier`."""


@dataclass(frozen=True, slots=True)
class _Function:
    function: Check
    form: AnswerForm | None = None

    def check(self, answer: str) -> Verdict:
        said = self.function(answer)
        if isinstance(said, Verdict):
            return said
        if isinstance(said, str):
            return Verdict(False, said or "the check refused it")
        if said is None:
            return Verdict(None, "the check abstained")
        if isinstance(said, bool):
            return Verdict(said, "" if said else "the check refused it")
        raise TypeError(f"the check returned {said!r}; it may return True, False, a reason, None or a Verdict")


def as_verifier(check: Verifier | Check | None) -> Verifier | None:
    """A verifier from a verifier or from a function of the answer.

    The function returns True (pass), False (fail), a text (fail, and this is why), None (abstain) or a `Verdict`.

    Raises:
        VerifierInvalid: neither of these.
    """
    if check is None or isinstance(check, Verifier):
        return check
    if callable(check):
        _takes_one_argument(check)
        return _Function(check)
    raise VerifierInvalid(f"a verifier is an object with check(answer), or a function of the answer; not {check!r}")


def _takes_one_argument(check: Check) -> None:
    try:
        inspect.signature(check).bind("an answer")
    except TypeError as error:
        raise VerifierInvalid(f"a check is called with one argument, the answer; {check!r}: {error}") from None
    except ValueError:  # some builtins have no signature: they are tried out when the time comes
        return
