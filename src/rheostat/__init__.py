"""Rheostat: adaptive thinking under a hard budget, for LangGraph and LangChain."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rheostat import _moved

if TYPE_CHECKING:
    from rheostat.agents.autonomous import build_autonomous
    from rheostat.agents.coder import build_coder
    from rheostat.agents.final import FinalAnswer
    from rheostat.agents.middleware import AdaptiveThinking
    from rheostat.agents.nodes import AgentNodes, build_agent
    from rheostat.agents.tools import terms
    from rheostat.calling.instrument import install_gate, remove_gate
    from rheostat.calling.meter import Meter
    from rheostat.chat_model import ThinkingChatModel
    from rheostat.errors import (
        BadInput,
        BudgetExceeded,
        BudgetInvalid,
        ContextFull,
        HoldExceeded,
        LedgerError,
        LedgerUnavailable,
        LimitWarning,
        LocalModelError,
        MissingExtra,
        ModelFileCorrupt,
        ModelUnknown,
        NoPrice,
        ProviderFailed,
        PullFailed,
        RheostatError,
        SandboxMissing,
        ServerFailed,
        SettingWarning,
        VerifierInvalid,
    )
    from rheostat.evidence.answers import Answer, read_answer
    from rheostat.evidence.candidate import Candidate
    from rheostat.evidence.equality import compatible, same
    from rheostat.evidence.forms import Form
    from rheostat.evidence.scorers import Confidence, Judge, OutcomeReward, ProcessReward, Scorer
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
    from rheostat.judgement.policy import Caps, Policy
    from rheostat.judgement.schedule import Pacing
    from rheostat.models import resolve
    from rheostat.money.budget import Budget, Room
    from rheostat.money.ledger import (
        Account,
        Ledger,
        MemoryLedger,
        PostgresLedger,
        Rate,
        Reading,
        SQLiteLedger,
        Window,
        latest_reading,
        open_ledger,
    )
    from rheostat.money.pricing import FREE, Price
    from rheostat.money.usage import Spend, usd
    from rheostat.providers import Endpoint, endpoint_for
    from rheostat.solver.build import SolverContext, build_solver
    from rheostat.strategies import (
        Accept,
        Beam,
        BestOfN,
        Direct,
        Draw,
        Refine,
        Stop,
        Strategy,
        TreeSearch,
        View,
        Vote,
    )
    from rheostat.task import Difficulty, Effort, Task, ThinkingPlan
    from rheostat.thinking.difficulty import Agreement, heuristic

__all__ = [
    "FREE",
    "Accept",
    "Account",
    "AdaptiveThinking",
    "AgentNodes",
    "Agreement",
    "Answer",
    "BadInput",
    "Beam",
    "BestOfN",
    "Budget",
    "BudgetExceeded",
    "BudgetInvalid",
    "Candidate",
    "Caps",
    "Confidence",
    "ContextFull",
    "Difficulty",
    "Direct",
    "Draw",
    "Effort",
    "Endpoint",
    "Exact",
    "FinalAnswer",
    "Form",
    "HoldExceeded",
    "JsonSchema",
    "Judge",
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
    "OutcomeReward",
    "Pacing",
    "Policy",
    "PostgresLedger",
    "Price",
    "ProcessReward",
    "ProviderFailed",
    "PullFailed",
    "PythonTests",
    "Rate",
    "Reading",
    "Refine",
    "RheostatError",
    "RheostatState",
    "Room",
    "SQLiteLedger",
    "SandboxMissing",
    "Scorer",
    "ServerFailed",
    "SettingWarning",
    "SolverContext",
    "Spend",
    "Stop",
    "Strategy",
    "Task",
    "ThinkingChatModel",
    "ThinkingPlan",
    "TreeSearch",
    "Verdict",
    "Verifier",
    "VerifierInvalid",
    "View",
    "Vote",
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
    "rheostat.agents.nodes": (
        "AgentNodes",
        "build_agent",
    ),
    "rheostat.agents.autonomous": ("build_autonomous",),
    "rheostat.money.budget": (
        "Budget",
        "Room",
    ),
    "rheostat.solver.build": (
        "SolverContext",
        "build_solver",
    ),
    "rheostat.calling.instrument": (
        "install_gate",
        "remove_gate",
    ),
    "rheostat.chat_model": ("ThinkingChatModel",),
    "rheostat.agents.coder": ("build_coder",),
    "rheostat.thinking.difficulty": (
        "Agreement",
        "heuristic",
    ),
    "rheostat.task": (
        "Difficulty",
        "Effort",
        "Task",
        "ThinkingPlan",
    ),
    "rheostat.strategies": (
        "Accept",
        "Beam",
        "BestOfN",
        "Direct",
        "Draw",
        "Refine",
        "Stop",
        "Strategy",
        "TreeSearch",
        "View",
        "Vote",
    ),
    "rheostat.evidence.candidate": ("Candidate",),
    "rheostat.evidence.scorers": (
        "Confidence",
        "Judge",
        "OutcomeReward",
        "ProcessReward",
        "Scorer",
    ),
    "rheostat.errors": (
        "BadInput",
        "BudgetExceeded",
        "BudgetInvalid",
        "ContextFull",
        "HoldExceeded",
        "LedgerError",
        "LedgerUnavailable",
        "LocalModelError",
        "LimitWarning",
        "MissingExtra",
        "ModelFileCorrupt",
        "ModelUnknown",
        "NoPrice",
        "ProviderFailed",
        "PullFailed",
        "RheostatError",
        "SandboxMissing",
        "ServerFailed",
        "SettingWarning",
        "VerifierInvalid",
    ),
    "rheostat.graph.state": ("RheostatState", "read"),
    "rheostat.money.ledger": (
        "Account",
        "Ledger",
        "MemoryLedger",
        "PostgresLedger",
        "Rate",
        "Reading",
        "SQLiteLedger",
        "Window",
        "latest_reading",
        "open_ledger",
    ),
    "rheostat.calling.meter": ("Meter",),
    "rheostat.agents.middleware": ("AdaptiveThinking",),
    "rheostat.agents.final": ("FinalAnswer",),
    "rheostat.models": ("resolve",),
    "rheostat.judgement.schedule": ("Pacing",),
    "rheostat.judgement.policy": (
        "Caps",
        "Policy",
    ),
    "rheostat.money.pricing": (
        "FREE",
        "Price",
    ),
    "rheostat.providers": (
        "Endpoint",
        "endpoint_for",
    ),
    "rheostat.agents.tools": ("terms",),
    "rheostat.money.usage": (
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


_moved.install()


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'rheostat' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_ROOM_OF[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
