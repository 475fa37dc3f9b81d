"""A flow as a LangGraph node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig

from rheostat.flow import Flow, adrive, drive

__all__ = ["FlowNode"]


class FlowNode(Runnable[Any, dict[str, Any]]):
    """A node that runs sync and async. LangGraph sets the context of a node and traces it: a `RunnableLambda` would do
    both once more, which takes a third of a round of the solver.

    Args:
        name: Of the node, for who uses it in a chain.
        flow: From the state to an update of it.
    """

    def __init__(self, name: str, flow: Callable[[Any], Flow[dict[str, Any]]]) -> None:
        self.name, self._flow = name, flow

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """Drive it blocking."""
        return drive(self._flow(input))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """Drive it on the event loop."""
        return await adrive(self._flow(input))
