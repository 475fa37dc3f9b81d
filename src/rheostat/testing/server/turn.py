"""What the simulated model does with one request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["THOUGHTS", "Fault", "Turn", "Work", "work"]

THOUGHTS = {"none": 0, "minimal": 20, "low": 60, "medium": 240, "high": 960, "xhigh": 2400, "max": 4800}
"""How many tokens it wants to think, by effort: providers don't publish theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong on the way."""

    status: int = 0
    """Answer with this HTTP status instead. Nothing is billed below 500; from 500 on, what a fast
    model can have written by then is billed."""
    retry_after: str = ""
    """A `Retry-After` header."""
    seconds: float = 0.0
    """Wait so long before the reply."""
    cut: bool = False
    """Close the connection in the middle of a reply, which is billed as far as it can have come."""
    ends_early: bool = False
    """A stream ends cleanly before its last events, which tell the stop reason and the usage. Billed in full."""
    no_usage: bool = False
    """Leave the usage out, as some gateways do; in a stream of Messages, whose clients need one, it is zero."""
    garbage: bool = False
    """A billed reply that no client can read: its usage is there, its content isn't."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What the model says."""

    text: str = "The answer is 4."
    thinking_tokens: int | None = None
    """How much it wants to think; `None`: by the effort asked for. Caps cut it."""
    tool_calls: tuple[tuple[str, dict[str, Any]], ...] = ()
    """(tool, arguments): several are parallel calls."""
    stop: str = ""
    """A stop reason of the provider's other than the usual, such as `refusal` or `pause_turn`."""
    redacted: bool = False
    """The thought comes back encrypted (Anthropic)."""
    web_searches: int = 0
    """Searches on the provider's own side: billed apart, and their pages as input."""
    overrun_tokens: int = 0
    """Billed beyond the length cap: a provider that breaks its own rule."""
    fault: Fault = field(default=Fault())


@dataclass(frozen=True, slots=True)
class Work:
    """What was generated under a length cap."""

    thought: str
    thinking_tokens: int
    text: str
    tools: bool
    """The tool calls were reached."""
    cut: bool
    output_tokens: int


_A_CALL_TOKENS = 20


def work(turn: Turn, wanted: int, most: int) -> Work:
    """Think as long as wanted, then answer or call tools, within `most` tokens. One word is one token."""
    wanted = wanted if turn.thinking_tokens is None else min(wanted, turn.thinking_tokens)
    thinking = min(wanted, most)
    left = most - thinking
    words = turn.text.split(" ") if turn.text else []
    said = words[:left]
    left -= len(said)
    calls = _A_CALL_TOKENS * len(turn.tool_calls)
    tools = bool(turn.tool_calls) and left >= calls
    cut = wanted > thinking or len(said) < len(words) or (bool(turn.tool_calls) and not tools)
    total = thinking + len(said) + (calls if tools else 0) + turn.overrun_tokens
    return Work("hm " * thinking, thinking, " ".join(said), tools, cut, total)
