"""The model: the one that `CHAT_MODEL` names, or a simulated one, which needs no key and costs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from rheostat import Endpoint, endpoint_for, resolve
from rheostat.testing.server import Turn, provider_server


@contextmanager
def endpoint(name: str | None) -> Iterator[Endpoint]:
    """The endpoint of a model.

    Args:
        name: As `resolve` takes it: `anthropic:claude-sonnet-5-5`, `openai:…`, `qwen2.5-coder-0.5b` (embedded), …;
            empty: the simulated one.
    """
    if name:
        yield resolve(name)
        return
    with provider_server(planned=simulated) as server:
        chat = ChatOpenAI(model="gpt-5.1", base_url=server.openai_url, api_key=SecretStr("any"))
        yield endpoint_for(chat, provider="openai")


def simulated(number: int, body: dict[str, Any]) -> Turn:
    """The simulated model's turn: it looks an order up if there is a number, and repeats what it was told."""
    last = body["messages"][-1]
    said = str(last["content"])
    order = re.search(r"\d{3,9}", said)
    if last["role"] == "user" and order:
        return Turn(tool_calls=(("order_status", {"number": int(order.group())}),), text="")
    earlier = sum(message["role"] == "user" for message in body["messages"]) - 1
    return Turn(text=f"You said, after {earlier} earlier questions: {said}")
