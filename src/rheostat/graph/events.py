"""The events of a running graph on its `custom` stream: plain dicts, each with a `type`.

Read them with `graph.stream(inputs, stream_mode="custom")`; they cost nothing if nothing listens. In an agent,
`estimate`, `plan`, `hold`, `call` and `settle` carry the `id` of their step, as do its record, span and message.

==============  ==========================================================================================
`difficulty`    the solver's estimate; `estimate`: an agent's, of its next step
`plan`          the plan of the next call: what decided it, and why
`hold`          the worst case that is held
`call`          an agent's reply: its model, why it ended, and whether it ran out of its length cap
`refused`       a call doesn't fit the budget: why, and which limit; in an agent with the smallest plan that was tried,
                and its input
`settle`        the cost of that call
`sample`        one sample of the solver, done, failed or cancelled: the fields of a `Candidate`, its cost in `cost`
`verdict`       a verifier's verdict
`score`         a scorer's verdict: the score, the scores that it is made of, the reason, the cost; for an equal answer
                that got it without being asked about, `scorer` is empty and the cost is nothing
`tool`          a tool's result; `correction`: its failure, with the evidence that went back
`decision`      the solver's decision: accept, correct, sample, escalate, stop; `chosen` is the best candidate so far
`wind_down`     the plan was wound down to fit the room: less thought, fewer samples, the last word, the end
`spend`         the readings of the thread and of the run
`end`           how the run ended: `by`, `why`, and for a budget its `limit` and `account`; an answer that a verifier
                then sends back is followed by another one
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
    "score",
    "tool",
    "correction",
    "decision",
    "wind_down",
    "spend",
    "step",
    "report",
    "end",
]
EVENT_TYPES: tuple[str, ...] = get_args(EventType)


_listeners: list[Callable[[str, dict[str, Any]], None]] = []


def listen(listener: Callable[[str, dict[str, Any]], None]) -> Callable[[], None]:
    """Call `listener(type, data)` for every event of this process, streamed or not; the returned function stops it."""
    _listeners.append(listener)
    return lambda: _listeners.remove(listener)


def emit(type_: EventType, **data: Any) -> None:
    """Write an event to the stream of the running graph, if there is one, and tell the listeners."""
    for listener in _listeners:
        try:
            listener(type_, data)
        except Exception:  # a listener must not break the run
            logging.getLogger("rheostat").exception("a listener of events failed")
    try:
        write = get_stream_writer()
    except RuntimeError:
        return
    write({"type": type_, **data})
