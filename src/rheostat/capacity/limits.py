"""What latency users are promised."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rheostat.errors import BadInput

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits on latency, at the 95th percentile over requests."""

    ttft_seconds: float = 2.0
    """The time to the first token, the queue included."""
    tpot_seconds: float = 0.05
    """The mean time for each further token of a request, pauses included."""

    def __post_init__(self) -> None:
        for name, value in (("ttft", self.ttft_seconds), ("tpot", self.tpot_seconds)):
            if not math.isfinite(value) or value <= 0:
                raise BadInput(f"{name} is a time above 0 seconds, not {value!r}")
