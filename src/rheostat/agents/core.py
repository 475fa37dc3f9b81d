"""The core shared by the middleware, the nodes and the graphs: accounts, plans, and tool calls under their terms."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, TypedDict, get_args

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.errors import GraphBubbleUp
from langgraph.runtime import get_runtime
from langgraph.types import Overwrite

from rheostat.agents.guided import Sending, guided_step
from rheostat.agents.tools import run_tool
from rheostat.calling.holds import OnContention
from rheostat.calling.meter import Meter
from rheostat.calling.payer import PAYER, Payer, paid_by
from rheostat.calling.settings import Model, RunSettings
from rheostat.calling.shape import malformed
from rheostat.calling.step import Stepper
from rheostat.calling.unwired import forget
from rheostat.calling.watch import Work, begin, doing, end, found
from rheostat.chat_model import ThinkingChatModel
from rheostat.errors import BadInput, BudgetExceeded, LimitWarning
from rheostat.flow import Effect, Flow
from rheostat.graph.accounts import open_run, readings_of, start_run
from rheostat.graph.ending import end_of_step, ended
from rheostat.graph.events import emit
from rheostat.graph.state import KEY, read
from rheostat.graph.unplanned import around, beside, unwatch, watch
from rheostat.judgement.policy import Caps, Policy
from rheostat.judgement.schedule import Pacing
from rheostat.models import models_of, resolve
from rheostat.money.budget import Budget
from rheostat.money.ledger import Ledger, Reading, latest_reading
from rheostat.money.pricing import declared_price
from rheostat.money.usage import Spend
from rheostat.providers import Endpoint
from rheostat.providers.adapter import model_of
from rheostat.providers.failures import read_failure
from rheostat.task import AskedEffort, parse_effort
from rheostat.thinking.difficulty import THOUGHT_WITH

__all__ = ["AgentCore", "AgentOptions", "OnCap"]

OnCap: TypeAlias = Literal["answer", "raise"]
"""At the cap: end with a message that says so, or raise `BudgetExceeded`."""


class AgentOptions(TypedDict, total=False):
    """The options that every agent of ours takes besides its budget: see `AdaptiveThinking`."""

    effort: AskedEffort | str
    escalate_to: Sequence[Model]
    ledger: Ledger | None
    account: str | None
    on_limit: OnCap
    on_contention: OnContention
    caps: Caps | None
    policy: Policy | None
    pacing: Pacing | None


_REMEMBERED = 64
_MALFORMED_TRIES = 3
"""The most attempts at a reply in which the tool calls can be read."""
_OURS = {"account", "effort"}
"""The settings that a caller may give for one run."""
_CUT_SECONDS = 2.0
"""A time-out this close to the deadline counts as the deadline's."""


@dataclass(frozen=True, kw_only=True)
class AgentCore(RunSettings):
    """The accounts of a run, its steps and its tool calls, as flows over an agent's state.

    `models` are those besides the agent's own: they take over when tools keep failing.

    Raises:
        BadInput: a setting is of the wrong kind.
    """

    given_ledger: bool = False
    """The user chose the ledger, so an outer agent's can't replace it."""
    on_limit: OnCap = "answer"
    endpoint: Callable[[BaseChatModel], Endpoint] = resolve
    beside: bool = False
    """Unplanned calls (other middleware) are charged to the run's account too, until `finish`."""
    tools_cost: bool = False
    """At least one tool is known to have a price."""
    correct_tools: bool | tuple[type[Exception], ...] = True
    most_result_chars: int | None = None
    """Longer tool results are cut in the middle; `None`: results are never cut."""
    _steppers: OrderedDict[int, tuple[BaseChatModel, Stepper]] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.on_limit not in get_args(OnCap):
            raise BadInput(f"on_limit must be {' or '.join(get_args(OnCap))}, not {self.on_limit!r}")
        if not callable(self.endpoint):
            raise BadInput(f"endpoint must be a function from a chat model to an Endpoint, not {self.endpoint!r}")
        most = self.most_result_chars
        if most is not None and (not isinstance(most, int) or most < 1):
            raise BadInput(f"most_result_chars must be at least 1, not {self.most_result_chars!r}")
        kinds = self.correct_tools if isinstance(self.correct_tools, tuple) else ()
        if not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
            raise BadInput(f"correct_tools must be True, False or a tuple of kinds of exceptions, not {kinds!r}")

    @classmethod
    def made(cls, budget: Budget, options: AgentOptions, **own: Any) -> AgentCore:
        """Build the core from a public entry point's arguments."""
        unknown = options.keys() - AgentOptions.__annotations__.keys()
        if unknown:  # else a field of ours could be set by its name
            known = ", ".join(AgentOptions.__annotations__)
            raise TypeError(f"no option {', '.join(sorted(unknown))}: there are {known}")
        given: dict[str, Any] = {**options}
        others = models_of(given.pop("escalate_to", ()))
        return cls.read(
            budget=budget,
            models=lambda: [resolve(one) for one in others],
            given_ledger=given.get("ledger") is not None,
            **own,
            **given,
        )

    # --- accounts --------------------------------------------------------------------------------------

    def start(self, state: Any) -> Flow[dict[str, Any]]:
        """Open the thread's account and this run's beneath it; a subagent's run lies beneath its caller's account.

        Reads `messages` and `rheostat`; writes `rheostat`.
        """
        before: Reading = read(state)["spend"]
        meter = self._here()
        left: str = read(state)["run"].get("account", "")
        if meter.keeps_for(left):  # a run that was cut and won't go on
            yield from meter.ends(left)
        named = _context().get("account")
        thread, run = yield from start_run(self, meter, before, named=named, caller=around(self))
        meter.begins(run)
        end(begin("run", "agent", run=run, account=run))
        self._watch(meter.payer(run, budget=self.budget))
        own = not before or before.get("account") == thread
        now = yield from readings_of(meter, run)
        spend = latest_reading(before if own else None, now["spend"])
        return {KEY: Overwrite({"spend": spend, "run": now["run"], "thinking": {}, "end": {}})}

    def _watch(self, payer: Payer) -> None:
        if self.beside and PAYER.get() is None:  # inside another agent's tool, that agent pays for unplanned calls
            watch(payer, self)

    def _here(self) -> Meter:
        """Our meter; inside another agent's tool, one on that agent's ledger, so that its limits bind here too."""
        caller = around(self)
        if caller is None or caller.ledger is self.meter.ledger:
            return self.meter
        if self.given_ledger:
            raise BadInput(
                "an agent inside another agent's tool must use the same ledger: give both the same one, or give the "
                "inner agent none"
            )
        return self.meter.on(caller.ledger)

    def open(self, state: Any) -> Flow[tuple[Meter, str]]:
        """Open the run's account again, even after a restart; returns the meter and the account.

        Raises:
            BadInput: the account was never opened.
        """
        meter, known = self._here(), read(state)
        if not known["run"] or not known["spend"]:
            payer = beside()
            if payer is not None and payer.ledger is meter.ledger:  # a neighbour removed our key from the state
                return meter, payer.account
            raise BadInput(
                "this run has no account yet: put the node `estimate` first, and let your state extend AgentGraphState "
                "(class Mine(AgentGraphState, total=False): …)"
            )
        return meter, (yield from open_run(meter, self.budget, known, caller=around(self)))

    def finish(self, state: Any) -> Flow[dict[str, Any]]:
        """Close the run and return its final readings, tools included."""
        meter, account = yield from self.open(state)
        yield from meter.ends(account)
        yield Effect(lambda: forget(account), lambda: asyncio.to_thread(forget, account))
        unwatch(account)
        meter.conversations.forget(account)
        return {KEY: (yield from readings_of(meter, account))}

    # --- a step -----------------------------------------------------------------------------------------------

    def step(
        self,
        state: Any,
        chat: BaseChatModel,
        messages: Sequence[BaseMessage],
        kwargs: dict[str, Any],
        send: Callable[[Sending], Effect],
        reply_of: Callable[[Any], AIMessage | None],
        *,
        ends: bool = True,
    ) -> Flow[tuple[Any, dict[str, Any], list[BaseMessage]]]:
        """One step, sent by the agent's own model; see `guided_step`.

        A reply whose tool calls all have unreadable arguments goes back with evidence: otherwise it would end the
        agent's loop as an answer.

        Args:
            ends: A reply without tool calls ends the run.

        Returns:
            The result of `send` (an `AIMessage` if the budget is used up), the readings, and the messages before it:
            replies that went back, with their evidence.
        """
        meter, account = yield from self.open(state)
        stepper = self.stepper(chat, meter)
        payer = meter.payer(account, budget=self.budget, prices=_prices(stepper), run=True)
        self._watch(payer)  # again: others may retry a failed step
        with doing("step", "step", run=account, account=account) as work:
            result, before, end = yield from self._stepped(
                stepper, payer, chat, messages, kwargs, send, reply_of, work, ends=ends
            )
        now = yield from readings_of(meter, account)
        emit("spend", **now)
        return result, {**now, "end": end}, before

    def _stepped(
        self,
        stepper: Stepper,
        payer: Payer,
        chat: BaseChatModel,
        messages: Sequence[BaseMessage],
        kwargs: dict[str, Any],
        send: Callable[[Sending], Effect],
        reply_of: Callable[[Any], AIMessage | None],
        work: Work | None,
        *,
        ends: bool,
    ) -> Flow[tuple[Any, list[BaseMessage], Any]]:
        meter, account = stepper.meter, payer.account
        result: Any = None
        before: list[BaseMessage] = []
        end: Any = {}
        try:
            for more in reversed(range(_MALFORMED_TRIES)):
                result, message = yield from guided_step(
                    stepper, payer, chat, [*messages, *before], kwargs, self._effort_asked(), emit, send, reply_of
                )
                told = malformed(message) if message is not None and self.correct_tools is not False else []
                if message is None or not told or message.tool_calls or not more:
                    break
                before += [message, *told]
                for each in told:
                    emit("correction", name=str(each.name), args={}, text=each.text[:200])
            if message is None or not message.tool_calls:  # an answer: if the run goes on, its next step reserves anew
                yield from meter.keep(account, Spend(), {})
            end = end_of_step(message) if ends else {}
        except Exception as error:
            why = yield from self._cap(meter, account, error)
            yield from meter.ends(account)
            if not why:
                unwatch(account)
                raise
            emit("wind_down", stage="end", why=why)
            result = AIMessage(f"I stopped before I was done: the budget is used up ({why}).")
            result.response_metadata[THOUGHT_WITH] = {
                "effort": "none", "thinking_tokens": 0, "decided_by": "budget", "reasons": [why], "stopped": why,
                "last_word": True,
            }  # fmt: skip
            found(work, stopped=error)
            limit = error.limit if isinstance(error, BudgetExceeded) else "seconds"
            end = ended("budget", why, limit=limit, account=getattr(error, "account", account))
        return result, before, end

    def _effort_asked(self) -> AskedEffort:
        asked = _context().get("effort")
        return parse_effort(str(asked)) if asked else self.effort

    def _cap(self, meter: Meter, account: str, error: Exception) -> Flow[str]:
        """Why the budget ends the run here; empty: the error must be raised.

        A budget too small for even the first call is an error.
        """
        spent = yield from meter.reading(account)
        if self.on_limit == "raise" or not (spent["calls"] or spent["unknown_calls"]):
            return ""
        if isinstance(error, BudgetExceeded):
            return f"{error.limit.removesuffix('_nanos')}: {error.plainly}"
        room = yield from meter.room(account)
        late = room.seconds is not None and room.seconds < _CUT_SECONDS
        if late and (isinstance(error, TimeoutError) or read_failure(error).reason == "timeout"):
            return f"seconds: the call in flight at the deadline of {self.budget.seconds:g} s was cut"
        return ""

    def stepper(self, chat: BaseChatModel, meter: Meter) -> Stepper:
        """The stepper of this chat model.

        Raises:
            BadInput: the model has a budget of its own.
            NoPrice: the budget is in money, and the model's price is unknown.
        """
        known = self._steppers.get(id(chat))
        if known is not None and known[0] is chat:
            return known[1] if known[1].meter is meter else replace(known[1], meter=meter)
        if isinstance(chat, ThinkingChatModel):
            raise BadInput(
                "this agent's model is a ThinkingChatModel, which keeps a budget of its own: give AdaptiveThinking the "
                "wrapped model, or leave AdaptiveThinking out"
            )
        stepper = Stepper.of(self, models=[self.endpoint(chat), *self.models], meter=meter)
        declared = any(declared_price(model_of(each.chat)) for each in stepper.models)
        if stepper.limits_nothing and not (self.tools_cost or declared):
            told = f"{stepper.limits_nothing} but tools that have a price: limit tokens, calls or seconds too"
            warnings.warn(told, LimitWarning, stacklevel=2)
        self._steppers[id(chat)] = (chat, stepper)
        while len(self._steppers) > _REMEMBERED:
            self._steppers.popitem(last=False)
        return stepper

    # --- a tool -----------------------------------------------------------------------------------------------

    def tool(self, state: Any, call: Any, tool: BaseTool | None, known: Sequence[str], work: Effect) -> Flow[Any]:
        """Run one tool call under its terms; a failure comes back as evidence."""
        meter, account = yield from self.open(state)
        started = time.monotonic()
        payer = meter.payer(account, budget=self.budget, run=True)
        self._watch(payer)  # again: a run resumed after an interrupt is another invocation
        with paid_by(payer), doing("tool", call["name"] if tool is not None else "", run=account, call=call) as seen:
            if self.correct_tools is False:
                result = yield work
                found(seen, result=result)
                return result
            catches = (Exception,) if self.correct_tools is True else self.correct_tools
            result = yield from run_tool(
                call,
                tool,
                work,
                meter=meter,
                account=account,
                messages=state.get("messages") or [],
                known=known,
                most_result_chars=self.most_result_chars,
                catches=catches,
                passes=(GraphBubbleUp,),
            )
            found(seen, result=result)
        failed = isinstance(result, ToolMessage) and result.status == "error"
        seconds = time.monotonic() - started
        emit(
            "correction" if failed else "tool",
            name=call["name"],
            args=call["args"],
            text=_excerpt(result),
            seconds=seconds,
        )
        return result


def _context() -> dict[str, Any]:
    """The caller's settings for this run: `context={"rheostat": {"account": …, "effort": …}}`, or an object of the
    caller's own `context_schema` with an attribute `rheostat`.

    Raises:
        BadInput: the context holds other settings.
    """
    context: Any = get_runtime().context
    if isinstance(context, dict) and context and context.keys() <= _OURS:
        raise BadInput(
            f"an agent's context is shared with others: write context={{'rheostat': {context!r}}}, not {context!r}"
        )
    said = context.get("rheostat") if isinstance(context, dict) else getattr(context, "rheostat", None)
    if said is None:
        return {}
    if not isinstance(said, dict) or not said.keys() <= _OURS:
        raise BadInput(f'context={{"rheostat": …}} takes account and effort, not {said!r}')
    return said


def _prices(stepper: Stepper) -> dict[str, Any]:
    return {model_of(endpoint.chat): endpoint.price for endpoint in stepper.models if endpoint.price is not None}


def _excerpt(result: Any) -> str:
    return result.text[:200] if isinstance(result, ToolMessage) else type(result).__name__
