"""`Judge`: a chat model that rates answers by a rubric, or compares them in pairs."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rheostat.errors import BadInput
from rheostat.evidence.candidate import Candidate, in_order
from rheostat.evidence.scorers.base import ChatRequest, Ranker, Request, abstains
from rheostat.evidence.verifiers import Verdict
from rheostat.task import Task

__all__ = ["RUBRIC", "Judge"]

RUBRIC = (
    "Is the answer right and complete? Check every step of the reasoning and every calculation. "
    "10 points: certainly right. 5 points: can't tell. 0 points: certainly wrong."
)
_BEGUN = "The answer isn't finished yet: grade the steps so far by whether they lead to the right answer.\n"
_SHOWN_CHARS = 6_000
_POINTS = 10
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "reason": {"type": "string", "maxLength": 600},
        "points": {"type": "integer", "minimum": 0, "maximum": _POINTS},
    },
    "required": ["reason", "points"],
    "additionalProperties": False,
}
_PAIR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "reason": {"type": "string", "maxLength": 600},
        "better": {"type": "string", "enum": ["first", "second", "equal"]},
    },
    "required": ["reason", "better"],
    "additionalProperties": False,
}
_CHAMPION, _LOSER = 0.9, 0.1
_POINTS_LINE = re.compile(r"""\W{0,4}points["'*:= ]{1,4}(10|\d)(?:\s*/\s*10)?["'*. ]{0,3}""", re.I)
_BETTER_LINE = re.compile(r"""\W{0,4}better["'*:= ]{1,4}(first|second|equal)["'*. ]{0,3}""", re.I)
_TAGS = re.compile(r"<(/?\s*(?:answer|first|second))\b", re.I)


@dataclass(frozen=True, kw_only=True)
class Judge(Ranker):
    """A language model as judge (Zheng et al., arXiv:2306.05685).

    `points`: each answer gets 0 to 10 points. `pairs`: answers are compared two by two in a knockout, each pair in both
    orders, because judges prefer a position; where the two replies contradict each other, it abstains and the earlier
    answer goes on. A judge that is weaker than the model it judges is often worse than none: measure it
    (docs/how-to/strategy.md).
    """

    model: Any
    """The judge: a name, a chat model or an endpoint."""
    rubric: str = RUBRIC
    """What makes an answer good, and what the points mean."""
    mode: Literal["points", "pairs"] = "points"
    shows: Literal["reply", "answer"] = "reply"
    """What the judge sees: the whole reply with its steps, or the answer alone."""
    answer_tokens: int = 256
    """The most tokens of its reply."""
    name: str = "judge"

    def __post_init__(self) -> None:
        if self.mode not in ("points", "pairs"):
            raise BadInput(f'mode is "points" or "pairs", not {self.mode!r}')
        if not self.rubric.strip():
            raise BadInput("a judge needs a rubric: what makes an answer good?")

    @property
    def models(self) -> tuple[Any, ...]:
        return (self.model,)

    # --- points -----------------------------------------------------------------------------------

    def request(self, task: Task, candidate: Candidate) -> Request:
        said = (
            f"Grade an answer to a question.\n\nQuestion:\n{task.question.strip()}\n\n"
            f"<answer>\n{self._shown(candidate)}\n</answer>\n\n{_BEGUN if candidate.partial else ''}"
            f"Rubric: {self.rubric}\n"
            'Reply with JSON: {"reason": "one or two sentences", "points": 0 to 10}.'
        )
        return self._ask(said, _SCHEMA)

    def read(self, task: Task, candidate: Candidate, reply: Any) -> Verdict:
        said = _fields(str(reply))
        points = said.get("points")
        if isinstance(points, bool) or not isinstance(points, int | float) or not 0 <= points <= _POINTS:
            return abstains(f"the judge gave no points: {str(reply)[:200]!r}")
        return Verdict(None, str(said.get("reason") or ""), score=points / _POINTS)

    # --- pairs ------------------------------------------------------------------------------------

    def rank(self, task: Task, candidates: Sequence[Candidate]) -> Generator[Request, Any, dict[str, Verdict]]:
        ordered = in_order(candidates)
        scored = [each for each in ordered if self.name in each.scores]
        champion = max(scored, key=lambda each: each.scores[self.name], default=None)
        entrants = ([champion] if champion else []) + [each for each in ordered if self.name not in each.scores]
        verdicts: dict[str, Verdict] = {}
        level = 0
        while len(entrants) > 1:
            level += 1
            winners = []
            for first, second in zip(entrants[::2], entrants[1::2], strict=False):
                winner, loser, why = yield from self._bout(task, first, second)
                winners.append(winner)
                score = _CHAMPION - (_CHAMPION - _LOSER) / (level + 1)
                verdicts[loser.id] = Verdict(None, f"lost against {winner.id}: {why}", score=score)
                verdicts[winner.id] = Verdict(None, why, score=_CHAMPION)
            entrants = winners + (entrants[-1:] if len(entrants) % 2 else [])
        for each in entrants:
            verdicts.setdefault(each.id, Verdict(None, "the only one", score=_CHAMPION))
        return verdicts

    def _bout(
        self, task: Task, a: Candidate, b: Candidate
    ) -> Generator[Request, Any, tuple[Candidate, Candidate, str]]:
        """(winner, loser, reason) of a comparison in both orders."""
        said = []
        for first, second in ((a, b), (b, a)):
            reply = yield self._ask(self._compared(task, first, second), _PAIR_SCHEMA)
            read = _fields(str(reply))
            better = {"first": first, "second": second}.get(str(read.get("better")))
            said.append((better, str(read.get("reason") or "")))
        (one, why), (two, _) = said
        if one is not None and one is two:
            return one, b if one is a else a, why
        return a, b, "the judge contradicted itself or saw no difference"

    def _compared(self, task: Task, first: Candidate, second: Candidate) -> str:
        return (
            f"Compare two answers to a question.\n\nQuestion:\n{task.question.strip()}\n\n"
            f"<first>\n{self._shown(first)}\n</first>\n\n<second>\n{self._shown(second)}\n</second>\n\n"
            f"Rubric: {self.rubric}\n"
            'Reply with JSON: {"reason": "one or two sentences", "better": "first", "second" or "equal"}.'
        )

    # --- both -------------------------------------------------------------------------------------

    def _ask(self, said: str, schema: dict[str, Any]) -> ChatRequest:
        messages = [{"role": "user", "content": said}]
        return ChatRequest(
            model=self.model, messages=messages, schema=schema, answer_tokens=self.answer_tokens, by=self.name
        )

    def _shown(self, candidate: Candidate) -> str:
        """The part of the candidate that the judge sees, with its middle left out if it is long."""
        text, answer = candidate.text.strip(), (candidate.answer or "").strip()
        if self.shows == "answer" or not text:
            text = answer
        elif answer and answer not in text:  # such as the output of a program
            text = f"{text}\n\nResult: {answer}"
        text = _TAGS.sub(r"‹\1", text)  # an answer must not close its own tag and go on as the rubric
        half = _SHOWN_CHARS // 2
        return text if len(text) <= _SHOWN_CHARS else f"{text[:half]}\n[…]\n{text[-half:]}"


def _fields(reply: str) -> dict[str, Any]:
    """The fields of a reply: its JSON object, else `points` or `better` as its last line says."""
    start, end = reply.find("{"), reply.rfind("}")
    try:
        said = json.loads(reply[start : end + 1])
    except (ValueError, RecursionError):
        said = None
    if isinstance(said, dict):
        return said
    if start >= 0:  # JSON that was cut, or isn't any: what stands in it may be a quotation
        return {}
    last = reply.strip().rpartition("\n")[2]
    points, better = _POINTS_LINE.fullmatch(last), _BETTER_LINE.fullmatch(last)
    found: dict[str, Any] = {"points": int(points[1])} if points else {}
    return {**found, "better": better[1]} if better else found
