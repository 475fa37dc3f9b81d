"""The expected answer of a question: its form, and how it is read and compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rheostat.evidence.answers import Answer, answer_of, asked_form, read_answer, without_thoughts
from rheostat.evidence.forms import AnswerForm, Form
from rheostat.evidence.verifiers import JsonSchema, Verifier
from rheostat.task import Kind

__all__ = ["Expected"]

_OF_KIND: dict[Kind, AnswerForm] = {"maths": "number", "code": "code"}
_VALUES = ("number", "quantity", "choice", "date")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The expected answer, used for asking, reading and comparing."""

    question: str
    kind: Kind
    given: AnswerForm | Form | None
    """The form that the caller needs; `None`: the form that the question asks for and the reply has."""
    asked: AnswerForm
    """The form in which the model is asked to answer."""
    fits: Callable[[str], bool] | None = None
    """Whether a text of JSON fits the schema; `None`: there is no schema."""

    @classmethod
    def of(
        cls, question: str, kind: Kind, verifier: Verifier | None, form: AnswerForm | Form | None = None
    ) -> Expected:
        """The expected answer for a question, its kind and the verifier that will judge the answer."""
        given = form if form is not None else verifier.form if verifier is not None else None
        if isinstance(given, Form):
            asked: AnswerForm = "text"
        else:
            asked = (
                given
                or (_OF_KIND.get(kind) if kind == "code" else None)
                or asked_form(question)
                or _OF_KIND.get(kind, "text")
            )
        fits = verifier.fits if isinstance(verifier, JsonSchema) else None
        return cls(question=question, kind=kind, given=given, asked=asked, fits=fits)

    @property
    def votable(self) -> bool:
        """Whether answers can be compared, so that they can vote; code, prose and chat can't."""
        if isinstance(self.given, Form):
            return True
        return self.asked in (*_VALUES, "json") or (self.asked == "text" and self.kind in ("facts", "science", "maths"))

    @property
    def told(self) -> str:
        """The line for the model about the form of the answer, if the form is the caller's own; else empty."""
        return self.given.told if isinstance(self.given, Form) else ""

    def read(self, reply: str, *, cut: bool = False) -> Answer | None:
        """Read the answer of a reply; in a reply that was cut, only a marked value counts."""
        if isinstance(self.given, Form):
            said = without_thoughts(reply)
            text = self.given.read(said) if said and said.strip() else None
            return None if text is None else Answer(text, "text", text, f"{self.given.name} {text}")
        marked_only = cut and self.asked in _VALUES
        return read_answer(
            reply, self.given, question=self.question, hint=self.asked, fits=self.fits, marked_only=marked_only
        )

    def whole(self, text: str) -> Answer | None:
        """Read a text that is the answer and nothing else, such as the output of a program."""
        if isinstance(self.given, Form):
            return self.read(text)
        if self.given is None:
            return self.read(text) or answer_of(text)
        return self.read(text)

    def same(self, a: str, b: str) -> bool:
        """Whether two keys belong to equal answers."""
        if isinstance(self.given, Form):
            ours, theirs = (key.removeprefix(f"{self.given.name} ") for key in (a, b))
            return self.given.same(ours, theirs)
        return a == b
