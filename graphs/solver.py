"""The solver as a service: `langgraph dev` serves it, `langgraph.json` lists it.

Environment: `RHEOSTAT_MODEL` (default: the embedded model), `RHEOSTAT_USD`, `RHEOSTAT_TOKENS` and
`RHEOSTAT_SECONDS` (the budget of each run; default 20,000 tokens and 180 seconds).
"""

import os

from rheostat import Budget, build_solver

tokens = os.environ.get("RHEOSTAT_TOKENS", "20000")
seconds = os.environ.get("RHEOSTAT_SECONDS", "180")

graph = build_solver(
    os.environ.get("RHEOSTAT_MODEL", "qwen2.5-coder-0.5b"),
    budget=Budget(usd=os.environ.get("RHEOSTAT_USD"), tokens=int(tokens), seconds=float(seconds)),
).compile()
