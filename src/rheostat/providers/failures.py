"""What a failed request means for the money: did it leave, was it refused, or does nobody know?"""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import Literal, TypeAlias

__all__ = ["Failure", "failure", "retry_after_seconds", "retryable"]

Failure: TypeAlias = Literal["never left", "refused", "unknown"]

_NEVER_LEFT = {"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "LocalProtocolError"}
"""Class names that httpx and httpx2 share: no byte of the request reached the server."""
_REFUSED = {400, 401, 402, 403, 404, 405, 409, 413, 422, 429}
"""The server answered that it did no work."""


def _chain(error: BaseException) -> list[BaseException]:
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        current = current.__cause__ or current.__context__
    return seen


def failure(error: BaseException) -> Failure:
    """Sort an error: only `never left` may be voided; `refused` is settled at zero tokens; the rest stays charged."""
    chain = _chain(error)
    for link in chain:
        if getattr(link, "status_code", None) in _REFUSED:
            return "refused"
    if any(type(link).__name__ in _NEVER_LEFT for link in chain):
        return "never left"
    # a ValueError may be a bad argument or a billed reply that can't be read: what can't be told apart stays charged
    return "unknown"


def retryable(error: BaseException) -> bool:
    """May the same request succeed if it is sent again?"""
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
    """How long the server asks us to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date (RFC 9110)."""
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
