"""A long task that works at night: a hard cap a night, a question on the way, a summary in the morning.

Evening:  python examples/nightly/nightly.py new HOME "Go through notes/ and list every open question"
Night:    python examples/nightly/nightly.py run HOME            (from cron or a systemd timer; again after a crash)
Morning:  python examples/nightly/nightly.py summary HOME
          python examples/nightly/nightly.py answer HOME "skip the drafts"    (or write HOME/answer.txt)

HOME holds everything: `task.txt`, `files/` (what the agent may read and change), `question.json`, `answer.txt`,
`summary.md`, the accounts and the checkpoints. `--model` or `NIGHTLY_MODEL` names the model (`openai:gpt-6-sol`,
`qwen2.5-coder-0.5b` …); without it, a simulated one works, which needs no key.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import Command
from night_endpoint import endpoint
from summary import summary

from rheostat import Account, Budget, BudgetExceeded, SQLiteLedger, Window, build_autonomous
from rheostat.visible import visible
from rheostat_tools import Workspace, calculator

ACCOUNT = "nightly"
THREAD: RunnableConfig = {"configurable": {"thread_id": "task"}}
NOTHING_LEFT = 75
"""The exit code if nothing is left of tonight's budget (EX_TEMPFAIL: try again later)."""


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Only one night at a time; the lock is gone with its process, however that ends."""
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"{home} is at work already")
        yield


def night(home: Path, model: str, usd: str, zone: str, check_in: float) -> int:
    """Go on where the last night ended: with a new task, a new night, an answer, or after a crash."""
    ledger = SQLiteLedger(home / "spend.db")
    ledger.open(Account(ACCOUNT, Budget(usd=usd), window=Window("day", zone)))
    ledger.expire(0)  # we are alone: what is still in flight was left by a night that was killed
    with SqliteSaver.from_conn_string(str(home / "checkpoints.db")) as saver, endpoint(model) as at:
        graph = build_autonomous(
            at,
            [calculator(), *Workspace(home / "files").tools()],
            budget=Budget(usd=usd, tokens=2_000_000),
            check_in=(check_in,) if check_in else (),
            ledger=ledger,
            account=ACCOUNT,
        ).compile(checkpointer=saver)
        inputs = next_input(home, graph.get_state(THREAD))
        if isinstance(inputs, str):
            print(inputs)
            return 0
        try:
            graph.invoke(inputs, THREAD, durability="sync")
        except BudgetExceeded as refused:
            print(f"nothing is left for tonight: {refused.plainly}")
            return NOTHING_LEFT
        finally:
            state = graph.get_state(THREAD)
            answer_to(home, state)
            put(home / "summary.md", summary(state, ledger.reading(ACCOUNT)))
    print(visible((home / "summary.md").read_text()))
    return 0


def next_input(home: Path, state: Any) -> Any:
    """What to give to the graph, or why there is nothing to do."""
    answer = answer_to(home, state)
    if state.interrupts:
        return Command(resume=answer) if answer else f"waiting for an answer: nightly.py answer {home} …"
    if state.tasks:  # killed in the middle: from the last checkpoint
        return None
    status, words = state.values.get("status"), (home / "task.txt").read_text()
    if status in ("done", "stopped"):
        return f"the task is {status}: see {home / 'summary.md'}"
    if status == "cap":  # last night's budget was used up: a new night
        words += f"\n\nIn earlier nights this was done:\n{state.values['report']}"
    return {"task": words}


def answer_to(home: Path, state: Any) -> str:
    """The answer to the question that is open now; empty: there is none. An answer to another question is dropped."""
    question, answer = home / "question.json", home / "answer.txt"
    asked = json.dumps(state.interrupts[0].value, indent=2) if state.interrupts else ""
    if (question.read_text() if question.exists() else "") != asked:
        answer.unlink(missing_ok=True)
        put(question, asked)
    return answer.read_text().strip() if answer.exists() else ""


def put(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["new", "run", "answer", "summary"])
    parser.add_argument("home", type=Path)
    parser.add_argument("text", nargs="?", default="", help="the task, or the answer: go on, stop, or an instruction")
    parser.add_argument("--model", default=os.environ.get("NIGHTLY_MODEL", ""))
    parser.add_argument("--usd", default="1.00", help="the most that a night may cost")
    parser.add_argument("--zone", default="UTC", help="the time zone in which a night's budget starts anew at midnight")
    parser.add_argument("--check-in", type=float, default=0.5, help="ask at this share of the budget; 0: never")
    given = parser.parse_args()
    home: Path = given.home
    if given.command in ("new", "answer") and not given.text.strip():
        parser.error(f"{given.command} needs a text")
    if given.command == "new":
        (home / "files").mkdir(parents=True, exist_ok=True)
        put(home / "task.txt", given.text)
    elif not (home / "task.txt").exists():
        parser.error(f"there is no task in {home}: nightly.py new {home} …")
    elif given.command == "answer":
        if not (home / "question.json").exists() or not (home / "question.json").read_text():
            parser.error("no question is open")
        put(home / "answer.txt", given.text)
    elif given.command == "summary":
        found = home / "summary.md"
        print(visible(found.read_text()) if found.exists() else "no night has passed yet")
    else:
        with alone(home):
            return night(home, given.model, given.usd, given.zone, given.check_in)
    return 0


if __name__ == "__main__":
    sys.exit(main())
