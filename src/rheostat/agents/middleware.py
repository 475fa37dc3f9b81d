"""`AdaptiveThinking`: one line in `create_agent`, and every step of the agent has a plan, a hold and a price.

Per model call: the trajectory says how hard the step is, the effort is set at boundaries, the worst case is held, the
reply is settled. State and output get one key, `rheostat` (see `rheostat.read`): `spend` (the thread's meter reading),
`run` (this run's) and `thinking` (what was decided, by whom, why). As the room shrinks thought goes first, then answers
get shorter, and the last word is paid for in advance.
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

__all__ = ["AdaptiveThinking", "ThinkingState"]


class ThinkingState(AgentState[Any]):
    """What the middleware adds to an agent's state and output; nothing of it can be put in from outside."""

    rheostat: NotRequired[Annotated[RheostatState, OmitFromInput, merge]]
    """`spend`, `run` and `thinking`: see `rheostat.read`."""
    spend: NotRequired[Annotated[Any, PrivateStateAttr]]
    """Read in checkpoints from before there was one key; so is `run`."""
    run: NotRequired[Annotated[Any, PrivateStateAttr]]


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
        on_contention: Where room is only held by requests under way (of other branches, say): `wait` for it, the first
            to come the first to be served, until the deadline or ten minutes; or `refuse` at once.
        caps: What the operator allows; `answer_tokens` is the most tokens of one reply (4,096).
        policy, pacing: The rules, with their numbers.
        endpoint: From the agent's chat model to an endpoint; by default `resolve`. For an address that doesn't tell
            whose prices hold: `endpoint=lambda chat: endpoint_for(chat, provider="openai")`.
        correct_tools: A tool's message of an error comes back to the model with evidence, and identical calls that
            bring the same are stopped. Exceptions pass outward as they came, to `ToolRetryMiddleware` and the like;
            those that are named here, `(ValueError, OSError)`, or with True all, become evidence too. False: nothing
            of all that.
        most_result_chars: Longer results of tools are cut in the middle; `None`: they are left whole, for others that
            put them aside.
        gate: Count money on the requests as they leave (httpx and httpx2 are instrumented, once for the process).
            False, where that is forbidden: LangChain's objects are believed, which is less.

    Raises:
        BadInput, ModelUnknown: at once.
        NoPrice: at the first call, if a model has no price and the budget is in money.
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
        """Where the spend is kept."""
        return self.core.meter.ledger

    def before_agent(self, state: Any, runtime: Any) -> dict[str, Any]:
        """Open the accounts of this run."""
        return drive(self.core.start(state))

    async def abefore_agent(self, state: Any, runtime: Any) -> dict[str, Any]:
        """The same."""
        return await adrive(self.core.start(state))

    def after_agent(self, state: Any, runtime: Any) -> dict[str, Any]:
        """Publish what the run has cost in the end, its tools included."""
        return drive(self.core.finish(state))

    async def aafter_agent(self, state: Any, runtime: Any) -> dict[str, Any]:
        """The same."""
        return await adrive(self.core.finish(state))

    def _step(self, request: ModelRequest[Any], send: Callable[[ModelRequest[Any]], Effect]) -> Flow[Any]:
        around = PAYER.get()
        own = read(request.state)["run"].get("account")
        if around is not None and around.call is not None and around.account == own:
            raise BadInput("AdaptiveThinking is twice in this agent's middleware: one of them is enough")
        head = [request.system_message] if request.system_message else []
        response, readings, before = yield from self.core.step(
            request.state,
            request.model,
            [*head, *request.messages],
            bound_kwargs(request),
            lambda sending: send(_changed(request, sending)),
            _reply,
        )
        return _with_update(response, {KEY: {**readings, "thinking": _stamp_of(response)}}, before)

    def wrap_model_call(self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Any]) -> Any:
        """Plan, hold, call, settle."""
        return drive(self._step(request, lambda changed: Effect(lambda: handler(changed), _unused)))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[Any]]
    ) -> Any:
        """The same."""
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
        """The same."""
        return await adrive(self._tool(request, Effect(_unused_sync, lambda: handler(request))))


def bound_kwargs(request: ModelRequest[Any]) -> dict[str, Any]:
    """What LangChain will bind to the model for this request, as far as a plan needs it."""
    kwargs: dict[str, Any] = {}
    format_, choice = request.response_format, request.tool_choice
    able = (request.model.profile or {}).get("structured_output")
    forms: list[Any] = []
    if isinstance(format_, ToolStrategy) or (isinstance(format_, AutoStrategy) and not able):
        choice, forms = "any", _forms_of(format_)
    elif format_ is not None:
        kwargs["response_format"] = {"type": "json_schema"}  # its schema is measured where it leaves
    if request.tools or forms:
        kwargs["tools"] = [*(tools_as_sent(request.model, request.tools) if request.tools else ()), *forms]
    if choice is not None:
        kwargs["tool_choice"] = choice
    return {**kwargs, **request.model_settings}


def _forms_of(format_: AutoStrategy[Any] | ToolStrategy[Any]) -> list[Any]:
    """The tools by which an answer in a schema is given."""

    def forms() -> list[Any]:
        tools = format_ if isinstance(format_, ToolStrategy) else ToolStrategy(format_.schema)
        parts = [(each.name, each.description, each.json_schema) for each in tools.schema_specs]
        return [{"type": "function", "function": dict(zip(_FORM, each, strict=True))} for each in parts]

    return once_for((format_,), forms)


_FORM = ("name", "description", "parameters")


class _Planned(ModelRequest[Any]):
    """A request with a plan's settings: another model that is put into it (a fallback) doesn't get them, but for the
    length, where it is of the same class."""

    asked: dict[str, Any]
    """The settings as they were."""

    @classmethod
    def of(cls, request: ModelRequest[Any], asked: dict[str, Any]) -> ModelRequest[Any]:
        planned = cls(**{each.name: getattr(request, each.name) for each in fields(request)})
        return _asking(planned, asked)

    def override(self, **overrides: Any) -> ModelRequest[Any]:
        """As LangChain's."""
        other = overrides.get("model")
        if other is not None and (type(other), model_of(other)) != (type(self.model), model_of(self.model)):
            alike = type(other) is type(self.model)
            kept = {name: value for name, value in self.model_settings.items() if alike and name in LENGTHS}
            overrides.setdefault("model_settings", {**kept, **self.asked})
        return _asking(super().override(**overrides), self.asked)


def _asking(request: ModelRequest[Any], asked: dict[str, Any]) -> ModelRequest[Any]:
    object.__setattr__(request, "asked", asked)  # LangChain warns of assignments to a request
    return request


def _changed(request: ModelRequest[Any], sending: Sending) -> ModelRequest[Any]:
    """The request as the plan wants it sent."""
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


def _reply(response: Any) -> AIMessage | None:
    return next((message for message in _result(response) if isinstance(message, AIMessage)), None)


def _unused_sync() -> Any:
    raise AssertionError("an asynchronous step was driven blocking")


async def _unused() -> Any:
    raise AssertionError("a blocking step was driven on the event loop")


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


def _with_update(response: Any, update: dict[str, Any], before: Sequence[BaseMessage]) -> ExtendedModelResponse[Any]:
    """The response with our state beside it, and whatever an inner middleware wanted to put there.

    Args:
        before: Messages that come before those of the response.
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
