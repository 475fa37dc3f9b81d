"""Length caps learned from use: the length cap that is sent *is* the amount that must be held.

If a level is only a name, its tokens are room in the length cap. The cap is then 1.5 times the 99th percentile of the
tokens that this model's replies use at this level and for this purpose, as counted by the ledger. Below 200 calls it
comes from a table of agents' steps by model family; a model without a row keeps the constants of its dial. (If a level
is a number of tokens that the server enforces, that number is kept.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rheostat.money.ledger import Use, UseKey
from rheostat.task import Effort, ThinkingPlan

__all__ = ["LEAST_CALLS", "MARGIN", "SHARE", "Clamps"]

SHARE, MARGIN, LEAST_CALLS = 0.99, 1.5, 200
"""The length cap is `MARGIN` times the quantile `SHARE` of at least `LEAST_CALLS` calls. On 10,222 steps of a coding
agent, that cut 0.24 % of the replies (docs/benchmarks.md)."""
_FLOOR_TOKENS = {"step": 2_048}
_OTHER_FLOOR_TOKENS = 1_024
"""The smallest length cap while there is room: a long report after many short tool calls must not be cut."""
_LEAST_TOKENS = 1_024
"""A shorter length cap isn't worth a thought."""
_SHORTER = (0.75, 0.5, 1 / 3)
"""The shares of a length cap that are tried if room is short, before the level is lowered. A third of it is about the
95th percentile."""

_STEPS: tuple[tuple[re.Pattern[str], dict[Effort, int]], ...] = tuple(
    (re.compile(pattern), {Effort(level): tokens for level, tokens in row.items()})
    for pattern, row in (
        (r"gpt-\d[\w.]*-nano", {"low": 21_500, "medium": 33_200, "high": 37_700}),
        (r"gpt-\d[\w.]*-mini", {"low": 4_200, "medium": 4_500, "high": 16_900}),
        (r"gpt-oss", {"medium": 4_100}),
        (r"gpt-\d", {"low": 8_800, "medium": 10_600, "high": 17_700}),
        (r"\bo\d", {"medium": 7_800}),
        (r"claude", {"low": 4_100, "medium": 5_700, "high": 8_200}),
        (r"gemini-[3-9]", {"low": 8_100, "high": 8_100}),
        (r"grok", {"low": 7_800, "high": 16_800}),
        (r"deepseek", {"high": 17_700}),
    )
)
"""Output tokens of an agent's step, by a pattern of the model's name and by level: twice the 99th percentile of the
mean per step of a run (MCPMark's published runs, 2025: 127 tasks, up to 220 runs per model; Claude's `high` and values
between two rows are our estimates). Each level above the highest known one takes twice as much."""


@dataclass(frozen=True, slots=True)
class Clamps:
    """The length caps of one model."""

    model: str
    uses: Mapping[UseKey, Use]
    """The uses as counted by the ledger."""
    own_tokens: int | None = None
    """The user's own `max_tokens`, which is the length cap and is lowered only if room is short."""

    @property
    def too_short_to_think(self) -> bool:
        """Whether the user's own cap leaves no room for a thought."""
        return self.own_tokens is not None and self.own_tokens < _LEAST_TOKENS

    def tokens(self, effort: Effort, purpose: str) -> tuple[int, str] | None:
        """(length cap in tokens, thinking included; reason) at a level and for a purpose; `None`: nothing is known."""
        use = self.uses.get((self.model, effort.value, purpose))
        floor = _FLOOR_TOKENS.get(purpose, _OTHER_FLOOR_TOKENS)
        if use is not None and use.calls >= LEAST_CALLS:
            quantile = use.quantile(SHARE)
            return max(floor, int(MARGIN * quantile)), f"99 % of {use.calls:,} replies took {quantile:,} or less"
        listed = _listed(self.model, effort) if purpose == "step" and effort != Effort.none else None
        return None if listed is None else (max(floor, listed), "what steps of such models take")

    def on(self, plan: ThinkingPlan, *, widened: bool = False, short: bool = False) -> ThinkingPlan:
        """The plan with its length cap.

        Args:
            widened: The last reply reached its length cap, so the cap is doubled once.
            short: Room is short, so a cap below the user's own `max_tokens` may apply.
        """
        most, why = self.tokens(plan.effort, plan.purpose) or (plan.max_output_tokens, "the room of its level")
        if self.own_tokens is not None and (not short or self.own_tokens < most):
            most, why, widened = self.own_tokens, "the max_tokens that was set", False
        if widened:
            most, why = 2 * most, f"{why}; the last reply ran out of it: twice that"
        clamped = _cut(plan, most)
        if clamped.max_output_tokens == plan.max_output_tokens and not widened:
            return plan
        return clamped.because(f"at most {clamped.max_output_tokens:,} tokens of output: {why}", widened=widened)

    def shorter(self, plan: ThinkingPlan) -> Iterator[ThinkingPlan]:
        """Variants of a plan with ever shorter length caps at the same level, for short room."""
        usual = plan.max_output_tokens
        if self.own_tokens is not None and usual == self.own_tokens:
            found = self.tokens(plan.effort, plan.purpose)
            usual = min(usual, found[0]) if found else usual
        for share in (1.0, *_SHORTER):
            smaller = _cut(plan, int(usual * share))
            if plan.thinking_tokens and _LEAST_TOKENS <= smaller.max_output_tokens < plan.max_output_tokens:
                yield smaller.because(
                    f"the room allows {smaller.max_output_tokens:,} tokens of output at {plan.effort.value}",
                    by="budget",
                )


def _cut(plan: ThinkingPlan, most_output_tokens: int) -> ThinkingPlan:
    answer: int = min(plan.answer_tokens, most_output_tokens)
    thinking = 0
    if plan.thinking_tokens:
        answer = max(1, min(answer, most_output_tokens // 2))
        thinking = max(1, most_output_tokens - answer)
    return plan.sized(thinking, answer)


def _listed(model: str, effort: Effort) -> int | None:
    row = next((row for pattern, row in _STEPS if pattern.search(model)), None)
    if row is None:
        return None
    at = [level for level in row if level <= effort]
    if not at:
        return row[min(row, key=lambda level: level.rank)]
    highest = max(at, key=lambda level: level.rank)
    between = any(level > effort for level in row)
    return row[highest] if between else row[highest] * (1 << (effort.rank - highest.rank))
