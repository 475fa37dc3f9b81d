"""`AdaptiveThinking`, a middleware for `create_agent` that gives every step of the agent a plan, a hold and a price.

For each model call, the trajectory gives the difficulty of the step, the effort is set at effort boundaries, the worst
case is held, and the reply is settled. State and output get one key, `rheostat` (see `rheostat.read`): `spend` (the
thread's reading), `run` (this run's) and `thinking` (what was decided, by which part, and why). As the room shrinks,
thinking tokens are cut first, then answers; the last word is paid for in advance.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import fields, replace
from typing import Annotated, Any, NotRequired

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langgraph.types import Command
from typing_extensions import Unpack

from rheostat.agents.core import AgentCore, AgentOptions
from rheostat.agents.guided import Sending
from rheostat.calling.call_options import LENGTHS, once_for, tools_as_sent
from rheostat.calling.payer import PAYER
from rheostat.errors import BadInput, MissingExtra
from rheostat.flow import Effect, Flow, adrive, drive
from rheostat.graph.state import KEY, RheostatState, merge, read
from rheostat.models import resolve
from rheostat.money.budget import Budget
from rheostat.money.ledger import Ledger
from rheostat.providers import Endpoint
from rheostat.providers.adapter import model_of
from rheostat.thinking.difficulty import THOUGHT_WITH

try:
    from langchain.agents.middleware import AgentMiddleware, AgentState
    from langchain.agents.middleware.types import (
        ExtendedModelResponse,
        ModelRequest,
        ModelResponse,
        OmitFromInput,
        PrivateStateAttr,
        ToolCallRequest,
    )
    from langchain.agents.structured_output import AutoStrategy, ToolStrategy
except ImportError as error:
    raise MissingExtra("AdaptiveThinking", "agents") from error

__all__ = ["AdaptiveThinking", "ThinkingState", "reply_in", "result_of"]


class ThinkingState(AgentState[Any]):
    """The state and output that the middleware adds to an agent's; none of it is accepted as input."""

    rheostat: NotRequired[Annotated[RheostatState, OmitFromInput, merge]]
    """`spend`, `run` and `thinking`: see `rheostat.read`."""
    spend: NotRequired[Annotated[Any, PrivateStateAttr]]
    """Read in checkpoints that precede the key `rheostat`; so is `run`."""
    run: NotRequired[Annotated[Any, PrivateStateAttr]]


class AdaptiveThinking(AgentMiddleware[ThinkingState, Any, Any]):
    """Adaptive thinking under a hard budget, for `langchain.agents.create_agent` and agents built on it.

    Put it **last** in the list: it is then next to the model, and retries and fallbacks around it are planned and held
    one by one. Elsewhere every call is still in the ledger, but no plan sets the effort of a fallback inside it.

    Args:
        budget: Hard limits of each run, from one user message to the answer.
        effort: A preset (`fast`, `balanced`, `thorough`) or a fixed level.
        escalate_to: Other models, cheapest first, which take over when tools keep failing.
        ledger: Keeps the spend; by default in this process's memory.
        account: An account above every thread, open in this ledger; its limits bind as well.
        on_limit: At the cap: `answer` ends with a message that says so; `raise` raises `BudgetExceeded`. A budget that
            can't hold even the first call always raises.
        on_contention: Where room is only held by requests in flight, such as those of other branches: `wait` for it,
            first come, first served, until the deadline or for ten minutes; or `refuse` at once.
        caps: The operator's caps; `answer_tokens` is the most tokens of one reply (4,096).
        policy, pacing: The rules and their numbers.
        endpoint: Makes an endpoint of the agent's chat model; by default `resolve`. For an address that doesn't show
            the provider: `endpoint=lambda chat: endpoint_for(chat, provider="openai")`.
        correct_tools: Which exceptions of tools become evidence for the model: a tuple such as
            `(ValueError, OSError)`, or True for all. Others pass outward unchanged, as to `ToolRetryMiddleware`.
            Error messages of tools always get evidence, and repeated identical calls are stopped. False turns all of
            that off.
        most_result_chars: Longer tool results are cut in the middle; `None`: they stay whole, for other middleware that
            offloads them.
        gate: Read requests where they leave (httpx and httpx2 are instrumented, once per process). False, where that
            is forbidden: LangChain's objects are trusted, and retries of the SDK aren't counted.

    Raises:
        BadInput, ModelUnknown: an argument is invalid.
        NoPrice: at the first call, if the budget is in money and a model has no price.
    """

    state_schema = ThinkingState

    def __init__(
        self,
        *,
        budget: Budget,
        endpoint: Callable[[BaseChatModel], Endpoint] = resolve,
        correct_tools: bool | tuple[type[Exception], ...] = (),
        most_result_chars: int | None = None,
        gate: bool = True,
        **options: Unpack[AgentOptions],
    ) -> None:
        super().__init__()
        self.core = AgentCore.made(
            budget,
            options,
            endpoint=endpoint,
            beside=True,
            correct_tools=correct_tools,
            most_result_chars=most_result_chars,
            gate=gate,
        )

    @property
    def ledger(self) -> Ledger:
        """The ledger that keeps the spend."""
        return self.core.meter.ledger

    def before_agent(self, state: Any, runtime: Any) -> dict[str, Any]:
        """Open the accounts of this run."""
        return drive(self.core.start(state))

    async def abefore_agent(self, state: Any, runtime: Any) -> dict[str, Any]:
        """`before_agent`, async."""
        return await adrive(self.core.start(state))

    def after_agent(self, state: Any, runtime: Any) -> dict[str, Any]:
        """Close the run and publish its final readings, tools included."""
        return drive(self.core.finish(state))

    async def aafter_agent(self, state: Any, runtime: Any) -> dict[str, Any]:
        """`after_agent`, async."""
        return await adrive(self.core.finish(state))

    def _step(self, request: ModelRequest[Any], send: Callable[[ModelRequest[Any]], Effect]) -> Flow[Any]:
        around = PAYER.get()
        own = read(request.state)["run"].get("account")
        if around is not None and around.call is not None and around.account == own:
            raise BadInput("AdaptiveThinking is in this agent's middleware twice: one is enough")
        head = [request.system_message] if request.system_message else []
        response, readings, before = yield from self.core.step(
            request.state,
            request.model,
            [*head, *request.messages],
            bound_kwargs(request),
            lambda sending: send(_changed(request, sending)),
            reply_in,
        )
        return _with_update(response, {KEY: {**readings, "thinking": _stamp_of(response)}}, before)

    def wrap_model_call(self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Any]) -> Any:
        """Plan, hold, call and settle one step."""
        return drive(self._step(request, lambda changed: Effect(lambda: handler(changed), _unused)))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[Any]]
    ) -> Any:
        """`wrap_model_call`, async."""
        return await adrive(self._step(request, lambda changed: Effect(_unused_sync, lambda: handler(changed))))

    def _tool(self, request: ToolCallRequest, work: Effect) -> Flow[Any]:
        known = [tool.name for tool in getattr(request.runtime, "tools", None) or []]
        return (yield from self.core.tool(request.state, request.tool_call, request.tool, known, work))

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Any]) -> Any:
        """Run a tool under its terms; a failure comes back as evidence."""
        return drive(self._tool(request, Effect(lambda: handler(request), _unused)))

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[Any]]
    ) -> Any:
        """`wrap_tool_call`, async."""
        return await adrive(self._tool(request, Effect(_unused_sync, lambda: handler(request))))


def bound_kwargs(request: ModelRequest[Any]) -> dict[str, Any]:
    """The arguments that LangChain will bind to the model for this request, as far as a plan needs them."""
    kwargs: dict[str, Any] = {}
    format_, choice = request.response_format, request.tool_choice
    able = (request.model.profile or {}).get("structured_output")
    forms: list[Any] = []
    if isinstance(format_, ToolStrategy) or (isinstance(format_, AutoStrategy) and not able):
        choice, forms = "any", _forms_of(format_)
    elif format_ is not None:
        kwargs["response_format"] = {"type": "json_schema"}  # the gate measures its schema
    if request.tools or forms:
        kwargs["tools"] = [*(tools_as_sent(request.model, request.tools) if request.tools else ()), *forms]
    if choice is not None:
        kwargs["tool_choice"] = choice
    return {**kwargs, **request.model_settings}


def _forms_of(format_: AutoStrategy[Any] | ToolStrategy[Any]) -> list[Any]:
    """The tools through which a structured answer is given."""

    def forms() -> list[Any]:
        tools = format_ if isinstance(format_, ToolStrategy) else ToolStrategy(format_.schema)
        parts = [(each.name, each.description, each.json_schema) for each in tools.schema_specs]
        return [{"type": "function", "function": dict(zip(_FORM, each, strict=True))} for each in parts]

    return once_for((format_,), forms)


_FORM = ("name", "description", "parameters")


class _Planned(ModelRequest[Any]):
    """A request with a plan's settings.

    A substitute model (a fallback) doesn't get them; one of the same class keeps the length cap.
    """

    asked: dict[str, Any]
    """The settings before the plan."""

    @classmethod
    def of(cls, request: ModelRequest[Any], asked: dict[str, Any]) -> ModelRequest[Any]:
        planned = cls(**{each.name: getattr(request, each.name) for each in fields(request)})
        return _asking(planned, asked)

    def override(self, **overrides: Any) -> ModelRequest[Any]:
        """Override as LangChain does, and drop the plan's settings for another model."""
        other = overrides.get("model")
        if other is not None and (type(other), model_of(other)) != (type(self.model), model_of(self.model)):
            alike = type(other) is type(self.model)
            kept = {name: value for name, value in self.model_settings.items() if alike and name in LENGTHS}
            overrides.setdefault("model_settings", {**kept, **self.asked})
        return _asking(super().override(**overrides), self.asked)


def _asking(request: ModelRequest[Any], asked: dict[str, Any]) -> ModelRequest[Any]:
    object.__setattr__(request, "asked", asked)  # LangChain warns about assignments to a request
    return request


def _changed(request: ModelRequest[Any], sending: Sending) -> ModelRequest[Any]:
    """The request with the plan's changes."""
    messages, system = sending.messages, request.system_message
    if system is not None:
        system, messages = messages[0], messages[1:]  # type: ignore[assignment] # the first is the one put there
    changes: dict[str, Any] = {
        "model": sending.model,
        "messages": messages,
        "system_message": system,
        "model_settings": sending.settings,
    }
    if sending.alone:
        changes.update(tools=[], tool_choice=None, response_format=None)
    elif sending.tool_choice is not None:
        changes["tool_choice"] = sending.tool_choice
    if sending.last_word:
        changes["response_format"] = None
    return _Planned.of(request.override(**changes), request.model_settings)


def reply_in(response: Any) -> AIMessage | None:
    """The model's message in the response of a step."""
    return next((message for message in result_of(response) if isinstance(message, AIMessage)), None)


def _unused_sync() -> Any:
    raise AssertionError("an asynchronous step was driven blocking")


async def _unused() -> Any:
    raise AssertionError("a blocking step was driven on the event loop")


def result_of(response: Any) -> list[BaseMessage]:
    """All messages in the response of a step."""
    if isinstance(response, ExtendedModelResponse):
        response = response.model_response
    return [response] if isinstance(response, BaseMessage) else list(response.result)


def _stamp_of(response: Any) -> dict[str, Any]:
    for message in reversed(result_of(response)):
        stamp = message.response_metadata.get(THOUGHT_WITH)
        if stamp:
            return dict(stamp)
    return {}


def _with_update(response: Any, update: dict[str, Any], before: Sequence[BaseMessage]) -> ExtendedModelResponse[Any]:
    """The response with an update of our state, merged with the update of an inner middleware.

    Args:
        before: Messages to put before those of the response.
    """
    if isinstance(response, ExtendedModelResponse):
        told = response.command.update if response.command else None
        inner = told if isinstance(told, dict) else {}
        update, response = {**inner, **update}, response.model_response
    if isinstance(response, AIMessage):
        response = ModelResponse(result=[response])
    if before:
        response = replace(response, result=[*before, *response.result])
    return ExtendedModelResponse(response, Command(update=update))
