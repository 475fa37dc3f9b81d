"""The effect of length caps learned from use: `python -m rheostat.bench.clamps [FILE.csv [COLUMN]]`.

Without a file: the effort level and the length cap that an agent's first step gets under small budgets, with the
constants of the dials and with clamps. Nothing is sent. With a file of recorded steps (a row each, output tokens in
`COLUMN`): the hold of each step under a cap learned from the steps before it, compared with fixed caps.
"""

from __future__ import annotations

import csv
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from rich.console import Console
from rich.table import Table

from rheostat.calling.step import Stepper
from rheostat.errors import BudgetExceeded
from rheostat.flow import drive
from rheostat.models import resolve
from rheostat.money.budget import Budget
from rheostat.money.ledger import Account, MemoryLedger, StepRecord
from rheostat.providers import Endpoint
from rheostat.task import Effort, ThinkingPlan
from rheostat.thinking.clamps import Clamps

__all__ = ["levels", "main", "replayed"]

MODELS = (
    "anthropic:claude-opus-4-8", "anthropic:claude-sonnet-5", "anthropic:claude-haiku-4-5", "openai:gpt-5.1",
    "openai:gpt-5.1-codex-mini", "openai:gpt-6-sol", "google_genai:gemini-3.6-flash",
)  # fmt: skip
BUDGETS = ("0.01", "0.05", "0.20")
QUESTION = "Fix the failing test in this repository: find the cause first, then change as little as possible."
_CONSTANTS = (1_024, 2_048, 4_096, 8_192, 12_288, 20_480)


@tool
def bash(command: str) -> str:
    """Run a command in the repository and return what it prints."""
    return command


def _with_constants(endpoint: Endpoint) -> Endpoint:
    endpoint.dial.facts = replace(endpoint.dial.facts, clamped=False)
    return endpoint


def levels(model: str, usd: str, *, clamped: bool) -> str:
    """Level, length cap and hold (dollars) of an agent's first step at medium effort; `refused` if it doesn't fit."""
    endpoint = resolve(model) if clamped else _with_constants(resolve(model))
    ledger = MemoryLedger()
    budget = Budget(usd=usd)
    ledger.open(Account("a", budget))
    stepper = Stepper.read(
        budget=budget, models=lambda: [endpoint], ledger=ledger, gate=False, effort=Effort.medium.value
    )
    try:
        ready = drive(stepper.ready("a", [HumanMessage(QUESTION)], {"tools": [convert_to_openai_tool(bash)]}))
    except BudgetExceeded:
        return "refused"
    held = sum(reservation.amount.usd_nanos or 0 for reservation in ready.held) / 1e9
    cap = max(settings.max_output_tokens for _, settings in ready.phases)
    last = ", last word" if ready.last_word else ""
    return f"{ready.plan.effort.value} @ {cap:,} (${held:.3f}{last})"


def replayed(used_tokens: Sequence[int]) -> Iterator[tuple[int, bool]]:
    """For each step in order: the output tokens that it would have held, and whether its reply would have been cut."""
    ledger = MemoryLedger()
    plan = ThinkingPlan(effort=Effort.medium, thinking_tokens=8_192, answer_tokens=4_096, purpose="step", model="m")
    for number, used in enumerate(used_tokens):
        if number % 50 == 0:
            clamps = Clamps("m", ledger.uses("m"))
        most = clamps.on(plan).max_output_tokens
        cut = used > most
        yield most, cut
        spent = {"output_tokens": min(used, most), "input_tokens": 1, "calls": 1}
        ledger.record(
            StepRecord.from_dict(
                {
                    "id": str(number),
                    "account": "a",
                    "at_ms": number,
                    "model": "m",
                    "effort_planned": "medium",
                    "purpose": "step",
                    "starved": cut,
                    "most_output_tokens": most,
                    "requests": [{"spend": spent}],
                }
            )
        )


def _quantile(values: Sequence[int], share: float) -> int:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _replay(path: Path, column: str) -> Table:
    with path.open(newline="") as file:
        used = [int(row[column]) for row in csv.DictReader(file)]
    p99 = _quantile(used, 0.99)
    quantiles = ", ".join(f"p{100 * share:g} {_quantile(used, share):,}" for share in (0.5, 0.95, 0.99, 0.999))
    table = Table("cap", "median hold", "hold / p99 of use", "replies cut", title=f"{len(used):,} steps: {quantiles}")
    found = list(replayed(used))
    holds = statistics.median(most for most, _ in found)
    starved = sum(cut for _, cut in found) / len(found)
    table.add_row("learned from use", f"{holds:,.0f}", f"{holds / p99:.2f}", f"{starved:.2%}")
    for most in _CONSTANTS:
        cut = sum(tokens > most for tokens in used) / len(used)
        table.add_row(f"always {most:,}", f"{most:,}", f"{most / p99:.2f}", f"{cut:.2%}")
    return table


def _levels() -> Table:
    table = Table("model", "", *(f"${usd}" for usd in BUDGETS), title="an agent's first step, medium effort asked for")
    for model in MODELS:
        for name, clamped in (("constants", False), ("clamps", True)):
            table.add_row(model, name, *(levels(model, usd, clamped=clamped) for usd in BUDGETS))
    return table


def main(args: Sequence[str]) -> None:
    """Print the table of recorded steps if a file is given, else the table of levels."""
    Console(width=150).print(_replay(Path(args[0]), args[1] if len(args) > 1 else "completion") if args else _levels())


if __name__ == "__main__":
    main(sys.argv[1:])
