"""The solver's nodes, named as the verbs: estimate, plan, hold, call, settle, verify, decide.

Each is a flow over (solver, state); `as_node` makes a LangGraph node of it that runs sync and async. They hold no
state of their own: everything that a resumed run needs is in the graph's state and in the ledger.
"""

from rheostat.nodes.call import call, fan_out, hold, settle
from rheostat.nodes.estimate import estimate
from rheostat.nodes.judge import decide, verify
from rheostat.nodes.plan import plan
from rheostat.nodes.solver import Solver, as_node

__all__ = ["Solver", "as_node", "call", "decide", "estimate", "fan_out", "hold", "plan", "settle", "verify"]
