"""Scoring: send what a scorer asks for, held before and settled after, and give it the replies."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any, TypeVar, assert_never

import httpx2

from rheostat.calling.gate import close_call
from rheostat.calling.meter import Meter
from rheostat.calling.payer import Attempt, Call, under
from rheostat.errors import BadInput
from rheostat.evidence.scorers import ChatRequest, DecisionRequest, HttpRequest, Request, Work
from rheostat.flow import Effect, Flow
from rheostat.money.pricing import FREE
from rheostat.money.usage import Spend
from rheostat.providers import Endpoint, decisions
from rheostat.task import Effort, ThinkingPlan

__all__ = ["Sender"]

T = TypeVar("T")
_MOST_REQUESTS = 1_000
"""The most requests of one scoring: a knockout of 400 takes 800."""


class Sender:
    """Sends the requests of scorers for one account.

    Args:
        judges: The endpoints of the chat models that scorers name, by `id` of the model as it was given.
    """

    def __init__(self, meter: Meter, account: str, judges: Mapping[int, Endpoint]) -> None:
        self._meter, self._account, self._judges = meter, account, judges
        self._attempts: list[Attempt] = []
        self._unseen: list[Spend] = []

    @property
    def spend(self) -> Spend:
        """The cost of everything sent so far; what is unknown counts as charged."""
        seen = [each.spend or each.charged or Spend() for each in self._attempts]
        return sum([*seen, *self._unseen], Spend())

    def run(self, scoring: Generator[Request, Any, T]) -> Flow[T]:
        """Run a scorer to its result. A failed request, or one that the budget refuses, is raised inside it.

        Raises:
            Exception: as the scorer raised it, or let it pass.
        """
        try:
            request = next(scoring)
            for _ in range(_MOST_REQUESTS):
                try:
                    reply = yield from self._send(request)
                except Exception as error:
                    request = scoring.throw(error)
                else:
                    request = scoring.send(reply)
            raise BadInput(f"the scorer asks for more than {_MOST_REQUESTS} requests")
        except StopIteration as stop:
            result: T = stop.value
            return result

    def _send(self, request: Request) -> Flow[Any]:
        match request:
            case Work():
                return (yield Effect(request.do, lambda: asyncio.to_thread(request.do)))
            case ChatRequest():
                return (yield from self._chat(request))
            case DecisionRequest():
                return (yield from self._decision(request))
            case HttpRequest():
                name = str(request.body.get("model") or request.url)
                call = Call(note=self._note(request, name), prices={name: request.price or FREE})
                return (yield from self._paid(_posting(request), call))
            case _:
                assert_never(request)

    def _paid(self, work: Effect, call: Call) -> Flow[Any]:
        try:
            return (yield under(self._meter.payer(self._account, call), work))
        finally:
            yield from close_call(call, self._meter.ledger)
            self._attempts += call.attempts

    def _decision(self, request: DecisionRequest) -> Flow[float | None]:
        """Ask a decision model. The gate sees what SDKs send; for a model without a wire, its own usage counts."""
        model, ledger = request.model, self._meter.ledger
        amount, price = decisions.most(model, request.question, request.state)
        note = self._note(request, str(getattr(model, "model", None) or type(model).__name__))
        [held] = yield from self._meter.hold(self._account, [amount], note)
        call = Call(note=note, held=held, account=self._account)
        given = decisions.asked(model, request.question, request.state)
        work = Effect(lambda: model.invoke(given), lambda: model.ainvoke(given))
        reply = None
        try:
            reply = yield under(self._meter.payer(self._account, call), work)
        finally:
            unseen, used = call.held, decisions.used(reply)
            if unseen is not None and reply is not None:  # no request was seen: it isn't on the wire
                call.held = None
                spend = replace(used, usd_nanos=price.cost(used) if price else None) if used is not None else amount
                yield Effect(lambda: ledger.settle(unseen.id, spend), lambda: ledger.asettle(unseen.id, spend))
                self._unseen.append(spend)
            yield from close_call(call, ledger)
            self._attempts += call.attempts
        return decisions.probability(reply)

    def _chat(self, request: ChatRequest) -> Flow[str]:
        meter, endpoint = self._meter, self._judges[id(request.model)]
        dial = endpoint.dial
        lowest = dial.facts.nearest(Effort.none)
        plan = ThinkingPlan(
            effort=lowest, thinking_tokens=dial.facts.levels[lowest], answer_tokens=request.answer_tokens
        )
        if dial.phases(plan, schema=request.schema is not None) != ("whole",):
            plan = plan.sized(0, request.answer_tokens)
        temperature = 0.0 if dial.facts.takes_temperature else None
        settings = dial.encode(plan, "whole", temperature=temperature, schema=request.schema)
        tokens = yield from meter.input_bound(endpoint, request.messages, settings)
        note = self._note(request, endpoint.name)
        [held] = yield from meter.hold(self._account, [meter.bound(endpoint, tokens, settings)], note)
        reply = yield from meter.call(
            endpoint, self._account, held, request.messages, settings, "whole", note, attempts=self._attempts
        )
        return reply.text

    @staticmethod
    def _note(request: Request, model: str) -> dict[str, str]:
        return {"model": model, "node": request.by or "score"}


def _posting(request: HttpRequest) -> Effect:
    """Post the JSON, and parse the reply."""
    url, body, headers = request.url, dict(request.body), dict(request.headers)

    def do() -> Any:
        with httpx2.Client(timeout=request.seconds) as client:
            return client.post(url, json=body, headers=headers).raise_for_status().json()

    async def ado() -> Any:
        async with httpx2.AsyncClient(timeout=request.seconds) as client:
            return (await client.post(url, json=body, headers=headers)).raise_for_status().json()

    return Effect(do, ado)
