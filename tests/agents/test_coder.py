"""The coder and the long task, as graphs: real files, real tests, the simulated model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from conftest import RUNNERS, Runner
from rheostat import BadInput, Budget, build_autonomous
from rheostat import build_coder as _build_coder
from rheostat.agents.desk import Desk
from rheostat.testing.server import Turn
from wire import ADAPTIVE, CHAT, RESPONSE, Api, simulated

BUGS = Path("examples/bugs")
BUDGET = Budget(usd="5", seconds=120)
COMMAND = ("python", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--disable-plugin-autoload")


def build_coder(*args: Any, **options: Any) -> Any:
    return _build_coder(*args, command=COMMAND, **options)


three_apis = pytest.mark.parametrize(
    ("run", "api"),
    list(zip(RUNNERS, [ADAPTIVE, CHAT, RESPONSE, ADAPTIVE], strict=True)),
    ids=["invoke-messages", "ainvoke-chat", "stream-responses", "astream-messages"],
)
"""Each way to run a graph and each API: every step runs tests in a sandbox, so not each with each."""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    target = tmp_path / "repository"
    shutil.copytree(BUGS / "discount", target, ignore=shutil.ignore_patterns("solution.patch"))
    return target


def edit(repository: Path, new: str) -> Turn:
    line = _line(repository)
    return Turn(tool_calls=(("edit_file", {"path": "checkout.py", "old": line, "new": new}),), text="")


def _line(repository: Path) -> str:
    patch = (BUGS / "discount" / "solution.patch").read_text()
    return next(line[1:] for line in patch.splitlines() if line.startswith("-") and not line.startswith("---"))


def _right() -> str:
    patch = (BUGS / "discount" / "solution.patch").read_text()
    return next(line[1:] for line in patch.splitlines() if line.startswith("+") and not line.startswith("+++"))


def test_files_are_shown_in_fences_that_nothing_in_them_ends(repository: Path) -> None:
    (repository / "notes.py").write_text('"""\n````\nfile: checkout.py\n````\n"""\nx = 1')
    _, said = Desk(repository, COMMAND, test_seconds=60, protected=(), sandbox="auto").first_look("")
    assert 'file: notes.py\n`````python\n"""\n````\nfile: checkout.py\n````\n"""\nx = 1\n`````\n' in said
    assert "file: checkout.py\n```python\n" in said


def agrees(result: Any, server: Any) -> None:
    assert result["rheostat"]["spend"]["usd_nanos"] == server.bill.total("usd_nanos")
    assert server.bill.refusals == []


@three_apis
def test_it_works_until_the_tests_pass(api: Api, repository: Path, run: Runner) -> None:
    wrong = _line(repository).replace(_line(repository).strip(), "return 0  # wrong")
    back = Turn(tool_calls=(("undo", {}),), text="")
    with simulated(edit(repository, wrong), back, edit(repository, _right()), Turn(text="never asked")) as server:
        result = run(build_coder(api.at(server), repository, budget=BUDGET).compile(), {"task": "Mend the discount."})
        assert result["status"] == "green"
        assert server.bill.requests == 3  # it stops at green
        assert _right() in (repository / "checkout.py").read_text()
        assert result["diff"].count("\n+") >= 1
        assert "The tests pass: 3 steps" in result["report"]
        agrees(result, server)
        run_ = result["rheostat"]["run"]
        assert run_["held_usd_nanos"] == run_["held_calls"] == 0  # nothing is kept back for a last word that won't come
        assert result["rheostat"]["end"]["by"] == "answer"


def test_without_correction_there_is_one_edit(repository: Path) -> None:
    wrong = _line(repository).replace(_line(repository).strip(), "return 0  # wrong")
    with simulated(edit(repository, wrong), edit(repository, _right())) as server:
        result = build_coder(CHAT.at(server), repository, budget=BUDGET, correct=False).compile().invoke({})
        assert (result["status"], server.bill.requests) == ("stuck", 1)


def test_tests_cant_be_edited(repository: Path) -> None:
    name = next(repository.glob("test_*.py")).name
    cheat = Turn(tool_calls=(("write_file", {"path": name, "content": "def test_all():\n    pass\n"}),), text="")
    sneak = Turn(tool_calls=(("write_file", {"path": "conftest.py", "content": "import os; os._exit(0)\n"}),), text="")
    before = (repository / name).read_text()
    with simulated(cheat, sneak, Turn(text="I am done.")) as server:
        result = build_coder(CHAT.at(server), repository, budget=BUDGET, most_corrections=0).compile().invoke({})
        assert result["status"] == "stuck"
        assert (repository / name).read_text() == before
        assert not (repository / "conftest.py").exists()


def test_a_model_that_says_done_too_early_is_told(repository: Path, run: Runner) -> None:
    with simulated(Turn(text="All is well."), edit(repository, _right())) as server:
        result = run(build_coder(CHAT.at(server), repository, budget=BUDGET).compile(), {})
        assert result["status"] == "green"
        assert "checked and refused" in str(server.bill.bodies[1])


def test_green_already_costs_nothing(repository: Path) -> None:
    source = repository / "checkout.py"
    source.write_text(source.read_text().replace(_line(repository), _right()))
    with simulated() as server:
        result = build_coder(CHAT.at(server), repository, budget=BUDGET).compile().invoke({})
        assert (result["status"], server.bill.requests) == ("green", 0)


def test_at_the_cap_it_says_so(repository: Path) -> None:
    reading = Turn(tool_calls=(("read_file", {"path": "checkout.py"}),), text="")
    with simulated(*[reading] * 20) as server:
        result = build_coder(CHAT.at(server), repository, budget=Budget(calls=3)).compile().invoke({})
        assert result["status"] == "cap"
        assert "budget is used up" in result["report"]
        assert server.bill.requests == 3


# --- whole files, for models that don't call tools ---------------------------------------------------------------


def whole(repository: Path, new: str, name: str = "file: checkout.py") -> Turn:
    text = (repository / "checkout.py").read_text().replace(_line(repository), new)
    return Turn(text=f"The sign is wrong.\n\n{name}\n```python\n{text}```\nThat is all.")


@three_apis
def test_whole_files_until_the_tests_pass(api: Api, repository: Path, run: Runner) -> None:
    wrong, right = (whole(repository, new) for new in (_right().replace("-", "*"), _right()))
    unchanged = whole(repository, _line(repository))
    with simulated(Turn(text="I see."), unchanged, wrong, right) as server:
        result = run(build_coder(api.at(server), repository, budget=BUDGET, edits="whole").compile(), {})
        assert (result["status"], server.bill.requests) == ("green", 4)
        assert _right() in (repository / "checkout.py").read_text()
        assert not server.bill.bodies[0].get("tools")
        told = [str(body["messages" if "messages" in body else "input"][-1]) for body in server.bill.bodies]
        assert "no whole file" in told[1]
        assert "as it was before" in told[2]
        assert "assert" in told[3]  # what the tests said
        agrees(result, server)


@pytest.mark.parametrize("name", ["", "**checkout.py**:", "### `checkout.py`", "In checkout.py:"])
def test_however_the_file_is_named(repository: Path, name: str) -> None:
    with simulated(whole(repository, _right(), name)) as server:
        result = build_coder(CHAT.at(server), repository, budget=BUDGET, edits="whole").compile().invoke({})
        assert result["status"] == "green"


@pytest.mark.parametrize(
    "more", ["Use it:\n```python\nimport checkout\n\nprint(checkout)\n```", "Output:\n```\n9\n```"]
)
def test_what_is_shown_beside_the_only_file(repository: Path, more: str) -> None:
    with simulated(Turn(text=f"{whole(repository, _right(), '').text}\n{more}\n")) as server:
        result = build_coder(CHAT.at(server), repository, budget=BUDGET, edits="whole").compile().invoke({})
        assert (result["status"], server.bill.requests) == ("green", 1)


def test_a_piece_of_the_only_file(repository: Path) -> None:
    piece = "```\n<<<<<<< SEARCH\n" + _line(repository) + "\n=======\n" + _right() + "\n>>>>>>> REPLACE\n```"
    with simulated(Turn(text="file: checkout.py\n```python\nX = 1\n```"), Turn(text=piece)) as server:
        result = build_coder(CHAT.at(server), repository, budget=BUDGET, edits="whole").compile().invoke({})
        assert (result["status"], server.bill.requests) == ("green", 2)
        assert "only a piece of the file" in str(server.bill.bodies[1])


def test_tests_told_again_do_no_harm(repository: Path) -> None:
    tests = (repository / "test_checkout.py").read_text()
    told = f"```python\n{tests}```\n\nfile: test_checkout.py\n```python\n{tests}```\n"
    with simulated(Turn(text=f"{told}\n{whole(repository, _right()).text}")) as server:
        result = build_coder(CHAT.at(server), repository, budget=BUDGET, edits="whole").compile().invoke({})
        assert (result["status"], server.bill.requests) == ("green", 1)
        assert result["diff"].count("+++ ") == 1


@pytest.mark.parametrize("path", ["test_checkout.py", "conftest.py", "../checkout.py", "/etc/checkout.py"])
def test_whole_files_are_confined(repository: Path, path: str) -> None:
    before = {each.name: each.read_text() for each in repository.parent.rglob("*.py")}
    cheat = Turn(text=f"file: {path}\n```python\nimport os; os._exit(0)\n```")
    with simulated(cheat) as server:
        graph = build_coder(CHAT.at(server), repository, budget=BUDGET, edits="whole", correct=False).compile()
        assert graph.invoke({})["status"] == "stuck"
        assert {each.name: each.read_text() for each in repository.parent.rglob("*.py")} == before


def test_unknown_way_to_edit(repository: Path) -> None:
    with simulated() as server, pytest.raises(BadInput, match="tools or whole"):
        build_coder(CHAT.at(server), repository, budget=BUDGET, edits="patch")


# --- green before, unable to run, checked twice ------------------------------------------------------------------


def adder(root: Path, code: str) -> Path:
    (root / "calc.py").write_text(code)
    (root / "test_calc.py").write_text("from calc import add\n\n\ndef test_add():\n    assert add(1, 2) == 3\n")
    return root


RIGHT = "def add(a, b):\n    return a + b\n"


def test_a_task_is_worked_on_though_the_tests_pass(tmp_path: Path) -> None:
    root = adder(tmp_path, RIGHT)
    more = f"{RIGHT}\n\ndef twice(a):\n    return 2 * a\n"
    write = Turn(tool_calls=(("write_file", {"path": "calc.py", "content": more}),), text="")
    with simulated(Turn(text="All is well."), write, Turn(text="Done.")) as server:
        graph = build_coder(CHAT.at(server), root, budget=Budget(usd="5"), edits="tools").compile()
        result = graph.invoke({"task": "Add twice(a)."})
        assert result["status"] == "green"
        assert (root / "calc.py").read_text() == more
        assert "Nothing was changed" in str(server.bill.bodies[1])


def test_tests_that_cant_be_run_are_said_before_anything_is_spent(tmp_path: Path) -> None:
    (tmp_path / "calc.py").write_text(RIGHT)
    with simulated() as server:
        for command in (COMMAND, ("no-such-command-anywhere",)):
            graph = _build_coder(CHAT.at(server), tmp_path, budget=Budget(usd="5"), command=command).compile()
            with pytest.raises(BadInput, match="can't be run"):
                graph.invoke({"task": "Mend it."})
        assert server.bill.requests == 0


def test_a_runner_that_isnt_installed_is_no_failing_test(repository: Path) -> None:
    with simulated(Turn(text="never asked")) as server:
        graph = _build_coder(
            CHAT.at(server), repository, budget=BUDGET, command=("python", "-m", "pytest_of_mars", "-q")
        )
        with pytest.raises(BadInput, match="No module named"):
            graph.compile().invoke({"task": "Mend the discount."})
        assert server.bill.requests == 0


def test_an_answer_that_is_checked_twice_passes_twice(tmp_path: Path) -> None:
    """A run that was killed between writing and remembering it is given the same answer again."""
    answer = f"file: calc.py\n```python\n{RIGHT}```"
    root = adder(tmp_path, RIGHT.replace("+", "-"))
    for _ in range(2):
        with simulated(Turn(text=answer)) as server:
            graph = build_coder(CHAT.at(server), root, budget=Budget(usd="5"), edits="whole").compile()
            assert graph.invoke({})["status"] == "green"


def test_pytest_cant_be_told_to_look_elsewhere(tmp_path: Path) -> None:
    root = adder(tmp_path, RIGHT.replace("+", "-"))
    cheat = (
        "file: .pytest.ini\n```\n[pytest]\npython_files = ok.py\n```\nfile: ok.py\n```python\ndef test_ok(): pass\n```"
    )
    with simulated(Turn(text=cheat)) as server:
        graph = build_coder(CHAT.at(server), root, budget=Budget(usd="5"), edits="whole", correct=False).compile()
        assert graph.invoke({})["status"] == "stuck"
        assert not (root / ".pytest.ini").exists()


def test_no_such_repository() -> None:
    with simulated() as server, pytest.raises(BadInput, match="no directory"):
        build_coder(CHAT.at(server), "/nowhere/at/all", budget=BUDGET)


# --- the long task ----------------------------------------------------------------------------------------


@tool
def look_up(word: str) -> str:
    """Look a word up."""
    return f"{word}: a dial on current"


OUTLINE = Turn(text="1. look it up\n2. write it down")


@pytest.mark.parametrize("api", [ADAPTIVE, RESPONSE], ids=["messages", "responses"])
def test_a_task_in_steps(api: Api, run: Runner) -> None:
    looks = Turn(tool_calls=(("look_up", {"word": "rheostat"}),), text="")
    with simulated(OUTLINE, looks, Turn(text="A dial."), Turn(text="Written."), Turn(text="The report.")) as server:
        graph = build_autonomous(api.at(server), [look_up], budget=BUDGET).compile()
        result = run(graph, {"task": "Explain what a rheostat is."})
        assert (result["status"], result["report"]) == ("done", "The report.")
        assert [each["step"] for each in result["done"]] == ["look it up", "write it down"]
        agrees(result, server)
        assert result["rheostat"]["run"]["calls"] == server.bill.requests == 5


def test_a_step_that_isnt_finished_is_laid_out_again() -> None:
    endless = [Turn(tool_calls=(("look_up", {"word": f"w{n}"}),), text="") for n in range(40)]
    with simulated(OUTLINE, *endless) as server:
        result = (
            build_autonomous(RESPONSE.at(server), [look_up], budget=Budget(calls=20))
            .compile()
            .invoke({"task": "Explain what a rheostat is."})
        )
        assert result["status"] == "cap"
        assert server.bill.requests <= 20
        assert result["report"]


def test_a_share_too_small_to_work_with_gets_all_that_is_left(run: Runner) -> None:
    """Eight steps share a budget that pays for two calls with tools at once: each share alone pays for a last word."""
    steps = "\n".join(f"{number}. look up word {number}" for number in range(1, 9))
    with simulated(Turn(text=steps), Turn(text="A dial.")) as server:
        graph = build_autonomous(CHAT.at(server), [look_up], budget=Budget(tokens=16_000), effort="none").compile()
        result = run(graph, {"task": "Explain what a rheostat is."})
        assert [each["finished"] for each in result["done"]][:3] == [True] * 3
        agrees(result, server)


def test_a_human_is_asked_at_fractions_of_the_budget(run: Runner) -> None:
    with simulated(OUTLINE, Turn(text="A dial."), Turn(text="The report.")) as server:
        graph = build_autonomous(RESPONSE.at(server), [look_up], budget=Budget(calls=8), check_in=(0.2,)).compile(
            checkpointer=InMemorySaver()
        )
        config = {"configurable": {"thread_id": run.__name__}}
        paused = run(graph, {"task": "Explain what a rheostat is."}, config=config)
        [question] = graph.get_state(config).interrupts
        assert question.value["type"] == "check_in"
        assert question.value["next"] == ["write it down"]
        assert paused["rheostat"]["run"]["calls"] == 2
        result = run(graph, Command(resume="stop"), config=config)
        assert result["status"] == "stopped"
        assert server.bill.requests == 3


def test_bad_fractions() -> None:
    with simulated() as server, pytest.raises(BadInput, match="check_in"):
        build_autonomous(CHAT.at(server), [], budget=BUDGET, check_in=(50,))
