"""What a user's typed program sees of us: checked by mypy --strict and pyright against the wheel, and run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_type

from rheostat import (
    AdaptiveThinking,
    Budget,
    BudgetExceeded,
    Candidate,
    MemoryLedger,
    PythonTests,
    ThinkingChatModel,
    Verdict,
    build_solver,
    read,
    usd,
)
from rheostat.strategies import Accept, Draw, Stop, View
from rheostat.task import Task
from rheostat.testing import ScriptedModel


class OneAnswer:
    """A strategy of the user's own."""

    def decide(self, task: Task, history: Sequence[Candidate], view: View) -> tuple[Draw, ...] | Accept | Stop:
        if not history:
            return (Draw(why=f"a first answer to {task.question}"),)
        last = history[-1]
        return Accept(last.id, "it came") if last.answer is not None else Stop("it brought nothing")


def short(answer: str) -> Verdict:
    """A verifier of the user's own."""
    return Verdict(len(answer) < 20, "use fewer words")


def main() -> None:
    ledger = MemoryLedger()
    chat = ScriptedModel(script=["4", "4", "4"])
    graph = build_solver(chat, budget=Budget(calls=3), ledger=ledger, strategy=OneAnswer(), verifier=short).compile()
    result: dict[str, Any] = graph.invoke({"question": "What is 2 + 2?"})
    state = read(result)
    assert_type(state["end"], dict[str, Any])
    print(result["answer"], usd(state["run"]["usd_nanos"]), state["end"]["by"])
    model = ThinkingChatModel(model=chat, budget=Budget(calls=1))
    try:
        print(model.invoke("Hello.").text)
        model.invoke("Once more.")
    except BudgetExceeded as over:
        print(f"{over.limit}: {over.left} of {over.cap}")
    AdaptiveThinking(budget=Budget(usd="0.50", seconds=300))
    PythonTests("assert double(4) == 8")


if __name__ == "__main__":
    main()
