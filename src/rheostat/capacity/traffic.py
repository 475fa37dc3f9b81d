"""When users come: how many tasks a second, in the mean of a day and in its busiest hour."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from rheostat.errors import BadInput

__all__ = ["SHAPES", "Traffic"]

_HOURS: Final = 24
SHAPES: Final[dict[str, tuple[float, ...]]] = {
    "flat": (1.0,) * _HOURS,
    "office": (1, 1, 1, 1, 1, 1, 2, 5, 8, 10, 10, 9, 7, 9, 10, 10, 9, 6, 4, 3, 3, 2, 1, 1),
}
"""Days by name, hour by hour. `office`: assumed, with its peaks in the late morning and the afternoon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Users and their tasks. Within an hour, tasks come at random (Poisson)."""

    users: float
    per_hour: float
    """Tasks of a user an hour, in the mean of the whole day."""
    growth: float = 1.0
    """How many times as many users are planned for."""
    shape: tuple[float, ...] = SHAPES["flat"]
    """The weights of the day's 24 hours."""

    def __post_init__(self) -> None:
        for name in ("users", "per_hour", "growth"):
            value = getattr(self, name)
            if not math.isfinite(value) or value <= 0:
                raise BadInput(f"{name.replace('_', ' ')} is a number above 0, not {value!r}")
        good = all(math.isfinite(each) and each >= 0 for each in self.shape) and sum(self.shape) > 0
        if len(self.shape) != _HOURS or not good:
            raise BadInput(f"a day's shape has 24 weights of at least 0, one an hour; not {len(self.shape)}")

    @classmethod
    def shaped(cls, text: str) -> tuple[float, ...]:
        """A shape by name, or from 24 numbers with commas.

        Raises:
            BadInput: It is neither.
        """
        if text in SHAPES:
            return SHAPES[text]
        try:
            return tuple(float(each) for each in text.split(","))
        except ValueError:
            raise BadInput(f"a day's shape is {', '.join(SHAPES)} or 24 numbers with commas, not {text!r}") from None

    @property
    def mean_per_second(self) -> float:
        """Tasks a second in the mean of the day."""
        return self.users * self.growth * self.per_hour / 3600

    @property
    def peak_per_second(self) -> float:
        """Tasks a second in the busiest hour, for which is planned."""
        return self.mean_per_second * self.peak_share

    @property
    def peak_share(self) -> float:
        """The busiest hour against the mean of the day."""
        return max(self.shape) * _HOURS / sum(self.shape)

    def hours(self, replicas: int) -> float:
        """Replica-hours a day if each hour had only its share of the peak's replicas, at least one."""
        most = max(self.shape)
        return float(sum(max(math.ceil(replicas * each / most - 1e-9), 1) for each in self.shape))
