"""Streams from a live server, clocked: when each token came."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any, Final

from rheostat.errors import ProviderFailed

__all__ = ["LEAST_SECONDS", "Stream", "Streams", "client_of"]

LEAST_SECONDS: Final = 1e-6
_LEAST_GAPS: Final = 8
_TRIES: Final = 3
_TIMEOUT_SECONDS: Final = 600.0
_WORDS: Final = (
    "river", "stone", "window", "garden", "paper", "bridge", "summer", "candle", "silver", "mountain", "letter",
    "harbour", "market", "winter", "island", "forest",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stream:
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


def client_of(url: str, key: str) -> Any:
    """A client for streams that are clocked: no retries, and a connection a request.

    llama.cpp closes a connection after some requests, and a pool may just then send the next one on it.
    """
    from openai import AsyncOpenAI

    about = {"Connection": "close"}
    return AsyncOpenAI(base_url=url, api_key=key, max_retries=0, timeout=_TIMEOUT_SECONDS, default_headers=about)


class Streams:
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
                return max(median(gaps), LEAST_SECONDS)
        raise ProviderFailed(
            f"{self._shown}: {count} streams never ran side by side: it has fewer slots, or replies end early. Measure "
            f"less --concurrency, or more --output-tokens than {output_tokens}"
        )

    async def stream(self, words: int, most_tokens: int) -> Stream:
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
        return Stream(asked, tuple(times), given, usage.completion_tokens if usage else len(times))


def _says(delta: Any) -> bool:
    """Whether a piece has text: an answer's, or a thought's under any name."""
    return any(isinstance(value, str) and value for name, value in delta.model_dump().items() if name != "role")
