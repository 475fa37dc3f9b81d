"""A provider's rate limits instead of GPUs: how many users fit, what waits, and what length caps cost.

Each limit is a bucket that holds a minute's worth and fills evenly; a call leaves when all buckets have enough for it,
first come, first served. A provider that counts `max_tokens` up front takes the cap from the bucket, whatever is used.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import numpy as np

from rheostat.capacity.demand import Counts, Demand, Reals
from rheostat.capacity.traffic import Traffic
from rheostat.errors import BadInput

__all__ = ["HostedOutcome", "HostedPlan", "RateLimits", "queue", "serve_hosted"]

_CALLS: Final = 50_000
_PERCENTILES: Final = (50, 95, 99)
_YES: Final = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """A provider's limits a minute; `None`: there is none of that kind."""

    rpm: float | None = None
    """Requests."""
    tpm: float | None = None
    """Tokens, input and output together."""
    itpm: float | None = None
    """Input tokens."""
    otpm: float | None = None
    """Output tokens."""
    counts_max_tokens: bool = False
    """The length cap counts as output when the request is sent, instead of what is generated."""

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in ("rpm", "tpm", "itpm", "otpm")}
        for name, value in given.items():
            if value is not None and (not math.isfinite(value) or value <= 0):
                raise BadInput(f"{name} is a number above 0, not {value!r}")
        if all(value is None for value in given.values()):
            raise BadInput("give at least one limit a minute: rpm, tpm, itpm or otpm")

    @classmethod
    def from_text(cls, text: str) -> RateLimits:
        """Limits from `rpm=500,tpm=200000,counts_max_tokens=yes`; k and M stand for thousands and millions.

        Raises:
            BadInput: A name isn't known, or a value can't be read.
        """
        known = [each.name for each in fields(cls)]
        found: dict[str, float | bool] = {}
        for part in filter(None, (each.strip() for each in text.split(","))):
            name, _, value = part.partition("=")
            if name not in known or not value:
                raise BadInput(f"a limit is NAME=VALUE with one of {', '.join(known)}; not {part!r}")
            found[name] = _YES[value] if name == "counts_max_tokens" and value in _YES else _number(name, value)
        if not isinstance(found.get("counts_max_tokens", False), bool):
            raise BadInput("counts_max_tokens is yes or no")
        return cls(**found)  # type: ignore[arg-type]  # floats for limits, a bool for the last one


def _number(name: str, text: str) -> float:
    factor = {"k": 1e3, "M": 1e6}.get(text[-1:], 1.0)
    try:
        return float(text[:-1] if factor > 1 else text) * factor
    except ValueError:
        raise BadInput(f"{name} is a number such as 500, 200k or 2M, not {text!r}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedOutcome:
    """One policy under the limits."""

    demand: Demand
    used: dict[str, float]
    """By limit: what the busiest hour asks for, as a share of the limit; above 1 it doesn't fit."""
    asked_per_minute: dict[str, float]
    """The same, in requests or tokens a minute, also for limits that weren't given."""
    binds: str
    most_users: float
    """Users that just fit, in the mean of the busiest hour: at them, waits have no end."""
    wait_seconds: dict[int, float] | None
    """By percentile; `None`: it doesn't fit, so that waits grow without end."""
    delayed: float
    """The share of calls that wait at all; 1 where it doesn't fit."""
    clamp_tokens: float
    """The mean length cap of a call; 0: none is known."""
    cut: float
    """The share of the calls that the caps would cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedPlan:
    """The policies under the limits."""

    limits: RateLimits
    traffic: Traffic
    policies: tuple[HostedOutcome, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed."""
        given = [f"{each.name}={getattr(self.limits, each.name):,.0f}" for each in fields(RateLimits)
                 if each.name != "counts_max_tokens" and getattr(self.limits, each.name) is not None]  # fmt: skip
        how = "length caps count up front" if self.limits.counts_max_tokens else "what is generated counts"
        return (
            f"limits a minute: {', '.join(given)}; {how}",
            f"{self.traffic.users:g} users × {self.traffic.per_hour:g} tasks an hour × {self.traffic.growth:g}: peak "
            f"{self.traffic.peak_per_second:.4g} tasks/s; a bucket a limit, filled evenly; no retries",
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "limits": asdict(self.limits),
            "peak_tasks_per_second": self.traffic.peak_per_second,
            "policies": [
                {
                    "policy": each.demand.label,
                    **{
                        name: getattr(each, name)
                        for name in (
                            "binds", "used", "asked_per_minute", "most_users", "wait_seconds", "delayed",
                            "clamp_tokens", "cut",
                        )
                    },
                    "notes": list(each.demand.notes),
                }
                for each in self.policies
            ],
            "notes": list(self.notes),
        }  # fmt: skip


def serve_hosted(
    demand: Demand, limits: RateLimits, traffic: Traffic, *, clamp_tokens: int | None = None, seed: int = 0
) -> HostedOutcome:
    """Send the calls of the busiest hour's rate against the limits.

    Args:
        clamp_tokens: The length cap of every call; without it, those that were recorded.

    Raises:
        BadInput: A call counts more than a minute holds, so that it would never leave; or caps count and aren't known.
    """
    clamps = demand.clamp_tokens if clamp_tokens is None else np.full(len(demand.task), clamp_tokens)
    if limits.counts_max_tokens and (clamps < 1).any():
        raise BadInput(
            f"{demand.label}: counts_max_tokens needs the length caps that are sent, and "
            f"{(clamps < 1).mean():.0%} of the calls have none on record: give --clamp TOKENS"
        )
    output = np.where(clamps > 0, np.minimum(demand.output_tokens, clamps), demand.output_tokens)
    counted = clamps if limits.counts_max_tokens else output
    charges = {
        "rpm": np.ones(len(demand.task)),
        "tpm": (demand.input_tokens + counted).astype(float),
        "itpm": demand.input_tokens.astype(float),
        "otpm": counted.astype(float),
    }
    calls_per_minute = 60 * traffic.peak_per_second * demand.moments.calls
    asked = {name: calls_per_minute * float(each.mean()) for name, each in charges.items()}
    given: dict[str, float] = {name: each for name in charges if (each := getattr(limits, name)) is not None}
    for name, most in given.items():
        if charges[name].max() > most:
            raise BadInput(
                f"{demand.label}: a call counts {charges[name].max():,.0f} against {name}={most:,.0f}, a whole "
                "minute's worth: it would never leave. Lower --clamp, or ask for a higher limit"
            )
    used = {name: asked[name] / most for name, most in given.items()}
    binds = max(used, key=lambda each: used[each])
    fits = used[binds] < 1
    waits = _waits(charges, given, calls_per_minute / 60, seed) if fits else None
    return HostedOutcome(
        demand=demand,
        used=used,
        asked_per_minute=asked,
        binds=binds,
        most_users=traffic.users / used[binds],
        wait_seconds=None if waits is None else _percentiles(waits),
        delayed=1.0 if waits is None else float((waits > 1e-9).mean()),
        clamp_tokens=float(clamps.mean()),
        cut=float(((clamps > 0) & (demand.output_tokens > clamps)).mean()),
    )  # fmt: skip


def _percentiles(values: Reals) -> dict[int, float]:
    return dict(zip(_PERCENTILES, map(float, np.percentile(values, _PERCENTILES)), strict=True))


def _waits(charges: dict[str, Reals], limits: dict[str, float], calls_per_second: float, seed: int) -> Reals:
    draw = np.random.default_rng(seed)
    arrivals = np.cumsum(draw.exponential(1 / calls_per_second, _CALLS))
    drawn: Counts = draw.integers(0, len(charges["rpm"]), _CALLS)
    leaves = queue(arrivals, [(charges[name][drawn], most, most / 60) for name, most in limits.items()])
    return (leaves - arrivals)[_CALLS // 5 :]


def queue(arrivals: Reals, buckets: list[tuple[Reals, float, float]]) -> Reals:
    """When each call leaves.

    Args:
        arrivals: Seconds, ascending.
        buckets: (what each call takes, the most that the bucket holds, what flows in each second). They start full.
    """
    takes = [each[0].tolist() for each in buckets]
    most, flow = [each[1] for each in buckets], [each[2] for each in buckets]
    level, last = list(most), 0.0
    leaves = np.empty(len(arrivals))
    places = range(len(buckets))
    for number, arrived in enumerate(arrivals.tolist()):
        now = max(arrived, last)
        for place in places:
            level[place] = min(most[place], level[place] + flow[place] * (now - last))
        lacks = max((takes[place][number] - level[place]) / flow[place] for place in places)
        if lacks > 0:
            for place in places:
                level[place] = min(most[place], level[place] + flow[place] * lacks)
            now += lacks
        for place in places:
            level[place] -= takes[place][number]
        leaves[number] = last = now
    return leaves
