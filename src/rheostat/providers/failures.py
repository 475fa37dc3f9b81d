"""Classify failed requests by their cost: never left, refused, or unknown."""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Literal, TypeAlias

__all__ = ["CallFailure", "Failure", "failure", "read_failure", "retry_after_seconds", "retryable"]

Failure: TypeAlias = Literal["never left", "refused", "unknown"]

_NEVER_LEFT = {"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "LocalProtocolError"}
"""Class names in httpx and httpx2 of errors in which no byte of the request reached the server."""
_REFUSED = {400, 401, 402, 403, 404, 405, 409, 413, 422, 429}
"""HTTP statuses by which the server says that it did no work."""


Reason: TypeAlias = Literal[
    "rate limit", "overloaded", "authentication", "not found", "bad request", "server", "timeout", "connection", "other"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFailure:
    """A failed request of any client, in our own terms."""

    reason: Reason
    """The kind of failure."""
    money: Failure
    """The consequence for the ledger: void, settle at zero tokens, or mark as unknown."""
    retryable: bool
    """The same request may succeed if it is sent again."""
    status: int | None
    """The HTTP status, if the server answered."""
    request_id: str
    """The provider's id of the request, for its support; empty if it gave none."""

    def __str__(self) -> str:
        status = f" (HTTP {self.status})" if self.status else ""
        return f"{self.reason}{status}{f', request {self.request_id}' if self.request_id else ''}"


_REASONS: dict[int, Reason] = {
    401: "authentication", 402: "authentication", 403: "authentication", 404: "not found", 408: "timeout",
    429: "rate limit", 503: "overloaded", 529: "overloaded",
}  # fmt: skip
_CLIENT, _SERVER = 400, 500


def read_failure(error: BaseException) -> CallFailure:
    """Classify an error of an SDK or of the integration around it."""
    chain = _chain(error)
    status = next((code for link in chain if isinstance(code := getattr(link, "status_code", None), int)), None)
    request_id = next((str(name) for link in chain if (name := getattr(link, "request_id", None))), "")
    money = failure(error)
    reason: Reason = "other"
    if status is not None:
        default: Reason = "server" if status >= _SERVER else "bad request" if status >= _CLIENT else "other"
        reason = _REASONS.get(status, default)
    elif any("Timeout" in type(link).__name__ for link in chain):
        reason = "timeout"
    elif money == "never left" or retryable(error):
        reason = "connection"
    return CallFailure(reason=reason, money=money, retryable=retryable(error), status=status, request_id=request_id)


def _chain(error: BaseException) -> list[BaseException]:
    """The error and its causes.

    `__context__` isn't followed: an error that was being handled when the call began (a fallback runs in an `except`)
    says nothing about this call.
    """
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        current = current.__cause__
    return seen


def failure(error: BaseException) -> Failure:
    """Classify an error: `never left` may be voided, `refused` is settled at zero tokens, `unknown` stays charged."""
    chain = _chain(error)
    for link in chain:
        if getattr(link, "status_code", None) in _REFUSED:
            return "refused"
    if any(type(link).__name__ in _NEVER_LEFT for link in chain):
        return "never left"
    # a ValueError may be a bad argument, or a billed reply that can't be read; if in doubt, it stays charged
    return "unknown"


def retryable(error: BaseException) -> bool:
    """Whether the same request may succeed if it is sent again."""
    said = getattr(error, "is_retryable", None)
    if isinstance(said, bool):
        return said
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return status in (408, 409, 429) or status >= 500
    return any(
        type(link).__name__ in (*_NEVER_LEFT, "APIConnectionError", "RemoteProtocolError") for link in _chain(error)
    )


def retry_after_seconds(error: BaseException) -> float | None:
    """The wait that the server asks for: `retry-after-ms`, or `Retry-After` in seconds or as a date (RFC 9110)."""
    for link in _chain(error):
        headers = getattr(getattr(link, "response", None), "headers", None)
        if headers is None:
            continue
        try:
            if "retry-after-ms" in headers:
                return max(0.0, float(headers["retry-after-ms"]) / 1000)
            said = headers["retry-after"]
            return max(
                0.0, float(said) if said[:1].isdigit() else parsedate_to_datetime(said).timestamp() - time.time()
            )
        except (KeyError, TypeError, ValueError):
            continue
    return None
