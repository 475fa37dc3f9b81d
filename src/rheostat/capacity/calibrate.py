"""Measure the steps of a live server: streams at several concurrencies and contexts, the median gap between tokens.

Any server with OpenAI's streaming chat API: vLLM, SGLang, llama.cpp. A gap counts while all streams of a round get
tokens, so that the batch is known; the time to the first token of a lone stream is the prefill's.
"""

from __future__ import annotations

import asyncio
import datetime
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any, Final

from rheostat.addresses import without_password
from rheostat.capacity.table import StepTable
from rheostat.errors import BadInput, ProviderFailed
from rheostat.visible import visible

__all__ = ["acalibrate", "calibrate"]

_LEAST_GAPS: Final = 8
_TRIES: Final = 3
_ALONE: Final = 3
"""Lone streams a context, of which the median counts."""
_TIMEOUT_SECONDS: Final = 600.0
_LEAST_SECONDS: Final = 1e-6
_WORDS: Final = (
    "river", "stone", "window", "garden", "paper", "bridge", "summer", "candle", "silver", "mountain", "letter",
    "harbour", "market", "winter", "island", "forest",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Stream:
    """One reply, as it came."""

    asked: float
    times: tuple[float, ...]
    """When each piece with text came, in seconds."""
    input_tokens: int
    output_tokens: int

    @property
    def first_seconds(self) -> float:
        return self.times[0] - self.asked

    @property
    def tokens_a_piece(self) -> float:
        """Servers may send several tokens in a piece."""
        return max(self.output_tokens / len(self.times), 1.0)


def calibrate(url: str, **options: Any) -> StepTable:
    """`acalibrate`, for programs without an event loop."""
    return asyncio.run(acalibrate(url, **options))


async def acalibrate(
    url: str,
    *,
    kv_dtype: str,
    kv_tokens: int,
    max_context_tokens: int,
    model: str = "",
    key: str = "none",
    concurrency: Sequence[int] = (1, 2, 4, 8, 16, 32),
    contexts: Sequence[int] = (256, 2048, 8192),
    output_tokens: int = 64,
    max_sequences: int = 0,
    max_batched_tokens: int = 8192,
    gpus: int = 1,
    gpu: str = "",
    on_step: Callable[[int, int], None] | None = None,
) -> StepTable:
    """Measure a server that nothing else uses meanwhile.

    Args:
        url: Its base URL, which ends in /v1.
        kv_dtype: The type of its KV cache.
        kv_tokens: The most tokens that its KV cache holds.
        max_context_tokens: The most tokens of one request.
        model: Its model; without it, the first one that it lists.
        concurrency: Streams side by side, ascending.
        contexts: Input tokens, ascending.
        output_tokens: Of each stream, at least.
        max_sequences: The most requests that it runs side by side; 0: the largest concurrency.
        on_step: Called after each round with (done, all).

    Raises:
        BadInput: A request wouldn't fit into the server.
        ProviderFailed: The server can't be reached, refuses, or sends no tokens.
    """
    from openai import AsyncOpenAI, OpenAIError

    most = output_tokens + 4 * max(concurrency)
    if max(contexts) + most > max_context_tokens:
        raise BadInput(
            f"{max(contexts):,} input tokens and {most:,} output tokens don't fit into --max-context "
            f"{max_context_tokens:,}: measure smaller --contexts"
        )
    if max(concurrency) * (max(contexts) + most) > kv_tokens:
        raise BadInput(
            f"{max(concurrency)} streams of {max(contexts) + most:,} tokens don't fit into --kv-tokens {kv_tokens:,}: "
            "the server would preempt. Measure smaller --contexts or --concurrency"
        )
    shown = visible(without_password(url))
    try:
        async with AsyncOpenAI(base_url=url, api_key=key, max_retries=0, timeout=_TIMEOUT_SECONDS) as client:
            name = model or await _first_model(client, shown)
            meter = _Meter(client, name, shown)
            return await _measured(
                meter, name, shown, tuple(concurrency), tuple(contexts), output_tokens, on_step,
                kv_dtype=kv_dtype, kv_tokens=kv_tokens, max_context_tokens=max_context_tokens,
                max_sequences=max_sequences or max(concurrency), max_batched_tokens=max_batched_tokens, gpus=gpus,
                gpu=gpu,
            )  # fmt: skip
    except OpenAIError as error:
        raise ProviderFailed(f"{shown}: {visible(error)}. Is it running, is that its /v1 address, and --key?") from None


async def _first_model(client: Any, shown: str) -> str:
    async for each in client.models.list():
        return str(each.id)
    raise ProviderFailed(f"{shown} lists no model: name one with --model")


async def _measured(
    meter: _Meter,
    name: str,
    shown: str,
    concurrency: tuple[int, ...],
    contexts: tuple[int, ...],
    output_tokens: int,
    on_step: Callable[[int, int], None] | None,
    **facts: Any,
) -> StepTable:
    tokens_a_word = await meter.warm_up()
    rounds, done = len(contexts) * (len(concurrency) + 1), 0

    def tick() -> None:
        nonlocal done
        done += 1
        if on_step is not None:
            on_step(done, rounds)

    columns: list[list[float]] = []
    middles: list[int] = []
    prompts: list[tuple[int, float]] = []
    for context in contexts:
        words = max(round(context / tokens_a_word), 1)
        alone = [await meter.stream(words, output_tokens) for _ in range(_ALONE)]
        read = round(median(each.input_tokens for each in alone))
        prompts.append((read, median(each.first_seconds for each in alone)))
        middles.append(read + output_tokens // 2)
        tick()
        column = []
        for count in concurrency:
            column.append(await meter.gap(words, output_tokens, count))
            tick()
        columns.append(column)
    if len(set(middles)) < len(middles):
        raise ProviderFailed(f"{shown} read {middles} tokens for contexts {contexts}: does it cut its input?")
    return StepTable(
        name=visible(name),
        model=visible(name),
        engine=f"measured at {shown}",
        batch=concurrency,
        context_tokens=tuple(middles),
        decode_seconds=tuple(zip(*columns, strict=True)),
        prefill_tokens=tuple(tokens for tokens, _ in prompts),
        prefill_seconds=tuple(max(seconds, _LEAST_SECONDS) for _, seconds in prompts),
        source="rheostat capacity calibrate: median gap between tokens of concurrent streams",
        date=datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        **facts,
    )


class _Meter:
    """Sends streams and clocks them."""

    def __init__(self, client: Any, model: str, shown: str) -> None:
        self._client, self._model, self._shown = client, model, shown
        self._extra: dict[str, Any] = {"ignore_eos": True}
        """So that replies are as long as asked for: vLLM, SGLang and llama.cpp have it; others may refuse it."""
        self._random = random.Random(time.time_ns())  # noqa: S311 - so that no prompt is in a prefix cache

    async def warm_up(self) -> float:
        """Wake the server; returns the tokens of a word of our prompts."""
        from openai import BadRequestError

        words = 64
        try:
            found = await self.stream(words, 8)
        except BadRequestError:
            self._extra = {}
            found = await self.stream(words, 8)
        return max(found.input_tokens, 1) / words

    async def gap(self, words: int, output_tokens: int, count: int) -> float:
        """The median seconds between tokens while so many streams get them."""
        tokens = output_tokens + 4 * count  # the first streams still run when the last prompts are read
        for _ in range(_TRIES):
            found = await asyncio.gather(*(self.stream(words, tokens) for _ in range(count)))
            start, end = max(each.times[0] for each in found), min(each.times[-1] for each in found)
            gaps = [
                (two - one) / each.tokens_a_piece
                for each in found
                for one, two in pairwise(each.times)
                if start <= one and two <= end
            ]
            if len(gaps) >= _LEAST_GAPS:
                return max(median(gaps), _LEAST_SECONDS)
        raise ProviderFailed(
            f"{self._shown}: {count} streams never ran side by side: it has fewer slots, or replies end early. Measure "
            f"less --concurrency, or more --output-tokens than {output_tokens}"
        )

    async def stream(self, words: int, most_tokens: int) -> _Stream:
        """One request."""
        text = " ".join([str(self._random.randrange(10**6)), *self._random.choices(_WORDS, k=max(words - 8, 1))])
        asked = time.perf_counter()
        reply = await self._client.chat.completions.create(
            model=self._model,
            messages=[{"role": "user", "content": f"{text}. Tell a long story with these words."}],
            max_tokens=most_tokens,
            temperature=1.0,
            stream=True,
            stream_options={"include_usage": True},
            extra_body=self._extra,
        )
        times: list[float] = []
        usage: Any = None
        async for piece in reply:
            usage = piece.usage or usage
            if piece.choices and _says(piece.choices[0].delta):
                times.append(time.perf_counter())
        if not times:
            raise ProviderFailed(f"{self._shown} sent no tokens for a prompt of {words} words")
        given = usage.prompt_tokens if usage else round(1.3 * words)
        return _Stream(asked, tuple(times), given, usage.completion_tokens if usage else len(times))


def _says(delta: Any) -> bool:
    """Whether a piece has text: an answer's, or a thought's under any name."""
    return any(isinstance(value, str) and value for name, value in delta.model_dump().items() if name != "role")
