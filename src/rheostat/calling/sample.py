"""One sample: the one or two requests for a thought and an answer, each held before and settled after."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_core.language_models import BaseChatModel

from rheostat.calling.cancel import Cancel, Cancelled
from rheostat.calling.meter import Meter
from rheostat.calling.payer import Attempt
from rheostat.errors import BudgetExceeded, HoldExceeded
from rheostat.evidence.answers import Answer
from rheostat.evidence.asking import STEP_END, Way, finish
from rheostat.evidence.candidate import Candidate, Status
from rheostat.evidence.confidence import logprobs_of, lowest_window, mean
from rheostat.evidence.expected import Expected
from rheostat.evidence.forms import AnswerForm
from rheostat.evidence.running import worked_out
from rheostat.flow import Effect, Flow
from rheostat.money.ledger import Reservation
from rheostat.money.usage import Spend
from rheostat.providers import Endpoint, Reply, Settings
from rheostat.providers.bounds import input_bound
from rheostat.providers.dial import Messages, Phase
from rheostat.providers.failures import read_failure, told
from rheostat.task import ThinkingPlan, plan_of
from rheostat.thinking.model_facts import ModelFacts

__all__ = ["DECLINED", "bounds", "sample", "shaped"]

_THOUGHT_OVERHEAD = 32
"""Tokens that a template adds around a thought that is sent back."""
_VALUES = ("number", "quantity", "choice", "date")


def shaped(plan: ThinkingPlan, way: Way, form: AnswerForm) -> ThinkingPlan:
    """The plan with the thinking and answer tokens that this way of asking needs."""
    room = min(way.room_tokens[plan.purpose == "last word"], plan.answer_tokens)
    if way.runs:
        return replace(plan, thinking_tokens=0, answer_tokens=room)
    answer = plan.answer_tokens
    if form in _VALUES and way.answer_tokens:
        answer = min(answer, way.answer_tokens)
    elif form in _VALUES and room:
        answer = room
    if way.thought == "inline" and plan.purpose == "last word":  # a single request, even if it brings no answer
        return replace(plan, thinking_tokens=0, answer_tokens=room + answer)
    if way.thought == "inline":
        return replace(plan, inline=True, thinking_tokens=plan.thinking_tokens or room, answer_tokens=answer)
    return replace(plan, answer_tokens=answer, thinking_tokens=plan.thinking_tokens if way.thought == "dial" else 0)


def bounds(
    meter: Meter,
    endpoint: Endpoint,
    plan: ThinkingPlan,
    input_tokens: int,
    form: AnswerForm,
    *,
    schema: Any | None,
) -> list[Spend]:
    """The most that each request of one sample can cost."""
    amounts = []
    dial = endpoint.dial
    for number, phase in enumerate(dial.phases(plan, schema=schema is not None)):
        settings = dial.encode(plan, phase, temperature=None, schema=schema)
        tokens = input_tokens
        if number:  # the thought is read back: at most as many tokens as were written
            finishing = input_bound([{"role": "user", "content": finish(form)}], {}, dial.overhead).tokens
            tokens += plan.thinking_tokens + _THOUGHT_OVERHEAD + (finishing or 0)
        amounts.append(meter.bound(endpoint, tokens, settings))
    return amounts


def sample(
    meter: Meter,
    endpoint: Endpoint,
    account: str,
    drafts: Sequence[Candidate],
    plan: ThinkingPlan,
    messages: Messages,
    way: Way,
    expected: Expected,
    held: Sequence[Reservation],
    *,
    temperature: float | None,
    schema: Any | None,
    note: dict[str, str],
    logprobs: bool = False,
    cancel: Cancel | None = None,
    prefix: str = "",
    seed: int | None = None,
) -> Flow[list[Candidate]]:
    """Draw one sample, or several from one prefill. A failed request becomes an `error`, never a text that could vote.

    Args:
        drafts: The candidates to fill in; several only if there is one request each, or for the first one of each.
        plan: The plan of one sample, already `shaped` for this way.
        held: The hold of the first request, with all its answers, and those of the further ones, sample by sample.
        logprobs: Ask for the log-probabilities of its tokens, where the model gives them.
        cancel: Cancels the sample; what was produced is charged. Not for several at once.
        prefix: The beginning of the reply, which the last message holds.
        seed: Seeds the sampling, where the model takes a seed.

    Returns:
        The candidates with their replies, answers and costs, or with their errors.
    """
    dial = endpoint.dial
    all_drawn = [_Drawn() for _ in drafts]
    waiting, attempts = list(held), list[Attempt]()
    stepwise = drafts[0].purpose in ("begin", "continue")
    ids = [each.id for each in drafts]
    about = {**plan_of(plan), "candidate": {"id": " ".join(ids), "parent": drafts[0].parent, "way": way.name}}

    def ask(phase: Phase, sent: Messages, answers: int, reread: tuple[str, int] | None = None) -> Flow[Any]:
        settings: Settings = dial.encode(plan, phase, temperature=temperature, schema=schema)
        if phase != "think":
            stops = [STEP_END] if stepwise else way.stops(expected.asked)
            wanted = logprobs or cancel is not None or answers > 1
            settings.kwargs.update(_extras(dial.facts, stops, seed, logprobs=wanted))
        replies = yield from meter.call_for(
            answers, endpoint, account, waiting.pop(0), sent, settings, phase, note, about, reread,
            alone=not waiting, attempts=attempts, cancel=cancel,
        )  # fmt: skip
        return settings, replies

    def further(drawn: _Drawn, phase: Phase) -> Flow[None]:
        thought = drawn.thought or drawn.text or "…"
        asked = [{"role": "assistant", "content": thought}, {"role": "user", "content": finish(expected.asked)}]
        settings, [reply] = yield from ask(phase, [*messages, *asked], 1, (thought, plan.thinking_tokens))
        drawn.take(reply, settings, phase, "")
        yield from _read(reply, way, expected, drawn)

    first, *others = dial.phases(plan, schema=schema is not None)
    try:
        with _failing(all_drawn, attempts, endpoint.chat):
            settings, replies = yield from ask(first, messages, len(drafts))
            for drawn in all_drawn[len(replies) :]:
                drawn.status, drawn.error = "failed", f"{len(replies)} answers came, of {len(drafts)} asked for"
            for drawn, reply in zip(all_drawn, replies, strict=False):
                whole = drawn.take(reply, settings, first, prefix)
                if stepwise:
                    yield from _read_step(whole, prefix, expected, drawn)
                elif first != "think":
                    yield from _read(whole, way, expected, drawn)
        for drawn in all_drawn:
            for phase in [] if stepwise else others:
                if drawn.status == "done" and drawn.answer is None:
                    with _failing([drawn], attempts, endpoint.chat):
                        yield from further(drawn, phase)
    finally:
        for reservation in waiting:
            yield from meter.void(reservation.id)
    return [drawn.fill(draft, way) for drawn, draft in zip(all_drawn, drafts, strict=True)]


DECLINED = "declined: "
_DECLINED = {
    "refusal": f"{DECLINED}the model refused to answer",
    "filter": f"{DECLINED}the provider's content filter stopped the reply",
}
"""Replies that are no answers, whatever text they have."""


@contextlib.contextmanager
def _failing(drawn: Sequence[_Drawn], attempts: list[Attempt], chat: BaseChatModel) -> Iterator[None]:
    """Turn a failure into the error of these samples, and share the cost of the requests among them."""
    try:
        yield
    except HoldExceeded as over:  # it was sent, and cost more than was held
        for each in drawn:
            each.status, each.error = "failed", f"{type(over).__name__}: {over}"
    except BudgetExceeded as refused:
        for each in drawn:
            each.status, each.error = "failed", f"budget: {refused}"
    except Cancelled as stopped:
        for each in drawn:
            each.status = "cancelled"
            each.text = each.text or (stopped.came.text if stopped.came is not None else "")
    except Exception as failed:
        for each in drawn:
            each.status = "failed"
            why = read_failure(failed)
            each.error, each.unavailable = told(why, chat), why.unavailable
    finally:
        _share(sum((each.spend or each.charged or Spend() for each in attempts), Spend()), drawn)
        attempts.clear()


def _share(spend: Spend, drawn: Sequence[_Drawn]) -> None:
    """Share a cost by the tokens of each sample. The first one has the input, and what can't be told apart."""
    first, *others = drawn
    weights = [len(each.logprobs) or 1 for each in drawn]
    for each, weight in zip(others, weights[1:], strict=True):
        output = spend.output_tokens * weight // sum(weights)
        nanos = None if spend.usd_nanos is None else spend.usd_nanos * weight // sum(weights)
        thinking = None if spend.thinking_tokens is None else spend.thinking_tokens * weight // sum(weights)
        part = Spend(usd_nanos=nanos, output_tokens=output, thinking_tokens=thinking)
        left = spend.beyond(part)
        spend = replace(  # what is unknown stays unknown
            left,
            usd_nanos=None if nanos is None else left.usd_nanos,
            thinking_tokens=None if thinking is None else left.thinking_tokens,
        )
        each.spend += part
    first.spend += spend


@dataclass(slots=True)
class _Drawn:
    """What the replies of one sample brought so far."""

    answer: Answer | None = None
    text: str = ""
    thought: str = ""
    partial: bool = False
    cut: bool = False
    notes: list[str] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    status: Status = "done"
    error: str | None = None
    unavailable: bool = False
    spend: Spend = field(default_factory=Spend)

    def fill(self, draft: Candidate, way: Way) -> Candidate:
        """The candidate that came of a draft."""
        return replace(
            draft,
            way=way.name,
            status=self.status,
            answer=None if self.answer is None or self.status != "done" else self.answer.text,
            key=None if self.answer is None or self.status != "done" else self.answer.key,
            text=self.text,
            thought=self.thought,
            partial=self.partial,
            cut=self.cut,
            error=self.error,
            unavailable=self.unavailable,
            notes=tuple(self.notes),
            logprob=mean(self.logprobs),
            low_logprob=lowest_window(self.logprobs),
            spend=self.spend,
        )

    def take(self, reply: Reply, settings: Settings, phase: Phase, prefix: str) -> Reply:
        """Add a reply, and return it with the beginning that it continues."""
        if prefix and phase != "answer" and not reply.text.startswith(prefix):  # some servers repeat it
            reply = replace(reply, text=prefix + reply.text)
        self.notes += settings.notes
        self.logprobs += logprobs_of(reply.message)
        parts = [self.text, reply.text] if phase == "answer" else [reply.text or self.text]
        self.text = "\n\n".join(part for part in parts if part)
        self.thought = reply.thought or self.thought
        if reply.stop in _DECLINED:
            self.status, self.error = "failed", _DECLINED[reply.stop]
        if phase != "answer":
            thinking_tokens = (reply.spend and reply.spend.thinking_tokens) or 0
            used_up = 0 < settings.max_thinking_tokens <= thinking_tokens
            self.cut = reply.cut or used_up
        return reply


def _extras(facts: ModelFacts, stops: list[str] | None, seed: int | None, *, logprobs: bool) -> dict[str, Any]:
    """Further arguments of a call, where the model takes them."""
    wanted = {
        "stop": stops if facts.takes_stop else None,
        "logprobs": True if logprobs and facts.gives_logprobs else None,
        "seed": seed if facts.takes_seed else None,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _read_step(reply: Reply, prefix: str, expected: Expected, drawn: _Drawn) -> Flow[None]:
    """Read the answer in a reply that was cut at the end of a step, if it is marked, or if there are no more steps."""
    ended = not reply.text.removeprefix(prefix).strip()
    read = functools.partial(expected.read, reply.text, cut=not ended)
    drawn.answer = yield Effect(read, lambda: asyncio.to_thread(read))
    drawn.partial = drawn.answer is None and not ended and not reply.cut


def _read(reply: Reply, way: Way, expected: Expected, drawn: _Drawn) -> Flow[None]:
    """Read the answer in a reply, or run its code and take the result."""
    if way.runs:
        work = functools.partial(worked_out, reply.text, way.runs)
        text, why = yield Effect(work, lambda: asyncio.to_thread(work))
        read = functools.partial(expected.whole, text or "")
        answer = yield Effect(read, lambda: asyncio.to_thread(read))
        drawn.notes += [f"{way.name}: {why}"] if why else []
    else:
        read = functools.partial(expected.read, reply.text, cut=reply.cut)
        answer = yield Effect(read, lambda: asyncio.to_thread(read))
    drawn.answer = answer or drawn.answer
