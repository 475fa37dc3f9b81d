"""What a running graph tells on its `custom` stream: plain dicts, each with a `type`.

Read them by `graph.stream(inputs, stream_mode="custom")`; they cost nothing when nothing listens. Of an agent's step
`estimate`, `plan`, `hold`, `call` and `settle` carry its `id`, as do its record, its span and its message.

==============  ==========================================================================================
`difficulty`    the solver's estimate; `estimate`: an agent's, of its next step
`plan`          how the next call thinks, who decided it, why
`hold`          the worst case that was held
`call`          an agent's reply came: its model, why it ended, whether it starved
`settle`        what that call really cost
`sample`        the solver's: one answer
`verdict`       what a verifier said
`tool`          a tool's result; `correction`: its failure, as the evidence that went back
`decision`      the solver's: accept, correct, sample, escalate, stop
`wind_down`     what the shrinking room took: less thought, fewer samples, the last word, the end
`spend`         the readings of the thread and of the run
==============  ==========================================================================================
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, get_args

from langgraph.config import get_stream_writer

__all__ = ["EVENT_TYPES", "EventType", "emit", "listen"]

EventType: TypeAlias = Literal[
    "difficulty",
    "estimate",
    "plan",
    "thought",
    "hold",
    "call",
    "settle",
    "refused",
    "sample",
    "verdict",
    "tool",
    "correction",
    "decision",
    "wind_down",
    "spend",
    "step",
    "report",
]
EVENT_TYPES: tuple[str, ...] = get_args(EventType)


_listeners: list[Callable[[str, dict[str, Any]], None]] = []


def listen(listener: Callable[[str, dict[str, Any]], None]) -> Callable[[], None]:
    """Call `listener(type, data)` for every event of this process, streamed or not; the returned function ends it."""
    _listeners.append(listener)
    return lambda: _listeners.remove(listener)


def emit(type_: EventType, **data: Any) -> None:
    """Write an event to the stream of the running graph, if there is one, and tell the listeners."""
    for listener in _listeners:
        try:
            listener(type_, data)
        except Exception:  # whoever watches must not break what is watched
            logging.getLogger("rheostat").exception("a listener of events failed")
    try:
        write = get_stream_writer()
    except RuntimeError:
        return
    write({"type": type_, **data})
