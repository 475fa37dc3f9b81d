"""Rheostat: adaptive thinking under a hard budget, for LangGraph and LangChain."""

from rheostat.budget import Budget, Room
from rheostat.builders import SolverContext, build_solver
from rheostat.difficulty import Agreement, heuristic
from rheostat.effort import Difficulty, Effort, ThinkingPlan
from rheostat.errors import (
    BadInput,
    BudgetExceeded,
    BudgetInvalid,
    HoldExceeded,
    LedgerError,
    LedgerUnavailable,
    LocalModelError,
    LooseLimit,
    MissingExtra,
    ModelFileCorrupt,
    ModelUnknown,
    NoPrice,
    PullFailed,
    RheostatError,
    ServerFailed,
    VerifierInvalid,
)
from rheostat.ledger import (
    Account,
    Ledger,
    MemoryLedger,
    PostgresLedger,
    Reading,
    SQLiteLedger,
    Window,
    latest_reading,
    open_ledger,
)
from rheostat.meter import Meter
from rheostat.models import resolve
from rheostat.policy import Caps, Policy
from rheostat.pricing import FREE, Price
from rheostat.providers import Endpoint
from rheostat.usage import Spend
from rheostat.verifiers import (
    Exact,
    JsonSchema,
    Matches,
    MathsAnswer,
    PythonTests,
    Verdict,
    Verifier,
    as_verifier,
)

__all__ = [
    "FREE",
    "Account",
    "Agreement",
    "BadInput",
    "Budget",
    "BudgetExceeded",
    "BudgetInvalid",
    "Caps",
    "Difficulty",
    "Effort",
    "Endpoint",
    "Exact",
    "HoldExceeded",
    "JsonSchema",
    "Ledger",
    "LedgerError",
    "LedgerUnavailable",
    "LocalModelError",
    "LooseLimit",
    "Matches",
    "MathsAnswer",
    "MemoryLedger",
    "Meter",
    "MissingExtra",
    "ModelFileCorrupt",
    "ModelUnknown",
    "NoPrice",
    "Policy",
    "PostgresLedger",
    "Price",
    "PullFailed",
    "PythonTests",
    "Reading",
    "RheostatError",
    "Room",
    "SQLiteLedger",
    "ServerFailed",
    "SolverContext",
    "Spend",
    "ThinkingPlan",
    "Verdict",
    "Verifier",
    "VerifierInvalid",
    "Window",
    "as_verifier",
    "build_solver",
    "heuristic",
    "latest_reading",
    "open_ledger",
    "resolve",
]
