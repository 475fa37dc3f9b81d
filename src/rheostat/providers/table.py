"""Write the table of levels and models in the documentation: `python -m rheostat.providers.table`.

The dials are asked for the settings of a plan, so that the page can't contradict them. The models are those of the
installed profiles of langchain-anthropic and langchain-openai.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_anthropic.data._profiles import _PROFILES as ANTHROPIC
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_openai.data._profiles import _PROFILES as OPENAI

from rheostat.judgement.policy import Caps, Policy
from rheostat.providers.dial import Endpoint
from rheostat.providers.hosted import takes_effort
from rheostat.providers.openai import has_dial
from rheostat.providers.registry import endpoint_for
from rheostat.task import Effort, ThinkingPlan

__all__ = ["main", "page"]

BEGIN, END = "<!-- generated: models -->", "<!-- end -->"
_ANSWER_TOKENS = 1000


def _models() -> Iterator[tuple[str, BaseChatModel]]:
    key: Any = "k"
    for name in sorted(ANTHROPIC):
        chat: BaseChatModel = ChatAnthropic(model_name=name, api_key=key, timeout=1, stop=None)
        if takes_effort(chat):
            yield name, chat
    for name in sorted(OPENAI):
        chat = ChatOpenAI(model=name, api_key=key)
        if takes_effort(chat) and has_dial(chat) and "realtime" not in name:
            yield name, chat


def _cell(at: Endpoint, level: Effort) -> str:
    plan = ThinkingPlan(effort=level, thinking_tokens=0, answer_tokens=_ANSWER_TOKENS)
    plan = Policy().set_effort(plan, level, Caps(), at.dial.facts)
    sent = at.dial.encode(plan, "whole", temperature=None, schema=None).kwargs
    thinking, config = sent.get("thinking") or {}, sent.get("output_config") or {}
    if thinking.get("type") == "enabled":
        text = f"{thinking['budget_tokens']:,} tokens"
    elif thinking.get("type") == "disabled":
        text = "disabled"
    else:
        text = str(config.get("effort") or (sent.get("reasoning") or {}).get("effort") or sent.get("reasoning_effort"))
    return text if plan.effort == level else f"*{text}*"


def table() -> str:
    """The table in Markdown: the setting of each level on each model; italics: the nearest level instead."""
    lines = ["| model | " + " | ".join(level.value for level in Effort) + " |", "|---|" + "---|" * len(Effort)]
    for name, chat in _models():
        at = endpoint_for(chat)
        lines.append(f"| {name} | " + " | ".join(_cell(at, level) for level in Effort) + " |")
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with a new table between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main(path: str = "docs/reference/providers.md") -> None:
    """Write the table into the page."""
    file = Path(path)
    file.write_text(page(file.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
