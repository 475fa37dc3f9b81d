"""`FinalAnswer`, a middleware that searches for an agent's final answer: votes, best-of-N, corrections.

A reply that calls tools goes on as it is. One that doesn't is the first candidate: the strategy decides whether more
are drawn from the same conversation, and which one is the answer. Each draw passes through `AdaptiveThinking` inside,
which plans, holds and settles it like any other step.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command

from rheostat.agents.middleware import reply_in
from rheostat.calling.meter import Meter
from rheostat.calling.payer import Payer
from rheostat.calling.score import Sender
from rheostat.calling.watch import doing, found
from rheostat.errors import BadInput, BudgetExceeded, MissingExtra, NoPrice
from rheostat.evidence.asking import correction
from rheostat.evidence.candidate import Candidate
from rheostat.evidence.expected import Expected
from rheostat.evidence.forms import AnswerForm, Form
from rheostat.evidence.scorers import Ranker, Scorer
from rheostat.evidence.verifiers import Check, Verdict, Verifier, as_verifier, judged
from rheostat.flow import Effect, Flow, adrive, drive
from rheostat.graph.events import emit
from rheostat.graph.unplanned import beside
from rheostat.models import resolve
from rheostat.money.ledger import Reading
from rheostat.money.usage import Spend
from rheostat.providers import Endpoint
from rheostat.providers.adapter import model_of
from rheostat.strategies import Accept, Available, Beam, Draw, Strategy, View, as_strategy, best
from rheostat.strategies.base import checked
from rheostat.task import Effort, Task
from rheostat.thinking.difficulty import THOUGHT_WITH, heuristic
from rheostat.thinking.model_facts import ModelFacts

try:
    from langchain.agents.middleware import AgentMiddleware
    from langchain.agents.middleware.types import ExtendedModelResponse, ModelRequest, ModelResponse
except ImportError as error:
    raise MissingExtra("FinalAnswer", "agents") from error

__all__ = ["CANDIDATES", "FinalAnswer"]

CANDIDATES = "candidates"
"""The key of the answer's `response_metadata` with all candidates, as `Candidate.to_dict` gives them."""
_MOST_ROUNDS = 8

Send = Callable[[ModelRequest[Any]], Effect]


@dataclass(slots=True)
class _Search:
    """One search: the candidates, and the response of each."""

    task: Task
    expected: Expected
    view: View
    payer: Payer
    meter: Meter
    history: list[Candidate] = field(default_factory=list)
    responses: dict[str, Any] = field(default_factory=dict)
    last: Any = None
    """The latest response, which has the latest reading."""


class FinalAnswer(AgentMiddleware[Any, Any, Any]):
    """Search for the final answer of `create_agent`, under the budget of its `AdaptiveThinking`.

    Put it **before** `AdaptiveThinking` in the list, so that every draw is a step of it.

    Args:
        strategy: A name (`vote`, `refine`, `best-of-n`, `tree`) or a strategy. Beams and prolonged thoughts need the
            solver.
        verifier: Checks the answers from outside the model; or a function of the answer.
        scorer: Scores answers that no verifier can judge; one that compares answers (`pairs`) isn't taken here.
        form: The form of the answer, as in `build_solver`.
        most_draws: The most candidates.

    Raises:
        BadInput: no such strategy, or one that needs a verifier or a scorer and has none.
    """

    def __init__(
        self,
        strategy: Strategy | str,
        *,
        verifier: Verifier | Check | None = None,
        scorer: Scorer | None = None,
        form: AnswerForm | Form | None = None,
        most_draws: int = 8,
    ) -> None:
        super().__init__()
        chosen = as_strategy(strategy)
        if chosen is None:
            raise BadInput("name the strategy of the final answer: vote, refine, best-of-n or tree")
        if getattr(chosen, "needs_evidence", False) and verifier is None and scorer is None:
            raise BadInput(f"{type(chosen).__name__} needs a verifier or a scorer, such as scorer=Judge(model=…)")
        if isinstance(chosen, Beam) or (isinstance(scorer, Ranker) and getattr(scorer, "mode", "pairs") == "pairs"):
            raise BadInput("beams, and judges that compare pairs, need the solver (build_solver)")
        if most_draws < 1:
            raise BadInput(f"most_draws must be at least 1, not {most_draws}")
        self.strategy, self.scorer, self.form, self.most_draws = chosen, scorer, form, most_draws
        self.verifier = as_verifier(verifier)
        self.judges: dict[int, Endpoint] = {id(each): resolve(each) for each in scorer.models} if scorer else {}

    def wrap_model_call(self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Any]) -> Any:
        """Send the step; search if it is an answer."""
        return drive(self._step(request, lambda changed: Effect(lambda: handler(changed), _unused)))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[Any]]
    ) -> Any:
        """`wrap_model_call`, async."""
        return await adrive(self._step(request, lambda changed: Effect(_unused_sync, lambda: handler(changed))))

    def _step(self, request: ModelRequest[Any], send: Send) -> Flow[Any]:
        yield from self._check_prices()
        before = yield from self._reading()
        response = yield send(request)
        message = reply_in(response)
        if message is None or message.tool_calls or not message.text.strip() or _is_last(message):
            return response
        search = yield from self._begin(request)
        yield from self._came(search, response, Draw(why="the agent's answer"), before)
        for round_ in range(2, _MOST_ROUNDS + 1):
            view = replace(
                search.view,
                room=(yield from search.meter.room(search.payer.account)),
                draws_left=self.most_draws - len(search.history),
                rounds_left=_MOST_ROUNDS + 1 - round_,
            )
            decision = checked(
                self.strategy, self.strategy.decide(search.task, search.history, view), search.history, view
            )
            if not isinstance(decision, tuple):
                break
            for draw in decision:
                emit("decision", action="correct" if draw.purpose == "correct" else "sample", why=draw.why)
                before = yield from self._reading()
                try:
                    response = yield send(_asking(request, search, draw))
                except GraphBubbleUp:
                    raise
                except Exception as failed:  # the answers that came are paid for, and count
                    yield from self._failed(search, failed, draw, before, round_)
                    if isinstance(failed, BudgetExceeded):
                        return self._end(search, None)
                    continue
                if (yield from self._came(search, response, draw, before, round_)):
                    return self._end(search, None)
        return self._end(search, decision.id if isinstance(decision, Accept) else None)

    def _begin(self, request: ModelRequest[Any]) -> Flow[_Search]:
        payer = beside()
        if payer is None:
            raise BadInput("FinalAnswer needs the budget of an AdaptiveThinking in the same agent's middleware")
        asked = next((each.text for each in reversed(request.messages) if isinstance(each, HumanMessage)), "")
        question = asked.strip() or "Answer."
        difficulty = heuristic(question)
        expected = Expected.of(question, difficulty.kind, self.verifier, self.form)
        meter = Meter(payer.ledger, quiet=True, gate=payer.gated)
        name = model_of(request.model)
        facts = ModelFacts(name=name, levels={Effort.none: 0})
        view = View(
            models=(Available(name=name, facts=facts),),
            room=(yield from meter.room(payer.account)),
            verified=self.verifier is not None,
            scored=self.scorer is not None,
            votable=expected.votable,
        )
        task = Task(question=question, difficulty=difficulty, form=expected.asked)
        return _Search(task=task, expected=expected, view=view, payer=payer, meter=meter)

    def _check_prices(self) -> Flow[None]:
        """Before anything is sent: a judge without a price can't be bound by a limit in dollars."""
        unknown = [each.name for each in self.judges.values() if each.price is None]
        payer = beside()
        if not unknown or payer is None:
            return
        room = yield from Meter(payer.ledger, quiet=True, gate=payer.gated).room(payer.account)
        if room.usd_nanos is not None:
            raise NoPrice(
                f"no price is known for the judge {unknown[0]}, so a limit in dollars can't bind it: "
                "Judge(model=resolve(model, price=Price(…))), or limit tokens, calls or seconds instead"
            )

    def _reading(self) -> Flow[Reading]:
        payer = beside()
        if payer is None:
            return {}
        ledger = payer.ledger
        found: Reading = yield Effect(lambda: ledger.reading(payer.account), lambda: ledger.areading(payer.account))
        return found

    def _came(self, search: _Search, response: Any, draw: Draw, before: Reading, round_: int = 1) -> Flow[bool]:
        """Add the candidate of a response, judged; returns whether it was the budget's last word."""
        number = len(search.history)
        cost = _between(before, (yield from self._reading()))
        message = reply_in(response)
        last = message is None or _is_last(message)
        text = "" if message is None or message.tool_calls or last else message.text
        reading = functools.partial(search.expected.read, text)
        read = yield Effect(reading, functools.partial(_in_thread, reading))
        answer = read.text if read is not None else text.strip() or None
        candidate = Candidate(
            id=f"a{number}", number=number, round=round_, parent=draw.parent, purpose=draw.purpose,
            model=search.view.models[0].name, text=text, answer=answer,
            key=read.key if read is not None else None, status="done" if answer is not None else "failed",
            error=None if answer is not None else "no answer: it called a tool, or the budget ended", spend=cost,
        )  # fmt: skip
        if answer is not None:
            work = functools.partial(judged, self.verifier, answer)
            named = doing("verify", type(self.verifier).__name__) if self.verifier is not None else nullcontext()
            with named as seen:
                verdict = yield Effect(work, functools.partial(_in_thread, work))
                found(seen, verdict=verdict)
            candidate = _with(verdict, candidate)
            if self.scorer is not None and candidate.passed is None and getattr(self.strategy, "uses_scores", True):
                candidate = yield from self._scored(search, candidate, self.scorer)
            search.responses[candidate.id] = response
        search.history.append(candidate)
        search.last = response
        plain = candidate.to_dict()
        emit("sample", **{name: value for name, value in plain.items() if name != "spend"}, cost=plain["spend"])
        return last

    def _failed(self, search: _Search, failed: Exception, draw: Draw, before: Reading, round_: int) -> Flow[None]:
        number = len(search.history)
        cost = _between(before, (yield from self._reading()))
        search.history.append(
            Candidate(
                id=f"a{number}", number=number, round=round_, parent=draw.parent, purpose=draw.purpose,
                model=search.view.models[0].name, status="failed", spend=cost,
                error=f"{type(failed).__name__}: {str(failed)[:500]}",
            )
        )  # fmt: skip

    def _scored(self, search: _Search, candidate: Candidate, scorer: Scorer) -> Flow[Candidate]:
        sender = Sender(search.meter, search.payer.account, self.judges)
        try:
            with doing("score", scorer.name) as work:
                verdict = yield from sender.run(scorer.score(search.task, candidate))
                found(work, score=verdict.score)
        except Exception as failed:  # a scorer that fails is no evidence about the answer
            verdict = Verdict(None, f"{scorer.name} failed: {type(failed).__name__}: {str(failed)[:300]}")
        scores = verdict.parts if verdict.score is None else {**verdict.parts, scorer.name: verdict.score}
        return replace(
            candidate, scored=True, score=verdict.score, scores=scores, reason=verdict.reason, scoring=sender.spend
        )

    def _end(self, search: _Search, accepted: str | None) -> Any:
        """The response of the accepted or best candidate, with the latest readings and all candidates."""
        chosen = next((each for each in search.history if each.id == accepted), None) or best(search.history)
        response = search.responses[chosen.id] if chosen is not None else search.last
        message = reply_in(response)
        if message is not None:
            message.response_metadata[CANDIDATES] = [each.to_dict() for each in search.history]
        emit("decision", action="accept", why=f"{len(search.history)} candidates", id=chosen.id if chosen else None)
        newest = search.last.command if isinstance(search.last, ExtendedModelResponse) else None
        if newest is None or response is search.last:
            return response
        result = response.model_response if isinstance(response, ExtendedModelResponse) else response
        if isinstance(result, AIMessage):
            result = ModelResponse(result=[result])
        return ExtendedModelResponse(result, Command(update=newest.update))


def _asking(request: ModelRequest[Any], search: _Search, draw: Draw) -> ModelRequest[Any]:
    """The request for a draw: the same conversation, or with the refused answer and the reason."""
    parent = next((each for each in search.history if each.id == draw.parent), None)
    if parent is None or draw.purpose != "correct":
        return request
    refused, evidence = AIMessage(parent.text), HumanMessage(correction(parent.reason))
    return request.override(messages=[*request.messages, refused, evidence])


def _is_last(message: AIMessage) -> bool:
    """Whether the budget allows nothing after it."""
    stamp = message.response_metadata.get(THOUGHT_WITH) or {}
    return bool(stamp.get("last_word") or stamp.get("stopped"))


def _with(verdict: Verdict, candidate: Candidate) -> Candidate:
    return replace(candidate, judged=True, passed=verdict.passed, reason=verdict.reason, score=verdict.score)


def _between(before: Reading, after: Reading) -> Spend:
    """What was charged between two readings of a run."""
    if not before or not after:
        return Spend()

    def grown(name: str) -> int:
        return sum((after[part + name] or 0) - (before[part + name] or 0) for part in ("", "unknown_"))

    return Spend(
        usd_nanos=grown("usd_nanos"), input_tokens=grown("input_tokens"), output_tokens=grown("output_tokens"),
        thinking_tokens=grown("thinking_tokens"), calls=grown("calls"),
    )  # fmt: skip


async def _in_thread(work: Callable[[], Any]) -> Any:
    import asyncio

    return await asyncio.to_thread(work)


def _unused_sync() -> Any:
    raise AssertionError("an asynchronous step was driven blocking")


async def _unused() -> Any:
    raise AssertionError("a blocking step was driven on the event loop")
