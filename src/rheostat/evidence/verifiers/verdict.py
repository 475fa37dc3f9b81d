"""Verifiers and their verdicts."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

from rheostat.errors import BadInput, VerifierInvalid
from rheostat.evidence.forms import AnswerForm, Form

__all__ = ["Check", "Verdict", "Verifier", "as_verifier", "judged"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of verifying one answer."""

    passed: bool | None
    """`True`, `False`, or `None` if the verifier abstains (it can't tell)."""
    reason: str = ""
    """The reason; on failure, this text goes back to the model."""
    score: float | None = None
    """How good the answer is, from 0 to 1, such as the part of the tests that pass; `None`: no such measure."""
    parts: dict[str, float] = field(default_factory=dict)
    """The scores that the score is made of, by name."""

    def __post_init__(self) -> None:
        reason: Any = self.reason
        if not isinstance(reason, str):  # from a check of the user's own
            object.__setattr__(self, "reason", "" if reason is None else str(reason))
        if self.score is not None and not 0.0 <= self.score <= 1.0:
            raise BadInput(f"a score lies from 0 to 1, not {self.score!r}")

    def to_dict(self) -> dict[str, Any]:
        """The verdict as plain data."""
        return asdict(self)


@runtime_checkable
class Verifier(Protocol):
    """Judges an answer by evidence from outside the model. `check` may block; async graphs run it in a thread.

    Solver, agent, coder and nodes all pass it the answer as read from the reply (`rheostat.evidence.answers`).
    """

    @property
    def form(self) -> AnswerForm | Form | None:
        """The form of answers that it judges; `None`: the form that the question asks for."""

    def check(self, answer: str) -> Verdict:
        """Judge one answer. An exception, or a limit of the verifier itself, counts as "can't tell"."""


Check: TypeAlias = Callable[[str], "bool | str | Verdict | None"]
"""A function of the answer; `as_verifier` lists what it may return."""


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
    """The verdict of a verifier on an answer; without a verifier, or if it fails, "can't tell" with the reason."""
    if verifier is None:
        return Verdict(None)
    try:
        verdict: Any = verifier.check(answer)
    except Exception as error:  # a broken check isn't evidence about the answer
        return Verdict(None, f"the verifier failed: {type(error).__name__}: {error}")
    if not isinstance(verdict, Verdict):
        return Verdict(None, f"the verifier failed: it returned {verdict!r}, not a Verdict")
    return verdict


def as_verifier(check: Verifier | Check | None, form: AnswerForm | Form | None = None) -> Verifier | None:
    """Make a verifier from a function of the answer; a verifier and `None` are returned as they are.

    The function returns `True` (pass), `False` (fail), a text (fail for this reason), `None` (abstain) or a `Verdict`.

    Args:
        check: A verifier, a function of the answer, or `None`.
        form: The form of the answers that a function judges; `None`: the form that the question asks for.

    Raises:
        VerifierInvalid: It is neither, or the function doesn't take exactly one argument.
    """
    if check is None or isinstance(check, Verifier):
        return check
    inner = getattr(check, "check", None)  # an object that says nothing of the form
    if callable(inner) or callable(check):
        function: Check = inner if callable(inner) else check
        _takes_one_argument(function)
        return _Function(function, form)
    raise VerifierInvalid(f"a verifier is an object with check(answer), or a function of the answer; not {check!r}")


def _takes_one_argument(check: Check) -> None:
    try:
        inspect.signature(check).bind("an answer")
    except TypeError as error:
        raise VerifierInvalid(f"a check is called with one argument, the answer; {check!r}: {error}") from None
    except ValueError:  # some builtins have no signature; the first check will show whether they fit
        return
