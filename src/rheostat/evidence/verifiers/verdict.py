"""What a verifier is and what it says."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

from rheostat.errors import VerifierInvalid
from rheostat.evidence.forms import AnswerForm, Form

__all__ = ["Check", "Verdict", "Verifier", "as_verifier", "judged"]


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
    """Judges an answer by something outside the model. `check` may block; async graphs run it in a thread.

    It gets the answer as it was read from the reply (`rheostat.evidence.answers`), wherever it is used: solver, agent,
    coder, nodes.
    """

    @property
    def form(self) -> AnswerForm | Form | None:
        """The form of answer that it judges; `None`: whatever was asked for."""

    def check(self, answer: str) -> Verdict:
        """Judge one answer. An exception, or a limit of the verifier's own, says nothing of it: "can't tell"."""


Check: TypeAlias = Callable[[str], "bool | str | Verdict | None"]
"""A function of the answer; what it may return is said in `as_verifier`."""


@dataclass(frozen=True, slots=True)
class _Function:
    function: Check
    form: AnswerForm | Form | None = None

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


def judged(verifier: Verifier | None, answer: str) -> Verdict:
    """What a verifier says of an answer; whatever happens to it is a verdict: "can't tell", and why."""
    if verifier is None:
        return Verdict(None, "no verifier")
    try:
        verdict: Any = verifier.check(answer)
    except Exception as error:  # a broken check says nothing about the answer
        return Verdict(None, f"the verifier failed: {type(error).__name__}: {error}")
    if not isinstance(verdict, Verdict):
        return Verdict(None, f"the verifier failed: it returned {verdict!r} and no Verdict")
    return verdict


def as_verifier(check: Verifier | Check | None, form: AnswerForm | Form | None = None) -> Verifier | None:
    """A verifier from a verifier or from a function of the answer.

    Args:
        form: Of the answers that a function judges; `None`: whatever was asked for.

    The function returns True (pass), False (fail), a text (fail, and this is why), None (abstain) or a `Verdict`.

    Raises:
        VerifierInvalid: neither of these.
    """
    if check is None or isinstance(check, Verifier):
        return check
    if callable(check):
        _takes_one_argument(check)
        return _Function(check, form)
    raise VerifierInvalid(f"a verifier is an object with check(answer), or a function of the answer; not {check!r}")


def _takes_one_argument(check: Check) -> None:
    try:
        inspect.signature(check).bind("an answer")
    except TypeError as error:
        raise VerifierInvalid(f"a check is called with one argument, the answer; {check!r}: {error}") from None
    except ValueError:  # some builtins have no signature: they are tried out when the time comes
        return
