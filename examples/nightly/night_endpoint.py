"""The model: the one that is named, or a simulated one, which reads every note and needs no key."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from rheostat import Endpoint, endpoint_for, resolve
from rheostat.testing.server import Turn, provider_server


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
    """The simulated model's turn, which follows from the request alone, so that a night can be killed anywhere."""
    first, last = str(body["messages"][0]["content"]), body["messages"][-1]
    if "Lay out what is left" in first:
        left = [f"read {name}" for name in ("a.txt", "b.txt", "c.txt") if f"read {name}: found" not in first]
        return Turn(text=json.dumps({"steps": [*left, "write open.md"]}))
    if "Report to the user" in first:
        read = re.findall(r"- (read \S+) \(done\): (found: .*)", first)
        written = "write open.md (done)" in first
        return Turn(text="The open questions are in open.md." if written else "\n".join(f"{a}: {b}" for a, b in read))
    if last["role"] == "tool":
        return Turn(text=f"found: {str(last['content']).splitlines()[-1]}")
    step = re.search(r"Do this now: (\w+) (\S+)", first)
    if step is None:
        return Turn(text="Nothing to do.")
    if step[1] == "read":
        return Turn(tool_calls=(("read_file", {"path": step[2]}),), text="")
    found = "\n".join(re.findall(r"found: (.*)", first))
    return Turn(tool_calls=(("write_file", {"path": step[2], "content": found}),), text="")
