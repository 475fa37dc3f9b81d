"""What a running graph tells on its `custom` stream: plain dicts, each with a `type`.

`difficulty`, `wind_down`, `plan`, `hold`, `sample`, `verdict`, `decision`, `spend`. Read them by
`graph.stream(inputs, stream_mode="custom")`; they cost nothing when nobody listens.
"""

from __future__ import annotations

from typing import Any

from langgraph.config import get_stream_writer

__all__ = ["emit"]


def emit(type_: str, **data: Any) -> None:
    """Write an event to the stream of the running graph."""
    get_stream_writer()({"type": type_, **data})
