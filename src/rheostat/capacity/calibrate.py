"""Measure the steps of a live server: streams at several concurrencies and contexts, the median gap between tokens.

Any server with OpenAI's streaming chat API: vLLM, SGLang, llama.cpp. A gap counts while all streams of a round get
tokens, so that the batch is known; the time to the first token of a lone stream is the prefill's.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, Final

from rheostat.addresses import without_password
from rheostat.capacity.streams import LEAST_SECONDS, Streams, client_of
from rheostat.capacity.table import StepTable
from rheostat.errors import BadInput, ProviderFailed
from rheostat.visible import visible

__all__ = ["acalibrate", "calibrate"]

_ALONE: Final = 3
"""Lone streams a context, of which the median counts."""


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
    from openai import OpenAIError

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
        async with client_of(url, key) as client:
            name = model or await _first_model(client, shown)
            streams = Streams(client, name, shown)
            return await _measured(
                streams, name, shown, tuple(concurrency), tuple(contexts), output_tokens, on_step,
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
    streams: Streams,
    name: str,
    shown: str,
    concurrency: tuple[int, ...],
    contexts: tuple[int, ...],
    output_tokens: int,
    on_step: Callable[[int, int], None] | None,
    **facts: Any,
) -> StepTable:
    tokens_a_word = await streams.warm_up()
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
        alone = [await streams.stream(words, output_tokens) for _ in range(_ALONE)]
        read = round(median(each.input_tokens for each in alone))
        prompts.append((read, median(each.first_seconds for each in alone)))
        middles.append(read + output_tokens // 2)
        tick()
        column = []
        for count in concurrency:
            column.append(await streams.gap(words, output_tokens, count))
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
        prefill_seconds=tuple(max(seconds, LEAST_SECONDS) for _, seconds in prompts),
        source="rheostat capacity calibrate: median gap between tokens of concurrent streams",
        date=datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        **facts,
    )
