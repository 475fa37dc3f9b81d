"""How a run ended, in words that a program can look at: `read(result)["end"]`, and the event `end`."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, TypedDict

from langchain_core.messages import AIMessage

from rheostat.graph.events import emit
from rheostat.thinking.difficulty import THOUGHT_WITH

__all__ = ["End", "EndedBy", "end_of_step", "ended"]

EndedBy: TypeAlias = Literal["answer", "budget", "stop", "cut", "declined", "failure", "user"]
"""`answer`: with an answer, as it should; `budget`: a limit of the run or of an account above it; `stop`: nothing
further was worth its price, or was allowed; `cut`: the reply reached its length cap; `declined`: the model or the
provider's filter refused to answer; `failure`: the model couldn't be reached; `user`: a human stopped it."""


class End(TypedDict):
    """The end of a run."""

    by: EndedBy
    why: str
    """The reason, in words."""
    limit: str
    """For `budget`: the limit that was reached, with its unit (`usd_nanos`, `tokens`, `seconds` …); empty: unknown."""
    account: str
    """For `budget`: the account of that limit; empty: unknown."""


def ended(by: EndedBy, why: str, *, limit: str = "", account: str = "") -> End:
    """The end of a run, told to the stream."""
    end: End = {"by": by, "why": why, "limit": limit, "account": account}
    emit("end", **end)
    return end


def end_of_step(message: AIMessage | None) -> End | dict[str, Any]:
    """The end that an agent's step brings; empty: it called tools, so that the run goes on."""
    if message is None or message.tool_calls:
        return {}
    stamp = message.response_metadata.get(THOUGHT_WITH) or {}
    if stamp.get("last_word"):
        why = stamp.get("last_word_why") or "the budget is nearly used up"
        return ended("stop" if stamp.get("gave_up") else "budget", f"this was the last word: {why}")
    match stamp.get("stop"):
        case "refusal":
            return ended("declined", "the model refused to answer")
        case "filter":
            return ended("declined", "the provider's content filter stopped the reply")
        case "length" if stamp.get("decided_by") == "budget":
            return ended("budget", "the reply was cut at the length that the budget still paid for")
        case "length":
            return ended("cut", "the reply reached its length cap: raise max_tokens or Caps(answer_tokens=…)")
        case "context":
            return ended("cut", "the conversation fills the model's context")
        case _:
            return ended("answer", "the model answered")
