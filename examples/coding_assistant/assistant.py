"""A coding assistant: it works on your repository until the tests pass, shows its changes, and asks before applying.

Try:    python examples/coding_assistant/assistant.py          (a small bug and a simulated model: no key)
Use:    python examples/coding_assistant/assistant.py PATH "Parsing fails in leap years" --model openai:gpt-6-sol

It works in a copy (`--where copy`), in a git worktree (`--where worktree`), or in place (`--where here`). Ctrl-C waits
for the reply that is being paid for; then the same command goes on: under the same budget, in the same files, from the
last step that was finished.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from coder_endpoint import DEMO, endpoint
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.sqlite import SqliteSaver
from workplace import Workplace

from rheostat import Account, BadInput, Budget, BudgetExceeded, SQLiteLedger, build_coder, usd


def work(place: Workplace, task: str, given: argparse.Namespace) -> dict[str, Any]:
    """Work until the tests pass or the budget is used up; after an interruption, from the last finished step.

    The budget belongs to an account of this task, so that starting again doesn't start it anew.
    """
    ledger = SQLiteLedger(place.state / "spend.db")
    ledger.open(Account("task", Budget(usd=given.usd)))
    ledger.expire(0)  # nobody else works here: what is still in flight was cut or killed
    config: RunnableConfig = {"configurable": {"thread_id": "task"}}
    with SqliteSaver.from_conn_string(str(place.state / "checkpoints.db")) as saver, endpoint(given.model) as at:
        graph = build_coder(
            at,
            place.work,
            budget=Budget(usd=given.usd, tokens=1_000_000, seconds=given.seconds),
            command=shlex.split(given.test_command),
            ledger=ledger,
            account="task",
        ).compile(checkpointer=saver)
        state = graph.get_state(config)
        resumed = bool(state.tasks)
        print(f"{'going on' if resumed else 'working'} in {place.work}, for at most ${given.usd}")
        result: dict[str, Any] = state.values
        inputs: Any = None if resumed else {"task": task}
        events: Any = graph.stream(inputs, config, stream_mode=["custom", "values"], durability="sync")
        for mode, chunk in events:
            if mode == "values":
                result = chunk
            else:
                show(chunk)
    spent = ledger.reading("task")
    print(f"spent {usd(spent['usd_nanos'])} of ${given.usd} in {spent['calls']} calls")
    ledger.close()
    return result


def show(event: dict[str, Any]) -> None:
    """One line for each thing that happens."""
    match event["type"]:
        case "plan":
            print(f"  thinks at {event['effort']}: {event['reasons'][0]}")
        case "hold":
            print(f"  holds at most {usd(event['usd_nanos'])}")
        case "verdict":
            first = plain(event["reason"]).partition("\n")[0]
            print("  the tests pass" if event["passed"] else f"  the tests don't pass: {first}")
        case "spend":
            print(f"  spent so far {usd(event['spend']['usd_nanos'])}")


def plain(text: str) -> str:
    """Text from a model or a repository, without control characters that a terminal would obey."""
    return "".join(char if char.isprintable() or char in "\n\t" else "�" for char in text)


def agreed(question: str) -> bool:
    """Ask on the terminal; no answer is a no."""
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def main() -> int:
    """The command line; exit code 0: the tests pass and the changes are applied."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, nargs="?", help="the repository; without one, a demonstration")
    parser.add_argument("task", nargs="?", default="", help="the problem; without one, the failing tests")
    parser.add_argument("--where", choices=["copy", "worktree", "here"], default="copy")
    parser.add_argument("--model", default=os.environ.get("CODER_MODEL", ""))
    parser.add_argument("--usd", default="0.50", help="the most that the task may cost, interruptions included")
    parser.add_argument("--seconds", type=float, default=1800.0, help="the most time from its start")
    parser.add_argument("--test-command", default="python -m pytest -q -x -p no:cacheprovider")
    parser.add_argument("--yes", action="store_true", help="apply without asking")
    parser.add_argument("--state", type=Path, default=Path.home() / ".local/state/coding-assistant")
    given = parser.parse_args()
    path, task = (given.path, given.task) if given.path else (DEMO, (DEMO / "task.txt").read_text())
    if given.model == "" and path != DEMO:
        parser.error("name a model: --model openai:gpt-6-sol, or the embedded one, --model qwen2.5-coder-1.5b")
    name = hashlib.sha256(f"{path.resolve()}\0{task}\0{given.where}".encode()).hexdigest()[:12]
    try:
        with Workplace(path.resolve(), given.where, given.state / name) as place:
            result = work(place, task, given)
            print(plain(result["report"]))
            changes = place.diff()
            if not changes:
                return place.finish(apply=False)
            print(plain(changes))
            apply = given.yes or agreed(f"Apply this to {path}?")
            return place.finish(apply=apply) or (0 if apply and result["status"] == "green" else 1)
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on")
        return 130
    except (BadInput, BudgetExceeded) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
