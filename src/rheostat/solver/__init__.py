"""The solver's nodes, named for what they do: estimate, plan, hold, call, settle, verify, decide.

Each is a flow over (solver, state); `as_node` makes it a LangGraph node that runs sync and async. Nodes hold no state
of their own: everything that a resumed run needs is in the graph's state and in the ledger.
"""

from rheostat.solver.call import call, fan_out, hold, settle
from rheostat.solver.estimate import estimate
from rheostat.solver.judge import decide, verify
from rheostat.solver.plan import plan
from rheostat.solver.shared import Solver, as_node

__all__ = ["Solver", "as_node", "call", "decide", "estimate", "fan_out", "hold", "plan", "settle", "verify"]
