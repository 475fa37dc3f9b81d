"""Capacity planning: how many GPUs, or which rate limits, users need whose model thinks.

In: demand (a ledger, a profile, a record of a benchmark, or assumed lengths) and a step table of the server. Out:
replicas, what binds, latencies and the cost of a correct answer; once in closed form, and once by simulation.
"""

from rheostat.errors import MissingExtra

try:
    import numpy as _numpy  # noqa: F401 - every module here needs it
except ImportError:
    raise MissingExtra("capacity planning", "capacity") from None

from rheostat.capacity.calibrate import acalibrate, calibrate
from rheostat.capacity.closed_form import ClosedForm, closed_form
from rheostat.capacity.demand import Demand, assumed, mixed
from rheostat.capacity.hosted import HostedOutcome, RateLimits, serve_hosted
from rheostat.capacity.limits import Limits
from rheostat.capacity.plan import Plan, PolicyPlan, make_plan
from rheostat.capacity.simulate import Outcome, replay, simulate
from rheostat.capacity.sources import from_bench, from_ledger, from_profile, from_text
from rheostat.capacity.table import StepTable, shipped_tables
from rheostat.capacity.traffic import Traffic

__all__ = [
    "ClosedForm", "Demand", "HostedOutcome", "Limits", "Outcome", "Plan", "PolicyPlan", "RateLimits", "StepTable",
    "Traffic", "acalibrate", "assumed", "calibrate", "closed_form", "from_bench", "from_ledger", "from_profile",
    "from_text", "make_plan", "mixed", "replay", "serve_hosted", "shipped_tables", "simulate",
]  # fmt: skip
