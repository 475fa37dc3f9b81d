"""A coder as a service: works on the repository at `RHEOSTAT_FILES` (default: `.`) until its tests pass.

Environment: `RHEOSTAT_MODEL`, `RHEOSTAT_USD`, `RHEOSTAT_TOKENS`, `RHEOSTAT_SECONDS` as in `solver.py`.
"""

import os

from rheostat import Budget, build_coder

graph = build_coder(
    os.environ.get("RHEOSTAT_MODEL", "qwen2.5-coder-0.5b"),
    os.environ.get("RHEOSTAT_FILES", "."),
    budget=Budget(
        usd=os.environ.get("RHEOSTAT_USD"),
        tokens=int(os.environ.get("RHEOSTAT_TOKENS", "100000")),
        seconds=float(os.environ.get("RHEOSTAT_SECONDS", "600")),
    ),
).compile()
