"""`AdaptiveThinking`: one line in `create_agent`, and every step of the agent has a plan, a hold and a price.

Per model call: the trajectory says how hard the step is, the effort is set at seams, the worst case is held, the reply
is settled. State and output get `spend` (the thread's meter reading), `run` (this run's) and `thinking` (what was
decided, by whom, why). As the room shrinks thought goes first, then the answers get shorter, and the last word is paid for in
advance.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Token
from dataclasses import replace
from typing import Annotated, Any, Literal, NotRequired, TypeAlias

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command, Overwrite

from rheostat.budget import Budget
from rheostat.chat_model import MeteredChatModel, ThinkingChatModel
from rheostat.cover import COVER, CURRENT, Agent, watch
from rheostat.difficulty import THOUGHT_WITH
from rheostat.effort import Wish, parse_wish
from rheostat.errors import BadInput, BudgetExceeded, MissingExtra
from rheostat.events import emit
from rheostat.flow import Effect, Flow, adrive, drive
from rheostat.ledger import Account, Ledger, MemoryLedger, Reading, latest_reading
from rheostat.meter import Meter
from rheostat.models import resolve
from rheostat.nodes.identity import task_name, thread_account
from rheostat.pacing import Pacing
from rheostat.policy import Caps, Policy
from rheostat.providers import Endpoint
from rheostat.thinker import Thinker
from rheostat.toolcalls import run_tool

try:
    from langchain.agents.middleware import AgentMiddleware, AgentState
    from langchain.agents.middleware.types import (
        ExtendedModelResponse,
        ModelRequest,
        ModelResponse,
        OmitFromInput,
        ToolCallRequest,
    )
except ImportError as error:
    raise MissingExtra("AdaptiveThinking", "agents") from error

__all__ = ["AdaptiveThinking", "ThinkingState"]

OnLimit: TypeAlias = Literal["answer", "raise"]
_REMEMBERED = 64


class ThinkingState(AgentState[Any]):
    """What the middleware adds to an agent's state and output; nobody can put it in from outside."""

    spend: NotRequired[Annotated[Reading, OmitFromInput, latest_reading]]
    """The meter reading of the thread: all its runs, subagents and tools so far."""
    run: NotRequired[Annotated[Reading, OmitFromInput, latest_reading]]
    """The same of this run alone: what the budget is compared with."""
    thinking: NotRequired[Annotated[dict[str, Any], OmitFromInput]]
    """What the last step was thought with: `effort`, `decided_by`, `reasons`, `seam` …; `stopped`, at the cap."""


class AdaptiveThinking(AgentMiddleware[ThinkingState, Any, Any]):
    """Adaptive thinking under a hard budget, for `langchain.agents.create_agent` and what is built on it.

    Put it **last** in the list: then it is next to the model, and retries and fallbacks around it are planned and held
    one by one. (Elsewhere every call is still on the ledger, but a fallback inside it thinks as it likes.)

    Args:
        budget: Hard limits of each run, from one message of the user to the answer.
        effort: `fast`, `balanced`, `thorough`, or a fixed level.
        escalate_to: Other models, cheapest first: asked when tools keep failing.
        ledger: Where the spend is kept; this process's memory by default.
        account: An account above every thread, open in this ledger: its limits bind as well.
        on_limit: At the cap: `answer` ends with a message that says so; `raise` raises `BudgetExceeded`. A budget that
            can't hold even the first call always raises.
        caps: What the operator allows; `answer_tokens` is the most tokens of one reply (4,096).
        policy, pacing: The rules, with their numbers.
        endpoint: From the agent's chat model to an endpoint; by default `resolve`. For an address that doesn't tell
            whose prices hold: `endpoint=lambda chat: endpoint_for(chat, provider="openai")`.
        correct_tools: A failing tool comes back to the model as evidence; identical calls are stopped. False: errors
            are left to others.
        most_result_chars: Longer results of tools are cut in the middle.

    Raises:
        BadInput, ModelUnknown: at once.
        NoPrice: at the first call, if a model has no price and the budget is in money.
    """

    state_schema = ThinkingState

    def __init__(
        self,
        *,
        budget: Budget,
        effort: Wish | str = "balanced",
        escalate_to: Sequence[str | BaseChatModel | Endpoint] = (),
        ledger: Ledger | None = None,
        account: str | None = None,
        on_limit: OnLimit = "answer",
        caps: Caps | None = None,
        policy: Policy | None = None,
        pacing: Pacing | None = None,
        endpoint: Callable[[BaseChatModel], Endpoint] = resolve,
        correct_tools: bool = True,
        most_result_chars: int = 50_000,
    ) -> None:
        super().__init__()
        if not isinstance(budget, Budget):
            raise BadInput(f'budget must be a Budget, such as Budget(usd="0.10", seconds=60), not {budget!r}')
        if on_limit not in ("answer", "raise"):
            raise BadInput(f"on_limit is answer or raise; not {on_limit!r}")
        self._budget, self._wish, self._on_limit = budget, parse_wish(str(effort)), on_limit
        self._others = [resolve(one) for one in escalate_to]
        for other in self._others:
            Meter.check_price(other, budget)
        self._given, self._parent = ledger is not None, account
        self._meter = Meter(ledger or MemoryLedger(), quiet=True)
        self._caps, self._policy = caps or Caps(answer_tokens=4096), policy or Policy()
        self._pacing, self._endpoint = pacing or Pacing(), endpoint
        self._correct, self._most_result_chars = correct_tools, most_result_chars
        self._thinkers: OrderedDict[int, tuple[BaseChatModel, Thinker]] = OrderedDict()

    @property
    def ledger(self) -> Ledger:
        """Where the spend is kept."""
        return self._meter.ledger

    # --- whose money it is -----------------------------------------------------------------------------

    def _start(self, state: Any) -> Flow[dict[str, Any]]:
        """Open the thread's account and this run's beneath it; a subagent's run is beneath its caller's."""
        if "messages" not in state:
            raise BadInput("AdaptiveThinking works on an agent whose state has messages")
        before: Reading = state.get("spend") or {}
        above, meter = CURRENT.get(), self._here()
        thread = thread_account()
        if above is not None:
            thread = above.account
        else:
            known = before if before.get("account") == thread else {}
            parent = known["parent"] or None if known else self._parent
            yield from meter.open(Account(thread, parent=parent), known)
        run = f"{thread}/{task_name()}"
        yield from meter.open(Account(run, self._budget, thread), {})
        if above is None:
            watch(thread, Agent(meter.ledger, run, self._budget))
        own = not before or before.get("account") == thread
        readings = yield from _readings(meter, run)
        return {
            "spend": readings["spend"] if own else Overwrite(readings["spend"]),
            "run": Overwrite(readings["run"]),
            "thinking": {},
        }

    def _here(self) -> Meter:
        """Our meter; inside another agent's tool one on that agent's ledger, so that its limits bind here too."""
        above = CURRENT.get()
        if above is None or above.ledger is self._meter.ledger:
            return self._meter
        if self._given:
            raise BadInput(
                "an agent that is called by another agent's tool keeps its spend in the same ledger: give both the "
                "same, or give the inner one none"
            )
        return Meter(above.ledger, quiet=True)

    def _open(self, state: Any) -> Flow[tuple[Meter, str]]:
        """The run's account, known to the ledger again even after a restart."""
        meter, spend, run = self._here(), state["spend"], state["run"]
        if CURRENT.get() is None:
            yield from meter.open(Account(spend["account"], parent=spend["parent"] or None), spend)
        account: str = run["account"]
        yield from meter.open(Account(account, self._budget, run["parent"] or None), run)
        return meter, account

    # --- hooks ------------------------------------------------------------------------------------------------

    def before_agent(self, state: Any, runtime: Any) -> dict[str, Any]:
        """Open the accounts of this run."""
        return drive(self._start(state))

    async def abefore_agent(self, state: Any, runtime: Any) -> dict[str, Any]:
        """The same."""
        return await adrive(self._start(state))

    def _finish(self, state: Any) -> Flow[dict[str, Any]]:
        meter, account = yield from self._open(state)
        yield Effect(lambda: COVER.forget(account), lambda: asyncio.to_thread(COVER.forget, account))
        return (yield from _readings(meter, account))

    def after_agent(self, state: Any, runtime: Any) -> dict[str, Any]:
        """Publish what the run has cost in the end, its tools included."""
        return drive(self._finish(state))

    async def aafter_agent(self, state: Any, runtime: Any) -> dict[str, Any]:
        """The same."""
        return await adrive(self._finish(state))

    def _step(self, request: ModelRequest[Any], send: Callable[[ModelRequest[Any]], Effect]) -> Flow[Any]:
        meter, account = yield from self._open(request.state)
        thinker = self._thinker_for(request.model, meter)
        agent = Agent(meter.ledger, account, self._budget, _prices(thinker))
        model = MeteredChatModel(
            thinker=thinker, account=account, wish=self._wish, listener=emit, profile=request.model.profile
        )
        token: Token[Agent | None] = CURRENT.set(agent)
        try:
            response = yield send(request.override(model=model))
        except BudgetExceeded as refused:
            spent = yield from meter.reading(account)
            if self._on_limit == "raise" or not (spent["calls"] or spent["unknown_calls"]):
                raise
            emit("wind_down", stage="end", why=str(refused))
            said = AIMessage(f"I stopped before I was done: the budget is used up. {refused}")
            said.response_metadata[THOUGHT_WITH] = {"stopped": str(refused)}
            response = ModelResponse(result=[said])
        finally:
            CURRENT.reset(token)
        readings = yield from _readings(meter, account)
        emit("spend", **readings)
        return _with_update(response, {**readings, "thinking": _stamp_of(response)})

    def wrap_model_call(self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Any]) -> Any:
        """Plan, hold, call, settle."""

        def send(changed: ModelRequest[Any]) -> Effect:
            return Effect(lambda: handler(changed), _unused)

        return drive(self._step(request, send))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[Any]]
    ) -> Any:
        """The same."""

        def send(changed: ModelRequest[Any]) -> Effect:
            return Effect(_unused_sync, lambda: handler(changed))

        return await adrive(self._step(request, send))

    def _tool(self, request: ToolCallRequest, work: Effect) -> Flow[Any]:
        meter, account = yield from self._open(request.state)
        token: Token[Agent | None] = CURRENT.set(Agent(meter.ledger, account, self._budget))
        try:
            if not self._correct:
                return (yield work)
            call: Any = request.tool_call
            known = [tool.name for tool in getattr(request.runtime, "tools", None) or []]
            result = yield from run_tool(
                call, request.tool, work, meter=meter, account=account,
                messages=request.state.get("messages") or [], known=known,
                most_result_chars=self._most_result_chars, passes=(GraphBubbleUp,),
            )  # fmt: skip
        finally:
            CURRENT.reset(token)
        failed = isinstance(result, ToolMessage) and result.status == "error"
        emit("correction" if failed else "tool", name=request.tool_call["name"], text=_excerpt(result))
        return result

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Any]) -> Any:
        """Run a tool under its terms; a failure comes back as evidence."""
        return drive(self._tool(request, Effect(lambda: handler(request), _unused)))

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[Any]]
    ) -> Any:
        """The same."""
        return await adrive(self._tool(request, Effect(_unused_sync, lambda: handler(request))))

    # --- the model ------------------------------------------------------------------------------------------------

    def _thinker_for(self, chat: BaseChatModel, meter: Meter) -> Thinker:
        known = self._thinkers.get(id(chat))
        if known is not None and known[0] is chat:
            return known[1] if known[1].meter is meter else replace(known[1], meter=meter)
        if isinstance(chat, ThinkingChatModel):
            raise BadInput(
                "this agent's model is a ThinkingChatModel, which keeps a budget of its own: give AdaptiveThinking the "
                "model within, or leave AdaptiveThinking out"
            )
        if isinstance(chat, MeteredChatModel):
            raise BadInput("AdaptiveThinking is twice in this agent's middleware: one of them is enough")
        first = self._endpoint(chat)
        Meter.check_price(first, self._budget)
        thinker = Thinker(
            ladder=[first, *self._others], meter=meter, wish=self._wish, caps=self._caps, policy=self._policy,
            pacing=self._pacing,
        )  # fmt: skip
        self._thinkers[id(chat)] = (chat, thinker)
        while len(self._thinkers) > _REMEMBERED:
            self._thinkers.popitem(last=False)
        return thinker


def _readings(meter: Meter, run: str) -> Flow[dict[str, Any]]:
    reading = yield from meter.reading(run)
    return {"spend": (yield from meter.reading(reading["parent"])), "run": reading}


def _unused_sync() -> Any:
    raise AssertionError("an asynchronous step was driven blocking")


async def _unused() -> Any:
    raise AssertionError("a blocking step was driven on the event loop")


def _prices(thinker: Thinker) -> dict[str, Any]:
    return {endpoint.name: endpoint.price for endpoint in thinker.ladder if endpoint.price is not None}


def _result(response: Any) -> list[BaseMessage]:
    if isinstance(response, ExtendedModelResponse):
        response = response.model_response
    return [response] if isinstance(response, BaseMessage) else list(response.result)


def _stamp_of(response: Any) -> dict[str, Any]:
    for message in reversed(_result(response)):
        stamp = message.response_metadata.get(THOUGHT_WITH)
        if stamp:
            return dict(stamp)
    return {}


def _with_update(response: Any, update: dict[str, Any]) -> ExtendedModelResponse[Any]:
    """The response with our state beside it, and whatever an inner middleware wanted to put there."""
    if isinstance(response, ExtendedModelResponse):
        told = response.command.update if response.command else None
        inner = told if isinstance(told, dict) else {}
        return ExtendedModelResponse(response.model_response, Command(update={**inner, **update}))
    if isinstance(response, AIMessage):
        response = ModelResponse(result=[response])
    return ExtendedModelResponse(response, Command(update=update))


def _excerpt(result: Any) -> str:
    return result.text[:200] if isinstance(result, ToolMessage) else type(result).__name__
