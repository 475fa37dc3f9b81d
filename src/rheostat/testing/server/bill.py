"""The bill: the true cost of every request, counted by the server."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from genai_prices import Usage, calc_price

from rheostat.money.usage import usd_nanos

__all__ = ["Bill", "Line"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One request on the bill."""

    provider: str
    model: str
    effort: str
    """The effort that was asked for."""
    input_tokens: int
    """All input tokens, cached ones included."""
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int
    thinking_tokens: int
    service_tier: str = ""
    speed: str = ""
    web_searches: int = 0

    @property
    def usd_nanos(self) -> int:
        """The cost at the list price, which this module looks up by itself; 0 for a model that isn't listed."""
        usage = Usage(
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cache_read_tokens=self.cached_input_tokens or None,
            cache_write_tokens=self.cache_write_tokens or None,
            cache_write_1h_tokens=self.cache_write_1h_tokens or None,
            web_searches=self.web_searches or None,
        )
        context = {name: value for name, value in (("service_tier", self.service_tier), ("speed", self.speed)) if value}
        try:
            priced = calc_price(usage, model_ref=self.model, provider_id=self.provider, price_context=context or None)
        except LookupError:
            return 0
        return usd_nanos(priced.total_price)


@dataclass
class Bill:
    """All requests to a server, and the billed lines."""

    lines: list[Line] = field(default_factory=list)
    """The billed requests."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    """The bodies of all requests, including refused ones."""
    headers: list[dict[str, str]] = field(default_factory=list)
    """The headers of the same requests, with names in lower case."""
    times: list[float] = field(default_factory=list)
    """When each request came, in seconds of `time.monotonic`."""
    refusals: list[str] = field(default_factory=list)
    """The reasons of requests refused by a rule."""
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def requests(self) -> int:
        """The number of requests for a completion, including refused ones, but not free counts and listings."""
        return len(self.bodies)

    def total(self, *names: str) -> int:
        """The sum of columns of the lines, such as `output_tokens` or `usd_nanos`."""
        return sum(getattr(line, name) for line in self.lines for name in names)
