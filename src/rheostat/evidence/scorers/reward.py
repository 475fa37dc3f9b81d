"""`OutcomeReward` and `ProcessReward`: a model that was trained to score answers, or each of their steps.

Behind vLLM, SGLang or llama.cpp, whose requests the budget pays, or in this process by transformers. Formats:
`reward_formats`; what servers take and return: `reward_servers`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from rheostat.errors import BadInput
from rheostat.evidence.candidate import Candidate
from rheostat.evidence.scorers.base import HttpRequest, Request, Scorer, Work, abstains
from rheostat.evidence.scorers.reward_formats import (
    REWARD_FORMATS,
    STEP_FORMATS,
    RewardFormat,
    StepFormat,
    Unreadable,
    score_of,
)
from rheostat.evidence.scorers.reward_local import Local, check_local, outcome_rows, step_rows
from rheostat.evidence.scorers.reward_servers import (
    Api,
    Route,
    ServerKind,
    address,
    route_for,
    rows_in,
    shown,
    step_route_for,
)
from rheostat.evidence.verifiers import Verdict
from rheostat.money.pricing import Price
from rheostat.task import Task

__all__ = ["BLANK_LINES", "OutcomeReward", "ProcessReward"]

BLANK_LINES = r"\n[ \t]*\n\s*"
"""The regular expression that cuts a reply into steps, unless another is given."""

_Format = TypeVar("_Format", bound=RewardFormat)
_REDUCED: Mapping[str, Callable[[Sequence[float]], float]] = {
    "min": min,
    "last": lambda scores: scores[-1],
    "mean": lambda scores: min(1.0, math.fsum(scores) / len(scores)),
    "product": math.prod,
}


@dataclass(frozen=True, kw_only=True)
class _Reward(Scorer):
    url: str = ""
    """The server's address, with or without `/v1`; or the whole address of the endpoint."""
    model: str = ""
    """The model's name on the server. llama.cpp ignores it, but the ledger shows it."""
    server: ServerKind = "vllm"
    local: Local | None = None
    """Instead of a server: a folder, or a model of transformers and its tokenizer.

    A folder is loaded at the first answer, on the GPU if there is one, and kept; it runs no code of its own. A model
    that needs some (`trust_remote_code`, as Qwen2.5-Math-PRM) you load yourself.
    """
    shows: Literal["reply", "answer"] = "reply"
    """What the model sees: the whole reply with its steps, or the answer alone."""
    price: Price | None = None
    """The price of its tokens; `None`: the server is yours, and free."""
    api_key: str = field(default="", repr=False)
    """For `Authorization: Bearer`."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)
    """Further headers."""
    seconds: float = 60.0
    """The time limit of a request."""

    def _checked(self) -> None:
        if bool(self.url) == (self.local is not None):
            raise BadInput(f"{type(self).__name__} needs a server (url=…) or a model in this process (local=…): one")
        if self.local is not None:
            check_local(self.local, type(self).__name__)
        elif not self.model:
            raise BadInput("give the model's name on the server (model=…): the ledger counts it by that name")
        if self.shows not in ("reply", "answer"):
            raise BadInput(f'shows is "reply" or "answer", not {self.shows!r}')

    @property
    def free(self) -> bool:
        return self.local is not None

    def _text(self, candidate: Candidate) -> str:
        text = candidate.answer if self.shows == "answer" or not candidate.text else candidate.text
        return (text or "").strip()

    def _posted(self, route: Route, how: RewardFormat, question: str, answer: str) -> HttpRequest:
        bearer = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        return HttpRequest(
            url=address(self.url, route.path),
            body={"model": self.model, **route.body(how, question, answer)},
            headers={**bearer, **self.headers},
            price=self.price,
            seconds=self.seconds,
            by=self.name,
        )


@dataclass(frozen=True, kw_only=True)
class OutcomeReward(_Reward):
    """A reward model that scores whole answers, such as Skywork-Reward-V2, or a reranker.

    The score of most is the sigmoid of a logit without bounds: it orders the answers to one question. It isn't the
    probability of being right, and a threshold that holds for one model means nothing for another.

    A reply of another shape, an error, too many numbers, one that isn't finite or a probability outside 0..1 is no
    score: it can't tell, and the reason names what was received.

    Raises:
        BadInput: Neither or both of `url` and `local` are given, or the server can't be asked in this format.
        MissingExtra: `local` needs torch and transformers.
    """

    api: Api = "classify"
    """vLLM has all four; SGLang has classify, score and rerank; llama.cpp has rerank."""
    format: str | RewardFormat = "skywork"
    """A name in `REWARD_FORMATS`, or your own."""
    name: str = "reward"

    def __post_init__(self) -> None:
        self._checked()
        if self.local is None:
            route_for(self.server, self.api, self._how)

    @property
    def _how(self) -> RewardFormat:
        return _named(self.format, REWARD_FORMATS, RewardFormat)

    def request(self, task: Task, candidate: Candidate) -> Request | None:
        how, local, question, answer = self._how, self.local, task.question.strip(), self._text(candidate)
        if not answer:
            return None
        if local is not None:
            return Work(do=lambda: outcome_rows(local, how, question, answer), by=self.name)
        return self._posted(route_for(self.server, self.api, how), how, question, answer)

    def read(self, task: Task, candidate: Candidate, reply: Any) -> Verdict:
        how = self._how
        if not self._text(candidate):
            return abstains("there is no answer to score")
        try:
            read = rows_in if self.local is not None else route_for(self.server, self.api, how).read
            rows = read(reply)
            if len(rows) != 1:
                raise Unreadable(f"expected one result for one text, received {len(rows)}")
            if self.server == "llama.cpp" and how.value == "logit" and rows[0] == [1.0]:
                # It takes the softmax over the labels of a Qwen3, tried with xllamacpp 2026.10.
                raise Unreadable("received exactly 1, as llama.cpp's softmax over one label always is")
            score = score_of(rows[0], how)
        except Unreadable as error:
            return abstains(str(error))
        number = rows[0][how.index]
        said = "probability" if how.value == "probability" else "logit"
        order = "; its sigmoid is an order, not a probability" if how.value == "logit" else ""
        return Verdict(None, f"{said} {number:.3g}{order}", score=score)


@dataclass(frozen=True, kw_only=True)
class ProcessReward(_Reward):
    """A process reward model, which scores each step of a reply, such as Qwen2.5-Math-PRM (arXiv:2501.07301).

    The verdict's `parts` hold the scores of the steps, `{"step 1": 0.9, …}`. A reply with more or fewer rows than
    steps is no score.

    vLLM returns the rows at the steps for `Qwen2ForProcessRewardModel`; a token classifier needs
    `--pooler-config '{"tok_pooling_type": "STEP", "step_tag_id": …}'`. SGLang 0.5.23 reads a sequence classifier at
    each mark of the text, with `--disable-radix-cache --chunked-prefill-size -1`.

    Raises:
        BadInput: Neither or both of `url` and `local` are given, or the server can't be asked in this format.
        MissingExtra: `local` needs torch and transformers.
    """

    api: Api = "pooling"
    """`pooling` of vLLM, `score` of SGLang."""
    format: str | StepFormat = "qwen-math-prm"
    """A name in `STEP_FORMATS`, or your own."""
    reduce: Literal["min", "last", "mean", "product"] = "min"
    """How the scores of the steps become one."""
    steps: str | Callable[[str], Sequence[str]] = BLANK_LINES
    """The regular expression that cuts a reply into steps, or a function that does."""
    name: str = "process reward"

    def __post_init__(self) -> None:
        self._checked()
        if self.reduce not in _REDUCED:
            raise BadInput(f"reduce is one of {', '.join(_REDUCED)}, not {self.reduce!r}")
        if isinstance(self.steps, str):
            try:
                re.compile(self.steps)
            except re.error as error:
                raise BadInput(f"steps={self.steps!r} isn't a regular expression: {error}") from None
        if self.local is None:
            step_route_for(self.server, self.api, self._how)

    @property
    def _how(self) -> StepFormat:
        return _named(self.format, STEP_FORMATS, StepFormat)

    def cut(self, text: str) -> list[str]:
        """The steps of a reply, without those that are blank."""
        pieces = self.steps(text) if callable(self.steps) else re.split(self.steps, text)
        return [piece.strip() for piece in pieces if piece and piece.strip()]

    def request(self, task: Task, candidate: Candidate) -> Request | None:
        how, local, question = self._how, self.local, task.question.strip()
        steps = self.cut(self._text(candidate))
        if not steps:
            return None
        answer = how.joined(steps)
        if local is not None:
            return Work(do=lambda: step_rows(local, how, question, answer), by=self.name)
        return self._posted(step_route_for(self.server, self.api, how), how, question, answer)

    def read(self, task: Task, candidate: Candidate, reply: Any) -> Verdict:
        how, steps = self._how, self.cut(self._text(candidate))
        if not steps:
            return abstains("there is no step to score")
        try:
            read = rows_in if self.local is not None else step_route_for(self.server, self.api, how).read
            rows = read(reply)
            if how.labels == 1 and len(rows) == 1:  # some servers put numbers of one label into one row
                rows = [[each] for each in rows[0]]
            if len(rows) != len(steps):
                raise Unreadable(f"expected {len(steps)} steps, received {len(rows)}: {shown(reply)}")
            scores = [score_of(row, how) for row in rows]
        except Unreadable as error:
            return abstains(str(error))
        lowest = min(range(len(scores)), key=scores.__getitem__)
        return Verdict(
            None,
            f"{self.reduce} of {len(scores)} steps; lowest is step {lowest + 1}: {scores[lowest]:.3g}",
            score=_REDUCED[self.reduce](scores),
            parts={f"step {number}": score for number, score in enumerate(scores, 1)},
        )


def _named(given: Any, known: Mapping[str, _Format], kind: type[_Format]) -> _Format:
    """A format by name, or the given one.

    Raises:
        BadInput: There is none of that name, or it is a format for something else.
    """
    found = known.get(given) if isinstance(given, str) else given
    if not isinstance(found, kind) or isinstance(found, StepFormat) is not (kind is StepFormat):
        raise BadInput(f"format is one of {', '.join(known)}, or a {kind.__name__}, not {given!r}")
    return found
