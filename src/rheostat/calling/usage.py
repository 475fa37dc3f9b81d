"""The usage of a reply, read from its body: whole, as server-sent events, or cut in the middle.

genai-prices knows where each provider puts its usage (`Provider.extract_usage`). The rest is read here: whether a
stream came to its end, and how much text had come if it didn't.
"""

from __future__ import annotations

import functools
import json
import math
import time
from dataclasses import dataclass, field
from typing import Any

import orjson

from rheostat.calling.wire import Flavor, WireRequest
from rheostat.money.price_list import snapshot
from rheostat.money.pricing import Terms
from rheostat.money.usage import Spend
from rheostat.visible import one_line

__all__ = ["MOMENT_SECONDS", "Body"]

_EXTRACTORS: dict[Flavor, tuple[str, str]] = {
    "chat": ("openai", "chat"), "responses": ("openai", "responses"), "messages": ("anthropic", "default"),
    "completions": ("openai", "chat"), "gemini": ("google", "default"), "bedrock": ("aws", "default"),
}  # fmt: skip
"""(provider, flavor) in genai-prices, by API: gateways keep the form of the API they imitate."""
_ALLOWED_TOKENS = 1_024
"""Tokens that a template may add, or that may come after a length cap."""
_SILENCE_SECONDS = 0.1
"""A longer pause between two pieces of a stream may have been spent on tokens that never came."""
_ENDED = {
    "response.completed",
    "response.incomplete",
    "response.failed",
    "response.cancelled",
    "message_stop",
    "metadata",
}
MOMENT_SECONDS = 0.25
"""How long a server may go on after its client has gone."""
_AFTER_SECONDS = 1.0
"""How long a server that lists its tokens may go on: longer than others, since its speed is known, which is lower."""
_MOST_NAME_CHARS = 200
_PENDING = {"queued", "in_progress"}


@functools.cache
def _provider(name: str) -> Any:
    return next(provider for provider in snapshot().providers if provider.id == name)


@dataclass(slots=True)
class Body:
    """The body of a reply, read while it comes."""

    request: WireRequest
    ended: bool = False
    """It came to its own end."""
    failed: bool = False
    """The provider reported an error inside it."""
    pending: str = ""
    """The id of a background response that isn't done: its usage comes later."""
    text_bytes: int = 0
    """Bytes of the model's text so far; a token has at least one."""
    listed_tokens: int = 0
    """Tokens that the stream lists one by one, with their log-probabilities."""
    listed_bytes: int = 0
    """The part of `text_bytes` that those tokens make."""
    listed_from: float = 0.0
    """When the first listed token came, on the monotonic clock; `listed_until`: the last one."""
    listed_until: float = 0.0
    silent_seconds: float = 0.0
    """The total of pauses in which nothing came."""
    request_id: str = ""
    _usage: dict[str, Any] = field(default_factory=dict)
    _root: dict[str, Any] = field(default_factory=dict)
    _rest: bytes = b""
    _parts: list[bytes] = field(default_factory=list)
    _finished: set[int] = field(default_factory=set)
    _heard: float = field(default_factory=time.monotonic)
    _events: bool | None = None
    _stopped_by_word: int = 0
    """Answers that ended at a stop sequence, whose tokens llama.cpp neither returns nor lists, but has made."""
    _counts_one: bool = False
    """The server reports the tokens of one answer only, where several were asked for (llama.cpp)."""

    def heard(self) -> None:
        """Count the silence before something came."""
        now = time.monotonic()
        if now - self._heard > _SILENCE_SECONDS:
            self.silent_seconds += now - self._heard
        self._heard = now

    def feed(self, data: bytes) -> None:
        """Read the next bytes of the body, decompressed. Never raises: the reply must reach its reader."""
        self.heard()
        try:
            self._feed(data)
        except (ValueError, TypeError, AttributeError, KeyError):  # an unknown form
            self.text_bytes += len(data)

    def _feed(self, data: bytes) -> None:
        if self._events is None:
            by_line = self.request.flavor in ("ollama", "bedrock") and self.request.stream
            self._events = by_line or data.lstrip()[:1] not in (b"{", b"[")
        if not self._events:
            self._parts.append(data)
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line.strip())

    def _line(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            line = line[5:].strip()
        elif not line.startswith(b"{"):
            return
        if line == b"[DONE]":
            self.ended = True
            return
        try:
            event = orjson.loads(line)
        except orjson.JSONDecodeError:
            return
        if isinstance(event, dict):
            self._event(event)

    def finish(self) -> None:
        """Read the rest, once no more bytes will come."""
        self.heard()
        try:
            self._finish()
        except (ValueError, TypeError, AttributeError, KeyError):
            self.text_bytes += sum(map(len, self._parts))

    def _finish(self) -> None:
        if self._rest:
            self._line(self._rest.strip())
        for data in (b"".join(self._parts),) if self._parts else ():
            try:
                whole = orjson.loads(data)
            except orjson.JSONDecodeError:
                self.text_bytes += len(data)
                continue
            self.ended = True
            for event in whole if isinstance(whole, list) else [whole]:
                if isinstance(event, dict):
                    self._event(event)
        if self._finished and len(self._finished) >= self.request.answers:
            self.ended = True

    def _event(self, event: dict[str, Any]) -> None:
        kind = str(event.get("type") or "")
        root = (
            event.get("response")
            if kind.startswith("response.")
            else event.get("message")
            if kind == "message_start"
            else event
        )
        if isinstance(root, dict):
            named = root.get("id") or root.get("responseId")
            self.request_id = one_line(named)[:_MOST_NAME_CHARS] if named else self.request_id
            usage = root.get("usage") or root.get("usageMetadata")
            if isinstance(usage, dict):  # running totals: a later one replaces an earlier one
                self._usage.update({name: value for name, value in usage.items() if value is not None})
                if not event.get("choices", True):
                    self.ended = True  # the last event of a Chat Completions stream
            if root.get("promptFeedback"):
                self.ended = True  # Gemini refused the question
            for name in ("model", "modelVersion", "service_tier", "speed", "tool_usage"):
                if root.get(name):
                    self._root[name] = root[name]
            if self.request.flavor == "ollama" and "eval_count" in root:
                self._usage.update(root)
            if self.request.flavor == "vectors" and (told := _object(root.get("meta_info"))):  # SGLang, for each text
                before = _count(self._usage.get("prompt_tokens"))
                self._usage["prompt_tokens"] = before + _count(told.get("prompt_tokens"))
            self.pending = str(root.get("id") or "") if root.get("status") in _PENDING else ""
        self._counts_one = self._counts_one or "timings" in event
        if kind in _ENDED or event.get("done") is True:
            self.ended = True
        if kind == "error" or (event.get("error") and not event.get("choices")):
            self.failed = True
        self._text(event)

    def _text(self, event: dict[str, Any]) -> None:
        delta = event.get("delta")
        said: list[Any] = [delta] if isinstance(delta, (str, dict)) else []
        for choice in event.get("choices") or ():
            said += [choice.get("delta"), choice.get("message"), choice.get("text")]
            listed = _object(choice.get("logprobs")).get("content")
            if listed:
                self.listed_until = time.monotonic()
                self.listed_from = self.listed_from or self.listed_until
                self.listed_tokens += len(listed)
                self.listed_bytes += _length(choice.get("delta")) + _length(choice.get("message"))
            if choice.get("finish_reason") == "stop" and not (listed and listed[-1].get("token") == ""):
                self._stopped_by_word += 1  # at the model's own end, an empty token is listed
            if choice.get("finish_reason"):
                self._finished.add(int(choice.get("index") or 0))
        for candidate in event.get("candidates") or ():
            said += (candidate.get("content") or {}).get("parts") or ()
            if candidate.get("finishReason"):
                self._finished.add(int(candidate.get("index") or 0))
        if self.request.flavor == "ollama":
            said += [event.get("message"), event.get("response")]
        self.text_bytes += sum(_length(each) for each in said)

    def most_tokens(self) -> int | None:
        """The most tokens that can have been made until now, where the stream lists them; `None`: it doesn't.

        After the last one, the server may have gone on for a second at twice its speed.
        """
        if not self.listed_tokens or self.listed_bytes < self.text_bytes:
            return None
        now = time.monotonic()
        speed = self.listed_tokens / max(self.listed_until - self.listed_from, 0.05)
        return self.listed_tokens + 1 + math.ceil((now - self.listed_until + _AFTER_SECONDS) * 2 * speed)

    @property
    def model(self) -> str:
        """The model that answered, where the reply says so."""
        return one_line(str(self._root.get("model") or self._root.get("modelVersion") or ""))[:_MOST_NAME_CHARS]

    def billed(self) -> tuple[Spend, Terms] | None:
        """The billed tokens with one call, not yet priced, and the terms; `None`: no usage that can be trusted."""
        try:
            spend = self._spend()
            return None if spend is None or self._impossible(spend) else (spend, self._terms())
        except (ValueError, TypeError, AttributeError, KeyError):
            return None

    def _spend(self) -> Spend | None:
        extractor = _EXTRACTORS.get(self.request.flavor)
        usage = self._usage
        if extractor is None:
            return self._plain(usage)
        if isinstance(usage.get("iterations"), list):
            usage = _summed(usage)
        name, flavor = extractor
        root = "usageMetadata" if self.request.flavor == "gemini" else "usage"
        _, found = _provider(name).extract_usage({**self._root, root: usage}, api_flavor=flavor)
        inputs, output = int(found.input_tokens or 0), int(found.output_tokens or 0)
        if isinstance(total := usage.get("total_tokens"), int):
            output = max(output, total - inputs)  # xAI counts thinking tokens apart
        if inputs <= 0 or output < 0 or (not output and self.text_bytes):
            return None  # every request has input: a usage of zero is none
        if self._counts_one and self.request.answers > 1:
            output = max(output, self._all_answers())
        thought = found.output_reasoning_tokens
        cached = min(max(0, int(found.cache_read_tokens or 0)), inputs)  # some gateways count cached tokens apart
        return Spend(
            input_tokens=inputs,
            cached_input_tokens=cached,
            cache_write_tokens=min(max(0, int(found.cache_write_tokens or 0)), inputs - cached),
            output_tokens=output,
            thinking_tokens=None if thought is None else min(max(0, int(thought)), output),
            calls=1,
        )

    def _all_answers(self) -> int:
        """The tokens of all answers, from a server that reports one: those listed, else the most that there can be."""
        answers, cap = self.request.answers, self.request.most_output_tokens
        if self.listed_tokens and self.listed_bytes >= self.text_bytes:
            stopped = answers if self.request.stream else self._stopped_by_word
            most = self.listed_tokens + stopped * _stop_bytes(self.request.body)
            most += answers if self.request.stream else 0  # a stream doesn't list the last one
        else:
            most = self.text_bytes + answers * (1 + _stop_bytes(self.request.body))
        return most if cap is None else min(most, cap * answers)

    def _impossible(self, spend: Spend) -> bool:
        """Whether the counts exceed the length cap or the bytes that were sent, as added-up running totals do.

        Only for servers that aren't a provider's own, since a provider bills what it reports.
        """
        request = self.request
        if request.provider or not request.input_bytes:
            return False
        most_input = (request.input_bytes + request.extra_tokens) * max(1, request.passes) + _ALLOWED_TOKENS
        if request.rounds == 1 and not request.unbounded and spend.input_tokens > most_input:
            return True
        cap = request.most_output_tokens
        return cap is not None and spend.output_tokens > cap * max(1, request.answers) + _ALLOWED_TOKENS

    def _plain(self, usage: dict[str, Any]) -> Spend | None:
        named = ("prompt_eval_count", "input_tokens", "prompt_tokens", "total_tokens")
        inputs = next((usage[name] for name in named if isinstance(usage.get(name), int) and usage[name] > 0), None)
        output = next((usage[name] for name in ("eval_count", "output_tokens") if isinstance(usage.get(name), int)), 0)
        if inputs is None or output < 0:
            return None
        return Spend(input_tokens=inputs, output_tokens=output, thinking_tokens=None if output else 0, calls=1)

    def _terms(self) -> Terms:
        usage = self._usage
        searched = _object(_object(self._root.get("tool_usage")).get("web_search")).get("num_requests")
        server = _object(usage.get("server_tool_use")).get("web_search_requests", searched)
        tier = str(self._root.get("service_tier") or usage.get("service_tier") or "")
        return Terms(
            service_tier="" if tier == "standard" else tier,
            speed="fast" if "fast" in (usage.get("speed"), self._root.get("speed")) else "",
            region=str(usage.get("inference_geo") or ""),
            cache_write_1h_tokens=_count(_object(usage.get("cache_creation")).get("ephemeral_1h_input_tokens")),
            web_searches=_count(server),
        )


def _stop_bytes(body: dict[str, Any]) -> int:
    """The bytes of the longest stop sequence, which has at most as many tokens."""
    stops = body.get("stop")
    listed = stops if isinstance(stops, list) else [stops]
    return max((len(each.encode(errors="surrogatepass")) for each in listed if isinstance(each, str)), default=0)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _summed(usage: dict[str, Any]) -> dict[str, Any]:
    """Anthropic's usage with the tokens spent on compacting the conversation, which its totals leave out
    (platform.claude.com, compaction)."""
    summed = dict(usage)
    for name in ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"):
        each = sum(_count(_object(one).get(name)) for one in usage["iterations"])
        summed[name] = max(_count(usage.get(name)), each)
    return summed


_NOT_TEXT = {"type", "role", "id", "index", "signature"}


def _length(said: Any) -> int:
    """The bytes of the text, without the JSON around it."""
    if isinstance(said, str):
        return len(said.encode(errors="surrogatepass"))
    if isinstance(said, dict):
        return sum(_length(value) for name, value in said.items() if name not in _NOT_TEXT)
    if isinstance(said, list):
        return sum(map(_length, said))
    return len(json.dumps(said)) if isinstance(said, float) else 0
