"""What LangGraph's states, threads and streams know of us. From here on LangGraph is imported.

In: a running graph. Out: one state key (`rheostat`), events, and whose account pays. It never plans or sends.
"""

from rheostat.graph.state import RheostatState, legacy, merge, read

__all__ = ["RheostatState", "legacy", "merge", "read"]
