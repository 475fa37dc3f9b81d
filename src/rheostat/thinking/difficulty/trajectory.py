"""Difficulty from where an agent is: what was asked, and how its last steps went.

Failures, repeats and recovery on the trajectory say more about the next step than its words do (the signals of NVIDIA's
Switchyard router). Only two things are read: what people wrote, and whether tools failed. What a tool's output *says*
is never looked at: text from outside can't make a model think more.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from rheostat.task import Difficulty, Effort
from rheostat.thinking.difficulty.heuristic import heuristic

__all__ = ["THOUGHT_WITH", "Boundary", "Trajectory", "read_trajectory"]

Boundary: TypeAlias = Literal["", "turn", "plan step", "failure"]
"""Where the effort may change: a person spoke, a step of the plan was ended, things fail again and again. Empty: in the
middle of a tool loop, where a change only costs (the prompt cache is kept by effort)."""

THOUGHT_WITH = "thinking"
"""Key in an `AIMessage`'s `response_metadata`: what it was thought with. The history itself says so, and it survives
checkpoints, forks and summaries."""

_WINDOW = 40
"""Messages that are looked at: what lies further back says nothing about the next step, and costs time."""
_PLAN_TOOLS = {"write_todos"}
_FAILURE_WEIGHT, _REPEAT_WEIGHT = 0.12, 0.10
_FAILING_AGAIN = 2
"""This many failures in a row are more than an accident."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """What the messages say about the next step."""

    difficulty: Difficulty
    boundary: Boundary
    loop: Literal["", "thinking", "direct"]
    """The tool loop that the step stands in began with or without thinking; empty: it begins now."""
    before: Effort | None
    """What the last step of this turn was thought with; `None`: it wasn't planned by us."""
    steps: int
    """Model calls of this turn."""
    failures: int
    """Tool calls that failed in a row, up to now."""
    repeats: int
    """How often the last tool call was made before, with the same arguments."""
    starved: bool
    """The last reply of this turn ran out of tokens while it thought."""
    widened: bool
    """It had twice the usual length cap already."""
    why: str = ""
    """The first reason of the effort of the last step of this turn."""


_known = functools.lru_cache(maxsize=256)(heuristic)


def read_trajectory(messages: Sequence[BaseMessage]) -> Trajectory:
    """Read the last turn of a conversation.

    Args:
        messages: The whole of it, the newest last.
    """
    turn = _turn(messages)
    task = next((message.text for message in reversed(turn) if isinstance(message, HumanMessage)), "")
    difficulty = _known(task) if task.strip() else Difficulty(score=0.2, kind="chat", reasons=("nothing was asked",))
    replies = [message for message in turn if isinstance(message, AIMessage)]
    failures = _failures(turn)
    repeats = _repeats(replies)
    reasons = []
    score = difficulty.score
    for count, weight, what in (
        (failures, _FAILURE_WEIGHT, "tool calls failed in a row"),
        (repeats, _REPEAT_WEIGHT, "identical calls before"),
    ):
        if count:
            score += min(count, 4) * weight
            reasons.append(f"{count} {what}: +{min(count, 4) * weight:.2f}")
    if reasons:
        difficulty = replace(
            difficulty, score=round(min(score, 1.0), 3), reasons=(*difficulty.reasons, *reasons), source="trajectory"
        )
    stamp = _stamp(replies[-1]) if replies else {}
    return Trajectory(
        difficulty=difficulty,
        boundary=_boundary(messages, replies, failures, repeats),
        loop=_loop(replies),
        before=Effort(stamp["effort"]) if stamp.get("effort") in Effort.__members__ else None,
        steps=len(replies),
        failures=failures,
        repeats=repeats,
        starved=bool(stamp.get("starved")),
        widened=bool(stamp.get("widened")),
        why=str(next(iter(stamp.get("reasons") or ()), "")),
    )


def _turn(messages: Sequence[BaseMessage]) -> Sequence[BaseMessage]:
    """From the last thing that a person said on; a long turn keeps that and its newest messages."""
    for back in range(1, len(messages) + 1):
        if isinstance(messages[-back], HumanMessage):
            turn = messages[-back:]
            return turn if back <= _WINDOW else [turn[0], *turn[-_WINDOW:]]
    return messages[-_WINDOW:]


def _stamp(message: AIMessage) -> dict[str, Any]:
    stamp = message.response_metadata.get(THOUGHT_WITH)
    return stamp if isinstance(stamp, dict) else {}


def _failures(turn: Sequence[BaseMessage]) -> int:
    count = 0
    for message in reversed(turn):
        if isinstance(message, ToolMessage):
            if message.status != "error":
                break
            count += 1
        elif isinstance(message, HumanMessage):
            break
    return count


def _repeats(replies: Sequence[AIMessage]) -> int:
    calls = [call for reply in replies for call in reply.tool_calls]
    if not calls:
        return 0
    *before, last = calls
    return sum(call["name"] == last["name"] and call["args"] == last["args"] for call in before)


def _loop(replies: Sequence[AIMessage]) -> Literal["", "thinking", "direct"]:
    if not replies or not replies[-1].tool_calls:
        return ""
    first = replies[0]
    stamp = _stamp(first)
    if "effort" in stamp:
        return "direct" if stamp["effort"] == Effort.none else "thinking"
    blocks = first.content if isinstance(first.content, list) else []
    thought = any(isinstance(block, dict) and "think" in str(block.get("type")) for block in blocks)
    return "thinking" if thought else "direct"


def _boundary(messages: Sequence[BaseMessage], replies: Sequence[AIMessage], failures: int, repeats: int) -> Boundary:
    if not replies or isinstance(messages[-1], HumanMessage):
        return "turn"
    if failures >= _FAILING_AGAIN and failures % _FAILING_AGAIN == 0:
        return "failure"
    if repeats >= _FAILING_AGAIN and repeats % _FAILING_AGAIN == 0:
        return "failure"
    if any(call["name"] in _PLAN_TOOLS for call in replies[-1].tool_calls):
        return "plan step"
    return ""
