"""What users ask for, as arrays: the calls of each task, their tokens, and whether the answer was right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rheostat.errors import BadInput

__all__ = ["Counts", "Demand", "Moments", "Reals", "assumed", "mixed"]

Counts: TypeAlias = NDArray[np.int64]
Reals: TypeAlias = NDArray[np.float64]
_Z99: Final = NormalDist().inv_cdf(0.99)
_MOST_TOKENS: Final = 10**8


@dataclass(frozen=True, slots=True)
class Moments:
    """Means over the calls of a demand, which the closed form needs. L: output tokens; I: input tokens of a call."""

    calls: float
    """Calls of a task."""
    input_tokens: float
    """E[I]."""
    output_tokens: float
    """E[L]."""
    token_steps: float
    """E[I·L] + E[L²]/2: the KV tokens of a call, summed over its steps."""

    @property
    def context_tokens(self) -> float:
        """The mean context of a running request, at a random moment: long requests are met more often."""
        return self.token_steps / self.output_tokens


@dataclass(frozen=True)
class Demand:
    """Tasks to draw from, each with one call or several. Arrays over calls are sorted by task, then by stage."""

    label: str
    """The policy, level or setting."""
    task: Counts
    """The task of each call, from 0 and without gaps."""
    stage: Counts
    """Calls of one stage start together, the next stage when all of them are done. From 0, without gaps."""
    input_tokens: Counts
    output_tokens: Counts
    """What was generated, thinking included; at least 1."""
    gap_seconds: Reals
    """The pause before the call's stage: what tools and people take."""
    clamp_tokens: Counts
    """The length cap that was sent; 0: not known."""
    right: Reals
    """For each task: 1, 0, or P(right); NaN: not known."""
    usd: Reals
    """For each task: what it cost; NaN: not known."""
    notes: tuple[str, ...] = ()
    """What one should know: what was assumed or left out."""

    def __post_init__(self) -> None:
        calls, tasks = len(self.task), len(self.right)
        lengths = {len(each) for each in (self.stage, self.input_tokens, self.output_tokens, self.gap_seconds)}
        if not calls or lengths != {calls} or len(self.clamp_tokens) != calls or len(self.usd) != tasks:
            raise BadInput(f"{self.label}: {calls} calls and {tasks} tasks: the arrays are empty, or differ in length")
        steps = np.diff(self.task)
        if self.task[0] != 0 or self.task[-1] != tasks - 1 or (len(steps) and not set(np.unique(steps)) <= {0, 1}):
            raise BadInput(f"{self.label}: tasks are numbered 0 to {tasks - 1}, in order, each with a call")
        starts, within = self.stage[np.r_[True, steps == 1]], np.diff(self.stage)[steps == 0]
        if starts.any() or (len(within) and not set(np.unique(within)) <= {0, 1}):
            raise BadInput(f"{self.label}: the stages of a task are numbered from 0, in order")
        for name, least in (("input_tokens", 0), ("output_tokens", 1), ("clamp_tokens", 0), ("gap_seconds", 0)):
            values = getattr(self, name)
            if not np.isfinite(values).all() or values.min() < least or values.max() > _MOST_TOKENS:
                raise BadInput(f"{self.label}: {name} are from {least} to {_MOST_TOKENS:,}")

    @property
    def tasks(self) -> int:
        """The number of tasks."""
        return len(self.right)

    @cached_property
    def moments(self) -> Moments:
        """What the closed form needs."""
        given, made = self.input_tokens.astype(float), self.output_tokens.astype(float)
        return Moments(
            calls=len(self.task) / self.tasks,
            input_tokens=float(given.mean()),
            output_tokens=float(made.mean()),
            token_steps=float((given * made).mean() + (made * made).mean() / 2),
        )

    @cached_property
    def p_right(self) -> float | None:
        """The share of right answers among the tasks where it is known; `None`: of no task."""
        known = self.right[~np.isnan(self.right)]
        return float(known.mean()) if len(known) else None

    @cached_property
    def chained(self) -> bool:
        """Whether a task has more than one call."""
        return len(self.task) != self.tasks

    @cached_property
    def offsets(self) -> Counts:
        """The first call of each task, and the number of all calls at the end."""
        return np.searchsorted(self.task, np.arange(self.tasks + 1))

    def within(self, most_tokens: int) -> Demand:
        """The same on a server that stops a request at so many tokens, input and output together.

        Raises:
            BadInput: An input alone is longer.
        """
        if self.input_tokens.max() >= most_tokens:
            raise BadInput(
                f"{self.label}: a call has {self.input_tokens.max():,} input tokens; the server takes "
                f"{most_tokens:,} (max_context_tokens of the step table), input and output together"
            )
        room = most_tokens - self.input_tokens
        cut = self.output_tokens > room
        if not cut.any():
            return self
        share = float(cut.mean())
        note = f"{share:.2%} of the calls are longer than the server's {most_tokens:,} tokens: cut there"
        return replace(self, output_tokens=np.minimum(self.output_tokens, room), notes=(*self.notes, note))

    def drawn(self, numbers: Counts, label: str = "") -> Demand:
        """The tasks of these numbers, each as often as it is named."""
        first, last = self.offsets[numbers], self.offsets[numbers + 1]
        counts = last - first
        at = np.repeat(first - np.r_[0, np.cumsum(counts)[:-1]], counts) + np.arange(counts.sum())
        return replace(
            self,
            label=label or self.label,
            task=np.repeat(np.arange(len(numbers)), counts),
            stage=self.stage[at],
            input_tokens=self.input_tokens[at],
            output_tokens=self.output_tokens[at],
            gap_seconds=self.gap_seconds[at],
            clamp_tokens=self.clamp_tokens[at],
            right=self.right[numbers],
            usd=self.usd[numbers],
        )


def assumed(
    label: str,
    *,
    mean_tokens: float,
    p99_tokens: float,
    input_tokens: float = 1000,
    right: float | None = None,
    tasks: int = 20_000,
    seed: int = 0,
) -> Demand:
    """Tasks of one call, with outputs of a lognormal distribution and inputs of one as wide.

    Args:
        mean_tokens: The mean output.
        p99_tokens: Its 99th percentile; at most 14.9 times the mean, which is the widest that a lognormal can be.
        input_tokens: The mean input.
        right: P(right), if it is known.

    Raises:
        BadInput: There is no such distribution.
    """
    widest = math.exp(_Z99**2 / 2)
    if not 1 <= mean_tokens < _MOST_TOKENS or not mean_tokens < p99_tokens <= widest * mean_tokens:
        raise BadInput(
            f"{label}: no lognormal has the mean {mean_tokens:,.0f} and the 99th percentile {p99_tokens:,.0f}: "
            f"that lies between {mean_tokens:,.0f} and {widest * mean_tokens:,.0f}"
        )
    if right is not None and not 0 <= right <= 1:
        raise BadInput(f"{label}: P(right) is from 0 to 1, not {right}")
    sigma = _Z99 - math.sqrt(max(_Z99**2 - 2 * math.log(p99_tokens / mean_tokens), 0.0))
    draw = np.random.default_rng(seed)

    def lengths(mean: float, wide: float) -> Counts:
        values = draw.lognormal(math.log(mean) - wide**2 / 2, wide, tasks)
        return np.clip(np.rint(values), 1, _MOST_TOKENS).astype(np.int64)

    zeros = np.zeros(tasks, dtype=np.int64)
    return Demand(
        label=label,
        task=np.arange(tasks),
        stage=zeros,
        input_tokens=lengths(max(input_tokens, 1.0), min(sigma, 0.5)),
        output_tokens=lengths(mean_tokens, sigma),
        gap_seconds=np.zeros(tasks),
        clamp_tokens=zeros,
        right=np.full(tasks, np.nan if right is None else right),
        usd=np.full(tasks, np.nan),
        notes=(f"assumed: outputs lognormal, mean {mean_tokens:,.0f}, 99th percentile {p99_tokens:,.0f}",),
    )


def mixed(label: str, parts: Sequence[tuple[float, Demand]], *, tasks: int = 20_000, seed: int = 0) -> Demand:
    """Tasks of several demands, in these proportions.

    Raises:
        BadInput: A share isn't above 0.
    """
    if not parts or any(not math.isfinite(share) or share <= 0 for share, _ in parts):
        raise BadInput(f"{label}: the shares of a mix are numbers above 0")
    whole = sum(share for share, _ in parts)
    draw = np.random.default_rng(seed)
    counts = [max(round(tasks * share / whole), 1) for share, _ in parts]
    picked = [each.drawn(draw.integers(0, each.tasks, count)) for count, (_, each) in zip(counts, parts, strict=True)]
    before = np.cumsum([0, *counts[:-1]])
    shares = ", ".join(f"{share / whole:.0%} {each.label}" for share, each in parts)

    def joined(name: str) -> NDArray[np.generic]:
        return np.concatenate([getattr(each, name) for each in picked])

    return replace(
        picked[0],
        label=label,
        task=np.concatenate([each.task + start for each, start in zip(picked, before, strict=True)]),
        **{
            name: joined(name)
            for name in ("stage", "input_tokens", "output_tokens", "gap_seconds", "clamp_tokens", "right", "usd")
        },  # type: ignore[arg-type]  # arrays of the same type as their parts
        notes=(*dict.fromkeys((f"a mix: {shares}", *(note for _, each in parts for note in each.notes))),),
    )
