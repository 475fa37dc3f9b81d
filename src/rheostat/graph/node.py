"""A flow as a LangGraph node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig

from rheostat.flow import Flow, adrive, drive

__all__ = ["FlowNode"]


class FlowNode(Runnable[Any, dict[str, Any]]):
    """A node that runs sync and async.

    LangGraph sets a node's context and traces it. A `RunnableLambda` would do both once more, which takes a third of
    the time of a solver's round.

    Args:
        name: The node's name, for use in a chain.
        flow: Makes an update of the state from the state.
    """

    def __init__(self, name: str, flow: Callable[[Any], Flow[dict[str, Any]]]) -> None:
        self.name, self._flow = name, flow

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """Run the flow, blocking."""
        return drive(self._flow(input))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """Run the flow on the event loop."""
        return await adrive(self._flow(input))
