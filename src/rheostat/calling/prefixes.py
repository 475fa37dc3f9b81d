"""Exact token counts for the beginnings of conversations that were settled or counted before.

Bytes bound a request at about four times its real tokens. But a conversation only grows at its end: where a body begins
like one whose input the provider reported, that part is known, and only the new bytes must be bounded. Bodies are
compared byte by byte, so nothing has to be trusted.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeAlias

import orjson

from rheostat.calling.wire import SETTINGS, WireRequest
from rheostat.providers.bounds import thinks

__all__ = ["known_tokens", "learn", "learn_response"]

_LISTS = ("messages", "input", "contents")
_NOT_READ = {*SETTINGS, "output_config", "metadata"} - {"chat_template_kwargs", "truncation"}
"""Parts of a body that no model reads, without those that change what it reads: template arguments and truncation."""
_MOST_BYTES, _MOST_RESPONSES = 64_000_000, 10_000

Key: TypeAlias = tuple[str, str, str, bytes]
"""Account, address, model, and a digest of the first message and of everything that isn't a message."""


@dataclass(frozen=True, slots=True)
class _Known:
    sent: bytes
    """The messages as sent, without the last bracket."""
    bound: int
    """The bound by bytes of the whole request."""
    files: int
    """The number of parts without such a bound."""
    tool_choice: bytes
    """As sent: the provider's own prompt for tools depends on it."""
    tokens: int
    """Input tokens, as reported."""


_lock = threading.Lock()
_known: OrderedDict[Key, _Known] = OrderedDict()
_responses: OrderedDict[tuple[str, str], int] = OrderedDict()
_bytes = 0


def _split(request: WireRequest) -> tuple[bytes, bytes] | None:
    """The messages as sent, and a digest that tells one conversation from another."""
    if "split" not in request.memo:
        request.memo["split"] = _read(request)
    split: tuple[bytes, bytes] | None = request.memo["split"]
    return split


def _read(request: WireRequest) -> tuple[bytes, bytes] | None:
    name = next((each for each in _LISTS if isinstance(request.body.get(each), list)), None)
    if name is None:
        return None
    messages = request.body[name]
    beside = {key: value for key, value in request.body.items() if key != name and key not in _NOT_READ}
    config = request.body.get("output_config")
    if isinstance(config, dict) and config.get("format"):
        beside["format"] = config["format"]
    beside["thinks"] = thinks(request.body)  # with thinking off, earlier thoughts may be dropped
    digest = hashlib.blake2b(orjson.dumps([name, beside, messages[:1]]), digest_size=16).digest()
    return orjson.dumps(messages)[:-1], digest


def learn(account: str, request: WireRequest, input_tokens: int) -> None:
    """Remember the input tokens that a provider reported for a request.

    Args:
        account: The account that paid; empty: the request was only counted.
    """
    global _bytes  # noqa: PLW0603 - the size of the table
    split = _split(request) if request.body and request.rounds == 1 and not request.others else None
    if split is None:
        return
    sent, digest = split
    known = _Known(sent, request.input_bytes + request.extra_tokens, request.files, _choice(request), input_tokens)
    with _lock:
        key = (account, request.address, request.model, digest)
        before = _known.pop(key, None)
        _bytes += len(sent) - (len(before.sent) if before else 0)
        _known[key] = known
        while _bytes > _MOST_BYTES:
            _bytes -= len(_known.popitem(last=False)[1].sent)


def learn_response(request: WireRequest, id_: str, tokens: int) -> None:
    """Remember the tokens of a stored response, which a later request may continue."""
    with _lock:
        _responses[request.address, id_] = tokens
        while len(_responses) > _MOST_RESPONSES:
            _responses.popitem(last=False)


def known_tokens(account: str, request: WireRequest) -> int | None:
    """The most input tokens of a request whose beginning is known; `None`: it isn't."""
    by_bytes = request.input_bytes + request.extra_tokens
    before = request.body.get("previous_response_id")
    if before is not None:
        total = _responses.get((request.address, str(before)))
        return None if total is None or request.files > 1 else total + by_bytes
    if not _known:
        return None
    split = _split(request)
    if split is None:
        return None
    sent, digest = split
    told = [_known.get((each, request.address, request.model, digest)) for each in (account, "")]
    known = [each for each in told if each and _begins(sent, each.sent) and request.files == each.files]
    more = [request.extra_tokens if each.tool_choice != _choice(request) else 0 for each in known]
    return min(
        (each.tokens + extra + max(0, by_bytes - each.bound) for each, extra in zip(known, more, strict=True)),
        default=None,
    )


def _choice(request: WireRequest) -> bytes:
    return orjson.dumps(request.body.get("tool_choice"))


def _begins(sent: bytes, before: bytes) -> bool:
    """Whether the messages sent begin with those sent before."""
    return sent.startswith(before) and sent[len(before) : len(before) + 1] in (b"", b",")
