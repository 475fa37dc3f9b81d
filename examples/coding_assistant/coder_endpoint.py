"""The model: the one that is named, or for the demonstration a simulated one, which makes a wrong edit and mends it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from rheostat import Endpoint, endpoint_for, resolve
from rheostat.testing.server import Turn, provider_server

DEMO = Path(__file__).parents[1] / "bugs" / "discount"
LINES = (
    "    return amount + amount * percent / 100",
    "    return amount + amount * percent / 10",
    "    return amount - amount * percent / 100",
)
"""The bug, a wrong edit, and the right one."""


@contextmanager
def endpoint(name: str) -> Iterator[Endpoint]:
    """The endpoint of a model.

    Args:
        name: As `resolve` takes it; empty: the simulated one.
    """
    if name:
        yield resolve(name)
        return
    with provider_server(planned=simulated) as server:
        chat = ChatOpenAI(model="gpt-5.1", base_url=server.openai_url, api_key=SecretStr("any"))
        yield endpoint_for(chat, provider="openai")


def simulated(number: int, body: dict[str, Any]) -> Turn:
    """The next edit, which follows from the conversation alone, so that it can be interrupted anywhere."""
    done = sum(message["role"] == "tool" for message in body["messages"])
    if done >= len(LINES) - 1:
        return Turn(text="I can't find it.")
    edit = {"path": "checkout.py", "old": LINES[done], "new": LINES[done + 1]}
    return Turn(tool_calls=(("edit_file", edit),), text="")
