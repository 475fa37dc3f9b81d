"""A coding assistant: it works on a repository until the tests pass, within a hard budget.

Run: python examples/coding_assistant.py
The model is simulated here: it makes a wrong edit, reads the failure and fixes the line, so every run is the same. With
a real model: `rheostat code DIR --model anthropic:claude-sonnet-5-5 --budget-usd 1`.
"""

import shutil
import tempfile
from pathlib import Path

from langchain_openai import ChatOpenAI

from rheostat import Budget, build_coder, read
from rheostat.providers import endpoint_for
from rheostat.testing.server import Turn, provider_server

BUG = Path(__file__).parent / "bugs" / "discount"
LINE = "    return amount + amount * percent / 100"


def edit(old: str, new: str) -> Turn:
    return Turn(tool_calls=(("edit_file", {"path": "checkout.py", "old": old, "new": new}),), text="")


TURNS = [edit(LINE, LINE.replace("100", "10")), edit(LINE.replace("100", "10"), LINE.replace("amount +", "amount -"))]

with tempfile.TemporaryDirectory() as there, provider_server(*TURNS) as server:
    repository = Path(there) / "shop"
    shutil.copytree(BUG, repository, ignore=shutil.ignore_patterns("solution.patch"))
    chat = ChatOpenAI(model="gpt-5.1", base_url=server.openai_url, api_key="any")

    graph = build_coder(
        endpoint_for(chat, provider="openai"),
        repository,
        budget=Budget(usd="0.50", seconds=120),
    ).compile()

    result = {}
    task = (BUG / "task.txt").read_text()
    for mode, chunk in graph.stream({"task": task}, stream_mode=["custom", "values"]):
        if mode == "values":
            result = chunk
        elif chunk["type"] == "plan":
            print(f"thinks at {chunk['effort']}: {chunk['reasons'][0]}")
        elif chunk["type"] == "verdict":
            print("the tests pass" if chunk["passed"] else f"the tests fail: {chunk['reason'].splitlines()[0]}")

    print(result["report"])
    print(result["diff"])
    assert result["status"] == "green"
    assert read(result)["spend"]["usd_nanos"] == server.bill.total("usd_nanos")
