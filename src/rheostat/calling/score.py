"""Scoring: send what a scorer asks for, held before and settled after, and give it the replies."""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any, TypeVar, assert_never

import httpx2

from rheostat.calling.gate import close_call
from rheostat.calling.meter import Meter
from rheostat.calling.payer import Attempt, Call, under
from rheostat.errors import BadInput, RheostatError
from rheostat.evidence.scorers import ChatRequest, DecisionRequest, HttpRequest, Request, Work
from rheostat.flow import Effect, Flow
from rheostat.money.budget import Room
from rheostat.money.ledger import Reservation
from rheostat.money.pricing import FREE, Price
from rheostat.money.usage import Spend
from rheostat.providers import Endpoint, decisions, failure
from rheostat.task import Effort, ThinkingPlan

__all__ = ["OwnCapReached", "Sender"]

T = TypeVar("T")
_ADDED_TOKENS = 256
"""Tokens that a model server may add to a text. A guess."""
_MOST_BYTES = 16_000_000
"""The most bytes of a reply: token-wise scores of 100,000 tokens take a tenth of it."""
_MOST_REQUESTS = 1_000
"""The most requests of one scoring: a knockout of 400 takes 800."""


class OwnCapReached(RheostatError):
    """A score may cost more than its strategy may spend."""


class Sender:
    """Sends the requests of scorers for one account.

    Args:
        judges: The endpoints of the chat models that scorers name, by `id` of the model as it was given.
        room: The room for this scoring, inside the account's; `None`: the account alone limits it.
    """

    def __init__(self, meter: Meter, account: str, judges: Mapping[int, Endpoint], *, room: Room | None = None) -> None:
        self._meter, self._account, self._judges, self._room = meter, account, judges, room
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
                return (yield from self._http(request))
            case _:
                assert_never(request)

    def _http(self, request: HttpRequest) -> Flow[Any]:
        """Post to a server. The gate knows the paths of model servers; on others, the usage in the reply counts."""
        name, price = str(request.body.get("model") or request.url), request.price or FREE
        amount = Spend(input_tokens=len(json.dumps(dict(request.body))) + _ADDED_TOKENS, calls=1)
        amount = replace(amount, usd_nanos=price.bound(amount))
        return (yield from self._paid(_posting(request), request, name, amount, price))

    def _paid(self, work: Effect, request: Request, name: str, amount: Spend, price: Price | None) -> Flow[Any]:
        """Do work that the gate may or may not see, under a hold of its own."""
        ledger, note = self._meter.ledger, self._note(request, name)
        held = yield from self._hold(amount, note)
        call = Call(note=note, held=held, prices={name: price} if price else {}, account=self._account)
        spend: Spend | None = None
        means, reply = "unknown", None
        try:
            reply = yield under(self._meter.payer(self._account, call), work)
            used = decisions.used(reply)
            spend = amount if used is None else replace(used, usd_nanos=price.cost(used) if price else None)
        except BaseException as error:
            means = failure(error)
            raise
        finally:
            unseen, call.held = call.held, None
            if unseen is not None and spend is not None:
                paid: Spend = spend
                yield Effect(lambda: ledger.settle(unseen.id, paid), lambda: ledger.asettle(unseen.id, paid))
                self._unseen.append(paid)
            elif unseen is not None and means == "unknown":
                yield Effect(lambda: ledger.mark_unknown(unseen.id), lambda: ledger.amark_unknown(unseen.id))
                self._unseen.append(amount)
            elif unseen is not None:
                yield Effect(lambda: ledger.void(unseen.id), lambda: ledger.avoid(unseen.id))
            yield from close_call(call, ledger)
            self._attempts += call.attempts
        return reply

    def _decision(self, request: DecisionRequest) -> Flow[float | None]:
        """Ask a decision model. The gate sees what SDKs send; for a model without a wire, its own usage counts."""
        model = request.model
        amount, price = decisions.most(model, request.question, request.state)
        name = str(getattr(model, "model", None) or type(model).__name__)
        given = decisions.asked(model, request.question, request.state)
        work = Effect(lambda: model.invoke(given), lambda: model.ainvoke(given))
        return decisions.probability((yield from self._paid(work, request, name, amount, price)))

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
        held = yield from self._hold(meter.bound(endpoint, tokens, settings), note)
        reply = yield from meter.call(
            endpoint, self._account, held, request.messages, settings, "whole", note, attempts=self._attempts
        )
        return reply.text

    def _hold(self, amount: Spend, note: dict[str, str]) -> Flow[Reservation]:
        if self._room is not None and not self._room.minus(self.spend).fits(amount):
            raise OwnCapReached(f"{note['node']} may cost more than is left of the strategy's own cap")
        [held] = yield from self._meter.hold(self._account, [amount], note)
        return held

    @staticmethod
    def _note(request: Request, model: str) -> dict[str, str]:
        return {"model": model, "node": request.by or "score"}


@functools.cache
def _tls() -> Any:
    """Reading the certificates takes longer than a request to a local server."""
    return httpx2.create_ssl_context()


def _posting(request: HttpRequest) -> Effect:
    """Post the JSON, and parse the reply: whole within the time limit, and no larger than a score can be."""
    url, body, headers = request.url, dict(request.body), dict(request.headers)

    def do() -> Any:
        collected = _Collected(request)
        with (
            httpx2.Client(timeout=request.seconds, verify=_tls()) as client,
            client.stream("POST", url, json=body, headers=headers) as reply,
        ):
            for piece in reply.iter_bytes():
                collected.add(piece)
            return collected.read(reply)

    async def ado() -> Any:
        collected = _Collected(request)
        async with (
            httpx2.AsyncClient(timeout=request.seconds, verify=_tls()) as client,
            client.stream("POST", url, json=body, headers=headers) as reply,
        ):
            async for piece in reply.aiter_bytes():
                collected.add(piece)
            return collected.read(reply)

    return Effect(do, ado)


class _Collected:
    """The bytes of a reply, as far as they came."""

    def __init__(self, request: HttpRequest) -> None:
        self._request, self._bytes = request, bytearray()
        self._until = time.monotonic() + request.seconds

    def add(self, piece: bytes) -> None:
        self._bytes += piece
        if len(self._bytes) > _MOST_BYTES:
            raise BadInput(f"{self._request.url} replied with more than {_MOST_BYTES:,} bytes, too much for scores")
        if time.monotonic() > self._until:
            raise httpx2.ReadTimeout(f"{self._request.url}: no whole reply within {self._request.seconds:g} s")

    def read(self, reply: httpx2.Response) -> Any:
        reply.raise_for_status()
        return json.loads(self._bytes)
