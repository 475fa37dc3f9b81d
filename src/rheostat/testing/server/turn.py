"""Turns: what the simulated model does with one request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["THOUGHTS", "Fault", "Turn", "Work", "work"]

THOUGHTS = {"none": 0, "minimal": 20, "low": 60, "medium": 240, "high": 960, "xhigh": 2400, "max": 4800}
"""The tokens that it wants to think, by effort; ours, because providers don't publish theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault in the transfer or the server."""

    status: int = 0
    """Reply with this HTTP status. Below 500 (and for 529) nothing is billed; otherwise the tokens are billed that a
    fast model can have written by then."""
    retry_after: str = ""
    """A `Retry-After` header."""
    seconds: float = 0.0
    """Wait this many seconds before the reply."""
    cut: bool = False
    """Close the connection in the middle of a reply; the tokens that can have been written are billed."""
    ends_early: bool = False
    """End a stream cleanly before its last events, which tell the stop reason and the usage. Billed in full."""
    no_usage: bool = False
    """Leave out the usage, as some gateways do; in a stream of Messages, whose clients need one, it is zero."""
    garbage: bool = False
    """Send a billed reply that no client can read: its usage is there, its content isn't."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The model's reply to one request."""

    text: str = "The answer is 4."
    thinking_tokens: int | None = None
    """The thinking tokens that it wants, which caps may cut; `None`: by the effort asked for."""
    tool_calls: tuple[tuple[str, dict[str, Any]], ...] = ()
    """(tool, arguments) of each call; several are parallel calls."""
    stop: str = ""
    """An unusual stop reason of the provider, such as `refusal` or `pause_turn`."""
    redacted: bool = False
    """The thought is returned encrypted (Anthropic)."""
    web_searches: int = 0
    """Searches on the provider's side, which are billed separately, with their pages as input."""
    overrun_tokens: int = 0
    """Tokens billed beyond the length cap, by a provider that breaks its own rule."""
    fault: Fault = field(default=Fault())


@dataclass(frozen=True, slots=True)
class Work:
    """The text generated under a length cap."""

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
