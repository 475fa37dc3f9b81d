"""Metrics of requests, tools and runs: those of the semantic conventions, and ours in money.

Their names and units are listed in docs/how-to/tracing.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from opentelemetry.metrics import Meter

from rheostat.calling.payer import Attempt, Payer
from rheostat.calling.watch import Work
from rheostat.errors import BudgetExceeded
from rheostat.money.usage import Spend
from rheostat.report.attributes import asked_by, error_type, word

__all__ = ["Metrics"]

_SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
_TOKENS = [4**power for power in range(14)]
_SHARES = [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
"""The buckets: the first two as the conventions ask."""


class Metrics:
    """Measures all work that ends."""

    def __init__(self, meter: Meter) -> None:
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "GenAI operation duration.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._tool = meter.create_histogram(
            "gen_ai.execute_tool.duration",
            "s",
            "Duration of a tool execution.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._thinking = meter.create_counter(
            "rheostat.thinking_tokens", "{token}", "Thinking tokens of settled calls."
        )
        self._money = meter.create_counter(
            "rheostat.usd_nanos", "{nanodollar}", "Settled cost, in billionths of a dollar."
        )
        self._unknown = meter.create_counter(
            "rheostat.unknown.usd_nanos",
            "{nanodollar}",
            "Charged while the cost is unknown, in billionths of a dollar.",
        )
        self._held = meter.create_up_down_counter(
            "rheostat.held.usd_nanos", "{nanodollar}", "Held for requests in flight, in billionths of a dollar."
        )
        self._held_tokens = meter.create_up_down_counter(
            "rheostat.held.tokens", "{token}", "Tokens held for requests in flight."
        )
        self._share = meter.create_histogram(
            "rheostat.hold.used",
            "1",
            "The part of its hold that a settled request used: of the money, or of the tokens without a price.",
            explicit_bucket_boundaries_advisory=_SHARES,
        )
        self._refusals = meter.create_counter("rheostat.refusals", "{refusal}", "Calls that a budget refused.")
        self._waited = meter.create_histogram(
            "rheostat.wait.duration",
            "s",
            "How long a request waited for room that others held.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )

    def begun(self, work: Work) -> None:
        """Note when it began."""
        work.kept[self] = time.monotonic()

    def current(self, work: Work) -> Callable[[], None] | None:
        """Nothing is measured there."""
        return None

    def more(self, work: Work) -> None:
        """Measure the hold of a request that leaves."""
        self._hold(work.facts["held"], asked_by(work.facts["request"]), +1)

    def ended(self, work: Work) -> None:
        """Measure it."""
        seconds = time.monotonic() - work.kept[self]
        failed = {} if work.error is None else {"error.type": error_type(work.error)}
        if work.kind == "tool":
            self._tool.record(seconds, {"gen_ai.tool.name": word(work.name or "unknown"), **failed})
        elif work.kind == "payment" and work.facts.get("outcome") != "void":
            price: Spend = work.facts["price"]
            counter = self._money if work.facts["outcome"] == "settled" else self._unknown
            counter.add(price.usd_nanos or 0, {"gen_ai.operation.name": "execute_tool"})
        elif work.kind == "request":
            self._request(work, failed)

    def refused(self, limit: str) -> None:
        """Count a call that a budget refused."""
        self._refusals.add(1, {"rheostat.limit": limit})

    def _request(self, work: Work, failed: dict[str, Any]) -> None:
        attempt: Attempt = work.facts["attempt"]
        payer: Payer = work.facts["payer"]
        named = asked_by(work.facts["request"])
        if "admitted" not in work.facts:
            if isinstance(work.error, BudgetExceeded):
                self.refused(work.error.limit)
            return
        late = work.facts.get("late", False)
        if not late:
            self._hold(work.facts["held"], named, -1)
            self._waited.record(work.facts["admitted"] - attempt.started, named)
        if work.facts["outcome"] == "void":
            return
        if attempt.answered:
            named["gen_ai.response.model"] = word(attempt.answered)
        if not late:
            self._duration.record(time.monotonic() - work.facts["admitted"], {**named, **failed})
        if attempt.spend is not None:
            self._settled(work.facts["held"], attempt.spend, named, payer)
        elif attempt.charged is not None:
            self._unknown.add(attempt.charged.usd_nanos or 0, named)

    def _settled(self, held: Spend, spend: Spend, named: dict[str, Any], payer: Payer) -> None:
        if spend.tokens:
            self._tokens.record(spend.input_tokens, {**named, "gen_ai.token.type": "input"})
            self._tokens.record(spend.output_tokens, {**named, "gen_ai.token.type": "output"})
        effort = payer.call.about.get("effort_planned", "") if payer.call is not None else ""
        self._thinking.add(spend.thinking_tokens or 0, {**named, "rheostat.effort": effort})
        self._money.add(spend.usd_nanos or 0, named)
        used, most = (spend.usd_nanos, held.usd_nanos) if held.usd_nanos else (spend.tokens, held.tokens)
        if spend.tokens and most and used is not None:
            self._share.record(used / most, named)

    def _hold(self, held: Spend, named: dict[str, Any], sign: int) -> None:
        self._held.add(sign * (held.usd_nanos or 0), named)
        self._held_tokens.add(sign * held.tokens, named)
