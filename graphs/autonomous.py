"""A long task as a service: lays out steps, gives each an allowance, asks a human at 50 % and 80 % of the budget.

Environment: `RHEOSTAT_MODEL`, `RHEOSTAT_USD`, `RHEOSTAT_TOKENS`, `RHEOSTAT_SECONDS` as in `solver.py`;
`RHEOSTAT_FILES`: a directory that the agent may read and change.
"""

import os

from rheostat import Budget, build_autonomous
from rheostat_tools import Workspace, calculator, python_tool

files = os.environ.get("RHEOSTAT_FILES")

graph = build_autonomous(
    os.environ.get("RHEOSTAT_MODEL", "qwen2.5-coder-0.5b"),
    [calculator(), python_tool(), *(Workspace(files).tools() if files else [])],
    budget=Budget(
        usd=os.environ.get("RHEOSTAT_USD"),
        tokens=int(os.environ.get("RHEOSTAT_TOKENS", "200000")),
        seconds=float(os.environ.get("RHEOSTAT_SECONDS", "1800")),
    ),
    check_in=(0.5, 0.8),
).compile()
