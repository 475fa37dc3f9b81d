"""The link to LangGraph's states, threads and streams. From this wing upwards, LangGraph is imported.

In: a running graph. Out: one state key (`rheostat`), events, and the account that pays. This wing never plans or sends.
"""

from rheostat.graph.state import RheostatState, legacy, merge, read

__all__ = ["RheostatState", "legacy", "merge", "read"]
