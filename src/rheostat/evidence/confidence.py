"""The model's confidence in a reply, from the log-probabilities of its tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence

from langchain_core.messages import AIMessage

__all__ = ["WINDOW_TOKENS", "logprobs_of", "lowest_window", "mean"]

WINDOW_TOKENS = 32


def logprobs_of(message: AIMessage | None) -> list[float]:
    """The log-probabilities of a reply's tokens, as chat completions return them; empty: there are none."""
    listed = ((message.response_metadata if message else {}).get("logprobs") or {}).get("content") or []
    values = [entry.get("logprob") for entry in listed if isinstance(entry, dict)]
    return [float(each) for each in values if isinstance(each, int | float) and math.isfinite(each)]


def mean(logprobs: Sequence[float]) -> float | None:
    """The mean; `None`: there are none."""
    return sum(logprobs) / len(logprobs) if logprobs else None


def lowest_window(logprobs: Sequence[float], tokens: int = WINDOW_TOKENS) -> float | None:
    """The mean of the least probable tokens in a row (DeepConf, arXiv:2508.15260); `None`: there are none.

    A reply that is shorter than the window is one window.
    """
    if len(logprobs) <= tokens:
        return mean(logprobs)
    total = lowest = sum(logprobs[:tokens])
    for old, new in zip(logprobs, logprobs[tokens:], strict=False):
        total += new - old
        lowest = min(lowest, total)
    return lowest / tokens
