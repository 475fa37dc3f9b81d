"""Answers on their way: each goes on if its reader goes away, so that what is paid for is kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from langchain_core.messages import AIMessage

from rheostat import BudgetExceeded, read, usd

Event = tuple[str, dict[str, Any]]


async def events_of(agent: Any, text: str, thread: str, account: str) -> AsyncIterator[Event]:
    """Ask the agent, and translate its stream: `hold`, `effort`, `token`, `tool`, `spend`, at last `done`."""
    config = {"configurable": {"thread_id": thread}}
    context = {"rheostat": {"account": account}}
    inputs = {"messages": [("user", text)]}
    async for mode, chunk in agent.astream(inputs, config, context=context, stream_mode=["messages", "custom"]):
        if mode == "messages":
            message = chunk[0]
            if isinstance(message, AIMessage) and message.text:
                yield "token", {"text": message.text}
        elif chunk["type"] == "plan":
            yield "effort", {"effort": chunk["effort"], "why": chunk["reasons"][0]}
        elif chunk["type"] == "hold":
            yield "hold", {"at_most": usd(chunk["usd_nanos"])}
        elif chunk["type"] == "tool":
            yield "tool", {"name": chunk["name"]}
        elif chunk["type"] == "spend":
            yield "spend", {"usd": usd(chunk["run"]["usd_nanos"]), "calls": chunk["run"]["calls"]}
    said = read((await agent.aget_state(config)).values)
    yield "done", {"usd": usd(said["run"]["usd_nanos"]), "stopped": said["thinking"].get("stopped")}


class Answer:
    """One answer: a task of its own, and a queue of events for the reader."""

    def __init__(self, events: AsyncIterator[Event]) -> None:
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self._admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(self._work(events))

    async def admitted(self) -> None:
        """Wait until the first call is held: until then, a refusal can still be a status instead of an event.

        Raises:
            BudgetExceeded: The first call doesn't fit; nothing was sent or charged.
        """
        await self._admitted

    async def _work(self, events: AsyncIterator[Event]) -> None:
        try:
            async for event in events:
                if event[0] == "hold" and not self._admitted.done():
                    self._admitted.set_result(None)
                self._queue.put_nowait(event)
        except Exception as error:
            if not self._admitted.done():
                self._admitted.set_exception(error)
            else:
                logging.getLogger("chat").exception("an answer failed")
                said = error.plainly if isinstance(error, BudgetExceeded) else "the answer failed; please ask again"
                self._queue.put_nowait(("error", {"message": said}))
        finally:
            if not self._admitted.done():  # a run that needed no call
                self._admitted.set_result(None)
            self._queue.put_nowait(None)

    async def events(self) -> AsyncIterator[Event]:
        """The events as they come, to the end."""
        while (event := await self._queue.get()) is not None:
            yield event
