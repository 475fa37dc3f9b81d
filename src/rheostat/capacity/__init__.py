"""Capacity planning: how many GPUs, or which rate limits, users need whose model thinks.

In: demand (a ledger, a profile, a record of a benchmark, or assumed lengths) and a step table of the server. Out:
replicas, what binds, latencies and the cost of a correct answer; once in closed form, and once by simulation.
"""

from rheostat.errors import MissingExtra

try:
    import numpy as _numpy  # noqa: F401 - every module here needs it
except ImportError:
    raise MissingExtra("capacity planning", "capacity") from None

from rheostat.capacity.closed_form import ClosedForm, closed_form
from rheostat.capacity.demand import Demand, assumed
from rheostat.capacity.limits import Limits

from rheostat.capacity.table import StepTable, shipped_tables

__all__ = [
    "ClosedForm", "Demand", "Limits", "Outcome", "StepTable", "assumed", "closed_form", "shipped_tables", "simulate",
]  # fmt: skip
