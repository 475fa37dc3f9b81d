"""Model calls that nobody planned: those that a tool, a summary or a fallback makes by itself, inside an agent of ours.

A callback sees every model call of the process; those under an agent whose account is watched are held before they
leave and settled when they end. They get no plan: how they think is theirs. Callbacks that aren't told of an end (a
cancelled task) leave the hold charged.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextvars import ContextVar
from dataclasses import replace
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.tracers.context import register_configure_hook

from rheostat.errors import BadInput, NoPrice
from rheostat.ledger import Reservation
from rheostat.nodes.identity import CURRENT, Payer, invocation, thread_account
from rheostat.pricing import Price, Terms, price_of
from rheostat.providers.bounds import Overhead, input_bound
from rheostat.providers.dial import Settings, reply_from
from rheostat.providers.failures import failure
from rheostat.request import METERED
from rheostat.usage import Spend

__all__ = ["COVER", "unwatch", "watch"]

_OVERHEAD = Overhead(request=128, message=16, tools=1024, image=12_000)
_REMEMBERED = 10_000
_PLENTY = 1_000_000
_LENGTHS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict")
_COUNTED_BY_TOKENS = {"usd_nanos", "tokens", "output_tokens", "thinking_tokens"}


_lock = threading.Lock()
_watched: OrderedDict[str, tuple[Any, Payer]] = OrderedDict()
"""By the agent's account: (LangGraph's control object of the invocation, the agent): for what runs beside its nodes.
A run that was left (interrupted, cut, out of steps) covers nothing in the thread's next invocation."""


def watch(agent: Payer) -> None:
    """Cover what happens in this invocation from now on."""
    with _lock:
        _watched[agent.account] = invocation(), agent
        _watched.move_to_end(agent.account)
        while len(_watched) > _REMEMBERED:
            _watched.popitem(last=False)


def unwatch(account: str) -> None:
    """The agent has ended: what happens beside it now is somebody else's."""
    with _lock:
        _watched.pop(account, None)


def _paying() -> Payer | None:
    agent = CURRENT.get()
    if agent is not None or not _watched:
        return agent
    try:
        control, thread = invocation(), thread_account()
    except (RuntimeError, AttributeError, LookupError):  # outside of any graph
        return None
    with _lock:  # of several agents in one invocation, the one that was heard of last
        beside = (agent for at, agent in reversed(_watched.values()) if at is control and _under(agent, thread))
        return next(beside, None)


def _under(agent: Payer, thread: str) -> bool:
    return agent.account.startswith(f"{thread}/")


def _beneath(agent: Payer, metered: tuple[Any, str] | None) -> bool:
    """The call is held on the agent's own account, or on one beneath it: so its limits bind already."""
    if metered is None or metered[0] is not agent.ledger:
        return False
    return metered[1] == agent.account or metered[1].startswith(f"{agent.account}/")


class _Cover(BaseCallbackHandler):
    raise_error = True
    """A refusal must stop the call: by default LangChain only logs what a callback raises."""

    def __init__(self) -> None:
        self._air: dict[UUID, tuple[Payer, Reservation, Price | None, Settings]] = {}

    def on_llm_start(self, serialized: dict[str, Any], prompts: list[str], *, run_id: UUID, **kwargs: Any) -> None:
        """A model of texts, not of chats: what it used can't be read, so that all of the hold stays charged."""
        self.on_chat_model_start(serialized, [[HumanMessage(prompt) for prompt in prompts]], run_id=run_id, **kwargs)

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        asked = kwargs.get("invocation_params") or {}
        if asked.get("_type") == "rheostat":
            return
        agent = _paying()
        if agent is None or _beneath(agent, METERED.get()):
            return
        said = metadata or {}
        name = str(said.get("ls_model_name") or asked.get("model") or asked.get("model_name") or "a model")
        price = agent.prices.get(name) or price_of(str(said.get("ls_provider") or ""), name)
        most = next((int(asked[n]) for n in (*_LENGTHS,) if asked.get(n)), said.get("ls_max_tokens"))
        if isinstance(most, int) and isinstance(asked.get("n"), int):
            most *= asked["n"]  # so many answers
        # on OpenAI a tier that nobody named is what the project's settings say: the dearest is held
        tier = str(asked.get("service_tier") or "auto") if said.get("ls_provider") == "openai" else ""
        amount = self._bound(agent, name, price, messages[0], asked, most, Terms(service_tier=tier))
        [held] = agent.ledger.hold(agent.account, [amount], {"model": name, "node": "unplanned"})
        if agent.ledger.begin(held.id) is None:
            raise BadInput(f"the hold for {name} was begun by somebody else")
        self._air[run_id] = (agent, held, price, Settings({}, amount.output_tokens, amount.output_tokens))

    @staticmethod
    def _bound(
        agent: Payer,
        name: str,
        price: Price | None,
        messages: list[BaseMessage],
        asked: dict[str, Any],
        most: Any,
        terms: Terms,
    ) -> Spend:
        limits = agent.budget.limits.keys()
        if price is None and "usd_nanos" in limits:
            raise NoPrice(
                f"{name} is called inside an agent with a limit in money, and no price is known for it. "
                "Wrap it in a ThinkingChatModel with a price, or limit tokens, calls or seconds instead."
            )
        tokens = input_bound(messages, asked, _OVERHEAD).tokens
        if not limits & _COUNTED_BY_TOKENS:  # nothing of the agent's own limits depends on it
            tokens, most = tokens or _PLENTY, most if isinstance(most, int) else _PLENTY
        if not isinstance(most, int) or tokens is None:
            raise BadInput(
                f"{name} is called inside an agent with a budget, and nothing says how long its answer may be: give it "
                "max_tokens, or wrap it in a ThinkingChatModel"
            )
        spend = Spend(input_tokens=tokens, output_tokens=most, thinking_tokens=most, calls=1)
        return replace(spend, usd_nanos=price.bound(spend, terms) if price else None)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        if run_id not in self._air:
            return
        agent, held, price, settings = self._air.pop(run_id)
        generation = response.generations[0][0] if response.generations and response.generations[0] else None
        message = generation.message if isinstance(generation, ChatGeneration) else None
        reply = reply_from(message, settings) if isinstance(message, AIMessage) else None
        if reply is None or reply.spend is None:
            agent.ledger.lose(held.id)
            return
        spend = reply.spend
        nanos = price.cost(spend, reply.terms) if price else None
        agent.ledger.settle(held.id, Spend.from_dict({**spend.to_dict(), "usd_nanos": nanos}), reply.request_id)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        if run_id not in self._air:
            return
        agent, held, _, _ = self._air.pop(run_id)
        match failure(error) if isinstance(error, Exception) else "unknown":
            case "never left":
                agent.ledger.void(held.id)
            case "refused":
                agent.ledger.settle(held.id, Spend(calls=1))
            case _:
                agent.ledger.lose(held.id)

    def forget(self, account: str) -> None:
        """An agent has ended: what of its calls never came back stays charged, as unknown."""
        for run_id, (agent, held, _, _) in list(self._air.items()):
            if agent.account == account and self._air.pop(run_id, None) is not None:
                agent.ledger.lose(held.id)


COVER = _Cover()
_hook: ContextVar[BaseCallbackHandler | None] = ContextVar("rheostat_cover", default=COVER)
register_configure_hook(_hook, inheritable=True)
