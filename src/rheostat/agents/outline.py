"""The steps of a long task, read from what a model replied: a numbered list, or JSON.

Every model can write a list. Structured output by forced tools or schemas raises in the middle of a call, by provider
in other ways, where a reply doesn't keep to it.
"""

from __future__ import annotations

import json
import re

__all__ = ["AGAIN", "MOST_STEPS", "WANTED", "steps_of"]

MOST_STEPS = 8
_STEP_CHARS = 600
WANTED = (
    f"Reply with nothing but the steps, one to {MOST_STEPS} of them, as a numbered list, one step on each line. Each "
    "is a short instruction to an agent with the tools."
)
AGAIN = f"There were no steps in your reply. {WANTED}"
_ITEM = re.compile(r"^\s*(?:\d{1,2}[.):]|[-*•])\s+(.+?)\s*$", re.M)


def steps_of(reply: str) -> list[str] | None:
    """The steps, without their numbers; at most eight. `None`: the reply has none; empty: it says that none is left."""
    found = _in_json(reply)
    if found is None:
        found = _ITEM.findall(reply) or None
    if found is None:
        return None
    steps = [" ".join(step.replace("**", "").split())[:_STEP_CHARS] for step in found]
    return [step for step in steps if step][:MOST_STEPS]


def _in_json(reply: str) -> list[str] | None:
    text = re.sub(r"^```\w*\n|```\s*$", "", reply.strip())
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    steps = found.get("steps") if isinstance(found, dict) else found
    if not isinstance(steps, list) or not all(isinstance(step, str) for step in steps):
        return None
    return steps
