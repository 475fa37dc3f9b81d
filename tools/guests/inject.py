"""A pytest plugin: every agent that a suite of others builds gets our line.

`GUESTS_MODE`: `on`, or `idle` (a middleware with the same hooks and nothing in them, as a control). `GUESTS_BUDGET`:
JSON of a `Budget`. At the end it writes to `GUESTS_COUNTS` how many requests left with a planned effort, and how many
were held: a middleware that does nothing would pass every suite. Messages that differ by our stamp alone
(`response_metadata["thinking"]`, which is documented) are equal.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

MODE = os.environ.get("GUESTS_MODE", "on")
BUDGET = json.loads(os.environ.get("GUESTS_BUDGET", '{"tokens": 10000000, "calls": 10000}'))
_ledgers: list[Any] = []


def _idle() -> Any:
    from langchain.agents.middleware import AgentMiddleware

    class AdaptiveThinking(AgentMiddleware[Any, Any, Any]):  # its node has the same name
        def before_agent(self, state: Any, runtime: Any) -> None:
            return None

        def after_agent(self, state: Any, runtime: Any) -> None:
            return None

        async def abefore_agent(self, state: Any, runtime: Any) -> None:
            return None

        async def aafter_agent(self, state: Any, runtime: Any) -> None:
            return None

        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            return handler(request)

        async def awrap_model_call(self, request: Any, handler: Any) -> Any:
            return await handler(request)

        def wrap_tool_call(self, request: Any, handler: Any) -> Any:
            return handler(request)

        async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
            return await handler(request)

    return AdaptiveThinking()


def _ours() -> Any:
    from rheostat import AdaptiveThinking, Budget, Price, resolve

    if "usd" in BUDGET:
        price = Price(input_per_million=Decimal(1), output_per_million=Decimal(2))
        middleware = AdaptiveThinking(budget=Budget(**BUDGET), endpoint=lambda chat: resolve(chat, price=price))
    else:
        middleware = AdaptiveThinking(budget=Budget(**BUDGET))
    _ledgers.append(middleware.ledger)
    return middleware


def _with_line(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def create_agent(model: Any, *args: Any, **kwargs: Any) -> Any:
        middleware = list(kwargs.get("middleware") or ())
        if not any(type(each).__name__ == "AdaptiveThinking" for each in middleware):
            kwargs["middleware"] = [*middleware, _idle() if MODE == "idle" else _ours()]
        return original(model, *args, **kwargs)

    return create_agent


def _thinking(model: Any) -> Any:
    """The chat model in a `ThinkingChatModel`, also where tools were bound to it already."""
    from langchain_core.language_models import BaseChatModel
    from langchain_core.runnables import RunnableBinding, RunnableSequence

    from rheostat import Budget, ThinkingChatModel

    if isinstance(model, BaseChatModel) and not isinstance(model, ThinkingChatModel):
        thinking = ThinkingChatModel(model=model, budget=Budget(**BUDGET))
        _ledgers.append(thinking.ledger)
        return thinking
    if isinstance(model, RunnableBinding):
        return model.model_copy(update={"bound": _thinking(model.bound)})
    if isinstance(model, RunnableSequence):
        return RunnableSequence(*map(_thinking, model.steps))
    return model


def _replace(module: Any, name: str, wrap: Callable[[Any], Any]) -> None:
    """In its own module, and wherever it was imported by name already."""
    original = getattr(module, name)
    wrapped = wrap(original)
    for each in list(sys.modules.values()):
        names = getattr(each, "__dict__", {})
        if names.get(name) is original:
            names[name] = wrapped


def _reacting(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def create_react_agent(model: Any, *args: Any, **kwargs: Any) -> Any:
        return original(_thinking(model), *args, **kwargs)

    return create_react_agent


def _equal_but_for_the_stamp() -> None:
    from langchain_core.messages import AIMessage, BaseMessage

    def plain(message: AIMessage) -> dict[str, Any]:
        data = message.model_dump()
        return {**data, "response_metadata": {k: v for k, v in data["response_metadata"].items() if k != "thinking"}}

    def equal(self: AIMessage, other: Any) -> Any:
        if not isinstance(other, AIMessage):
            return NotImplemented
        return type(self) is type(other) and plain(self) == plain(other)

    setattr(AIMessage, "__eq__", equal)  # noqa: B010 - in this process of tests
    setattr(AIMessage, "__hash__", BaseMessage.__hash__)  # noqa: B010 - as above


def _install() -> None:
    import langgraph.prebuilt  # noqa: F401 - it imports the function by name
    from langchain.agents import factory
    from langgraph.prebuilt import chat_agent_executor as react

    _replace(factory, "create_agent", _with_line)
    if MODE != "idle":
        _replace(react, "create_react_agent", _reacting)
        _equal_but_for_the_stamp()


_install()


def pytest_sessionfinish(session: pytest.Session) -> None:
    where = os.environ.get("GUESTS_COUNTS")
    if not where or not _ledgers:
        return
    steps = [step for ledger in _ledgers for step in ledger.steps() if step.of_call]
    found = {
        "with the planned effort in the body": sum(bool(step.effort_seen) for step in steps),
        "held": sum(len(step.requests) for step in steps),
    }
    Path(where).with_suffix(f".{os.getpid()}.json").write_text(json.dumps(found))
