"""The modules and functions that one model call crosses: `python tools/house/trip.py [middleware | solver]`.

The model is ChatOpenAI before a server on this machine that speaks OpenAI's API. The first call fills the caches and
isn't counted; the second is.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

import rheostat
from rheostat import AdaptiveThinking, Budget, build_solver
from rheostat.providers import endpoint_for
from rheostat.testing.server import Turn, provider_server

_PACKAGE = str(Path(rheostat.__file__).parent)


def crossed(work: Callable[[], Any]) -> list[tuple[str, str]]:
    """(module, function) of the library, in the order in which they were entered first."""
    found: dict[tuple[str, str], None] = {}

    def watch(frame: FrameType, event: str, arg: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(_PACKAGE) and not code.co_name.startswith("<"):
            module = Path(code.co_filename).relative_to(_PACKAGE).with_suffix("").as_posix()
            if not module.startswith("testing"):
                found.setdefault((module, code.co_qualname))

    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(None)
    return list(found)


def middleware(chat: BaseChatModel) -> Callable[[], Any]:
    """One message to an agent that answers at once."""
    thinking = AdaptiveThinking(budget=Budget(usd="1"), endpoint=lambda model: endpoint_for(model, provider="openai"))
    agent = create_agent(chat, [], middleware=[thinking])
    return lambda: agent.invoke({"messages": [HumanMessage("What is 2 + 2?")]})


def solver(chat: BaseChatModel) -> Callable[[], Any]:
    """One question, one round."""
    graph = build_solver(endpoint_for(chat, provider="openai"), budget=Budget(usd="1"), effort="low").compile()
    return lambda: graph.invoke({"question": "What is 2 + 2?"})


def main() -> None:
    """Print the trips asked for, or both."""
    warnings.simplefilter("ignore")
    trips = {"middleware": middleware, "solver": solver}
    with provider_server() as server:
        server.reset(Turn(text="4"))
        chat = ChatOpenAI(model="gpt-5.1", base_url=f"{server.url}/v1", api_key=SecretStr("k"))
        for name in sys.argv[1:] or trips:
            work = trips[name](chat)
            work()
            found = crossed(work)
            modules = list(dict.fromkeys(module for module, _ in found))
            print(f"{name}: {len(modules)} modules, {len(found)} functions")
            for module in modules:
                print(f"  {module}: {', '.join(function for each, function in found if each == module)}")


if __name__ == "__main__":
    main()
