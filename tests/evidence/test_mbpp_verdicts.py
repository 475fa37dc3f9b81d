"""Verdicts on functions for MBPP: recorded replies are judged as plain Python does, and reference solutions right."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from judged import APART
from rheostat.bench.problems import ask_problems
from rheostat.bench.ways import answer_of_row
from rheostat.evidence.verifiers import PythonTests
from rheostat.sandbox import Limits, Running, Show

pytestmark = pytest.mark.skipif(not APART, reason="no sandbox on this machine")

RECORD = Path(__file__).parents[2] / "docs" / "benchmarks" / "ask.jsonl"
EACH = int(os.environ.get("RHEOSTAT_REPLIES", "30"))
"""How many right and how many wrong replies are judged; `make soak` takes all."""
REFERENCES = os.environ.get("RHEOSTAT_MBPP", "")
"""The path of MBPP's `sanitized-mbpp.json`, which isn't shipped."""
PLAINLY = """\
import contextlib, json
with open("replies.json") as stream: replies = json.load(stream)
said = []
for answer, tests in replies:
    try:
        with contextlib.redirect_stdout(None):
            code = f"from __future__ import annotations\\n{answer}\\n{tests}"
            exec(compile(code, "answer", "exec"), {"__name__": "answer"})
        said.append(True)
    except BaseException:
        said.append(False)
print(json.dumps(said))
"""


def replies() -> list[tuple[str, str]]:
    """(answer, tests) of each distinct recorded reply."""
    problems = {problem.id: problem for problem in ask_problems("mbpp")}
    found: dict[tuple[str, str], None] = {}
    for row in map(json.loads, RECORD.read_text(encoding="utf-8").splitlines()):
        problem = problems.get(row["id"])
        answer = answer_of_row(row, problem) if problem is not None else None
        if problem is not None and answer is not None:
            found[answer, problem.tests] = None
    return list(found)


def plainly(judged: list[tuple[str, str]], place: Path) -> list[bool]:
    """Whether the tests of each pass beside the answer, in one plain interpreter.

    A model wrote the answers, so it runs in a sandbox. Annotations aren't evaluated: the prompts show their imports.
    """
    (place / "replies.json").write_text(json.dumps(judged), encoding="utf-8")
    said: list[bytes] = []
    shown = [Show("/home/replies", "read", str(place))]
    with Running(["python", "-c", PLAINLY], shown, directory="/home/replies", limits=Limits()) as running:
        assert running.watch(said.append).exit_code == 0
    found: list[bool] = json.loads(b"".join(said))
    return found


def test_replies_are_judged_as_plain_python_judges_them(tmp_path: Path) -> None:
    every = replies()
    by_plain = plainly(every, tmp_path)
    for passed in (True, False):
        judged = [reply for reply, said in zip(every, by_plain, strict=True) if said is passed]
        assert len(judged) >= 30
        wrongly = [answer for answer, tests in judged[:EACH] if PythonTests(tests).check(answer).passed is not passed]
        assert wrongly == []


@pytest.mark.skipif(not REFERENCES, reason="RHEOSTAT_MBPP names no file")
def test_all_reference_solutions_are_right() -> None:
    rows = json.loads(Path(REFERENCES).read_text(encoding="utf-8"))
    assert len(rows) == 427
    tests = ["\n".join([*row["test_imports"], *row["test_list"]]) for row in rows]
    said = [PythonTests(each, seconds=30).check(row["code"]) for row, each in zip(rows, tests, strict=True)]
    assert [(row["task_id"], each) for row, each in zip(rows, said, strict=True) if each.passed is not True] == []
