"""Rate limits as a provider enforces them: a log of what it counted, and nothing above the limit in any sliding minute.

It shares nothing with the law of `rheostat.money.ledger.pace`: it keeps every request of the last minute.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from rheostat.testing.server.rules import Refused

__all__ = ["LIMITED", "Limiter"]

LIMITED = "rate_limit_error"
"""The kind of a refusal by a limit."""
_TOO_MANY = 429
_KINDS = ("requests", "tokens", "input_tokens", "output_tokens")


@dataclass
class Limiter:
    """Limits of one key, for all requests to a server.

    A request and its input count when it arrives, its output when it is written. With `counts_max_tokens`, input and
    length cap count when it arrives, whatever it uses.
    """

    rpm: int | None = None
    """Requests a minute."""
    tpm: int | None = None
    """Tokens a minute, input and output together."""
    input_tpm: int | None = None
    """Input tokens a minute; those from the cache don't count."""
    output_tpm: int | None = None
    """Output tokens a minute."""
    counts_max_tokens: bool = False
    """See above."""
    seconds: float = 60.0
    """The length of the minute."""
    style: Literal["anthropic", "openai"] = "openai"
    """How the headers are named."""
    refused: int = 0
    """The requests that were answered with 429."""
    exceeded: list[tuple[str, int]] = field(default_factory=list)
    """(kind, sum) of each time that output which was written passed a limit: admission can't prevent that."""

    def __post_init__(self) -> None:
        self._log: deque[tuple[float, str, int]] = deque()
        self._lock = threading.Lock()

    @property
    def _limits(self) -> Iterator[tuple[str, int]]:
        caps = (self.rpm, self.tpm, self.input_tpm, self.output_tpm)
        return ((kind, cap) for kind, cap in zip(_KINDS, caps, strict=True) if cap is not None)

    def _used(self, kind: str, now: float) -> int:
        while self._log and self._log[0][0] <= now - self.seconds:
            self._log.popleft()
        return sum(amount for _, logged, amount in self._log if logged == kind)

    def arrives(self, input_tokens: int, most_output_tokens: int) -> None:
        """Count a request that arrives.

        Raises:
            Refused: It doesn't fit. It counts as a request nevertheless.
        """
        output = most_output_tokens if self.counts_max_tokens else 0
        asked = {"requests": 1, "tokens": input_tokens + output, "input_tokens": input_tokens, "output_tokens": output}
        with self._lock:
            now = time.monotonic()
            short = [kind for kind, cap in self._limits if self._used(kind, now) + asked[kind] > cap]
            if short:
                self.refused += 1
                self._count(now, requests=1)
                raise Refused(f"rate limit: {', '.join(short)}", status=_TOO_MANY, kind=LIMITED)
            self._count(now, **asked)

    def wrote(self, output_tokens: int, cached_input_tokens: int = 0) -> None:
        """Count the output of a request, and give back its input from the cache."""
        if self.counts_max_tokens:
            return
        with self._lock:
            now = time.monotonic()
            self._count(now, tokens=output_tokens, output_tokens=output_tokens, input_tokens=-cached_input_tokens)
            sums = [(kind, self._used(kind, now), cap) for kind, cap in self._limits]
            self.exceeded += [(kind, used) for kind, used, cap in sums if used > cap]

    def others_use(self, requests: int = 0, tokens: int = 0) -> None:
        """Somebody else uses the same key now."""
        with self._lock:
            self._count(time.monotonic(), requests=requests, tokens=tokens, input_tokens=tokens)

    def _count(self, now: float, **amounts: int) -> None:
        self._log += [(now, kind, amount) for kind, amount in amounts.items() if amount]

    def headers(self, *, refused: bool = False) -> dict[str, str]:
        """The headers of a reply now."""
        with self._lock:
            now = time.monotonic()
            left = {kind: (cap, max(0, cap - self._used(kind, now))) for kind, cap in self._limits}
            resets = {kind: self._frees(kind, now) for kind in left}
        found = {"retry-after": f"{max(resets.values(), default=0.0):.3f}"} if refused else {}
        for kind, (cap, remaining) in left.items():
            name = kind.replace("_", "-")
            if self.style == "anthropic":
                at = (datetime.now(UTC) + timedelta(seconds=resets[kind])).isoformat().replace("+00:00", "Z")
                values = {"limit": str(cap), "remaining": str(remaining), "reset": at}
                found |= {f"anthropic-ratelimit-{name}-{what}": value for what, value in values.items()}
            elif kind in ("requests", "tokens"):
                values = {"limit": str(cap), "remaining": str(remaining), "reset": f"{resets[kind]:.3f}s"}
                found |= {f"x-ratelimit-{what}-{name}": value for what, value in values.items()}
        return found

    def _frees(self, kind: str, now: float) -> float:
        """The seconds until all that counts of this kind is older than the minute."""
        last = max((at for at, logged, _ in self._log if logged == kind), default=now - self.seconds)
        return max(0.0, last + self.seconds - now)
