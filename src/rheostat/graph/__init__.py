"""What LangGraph's states know of us."""

from rheostat.graph.state import RheostatState, legacy, merge, read

__all__ = ["RheostatState", "legacy", "merge", "read"]
