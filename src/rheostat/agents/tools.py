"""One tool call: its declared terms, and errors that come back to the model as evidence it can act on.

The evidence has up to four lines: what failed, which argument was at fault, what the tool expects, what to do next.
(Models asked to reconsider without outside evidence get worse: Huang et al. 2023, arXiv:2310.01798.)
"""

from __future__ import annotations

import asyncio
import contextvars
import difflib
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.types import Command
from pydantic import BaseModel, ValidationError

from rheostat.calling.meter import Meter
from rheostat.calling.shape import shorter
from rheostat.errors import BadInput, BudgetExceeded
from rheostat.flow import Effect, Flow
from rheostat.money.usage import Spend, usd_nanos

__all__ = ["TERMS", "ToolTerms", "evidence", "run_tool", "terms", "terms_of"]

TERMS = "rheostat"
"""The key of the terms in a tool's `metadata`."""
_SAME_RESULTS = 3
_EXCERPT_CHARS = 600
_NOT_RUN = "NOT RUN"
_DEAD_LINES = {"ConnectionError", "TimeoutError", "TransportError", "URLError", "ClientConnectionError", "Timeout"}
_GENERATOR = re.compile(r"^<(async_)?generator object")

ToolT = TypeVar("ToolT", bound=BaseTool)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolTerms:
    """The terms that a tool declares: price, time limit, and repetition."""

    usd: str = "0"
    """The most that one call costs, charged whether it succeeds or not."""
    seconds: float | None = None
    """The time limit of one call, which is abandoned there; `None`: the run's deadline only."""
    repeats: bool = False
    """Identical calls with identical results are expected, as in polling, and aren't stopped."""
    idempotent: bool = False
    """Repeating a call changes nothing: if its connection fails, it is made once more, each time at its price."""

    def __post_init__(self) -> None:
        try:
            nanos = usd_nanos(self.usd)
        except ValueError as error:
            raise BadInput(f"usd of a tool: {error}") from None
        if self.seconds is not None and not isinstance(self.seconds, int | float):
            raise BadInput(f"seconds of a tool must be a number, not {self.seconds!r}")
        if nanos < 0 or (self.seconds is not None and self.seconds <= 0):
            raise BadInput(f"a tool's usd must be zero or more and its seconds above zero, not {self}")


def terms(
    tool: ToolT,
    *,
    usd: str | float = "0",
    seconds: float | None = None,
    idempotent: bool = False,
    repeats: bool = False,
) -> ToolT:
    """Declare a tool's price, its time limit and whether it may be repeated; returns the tool itself.

    Args:
        usd: The most that one call costs, in dollars, charged whether it succeeds or not.
        seconds: The time limit of one call, which is abandoned there.
        idempotent: Repeating a call changes nothing: if its connection fails, it is made once more.
        repeats: Identical calls with identical results aren't stopped (polling).

    Raises:
        BadInput: not a LangChain tool, or a negative price or time limit.

    >>> search = terms(search, usd="0.01", seconds=10)  # doctest: +SKIP
    """
    if not isinstance(tool, BaseTool):
        raise BadInput(f"terms() takes a LangChain tool: put @tool above the function first, or wrap it; not {tool!r}")
    declared = ToolTerms(usd=str(usd), seconds=seconds, idempotent=idempotent, repeats=repeats)
    tool.metadata = {**(tool.metadata or {}), TERMS: asdict(declared)}
    return tool


def terms_of(tool: BaseTool | None) -> ToolTerms:
    """The terms that a tool declares; by default it is free, without a time limit, and not repeated."""
    declared = ((tool.metadata if tool is not None else None) or {}).get(TERMS)
    return ToolTerms(**declared) if isinstance(declared, dict) else ToolTerms()


# --- evidence -------------------------------------------------------------------------------------------------


def _expects(tool: BaseTool, names: Iterable[str]) -> str:
    properties = _properties(tool)
    wanted = [name for name in names if name in properties] or list(properties)
    lines = [f"{name}: {json.dumps(_line(properties[name]), ensure_ascii=False)}" for name in wanted[:8]]
    return "; ".join(lines) or "no arguments"


def _properties(tool: BaseTool) -> dict[str, Any]:
    """The arguments that a model may give, without those that LangGraph injects, which may have no JSON form."""
    try:
        schema: Any = tool.tool_call_schema
        whole = schema if isinstance(schema, dict) else schema.model_json_schema()
        found = whole.get("properties", {})
    except Exception:  # a type without a JSON form mustn't break the evidence
        return {}
    return found if isinstance(found, dict) else {}


def _line(schema: Any) -> Any:
    return {name: value for name, value in schema.items() if name in ("type", "enum", "description", "anyOf", "items")}


def evidence(error: BaseException | str, call: dict[str, Any], tool: BaseTool | None, known: Iterable[str] = ()) -> str:
    """The text that tells the model of a failed call."""
    name = call["name"]
    if tool is None:
        near = difflib.get_close_matches(name, list(known), n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        return f"FAILED: there is no tool {name!r}.\nHint: {hint}There are: {', '.join(known) or 'none'}."
    cause: BaseException | None = error if isinstance(error, BaseException) else None
    while cause is not None and not isinstance(cause, ValidationError) and cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, ValidationError):
        faults = [(".".join(str(part) for part in one["loc"]), one["msg"]) for one in cause.errors()[:4]]
        lines = [f"FAILED: {name} was called with arguments that it can't take."]
        lines += [f"Argument {where}: {what}" for where, what in faults]
        lines.append(f"Expected: {_expects(tool, [where.split('.')[0] for where, _ in faults])}")
        lines.append("Hint: mend that argument and call it again.")
        return "\n".join(lines)
    said = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    excerpt = said if len(said) <= _EXCERPT_CHARS else f"{said[:_EXCERPT_CHARS]} …"
    arguments = json.dumps(call["args"], ensure_ascii=False, default=str)[:200]
    hint = "read the error, change what caused it, and don't repeat the same call."
    if isinstance(error, _Late):
        hint = "ask for less, or try another way."
        if not terms_of(tool).idempotent:
            hint = "it may have taken effect: find that out before you call it again."
    return f"FAILED: {name}({arguments})\n{excerpt}\nHint: {hint}"


def same_again(call: dict[str, Any], messages: Sequence[BaseMessage]) -> int:
    """How often this call was made in the current user turn with the same result each time.

    The count restarts at a different result, and at any other call that hadn't brought its result before: that call may
    have changed something.
    """
    turn = next((n for n in range(len(messages) - 1, -1, -1) if isinstance(messages[n], HumanMessage)), 0)
    seen: set[tuple[str, str, str]] = set()
    last, streak = "", 0
    for calls, results in _steps(messages[turn:]):
        for each in calls:
            text = results.get(str(each["id"]))
            if text is None or text.startswith(_NOT_RUN):
                continue
            made = (each["name"], repr(each["args"]), text)
            if (each["name"], each["args"]) == (call["name"], call["args"]):
                last, streak = text, streak + 1 if text == last or not streak else 1
            elif made not in seen:
                streak = 0
            seen.add(made)
    return streak


def _steps(messages: Sequence[BaseMessage]) -> Iterator[tuple[list[Any], dict[str, str]]]:
    """(calls, results by id) of each reply, kept apart since some models give every call the same id."""
    calls: list[Any] = []
    results: dict[str, str] = {}
    for message in messages:
        if isinstance(message, AIMessage):
            yield calls, results
            calls, results = message.tool_calls, {}
        elif isinstance(message, ToolMessage):
            results.setdefault(message.tool_call_id, str(message.content))
    yield calls, results


# --- the call itself ----------------------------------------------------------------------------------------------


class _Late(TimeoutError):
    """The call was abandoned at its time limit; it may have taken effect, or may yet."""


def _within(do: Callable[[], Any], seconds: float | None) -> Any:
    """Run the work for at most this long. A thread can't be stopped: it is abandoned, and the error says so."""
    if seconds is None:
        return do()
    box: list[tuple[bool, Any]] = []
    context = contextvars.copy_context()

    def work() -> None:
        try:
            box.append((True, context.run(do)))
        except BaseException as error:
            box.append((False, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if not box:
        raise _Late(f"no result within {seconds:g} s; it may still be running")
    done, value = box[0]
    if not done:
        raise value
    return value


async def _awithin(ado: Callable[[], Any], seconds: float | None) -> Any:
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await ado()
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise _Late(f"no result within {seconds:g} s") from error


def _line_went_dead(error: Exception) -> bool:
    """Whether no answer came: errors of the standard library, httpx, requests and aiohttp without an HTTP status."""
    if isinstance(error, _Late) or isinstance(getattr(error, "code", getattr(error, "status_code", None)), int):
        return False
    return any(kind.__name__ in _DEAD_LINES for kind in type(error).__mro__)


def _misfit(call: dict[str, Any], tool: BaseTool) -> ValidationError | None:
    """The error of the tool's own schema on these arguments; `None`: they fit."""
    schema = tool.tool_call_schema
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        try:
            schema.model_validate(call["args"])
        except ValidationError as error:
            return error
    return None


def _message(call: dict[str, Any], text: str) -> ToolMessage:
    return ToolMessage(text, name=call["name"], tool_call_id=str(call["id"]), status="error")


def run_tool(
    call: dict[str, Any],
    tool: BaseTool | None,
    work: Effect,
    *,
    meter: Meter,
    account: str,
    messages: Sequence[BaseMessage],
    known: Iterable[str] = (),
    most_result_chars: int | None = 50_000,
    catches: tuple[type[Exception], ...] = (Exception,),
    passes: tuple[type[BaseException], ...] = (),
) -> Flow[Any]:
    """Run a tool call under its terms; a failure becomes a `ToolMessage` with evidence.

    Args:
        work: The call itself. Returns a `ToolMessage`, or something else that is passed on (a LangGraph `Command`).
        account: The account that pays the declared price.
        messages: The conversation so far: an identical call that brought the same result three times isn't run again.
        known: The names of all tools, for a hint.
        most_result_chars: Longer results are cut in the middle; `None`: results are never cut.
        catches: Exceptions of the tool that become evidence. Running past its time limit always does.
        passes: Exceptions that aren't failures (interrupts).

    Raises:
        Exception: any other exception of the tool, unchanged.
    """
    if tool is None and Exception in catches:
        return _message(call, evidence("", call, None, known))
    if tool is None:  # outer code may know the tool
        return (yield work)
    declared = terms_of(tool)
    if not declared.repeats and same_again(call, messages) >= _SAME_RESULTS:
        return _message(
            call,
            f"NOT RUN: {call['name']} was called {_SAME_RESULTS} times with these arguments and returned the same "
            "each time.\nHint: use that result, change the arguments, or try another way.",
        )
    fault = _misfit(call, tool) if usd_nanos(declared.usd) else None
    if fault is not None:  # the tool would refuse it before it runs, so it isn't paid for
        return _message(call, evidence(fault, call, tool))
    again = declared.idempotent
    while True:
        try:
            result = yield from _paid(call, tool, declared, work, meter, account, passes)
        except passes:
            raise
        except Exception as error:
            if again and _line_went_dead(error):
                again = False
            elif isinstance(error, (*catches, _Late)):
                return _message(call, evidence(error, call, tool))
            else:
                raise
        else:
            return _checked(result, call, tool, most_result_chars)


def _paid(
    call: dict[str, Any],
    tool: BaseTool,
    declared: ToolTerms,
    work: Effect,
    meter: Meter,
    account: str,
    passes: tuple[type[BaseException], ...],
) -> Flow[Any]:
    """Run the call within its time limit, held at its price and settled."""
    nanos = usd_nanos(declared.usd)
    room = yield from meter.room(account)
    limits = [seconds for seconds in (declared.seconds, room.seconds) if seconds is not None]
    if room.seconds is not None and room.seconds <= 0:
        return _message(call, f"NOT RUN: {call['name']}: the time of this run is over")
    seconds = max(min(limits), 0.001) if limits else None
    ran: list[bool] = []

    def do() -> Any:
        ran.append(True)
        return _within(work.do, seconds)

    async def ado() -> Any:
        ran.append(True)
        return await _awithin(work.ado, seconds)

    timed = Effect(do, ado)
    try:
        if nanos:
            note = {"node": f"tool:{tool.name}"}
            return (yield from meter.pay(account, Spend(usd_nanos=nanos), note, timed, unfinished=passes))
        return (yield timed)
    except BudgetExceeded as refused:
        if ran:
            return _message(
                call, f"FAILED: {call['name']} ran into the budget in the middle of its work: {refused.plainly}"
            )
        return _message(
            call, f"NOT RUN: {call['name']} costs ${declared.usd}, and the budget has no room: {refused.plainly}"
        )


def _checked(result: Any, call: dict[str, Any], tool: BaseTool, most_chars: int | None) -> Any:
    if isinstance(result, Command):
        return _cut_in(result, most_chars)
    if isinstance(result, list):
        return [_checked(each, call, tool, most_chars) for each in result]
    if not isinstance(result, ToolMessage):
        return result
    text = result.content if isinstance(result.content, str) else None
    if text is not None and _GENERATOR.match(text):
        return _message(call, evidence("the tool returned a generator and not a value", call, tool))
    if result.status == "error" and text is not None and not text.startswith(("FAILED", "NOT RUN")):
        return result.model_copy(update={"content": f"{evidence(text, call, tool)}\nExpected: {_expects(tool, ())}"})
    return result if most_chars is None else shorter(result, most_chars)


def _cut_in(command: Command[Any], most_chars: int | None) -> Command[Any]:
    """Cut long results in a tool's own update of the state."""
    update = command.update
    if most_chars is None or not isinstance(update, dict) or not isinstance(update.get("messages"), list):
        return command
    messages = [shorter(m, most_chars) if isinstance(m, ToolMessage) else m for m in update["messages"]]
    return replace(command, update={**update, "messages": messages})
