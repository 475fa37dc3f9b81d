"""What a provider's reply says of its rate limits, by the names of its headers. Damaged values are ignored.

====================================================  ==================================================================
`anthropic-ratelimit-{requests,tokens,input-tokens,   Anthropic: counts; resets as RFC 3339 times
output-tokens}-{limit,remaining,reset}`               (docs.claude.com/en/api/rate-limits)
`x-ratelimit-{limit,remaining,reset}-{requests,       OpenAI, Groq, xAI, Azure: counts; resets as `1s`, `6m0s`,
tokens}`                                              `2m59.56s` or seconds
                                                      (platform.openai.com/docs/guides/rate-limits,
                                                      console.groq.com/docs/rate-limits). Groq's requests are those of
                                                      a day, so that few of them left is a limit too
`retry-after-ms`, `retry-after`                       with a 429: milliseconds; seconds or a date (RFC 9110, section
                                                      10.2.3)
====================================================  ==================================================================
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from rheostat.money.ledger import RateSeen

__all__ = ["rate_seen"]

_TOO_MANY = 429
_KINDS = ("requests", "tokens", "input_tokens", "output_tokens")
_FORMS = ("anthropic-ratelimit-{kind}-{what}", "x-ratelimit-{what}-{kind}")
_COUNT = re.compile(r"\d{1,15}", re.ASCII)
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,9})?", re.ASCII)
_DURATION = re.compile(rf"(?:(?P<h>{_NUMBER.pattern})h)?(?:(?P<m>{_NUMBER.pattern})m)?(?:(?P<s>{_NUMBER.pattern})s)?")
_MILLISECONDS = re.compile(rf"({_NUMBER.pattern})ms")


def rate_seen(status: int, headers: Mapping[str, str], now_seconds: float) -> RateSeen | None:
    """What a reply says of the limits; `None`: nothing.

    Args:
        headers: By name, in any case of letters (the mapping of an HTTP client), or in lower case.
        now_seconds: The time, in seconds since the epoch, from which dates are counted.
    """
    left: dict[str, int] = {}
    resets: list[float] = []
    for kind in _KINDS:
        for form in _FORMS:
            remaining = _matched(_COUNT, headers.get(form.format(kind=kind.replace("_", "-"), what="remaining")))
            if remaining is None:
                continue
            left[kind] = min(int(remaining), left.get(kind, int(remaining)))
            reset = _seconds(headers.get(form.format(kind=kind.replace("_", "-"), what="reset")), now_seconds)
            if left[kind] == 0 and reset is not None:
                resets.append(reset)
    if status == _TOO_MANY:
        resets = [next(_asked(headers, now_seconds), max(resets, default=0.0))]
    stop = max(resets, default=0.0)
    return RateSeen(**left, stop_seconds=stop or None) if left or stop else None


def _asked(headers: Mapping[str, str], now_seconds: float) -> Iterator[float]:
    milliseconds = _matched(_NUMBER, headers.get("retry-after-ms"))
    if milliseconds is not None:
        yield float(milliseconds) / 1000
    said = headers.get("retry-after")
    seconds = _matched(_NUMBER, said)
    if seconds is not None:
        yield float(seconds)
    elif said:
        try:
            yield _from_now(parsedate_to_datetime(said), now_seconds)
        except (ValueError, OverflowError):
            return


def _seconds(said: str | None, now_seconds: float) -> float | None:
    """A reset, as seconds from now: `30`, `1s`, `6m0s`, `120ms`, or a time."""
    text = (said or "").strip()
    if (number := _matched(_NUMBER, text)) is not None:
        return float(number)
    if (milliseconds := _MILLISECONDS.fullmatch(text)) is not None:
        return float(milliseconds[1]) / 1000
    if text and (duration := _DURATION.fullmatch(text)) is not None:
        hours, minutes, seconds = (float(part or 0) for part in duration.groups())
        return 3600 * hours + 60 * minutes + seconds
    try:
        return _from_now(datetime.fromisoformat(text), now_seconds)
    except (ValueError, OverflowError):
        return None


def _from_now(at: datetime, now_seconds: float) -> float:
    seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now_seconds
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0


def _matched(pattern: re.Pattern[str], said: str | None) -> str | None:
    text = said.strip() if isinstance(said, str) else ""
    return text if pattern.fullmatch(text) else None
