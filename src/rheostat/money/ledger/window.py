"""Windows, after which limits start anew: each day or month, in a stated time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rheostat.errors import BadInput

__all__ = ["Window"]


@dataclass(frozen=True, slots=True)
class Window:
    """A calendar day or month. A call counts in the window in which it was held.

    Raises:
        BadInput: It is neither a day nor a month, or there is no such time zone.
    """

    every: Literal["day", "month"]
    zone: str = "UTC"
    """The IANA name of the time zone, such as `Europe/Berlin`."""

    def __post_init__(self) -> None:
        if self.every not in ("day", "month"):
            raise BadInput(f"a window is 'day' or 'month', not {self.every!r}")
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, TypeError):
            raise BadInput(f"no time zone {self.zone!r}: use an IANA name such as 'Europe/Berlin' or 'UTC'") from None

    def around(self, epoch_ms: int) -> tuple[int, int]:
        """(start, end) of the window around this moment, in milliseconds since the epoch; the end is exclusive."""
        zone = ZoneInfo(self.zone)
        midnight = datetime.fromtimestamp(epoch_ms / 1000, zone).replace(hour=0, minute=0, second=0, microsecond=0)
        if self.every == "day":
            start, end = midnight, midnight + timedelta(days=1)
        else:
            start = midnight.replace(day=1)
            end = (start + timedelta(days=32)).replace(day=1)
        return int(start.timestamp() * 1000), int(end.timestamp() * 1000)
