"""Rates: the requests and tokens a minute that a provider allows, and what its replies say of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from rheostat.errors import BadInput

__all__ = ["Rate", "RateSeen", "field_of"]

_LARGEST = 10**15
_NAMES = {"rpm": "requests", "tpm": "tokens", "input_tpm": "input tokens", "output_tpm": "output tokens"}
_KINDS = {name: number for number, name in enumerate(_NAMES)}
_MINUTE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Rate:
    """What a provider allows in a minute. At least one limit is required.

    A whole minute's worth may be used at once; the next request then waits until enough is older than a minute.

    >>> Rate(rpm=50, input_tpm=30_000, output_tpm=8_000)  # doctest: +ELLIPSIS
    Rate(rpm=50, tpm=None, input_tpm=30000, output_tpm=8000, ...)

    Raises:
        BadInput: A limit is not a whole number above zero, or there is none.
    """

    rpm: int | None = None
    """Requests a minute."""
    tpm: int | None = None
    """Tokens a minute, input and output together."""
    input_tpm: int | None = None
    """Input tokens a minute. Those that a reply reports as read from a cache count until it came, and then no more."""
    output_tpm: int | None = None
    """Output tokens a minute, thinking included."""
    counts_max_tokens: bool = False
    """The provider counts a request when it arrives, with its prompt and its whole `max_tokens`, whatever it uses then
    (OpenAI and those like it). It counts its hold for a minute from its departure, and for five seconds more in which
    it must have arrived; nothing is given back when it is settled."""
    period_seconds: float = 60.0
    """The length of the minute; another one only in tests."""

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in _NAMES}
        if all(value is None for value in given.values()):
            raise BadInput(f"a rate needs at least one limit: {', '.join(given)}; for example Rate(rpm=50, tpm=30_000)")
        for name, value in given.items():
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                raise BadInput(f"{name} must be a whole number, not {value!r}; for example Rate({name}=1000)")
            if not 0 < value <= _LARGEST:
                raise BadInput(
                    f"{name} must be above zero and at most {_LARGEST:,}, not {value!r}; leave it out to set no such "
                    "limit"
                )
        if not isinstance(self.counts_max_tokens, bool):
            raise BadInput(f"counts_max_tokens is True or False, not {self.counts_max_tokens!r}")
        seconds = self.period_seconds
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0.1 <= seconds <= 86_400:
            raise BadInput(f"period_seconds is 60, and in tests between 0.1 and 86,400, not {seconds!r}")

    @property
    def caps(self) -> Iterator[tuple[str, int, int]]:
        """(name, its number, limit) of each limit that is set."""
        for name, number in _KINDS.items():
            cap = getattr(self, name)
            if cap is not None:
                yield name, number, cap

    @property
    def one_request(self) -> dict[str, int]:
        """The most that one request may be, by the fields of `Room`."""
        return {f"call_{field_of(name)}": cap for name, _, cap in self.caps}

    def to_dict(self) -> dict[str, Any]:
        """What differs from the defaults, as plain data."""
        return {each.name: value for each in fields(self) if (value := getattr(self, each.name)) != each.default}

    def __str__(self) -> str:
        """The limits as text, such as `50 requests · 30,000 tokens a minute`."""
        text = " · ".join(f"{cap:,} {_NAMES[name]}" for name, _, cap in self.caps)
        return f"{text} {self.every}" + (" (max_tokens counted)" if self.counts_max_tokens else "")

    @property
    def every(self) -> str:
        """The period as text."""
        return "a minute" if self.period_seconds == _MINUTE_SECONDS else f"in {self.period_seconds:g} s"

    def limit(self, name: str) -> str:
        """A limit as refusals name it, such as `tokens a minute`."""
        return f"{_NAMES[name]} {self.every}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSeen:
    """What a provider's reply says of its limits, all counts for its whole account; `None`: it doesn't say."""

    requests: int | None = None
    """The requests that are left."""
    tokens: int | None = None
    """The tokens that are left, input and output together."""
    input_tokens: int | None = None
    """The input tokens that are left."""
    output_tokens: int | None = None
    """The output tokens that are left."""
    stop_seconds: float | None = None
    """Send nothing for this long."""


def field_of(name: str) -> str:
    """The counted amount of a limit, as a field: `tokens` of `tpm`."""
    return _NAMES[name].replace(" ", "_")
