"""An agent with general tools as a service: `langgraph dev` serves it.

Environment: `RHEOSTAT_MODEL`, `RHEOSTAT_USD`, `RHEOSTAT_TOKENS`, `RHEOSTAT_SECONDS` as in `solver.py`;
`RHEOSTAT_FILES`: a directory that the agent may read and change.
"""

import os

from rheostat import Budget, build_agent
from rheostat_tools import Workspace, calculator, python_tool

files = os.environ.get("RHEOSTAT_FILES")

graph = build_agent(
    os.environ.get("RHEOSTAT_MODEL", "qwen2.5-coder-0.5b"),
    [calculator(), python_tool(), *(Workspace(files).tools() if files else [])],
    budget=Budget(
        usd=os.environ.get("RHEOSTAT_USD"),
        tokens=int(os.environ.get("RHEOSTAT_TOKENS", "60000")),
        seconds=float(os.environ.get("RHEOSTAT_SECONDS", "300")),
    ),
).compile()
