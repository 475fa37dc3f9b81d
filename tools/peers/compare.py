"""`make bench-peers`: our strategies beside its-hub's and treequest's, on one llama.cpp server in one run.

Each program in `users/` is what a user of that library writes for the same thing: to answer a question with four
samples. A program runs in its library's Python, gets the server's address, and returns a reply and the output tokens
that its library counted, if it counts any. The truth is the server's own count, read before and after. All programs
answer a question before the next question begins, so that any part of the record is a fair comparison; a question of a
program that is in the record isn't run again.

    python tools/peers/compare.py PEERS_PYTHON RECORD [TASKS]
"""

from __future__ import annotations

import ast
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rheostat.bench.problems import Problem, ask_problems
from rheostat.bench.record import append, read_record
from rheostat.bench.truth import server_tokens, wait_until_idle
from rheostat.evidence.answers import read_answer
from rheostat.local import CATALOGUE, DEFAULT_MODEL, require_model
from rheostat.local.server import healthy
from rheostat.models import served_endpoint

MODEL = CATALOGUE[DEFAULT_MODEL]
USERS = Path(__file__).parent / "users"
PROGRAMS = {
    "ours_one": "Rheostat: one greedy answer",
    "its_hub_vote": "its-hub: SelfConsistency, 4",
    "ours_vote": "Rheostat: Vote, at most 4",
    "its_hub_best_of_n": "its-hub: BestOfN, 4, LLMJudge",
    "ours_best_of_n": "Rheostat: BestOfN, 4, Judge",
    "its_hub_beam": "its-hub: BeamSearch, 2 × 2, 4 steps, a judge of the user's",
    "ours_beam": "Rheostat: Beam, 2 × 2, 4 steps, Judge",
    "treequest_tree": "treequest: AB-MCTS, 4, a judge of the user's",
    "ours_tree": "Rheostat: TreeSearch by AB-MCTS, 4, Judge",
    "ours_auto": "Rheostat: its defaults, the model by its name",
}
"""The programs, in the order in which they answer each question."""


class Server:
    """The common server, which ends with this process."""

    def __init__(self) -> None:
        self.key = secrets.token_urlsafe(24)
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "server.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={"OMP_WAIT_POLICY": "passive", **os.environ},
        )
        assert self._process.stdin is not None  # noqa: S101 - a pipe
        assert self._process.stdout is not None  # noqa: S101 - a pipe
        self._process.stdin.write(json.dumps({"model": str(require_model(MODEL)), "key": self.key}) + "\n")
        self._process.stdin.flush()
        said = next((line for line in self._process.stdout if line.startswith('{"url"')), None)
        if said is None:
            raise SystemExit("the model server ended")
        self.url: str = json.loads(said)["url"]
        while not healthy(self.url, self.key):
            time.sleep(0.1)


class Program:
    """A user's program in a process of its own."""

    def __init__(self, name: str, python: str, key: str) -> None:
        command = [python, str(Path(__file__).parent / "runner.py"), str(USERS / f"{name}.py")]
        environment = {**os.environ, "OPENAI_API_KEY": key}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, **question: str) -> dict[str, Any]:
        """Let it answer.

        Raises:
            SystemExit: it ended.
        """
        assert self._process.stdin is not None  # noqa: S101 - a pipe
        assert self._process.stdout is not None  # noqa: S101 - a pipe
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a program ended: {self._process.args!r}")
        said: dict[str, Any] = json.loads(line)
        return said


def code_lines(source: str) -> int:
    """Lines of code, without blank lines, comments and docstrings."""
    tree = ast.parse(source)
    skipped: set[int] = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            assert isinstance(body, list)  # noqa: S101 - of these nodes
            skipped |= set(range(body[0].lineno, body[0].end_lineno + 1))
    lines = enumerate(source.splitlines(), 1)
    return sum(
        1 for number, line in lines if line.strip() and not line.strip().startswith("#") and number not in skipped
    )


def right(problem: Problem, reply: str | None) -> bool:
    """Whether a reply has the right number, read in the same way for all."""
    found = read_answer(reply, "number", question=problem.question) if reply else None
    return found is not None and problem.correct(found.text) is True


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The Markdown table of the questions that all programs have answered."""
    lines = [
        "| | right | output tokens, by the server | counted by the library | prompt tokens processed | s | lines |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    answered = {name: {row["id"] for row in rows if row["program"] == name} for name in PROGRAMS}
    shared = set.intersection(*answered.values())
    for name, shown in PROGRAMS.items():
        own = [row for row in rows if row["program"] == name and row["id"] in shared]
        if not own:
            continue
        count = len(own)
        counted = [row["counted"] for row in own if row["counted"] is not None]
        made = sum(row["server_output"] for row in own)
        seen = f"{sum(counted) / count:.0f} ({sum(counted) / made:.0%})" if len(counted) == count else "nothing"
        hits = sum(row["right"] for row in own)
        lines.append(
            f"| {shown} | {hits}/{count} | {made / count:.0f} | {seen} "
            f"| {sum(row['server_input'] for row in own) / count:.0f} "
            f"| {sum(row['seconds'] for row in own) / count:.0f} "
            f"| {code_lines((USERS / f'{name}.py').read_text(encoding='utf-8'))} |"
        )
    failed = [f"{row['program']} {row['id']}: {row['error']}" for row in rows if row["error"]]
    return "\n".join([*lines, *(f"FAILED {each}" for each in failed)])


def main(python: str, record: Path, tasks: int = 10) -> None:
    """Run what isn't recorded yet, and print the table."""
    rows = read_record(record)
    known = {(row["program"], row["id"]) for row in rows}
    todo = [
        (problem, name)
        for problem in ask_problems("multiarith")[:tasks]
        for name in PROGRAMS
        if (name, problem.id) not in known
    ]
    if todo:
        server = Server()
        endpoint = served_endpoint(server.url, server.key, name=DEFAULT_MODEL)
        programs = {
            name: Program(name, sys.executable if name.startswith("ours") else python, server.key)
            for name in dict.fromkeys(name for _, name in todo)
        }
        for problem, name in todo:
            before = server_tokens(endpoint)
            said = programs[name].ask(url=server.url, key=server.key, question=problem.question)
            idle = wait_until_idle(endpoint)
            after = server_tokens(endpoint)
            if not idle or before is None or after is None:
                raise SystemExit("the server isn't idle, or keeps no counts")
            row = {
                "program": name, "id": problem.id, "right": right(problem, said["reply"]), **said,
                "server_input": after[0] - before[0], "server_output": after[1] - before[1],
            }  # fmt: skip
            append(record, row)
            rows.append(row)
            print(
                f"{problem.id} {name}: {row['right']}, {row['server_output']} tokens, {row['seconds']} s",
                file=sys.stderr,
            )
    print(table(rows))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *(int(each) for each in sys.argv[3:4]))
