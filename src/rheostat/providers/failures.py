"""Classify failed requests by their cost (never left, refused, or unknown), and say what to do about them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal, TypeAlias

from rheostat.addresses import without_password

__all__ = [
    "CallFailure", "Failure", "Reason", "failure", "line_of", "noted", "read_failure", "retry_after_seconds",
    "retryable", "told",
]  # fmt: skip

Failure: TypeAlias = Literal["never left", "refused", "unknown"]

_NEVER_LEFT = {"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "LocalProtocolError"}
"""Class names in httpx and httpx2 of errors in which no byte of the request reached the server."""
_REFUSED = {400, 401, 402, 403, 404, 405, 409, 413, 422, 429}
"""HTTP statuses by which the server says that it did no work."""


Reason: TypeAlias = Literal[
    "rate limit", "overloaded", "authentication", "forbidden", "not found", "missing", "quota", "context",
    "bad request", "server", "timeout", "connection", "other",
]  # fmt: skip
"""Why a request failed. `quota`: the account has no credit left, as opposed to a rate that will be allowed again."""


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
    said: str = ""
    """The provider's own words, in one line."""

    @property
    def unavailable(self) -> bool:
        """The model can't be asked at all until the user changes something: the key, its name, the account's credit."""
        return self.reason in ("authentication", "forbidden", "not found", "quota")

    def __str__(self) -> str:
        status = f" (HTTP {self.status})" if self.status else ""
        return f"{self.reason}{status}{f', request {self.request_id}' if self.request_id else ''}"


_REASONS: dict[int, Reason] = {
    401: "authentication", 402: "quota", 403: "forbidden", 404: "not found", 408: "timeout", 413: "context",
    429: "rate limit", 503: "overloaded", 529: "overloaded",
}  # fmt: skip
_QUOTA = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "credit balance is too low")
"""The codes and words of an empty account: OpenAI sends them with status 429, Anthropic with 400."""
_NO_MODEL = ("Item with id", "Invalid URL", "Not Found", "no such path")
"""How the message of a 404 begins that is about something else than the model."""
_CONTEXT = (
    "context_length_exceeded", "prompt is too long", "maximum context length", "exceed context limit",
    "exceeds the context window",
)  # fmt: skip
"""The codes and words of a conversation that is too long: OpenAI, Anthropic, vLLM and SGLang."""
_TO_DO: dict[Reason, str] = {
    "authentication": "the API key was refused: set {key} to a valid key",
    "forbidden": "this key may not use {model}: check its rights at the provider, or choose another model",
    "not found": "the provider has no model {model}: check its name",
    "missing": "nothing was found at {address}: check the address and the name {model}",
    "quota": "the account at the provider has no credit left: add some there, or use another key in {key}",
    "context": "the conversation is longer than {model} can read: shorten or summarize it, or use another model",
    "rate limit": "the provider allows no more requests at present: try again later, or ask it for a higher rate",
    "overloaded": "the provider is overloaded: try again later, or name another model for escalate_to",
    "server": "the provider failed: try again later",
    "timeout": "no reply came in time: try again, or allow more seconds",
    "connection": "no connection to {address}: check the network and the address",
    "bad request": "the provider refused the request",
    "other": "the call failed",
}
_CHARGED = {
    "never left": "Nothing was charged",
    "refused": "Nothing was charged",
    "unknown": "It stays charged at an estimate within its hold, because its cost is unknown",
}
_SAID_CHARS = 300
_CLIENT, _SERVER = 400, 500


def read_failure(error: BaseException) -> CallFailure:
    """Classify an error of an SDK or of the integration around it."""
    chain = _chain(error)
    status = next((code for link in chain if isinstance(code := getattr(link, "status_code", None), int)), None)
    request_id = next((str(name) for link in chain if (name := getattr(link, "request_id", None))), "")
    money = failure(error)
    reason: Reason = "other"
    words = " ".join(f"{getattr(link, 'code', '')} {link}" for link in chain)
    if status is not None and any(each in words for each in _QUOTA):
        reason = "quota"
    elif status is not None and any(each in words for each in _CONTEXT):
        reason = "context"
    elif status is not None:
        default: Reason = "server" if status >= _SERVER else "bad request" if status >= _CLIENT else "other"
        reason = _REASONS.get(status, default)
        message = _message(chain) or ""
        if reason == "not found" and (not message or message.startswith(_NO_MODEL)):
            reason = "missing"  # a wrong path, or an item of the conversation that the provider hasn't kept
    elif any("Timeout" in type(link).__name__ for link in chain):
        reason = "timeout"
    elif money == "never left" or retryable(error):
        reason = "connection"
    return CallFailure(
        reason=reason, money=money, retryable=retryable(error), status=status, request_id=request_id, said=_said(chain)
    )


def told(failed: CallFailure, chat: Any = None) -> str:
    """One line for a user: what failed, what to do next, the provider's own words, and what it costs.

    Args:
        chat: The chat model that was called: its name, its address and the variable of its key are named.
    """
    names = {
        "model": repr(str(getattr(chat, "model_name", None) or getattr(chat, "model", None) or "the model")),
        "key": next((key for key in _secrets(chat) if key.endswith("_KEY")), "the provider's API key"),
        "address": _address(chat) or "the provider",
    }
    said = f" ({failed.said})" if failed.said else ""
    return f"{failed}: {_TO_DO[failed.reason].format(**names)}{said}. {_CHARGED[failed.money]}."


def noted(error: BaseException, chat: Any) -> None:
    """Add that line to an exception of the provider's client as a note, once: tracebacks show it."""
    failed = read_failure(error)
    marked = any(each.startswith(_MARK) for each in getattr(error, "__notes__", ()))
    if (failed.status is not None or failed.reason in ("connection", "timeout")) and not marked:
        error.add_note(f"{_MARK}{told(failed, chat)}")


def line_of(error: BaseException) -> str:
    """The line that was noted on an exception; empty: it is none of a provider's client."""
    notes = (each for each in getattr(error, "__notes__", ()) if each.startswith(_MARK))
    return next(notes, "").removeprefix(_MARK)


_MARK = "rheostat: "


def _secrets(chat: Any) -> list[str]:
    """The environment variables of the model's keys, as LangChain names them."""
    return [str(name) for name in dict(getattr(chat, "lc_secrets", None) or {}).values()]


def _address(chat: Any) -> str:
    client = getattr(chat, "root_client", None) or getattr(chat, "_client", None)
    of = ((client, "base_url"), (chat, "openai_api_base"), (chat, "anthropic_api_url"), (chat, "base_url"))
    given = next((found for each, name in of if (found := getattr(each, name, None))), None)
    return without_password(str(given)).rstrip("/") if given else ""


def _message(chain: list[BaseException]) -> str | None:
    """The provider's message, out of the body that it sent."""
    for link in chain:
        body = getattr(link, "body", None)
        inner = body.get("error", body) if isinstance(body, dict) else None
        message = inner.get("message") if isinstance(inner, dict) else None
        if isinstance(message, str) and message.strip():
            return message
    return None


def _said(chain: list[BaseException]) -> str:
    """The same in one line; else the text of the error."""
    return _line(_message(chain) or str(chain[0]))


def _line(text: str) -> str:
    text = without_password(" ".join(text.split())).rstrip(".")
    return text if len(text) <= _SAID_CHARS else f"{text[:_SAID_CHARS]}…"


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
    if any(each in f"{getattr(error, 'code', '')} {error}" for each in _QUOTA):
        return False  # LangChain's rate limit errors say that they may be retried
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
