"""Estimate difficulty from the state of an agent: the user's message, and the outcome of the last steps.

Failures, repeats and recovery on the trajectory say more about the next step than its words do (the signals of NVIDIA's
Switchyard router). Only user messages and the success of tools are read. The *text* of a tool's output is never read,
so that text from outside can't make a model think more.
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
"""An effort boundary, where the effort may change: a new user message, the end of a step of the plan, or repeated
failures. Empty: within a tool loop, where a change only costs (the prompt cache is kept by effort)."""

THOUGHT_WITH = "thinking"
"""The key in an `AIMessage`'s `response_metadata` for its effort and plan; as part of the history, it survives
checkpoints, forks and summaries."""

_WINDOW = 40
"""The number of messages read; older ones say nothing about the next step, and cost time."""
_PLAN_TOOLS = {"write_todos"}
_FAILURE_WEIGHT, _REPEAT_WEIGHT = 0.12, 0.10
_FAILING_AGAIN = 2
"""The number of failures in a row that is no longer an accident."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """The state of an agent before its next step, as read from the messages."""

    difficulty: Difficulty
    boundary: Boundary
    loop: Literal["", "thinking", "direct"]
    """The current tool loop began with thinking, or directly without; empty: there is no tool loop."""
    before: Effort | None
    """The effort of the last step of this turn; `None`: we didn't plan it."""
    steps: int
    """The number of model calls in this turn."""
    failures: int
    """The number of tool calls that failed in a row, up to now."""
    repeats: int
    """The number of times that the last tool call was made before with the same arguments."""
    starved: bool
    """The last reply of this turn ran out of tokens in its thought."""
    widened: bool
    """The last reply already had twice the usual length cap."""
    why: str = ""
    """The first reason for the effort of the last step of this turn."""


_known = functools.lru_cache(maxsize=256)(heuristic)


def read_trajectory(messages: Sequence[BaseMessage]) -> Trajectory:
    """Read the last turn of a conversation.

    Args:
        messages: The whole conversation, the newest message last.
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
    """The messages from the last user message on; a long turn keeps only that and its newest messages."""
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
