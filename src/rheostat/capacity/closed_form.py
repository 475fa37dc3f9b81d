"""Replicas in closed form, from means alone: quick, explains what binds, and is optimistic.

With λ calls a second at one replica, n running requests, the step time τ(n, c), E[L] output tokens and P(n) seconds
that reading a prompt adds to a step, a further token takes T(n) = τ(n, c) + n·P(n) / E[L]: prefills share the steps.
Little's law gives n = λ·T·E[L], so that λ(n) = n / (T(n)·E[L]), and the KV cache holds n·c tokens with the mean context
c = (E[I·L] + E[L²]/2) / E[L]. The most that one replica carries is the largest λ(n) of an n that all limits allow.

It knows nothing of chance: bursts, long requests that meet, and percentiles are what the simulation adds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from rheostat.capacity.demand import Demand, Reals
from rheostat.capacity.limits import Limits
from rheostat.capacity.table import StepTable
from rheostat.errors import BadInput

__all__ = ["WATERMARK", "Binds", "ClosedForm", "closed_form"]

Binds: TypeAlias = Literal["KV", "TPOT", "prefill", "sequences"]
WATERMARK: Final = 0.01
"""The share of the KV cache that is kept free when a request is admitted (vLLM's own)."""
_POINTS: Final = 512
_SHARES: Final = 200
_FAR: Final = 10**8
_BETTER: Final = 1e-9
_MOSTLY: Final = 0.5
"""Where prefills take more of the time than that, it is they that make tokens late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedForm:
    """What means alone say of a demand on a table."""

    replicas: int
    binds: Binds
    """The limit that more load would break first."""
    needed: dict[Binds, float]
    """The replicas that each limit alone needs."""
    calls_per_second: float
    """Of all replicas."""
    most_per_replica: float
    """The most calls a second that one replica carries."""
    batch: float
    """The mean number of running requests of a replica."""
    context_tokens: float
    """Their mean context."""
    kv_tokens: float
    step_seconds: float
    tpot_seconds: float
    ttft_seconds: float
    """The mean: half a step, the queue for prefill (Pollaczek-Khinchine) and the prefill itself."""
    request_seconds: float
    """The mean time from arrival to the last token."""
    prefill_share: float
    """The share of the time that goes to reading prompts."""

    @property
    def load(self) -> float:
        """How full the replicas are, against the most that one carries."""
        return self.calls_per_second / (self.replicas * self.most_per_replica)


class _Reading:
    """Seconds that reading the prompt of a call adds to the step of a batch: the weights are read once for both."""

    def __init__(self, demand: Demand, table: StepTable) -> None:
        self._tokens = np.array([0.0, *table.prefill_tokens, table.prefill_tokens[-1] + _FAR])
        known = [table.step_seconds, *table.prefill_seconds, table.prefill_step(self._tokens[-1])]
        self._seconds = np.maximum.accumulate(known)
        shares = (np.arange(_SHARES) + 0.5) / _SHARES
        self._prompts = np.quantile(demand.input_tokens.astype(float), shares)

    def beside(self, batch: float) -> Reals:
        """Of prompts at equal shares of the calls."""
        both = np.interp(self._prompts + batch, self._tokens, self._seconds)
        added: Reals = both - np.interp(batch, self._tokens, self._seconds)
        return added


def closed_form(
    demand: Demand, table: StepTable, limits: Limits, *, tasks_per_second: float, replicas: int | None = None
) -> ClosedForm:
    """The replicas that a demand needs, or how so many of them do.

    Args:
        demand: Cut to what the server takes (`Demand.within`).
        table: With its safety margin (`StepTable.slower`).
        tasks_per_second: At the peak, over all replicas.

    Raises:
        BadInput: No number of replicas keeps to a limit: one request alone doesn't.
    """
    if not math.isfinite(tasks_per_second) or tasks_per_second <= 0:
        raise BadInput(f"the rate is a number of tasks a second above 0, not {tasks_per_second!r}")
    means, reading = demand.moments, _Reading(demand, table)
    rate = tasks_per_second * means.calls
    context = means.context_tokens
    alone = table.decode_step(1, context)
    if alone > limits.tpot_seconds:
        raise BadInput(
            f"{demand.label}: a token takes {alone * 1000:.1f} ms even for one request alone on {table.name or 'it'}; "
            f"the limit is {limits.tpot_seconds * 1000:.1f} ms: raise --tpot-p95, or take a quicker server"
        )
    most = min(table.kv_tokens * (1 - WATERMARK) / context, float(table.max_sequences))
    batches = np.linspace(min(most, 1.0) / 64, most, _POINTS)
    steps = np.array([table.decode_step(each, context) for each in batches])
    works = np.array([reading.beside(each).mean() for each in batches])
    tokens = steps + batches * works / means.output_tokens
    rates = batches / (tokens * means.output_tokens)
    fits = tokens <= limits.tpot_seconds
    # steps aren't quite monotone in the batch, so that the largest rate may lie below the largest batch
    best = int(np.argmax(np.where(fits, rates, 0.0)))
    best_rate = float(rates[best])
    needed = _needed(table, limits, rate, reading, means.output_tokens, context)
    count = replicas or max(1, math.ceil(rate / best_rate - _BETTER))
    own = rate / count
    place = min(int(np.searchsorted(np.maximum.accumulate(rates), own)), _POINTS - 1)
    work = reading.beside(float(batches[place]))
    mean_work = float(work.mean())
    share = min(own * mean_work, 1.0)
    token = float(tokens[place])
    queue = own * float((work * work).mean()) / 2 / (1 - share) if share < 1 else math.inf
    first_to_break = max(needed, key=lambda each: needed[each])
    first = float(steps[place]) * 1.5 + queue + mean_work
    return ClosedForm(
        replicas=count,
        binds="prefill" if first_to_break == "TPOT" and share > _MOSTLY else first_to_break,
        needed=needed,
        calls_per_second=rate,
        most_per_replica=best_rate,
        batch=own * token * means.output_tokens,
        context_tokens=context,
        kv_tokens=own * token * means.token_steps,
        step_seconds=float(steps[place]),
        tpot_seconds=token,
        ttft_seconds=first,
        request_seconds=first + token * (means.output_tokens - 1),
        prefill_share=share,
    )


def _needed(
    table: StepTable, limits: Limits, rate: float, reading: _Reading, output: float, context: float
) -> dict[Binds, float]:
    """Replicas by limit: each alone, as if the others weren't there."""

    def token(batch: float) -> float:
        return table.decode_step(batch, context) + batch * float(reading.beside(batch).mean()) / output

    def replicas(batch: float) -> float:
        return rate * token(batch) * output / batch

    low, high = 1.0, float(_POINTS)
    while token(high) < limits.tpot_seconds and high < 2**20:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if token(middle) <= limits.tpot_seconds else (low, middle)
    return {
        "KV": replicas(table.kv_tokens * (1 - WATERMARK) / context),
        "TPOT": replicas(low),
        "prefill": rate * float(reading.beside(low).mean()),
        "sequences": replicas(float(table.max_sequences)),
    }
