"""Rheostat: adaptive thinking under a hard budget, for LangGraph and LangChain."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rheostat.agent_nodes import AgentNodes, build_agent
    from rheostat.autonomous import build_autonomous
    from rheostat.budget import Budget, Room
    from rheostat.builders import SolverContext, build_solver
    from rheostat.calling.instrument import install_gate, remove_gate
    from rheostat.chat_model import ThinkingChatModel
    from rheostat.coder import build_coder
    from rheostat.difficulty import Agreement, heuristic
    from rheostat.effort import Difficulty, Effort, ThinkingPlan
    from rheostat.errors import (
        BadInput,
        BudgetExceeded,
        BudgetInvalid,
        HoldExceeded,
        LedgerError,
        LedgerUnavailable,
        LimitWarning,
        LocalModelError,
        MissingExtra,
        ModelFileCorrupt,
        ModelUnknown,
        NoPrice,
        PullFailed,
        RheostatError,
        SandboxMissing,
        ServerFailed,
        SettingWarning,
        VerifierInvalid,
    )
    from rheostat.evidence.answers import Answer, read_answer
    from rheostat.evidence.equality import compatible, same
    from rheostat.evidence.forms import Form
    from rheostat.evidence.verifiers import (
        Exact,
        JsonSchema,
        Matches,
        MathsAnswer,
        PythonTests,
        Verdict,
        Verifier,
        as_verifier,
    )
    from rheostat.graph.state import RheostatState, read
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
    from rheostat.middleware import AdaptiveThinking
    from rheostat.models import resolve
    from rheostat.pacing import Pacing
    from rheostat.policy import Caps, Policy
    from rheostat.pricing import FREE, Price
    from rheostat.providers import Endpoint, endpoint_for
    from rheostat.toolcalls import terms
    from rheostat.usage import Spend, usd

__all__ = [
    "FREE",
    "Account",
    "AdaptiveThinking",
    "AgentNodes",
    "Agreement",
    "Answer",
    "BadInput",
    "Budget",
    "BudgetExceeded",
    "BudgetInvalid",
    "Caps",
    "Difficulty",
    "Effort",
    "Endpoint",
    "Exact",
    "Form",
    "HoldExceeded",
    "JsonSchema",
    "Ledger",
    "LedgerError",
    "LedgerUnavailable",
    "LimitWarning",
    "LocalModelError",
    "Matches",
    "MathsAnswer",
    "MemoryLedger",
    "Meter",
    "MissingExtra",
    "ModelFileCorrupt",
    "ModelUnknown",
    "NoPrice",
    "Pacing",
    "Policy",
    "PostgresLedger",
    "Price",
    "PullFailed",
    "PythonTests",
    "Reading",
    "RheostatError",
    "RheostatState",
    "Room",
    "SQLiteLedger",
    "SandboxMissing",
    "ServerFailed",
    "SettingWarning",
    "SolverContext",
    "Spend",
    "ThinkingChatModel",
    "ThinkingPlan",
    "Verdict",
    "Verifier",
    "VerifierInvalid",
    "Window",
    "as_verifier",
    "build_agent",
    "build_autonomous",
    "build_coder",
    "build_solver",
    "compatible",
    "endpoint_for",
    "heuristic",
    "install_gate",
    "latest_reading",
    "open_ledger",
    "read",
    "read_answer",
    "remove_gate",
    "resolve",
    "same",
    "terms",
    "usd",
]

_ROOMS = {
    "rheostat.agent_nodes": (
        "AgentNodes",
        "build_agent",
    ),
    "rheostat.autonomous": ("build_autonomous",),
    "rheostat.budget": (
        "Budget",
        "Room",
    ),
    "rheostat.builders": (
        "SolverContext",
        "build_solver",
    ),
    "rheostat.calling.instrument": (
        "install_gate",
        "remove_gate",
    ),
    "rheostat.chat_model": ("ThinkingChatModel",),
    "rheostat.coder": ("build_coder",),
    "rheostat.difficulty": (
        "Agreement",
        "heuristic",
    ),
    "rheostat.effort": (
        "Difficulty",
        "Effort",
        "ThinkingPlan",
    ),
    "rheostat.errors": (
        "BadInput",
        "BudgetExceeded",
        "BudgetInvalid",
        "HoldExceeded",
        "LedgerError",
        "LedgerUnavailable",
        "LocalModelError",
        "LimitWarning",
        "MissingExtra",
        "ModelFileCorrupt",
        "ModelUnknown",
        "NoPrice",
        "PullFailed",
        "RheostatError",
        "SandboxMissing",
        "ServerFailed",
        "SettingWarning",
        "SettingWarning",
        "VerifierInvalid",
    ),
    "rheostat.graph.state": ("RheostatState", "read"),
    "rheostat.ledger": (
        "Account",
        "Ledger",
        "MemoryLedger",
        "PostgresLedger",
        "Reading",
        "SQLiteLedger",
        "Window",
        "latest_reading",
        "open_ledger",
    ),
    "rheostat.meter": ("Meter",),
    "rheostat.middleware": ("AdaptiveThinking",),
    "rheostat.models": ("resolve",),
    "rheostat.pacing": ("Pacing",),
    "rheostat.policy": (
        "Caps",
        "Policy",
    ),
    "rheostat.pricing": (
        "FREE",
        "Price",
    ),
    "rheostat.providers": (
        "Endpoint",
        "endpoint_for",
    ),
    "rheostat.toolcalls": ("terms",),
    "rheostat.usage": (
        "Spend",
        "usd",
    ),
    "rheostat.evidence.answers": ("Answer", "read_answer"),
    "rheostat.evidence.equality": ("compatible", "same"),
    "rheostat.evidence.forms": ("Form",),
    "rheostat.evidence.verifiers": (
        "Exact",
        "JsonSchema",
        "Matches",
        "MathsAnswer",
        "PythonTests",
        "Verdict",
        "Verifier",
        "as_verifier",
    ),
}
"""Where each name lives. Loaded when it is first asked for: a ledger needs neither LangGraph nor an SDK."""
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'rheostat' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_ROOM_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
