"""What happened in a run: on the stream, in the records, in the live view, and again by `rheostat show`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from rich.console import Console
from typer.testing import CliRunner

from conftest import Runner
from postgres_server import PostgresServer
from rheostat import (
    BadInput,
    Budget,
    Caps,
    Endpoint,
    MemoryLedger,
    PostgresLedger,
    Price,
    SQLiteLedger,
    build_solver,
    resolve,
)
from rheostat.cli import solve as solving
from rheostat.cli.app import app
from rheostat.cli.candidates import Row, Totals, tree
from rheostat.cli.safe_text import visible
from rheostat.cli.view import SolveView
from rheostat.errors import LedgerError
from rheostat.evidence.scorers import Judge
from rheostat.graph.events import listen
from rheostat.money.ledger import StepRecord
from rheostat.money.ledger.steps import CANDIDATE, DECISION
from rheostat.strategies import BestOfN, Refine, TreeSearch, Vote
from rheostat.testing import Said, ScriptedModel
from rheostat.thinking.difficulty import Agreement
from test_mouths_and_ears import HOSTILE

QUESTION = "Write a short line about the sea."
ROOMY = Budget(tokens=200_000)
CANARY = "kanarienvogel"


def numbered() -> ScriptedModel:
    """Replies are numbered; a correction counts one on."""

    def script(messages: Any, _: Any) -> str:
        before = [each.content for each in messages if str(each.content).startswith("line")]
        return f"line {int(before[-1].split()[1]) + 1 if before else 0} {CANARY}"

    return ScriptedModel(script=script)


def judging() -> ScriptedModel:
    """The first digit of an answer is its points."""

    def script(messages: Any, _: Any) -> str:
        points = int(messages[-1].content.split("<answer>\nline ")[1][0])
        return json.dumps({"reason": f"worth {points}, says the {CANARY}", "points": points})

    return ScriptedModel(script=script, model="judge")


def searching(ledger: Any, **changes: Any) -> Any:
    given = {"strategy": TreeSearch(samples=5, at_once=2), "scorer": Judge(model=judging()), **changes}
    price = Price(input_per_million=Decimal(1), output_per_million=Decimal(10))
    return build_solver(resolve(numbered(), price=price), budget=ROOMY, ledger=ledger, effort="none", **given)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "memory":
        yield MemoryLedger()
        return
    server: PostgresServer | None = request.getfixturevalue("postgres") if request.param == "postgres" else None
    opened = PostgresLedger(server.address) if server is not None else SQLiteLedger(tmp_path / "spend.db")
    yield opened
    opened.close()


def recorded(ledger: Any, account: str, node: str = CANDIDATE) -> list[StepRecord]:
    found = [step for step in ledger.steps(account) if step.node == node]
    return sorted(found, key=lambda step: (step.candidate.get("number", 0), step.candidate["round"]))


def rheostat(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "140"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def shown(view: Any, width: int = 140) -> str:
    console = Console(record=True, width=width, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(view)
    console.file.close()
    return console.export_text()


# --- records ------------------------------------------------------------------------------------------


def test_every_ledger_records_each_candidate_as_the_result_has_it(ledger: Any, run: Runner) -> None:
    result = run(searching(ledger).compile(), {"question": QUESTION})
    account = result["rheostat"]["run"]["account"]
    steps = recorded(ledger, account)
    drawn = sorted(result["candidates"], key=lambda each: each["number"])
    assert len(steps) == len(drawn) == 5
    for step, each in zip(steps, drawn, strict=True):
        for name in ("id", "number", "parent", "round", "way", "purpose", "status", "passed", "score", "scores"):
            assert step.candidate[name] == each[name]
        for name, cost in (("cost", each["spend"]), ("scoring", each["scoring"])):
            assert step.candidate[name].items() <= cost.items()
        assert (step.model, step.effort_planned) == (each["model"], each["effort"])
    assert [step.candidate["id"] for step in steps if step.candidate["chosen"]] == [result["chosen"]]
    groups: dict[Any, set[str]] = {}
    for step, each in zip(steps, drawn, strict=True):
        groups.setdefault(step.candidate["group"], set()).add(each["key"])
    assert [len(keys) for keys in groups.values()] == [1] * len(groups)
    assert sorted(groups) == list(range(len(groups)))
    decisions = recorded(ledger, account, DECISION)
    assert decisions[-1].reasons == (result["stopped"],)
    assert (decisions[-1].candidate["strategy"], decisions[-1].candidate["scorer"]) == ("tree", "judge")
    assert StepRecord.from_dict(json.loads(json.dumps(steps[0].to_dict()))) == steps[0]


def test_calls_say_for_which_candidate_they_were_made(ledger: Any) -> None:
    result = searching(ledger).compile().invoke({"question": QUESTION})
    calls = [step for step in ledger.steps(result["rheostat"]["run"]["account"]) if step.of_call]
    told = {step.candidate["id"]: step.candidate for step in calls}
    assert told == {
        each["id"]: {"id": each["id"], "parent": each["parent"], "way": each["way"]} for each in result["candidates"]
    }


def test_a_node_that_runs_again_replaces_its_records(ledger: Any) -> None:
    """A resume from before `decide`, as after a crash, and a fork of the finished run."""
    graph = searching(ledger).compile(checkpointer=InMemorySaver(), interrupt_before=["decide"])
    config: Any = {"configurable": {"thread_id": "t"}}
    graph.invoke({"question": QUESTION}, config)
    before = graph.get_state(config).config
    for _ in range(2):  # the same decision twice
        graph.invoke(None, before)
        first = graph.get_state(before).values["rheostat"]["run"]["account"]
        assert len(recorded(ledger, first)) == 2
        assert len(recorded(ledger, first, DECISION)) == 1
    result = graph.get_state(config).values
    while graph.get_state(config).next:
        result = graph.invoke(None, config)
    assert len(recorded(ledger, first)) == len(result["candidates"]) == 5


def test_a_run_again_on_a_thread_has_records_of_its_own(ledger: Any) -> None:
    graph = searching(ledger).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    accounts = [graph.invoke({"question": QUESTION}, config)["rheostat"]["run"]["account"] for _ in range(2)]
    assert [len(recorded(ledger, account)) for account in accounts] == [5, 5]


def test_a_score_that_an_equal_answer_got_is_recorded_and_streamed() -> None:
    ledger, model = MemoryLedger(), ScriptedModel(script=["The answer is 4."])
    judge = ScriptedModel(script=['{"reason": "so so", "points": 5}'], model="judge")
    graph = build_solver(
        model, budget=ROOMY, ledger=ledger, strategy=BestOfN(samples=3), scorer=Judge(model=judge), effort="none"
    ).compile()
    events = list(graph.stream({"question": "What is 2 + 2?"}, stream_mode="custom"))
    scored = [each for each in events if each["type"] == "score"]
    assert {each["id"]: each["score"] for each in scored} == {"r1s0": 0.5, "r1s1": 0.5, "r1s2": 0.5}
    assert sum(each["cost"]["calls"] for each in scored) == 1
    steps = [step for step in ledger.steps() if step.node == CANDIDATE]
    assert [step.candidate["score"] for step in steps] == [0.5] * 3
    assert {step.candidate["group"] for step in steps} == {0}


def test_the_best_so_far_is_recorded_even_if_the_budget_ends_the_run(run: Runner) -> None:
    ledger = MemoryLedger()
    graph = build_solver(
        numbered(), budget=Budget(calls=5), ledger=ledger, strategy=TreeSearch(samples=12, at_once=2),
        scorer=Judge(model=judging()), caps=Caps(max_samples=30, max_rounds=30), effort="none",
    ).compile()  # fmt: skip
    result = run(graph, {"question": QUESTION})
    account = result["rheostat"]["run"]["account"]
    assert [s.candidate["id"] for s in recorded(ledger, account) if s.candidate["chosen"]] == [result["chosen"]]
    assert recorded(ledger, account, DECISION)[-1].reasons == (result["stopped"],)


def test_the_probes_are_candidates_too() -> None:
    ledger, model = MemoryLedger(), ScriptedModel(script=["The answer is 4."])
    graph = build_solver(model, budget=ROOMY, ledger=ledger, probe=Agreement(samples=2), effort="fast").compile()
    events = list(graph.stream({"question": "What is 2 + 2?"}, stream_mode=["custom", "values"]))
    result = events[-1][1]
    told = {each["id"] for mode, each in events if mode == "custom" and each["type"] == "sample"}
    ids = {each["id"] for each in result["candidates"]}
    assert {"probe0", "probe1"} < ids
    assert told == ids
    assert {step.candidate["id"] for step in ledger.steps() if step.node == CANDIDATE} == ids


def racing() -> tuple[Endpoint, Any]:
    """A model whose calls can be cancelled, asked one by one: what comes first decides."""
    endpoint = resolve(ScriptedModel(script=["The answer is 4."]))
    endpoint.dial.facts = replace(endpoint.dial.facts, cancels=True)
    return endpoint, {"max_concurrency": 1}


def test_what_was_cancelled_is_recorded_and_on_the_stream() -> None:
    ledger = MemoryLedger()
    endpoint, config = racing()
    graph = build_solver(endpoint, budget=ROOMY, ledger=ledger, strategy=Vote(first_samples=8), effort="none").compile()
    view = SolveView("What is 2 + 2?", "scripted", ROOMY)
    stop = listen(lambda type_, data: view.feed({"type": type_, **data}))
    result = graph.invoke({"question": "What is 2 + 2?"}, config)
    stop()
    cancelled = [each["id"] for each in result["candidates"] if each["status"] == "cancelled"]
    assert cancelled
    steps = [step for step in ledger.steps() if step.node == CANDIDATE]
    assert [step.candidate["id"] for step in steps if step.candidate["status"] == "cancelled"] == cancelled
    lines = {line.split()[1]: line for line in shown(view).splitlines() if " r1s" in line}
    assert all("cancelled" in lines[name] for name in cancelled)
    assert view.totals.cancelled == len(cancelled)


def test_a_ledger_that_loses_records_costs_nothing_else(run: Runner) -> None:
    class Forgetful(MemoryLedger):
        def record(self, step: StepRecord) -> None:
            raise LedgerError("no room for notes")

    result = run(searching(Forgetful()).compile(), {"question": QUESTION})
    assert len(result["candidates"]) == 5


def test_records_hold_no_text(tmp_path: Path) -> None:
    path = tmp_path / "spend.db"
    ledger = SQLiteLedger(path)
    searching(ledger).compile().invoke({"question": f"{QUESTION} {CANARY}"})
    searching(
        ledger, scorer=None, strategy=Refine(), verifier=lambda answer: f"no {CANARY}: {answer}"
    ).compile().invoke({"question": QUESTION})
    broken = ScriptedModel(script=[Said(error=ValueError(f"broken {CANARY}"))])
    build_solver(broken, budget=ROOMY, ledger=ledger, effort="none").compile().invoke({"question": QUESTION})
    failed = [step for step in ledger.steps() if step.node == CANDIDATE and step.candidate["status"] == "failed"]
    assert failed
    assert all(step.error and step.candidate["group"] is None for step in failed)
    ledger.close()
    for file in tmp_path.iterdir():
        assert CANARY.encode() not in file.read_bytes(), file


def test_a_record_of_an_older_version_loads() -> None:
    old = {name: value for name, value in StepRecord(id="s", account="a").to_dict().items() if name != "candidate"}
    assert StepRecord.from_dict({**old, "of a newer one": 1}) == StepRecord(id="s", account="a")


def test_a_record_replaces_the_one_with_its_id(ledger: Any) -> None:
    for number in range(3):
        ledger.record(StepRecord(id="s", account="replaced", difficulty=float(number)))
    assert [step.difficulty for step in ledger.steps("replaced")] == [2.0]


def test_a_memory_ledger_drops_the_oldest_records() -> None:
    ledger = MemoryLedger(max_accounts=3)
    for number in range(5):
        ledger.record(StepRecord(id=str(number), account="a"))
    assert [step.id for step in ledger.steps()] == ["2", "3", "4"]


# --- rheostat show ------------------------------------------------------------------------------------


@pytest.fixture
def finished(tmp_path: Path) -> tuple[str, dict[str, Any]]:
    """A ledger file and the result of the run in it."""
    ledger = SQLiteLedger(tmp_path / "spend.db")
    graph = searching(ledger).compile(checkpointer=InMemorySaver())
    result = graph.invoke({"question": QUESTION}, {"configurable": {"thread_id": "42"}})
    ledger.close()
    return str(tmp_path / "spend.db"), result


def test_show_draws_the_tree_with_scores_prices_and_the_chosen_one(finished: tuple[str, dict[str, Any]]) -> None:
    path, result = finished
    text = rheostat("show", path, "thread/42")
    lines = {line.split("  ")[0].strip(): line for line in text.splitlines() if "bare" in line}
    for each in result["candidates"]:
        depth = 0 if each["parent"] is None else 1
        name = next(name for name in lines if name.endswith(each["id"]))
        assert ("└" in name or "├" in name) == bool(depth)
        assert f"{each['score']:.2f}" in lines[name]
        assert "$" in lines[name]
        assert ("chosen" in lines[name]) == (each["id"] == result["chosen"])
    assert "tree · chat 0.00 · scored by judge" in text
    assert "total: 5 candidates · judge:" in text
    assert f"accept: {result['stopped']}" in text
    assert CANARY not in text


def test_show_by_run_thread_and_prefix(finished: tuple[str, dict[str, Any]]) -> None:
    path, result = finished
    account = result["rheostat"]["run"]["account"]
    texts = {rheostat("show", path, what) for what in (account, account[:20], "thread/42", "42", "thread/4")}
    assert len(texts) == 1


def test_show_a_thread_shows_all_of_its_runs_and_no_other(tmp_path: Path) -> None:
    ledger = SQLiteLedger(tmp_path / "spend.db")
    graph = searching(ledger).compile(checkpointer=InMemorySaver())
    for thread in ("4", "4", "42"):
        graph.invoke({"question": QUESTION}, {"configurable": {"thread_id": thread}})
    ledger.close()
    found = json.loads(rheostat("show", str(tmp_path / "spend.db"), "thread/4", "--json"))["runs"]
    assert [each["account"].rpartition("/")[0] for each in found] == ["thread/4", "thread/4"]


def test_show_as_json_has_a_stable_shape(finished: tuple[str, dict[str, Any]]) -> None:
    path, result = finished
    document = json.loads(rheostat("show", path, "42", "--json"))
    [run] = document["runs"]
    assert set(run) == {
        "account", "strategy", "scorer", "kind", "difficulty", "ended", "chosen", "candidates", "decisions", "totals",
        "spend",
    }  # fmt: skip
    assert set(run["candidates"][0]) == {
        "id", "number", "parent", "round", "way", "purpose", "status", "passed", "score", "scores", "chosen", "group",
        "cost", "scoring", "model", "effort", "error",
    }  # fmt: skip
    assert set(run["candidates"][0]["cost"]) == {
        "usd_nanos", "input_tokens", "output_tokens", "thinking_tokens", "calls"
    }  # fmt: skip
    assert set(run["totals"]) == {
        "candidates", "cancelled", "failed", "tokens", "usd_nanos", "scoring_tokens", "scoring_usd_nanos",
        "scoring_share",
    }  # fmt: skip
    assert set(run["decisions"][0]) == {"round", "action", "why"}
    assert (run["chosen"], run["strategy"], run["ended"]) == (result["chosen"], "tree", True)
    reading = result["rheostat"]["run"]
    assert run["totals"]["tokens"] == reading["input_tokens"] + reading["output_tokens"]


def test_show_reads_postgres(postgres: PostgresServer) -> None:
    ledger = PostgresLedger(postgres.address)
    graph = searching(ledger).compile(checkpointer=InMemorySaver())
    result = graph.invoke({"question": QUESTION}, {"configurable": {"thread_id": "shown"}})
    ledger.close()
    [run] = json.loads(rheostat("show", postgres.address, "thread/shown", "--json"))["runs"]
    assert run["chosen"] == result["chosen"]


def test_an_unknown_run_and_one_without_candidates(tmp_path: Path, finished: tuple[str, dict[str, Any]]) -> None:
    path, _ = finished
    with pytest.raises(BadInput, match=r"begins with 'nothing': rheostat ledger accounts .* --all"):
        rheostat("show", path, "nothing")
    with pytest.raises(BadInput, match="begins with ''"):
        rheostat("show", path, "")
    ledger = SQLiteLedger(Path(path))
    ledger.record(StepRecord(id="s", account="thread/agent/run", node="model"))
    ledger.close()
    with pytest.raises(BadInput, match=r"thread/agent/run has no candidates: .* rheostat explain .* thread/agent"):
        rheostat("show", path, "thread/agent")
    with pytest.raises(BadInput, match="no file"):
        rheostat("show", str(tmp_path / "none.db"), "x")


def test_explain_shows_calls_as_before_and_their_candidates(finished: tuple[str, dict[str, Any]]) -> None:
    path, result = finished
    text = rheostat("explain", path, "thread/42")
    assert text.count("request 1") == text.count("candidate") == 5
    child = next(each for each in result["candidates"] if each["parent"])
    assert f"{child['id']}, from {child['parent']}, asked by bare" in text
    assert len(json.loads(rheostat("explain", path, "thread/42", "--json"))) == 5


# --- the live view ------------------------------------------------------------------------------------


def sample(number_: int, /, **changes: Any) -> dict[str, Any]:
    return {
        "type": "sample", "id": f"r1s{number_}", "number": number_, "parent": None, "way": "steps", "effort": "low",
        "model": "m", "purpose": "solve", "status": "done", "answer": f"answer {number_}", "error": None, "notes": [],
        "passed": None, "score": None, "cost": {"output_tokens": 20, "thinking_tokens": 7, "usd_nanos": 0}, **changes,
    }  # fmt: skip


def viewed(*events: dict[str, Any]) -> SolveView:
    view = SolveView(QUESTION, "m", ROOMY)
    for event in events:
        view.feed(event)
    return view


def test_a_flat_vote_is_a_plain_table() -> None:
    decision = {"type": "decision", "action": "accept", "why": "enough", "chosen": "r1s1"}
    text = shown(viewed(*(sample(number) for number in range(3)), decision))
    [head] = [line for line in text.splitlines() if "verdict" in line]
    assert head.strip("│ ").split() == ["sample", "way", "effort", "thinking", "output", "answer", "verdict"]
    rows = [line.strip("│ ").split() for line in text.splitlines() if "r1s" in line]
    assert rows[0] == ["r1s0", "steps", "low", "7", "20", "answer", "0"]
    assert rows[1][-1] == "chosen"


def test_the_view_draws_what_came_from_what() -> None:
    events = [
            sample(0),
            sample(1),
            sample(2, id="r2s0", parent="r1s0", purpose="correct"),
            sample(3, id="r3s0", parent="r2s0", purpose="last word"),
            sample(4, id="r3s1", parent="r1s0", status="cancelled", answer=None),
            sample(5, id="r3s2", status="failed", answer=None, error="overloaded: APIError"),
            {"type": "verdict", "id": "r1s0", "passed": False, "reason": "one too many", "score": None},
            {"type": "verdict", "id": "r1s1", "passed": None, "reason": "", "score": None},
            {"type": "verdict", "id": "r2s0", "passed": True, "reason": "", "score": None},
            {"type": "score", "id": "r3s0", "score": 0.25, "reason": "short", "cost": {"usd_nanos": 10**6, "calls": 1}},
            {"type": "decision", "action": "correct", "why": "worth it", "chosen": "r2s0"},
    ]  # fmt: skip
    text = shown(viewed(*events))
    rows = [line[1:-1].strip() for line in text.splitlines() if "r1s" in line or "r2s" in line or "r3s" in line]
    assert [row.split("  ")[0] for row in rows] == ["r1s0", "├ r2s0", "│ └ r3s0", "└ r3s1", "r1s1", "r3s2"]
    for row, says in zip(
        rows,
        ("refused one too many", "best so far passed", "0.25", "cancelled", "abstains", "failed"),
        strict=True,
    ):
        assert says in row
    assert "steps, last word" in rows[2]
    assert "$0.001" in rows[2]
    assert "overloaded" in rows[5]


def test_the_best_and_the_latest_are_kept_and_the_rest_is_counted() -> None:
    events = [sample(number, score=1.0 if number == 11 else 0.01 * number) for number in range(40)]
    decision = {"type": "decision", "action": "sample", "why": "more", "chosen": "r1s3"}
    lines = shown(viewed(*events, decision)).splitlines()
    names = [line.split()[1] for line in lines if "r1s" in line]
    assert len(names) == 14
    assert {"r1s3", "r1s11", "r1s39", "r1s38"} <= set(names)
    assert any("… 26 more" in line for line in lines)


def test_a_chain_longer_than_the_screen_is_drawn_with_gaps() -> None:
    events = [sample(n, parent=f"r1s{n - 1}" if n else None, score=0.5 if n % 10 else 0.9) for n in range(60)]
    text = shown(viewed(*events), width=120)
    rows = [line for line in text.splitlines() if "r1s" in line]
    assert len(rows) == 14
    assert "r1s59" in text
    assert len({len(line) for line in text.splitlines()}) == 1  # nothing runs out of the frame
    whole = shown(tree([Row.of(each) for each in events]), width=120)
    assert sum("r1s" in line for line in whole.splitlines()) == 60


def test_a_loop_of_parents_is_drawn_and_ends() -> None:
    rows = [Row(id="a", parent="b"), Row(id="b", number=1, parent="a"), Row(id="c", number=2, parent="a"),
            Row(id="d", number=3, parent="d"), Row(id="e", number=4, parent="gone")]  # fmt: skip
    text = shown(tree(rows))
    assert all(any(f"{name} " in line for line in text.splitlines()) for name in "abcde")


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_nothing_in_the_view_steers_the_terminal(text: str) -> None:
    view = viewed(
        sample(0, answer=text, way=text, model=text), sample(1, id=text, number=1, parent="r1s0", error=text),
        sample(2, notes=[text], answer=None),
        {"type": "verdict", "id": "r1s0", "passed": False, "reason": text, "score": None},
        {"type": "score", "id": text, "score": 0.5, "reason": text, "cost": {}},
        {"type": "decision", "action": "accept", "why": text, "chosen": text},
    )  # fmt: skip
    out = shown(view, width=300)
    assert all(line.isprintable() for line in out.split("\n"))
    assert visible(" ".join(text.split()))[:12] in out


def test_the_scorers_share_is_in_money_where_there_is_a_price_else_in_tokens() -> None:
    row = {"id": "a", "cost": {"usd_nanos": 300, "input_tokens": 10}, "scoring": {"usd_nanos": 100, "input_tokens": 30}}
    assert Totals.of([Row.of(row)]).scoring_share == 0.25
    unpriced = {**row, "scoring": {"usd_nanos": None, "input_tokens": 30}}
    assert Totals.of([Row.of(unpriced)]).scoring_share == 0.75
    assert Totals.of([]).scoring_share is None


# --- rheostat solve -----------------------------------------------------------------------------------


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--model line` and `--judge judge` are scripted."""
    models = {"line": numbered(), "judge": judging()}
    monkeypatch.setattr(solving, "resolve", lambda name: resolve(models[name]))


@pytest.mark.usefixtures("scripts")
def test_solve_takes_a_strategy_samples_and_a_judge(tmp_path: Path) -> None:
    path = str(tmp_path / "spend.db")
    asked = ["solve", QUESTION, "--model", "line", "--effort", "none", "--budget-tokens", "200000", "--ledger", path]
    asked += ["--strategy", "tree", "--samples", "5", "--judge", "judge"]
    said = json.loads(rheostat(*asked, "--json"))
    assert len(said["candidates"]) == 5
    assert said["chosen"] in {each["id"] for each in said["candidates"]}
    [run] = json.loads(rheostat("show", path, said["run"], "--json"))["runs"]
    assert (run["chosen"], run["strategy"]) == (said["chosen"], "tree")
    text = rheostat(*asked)
    assert "tree · 5 candidates · judge: " in text
    assert "not verified: score 0." in text
    assert f"again: rheostat show {path} run/" in text


@pytest.mark.usefixtures("scripts")
def test_solve_says_in_one_line_what_a_strategy_needs(tmp_path: Path) -> None:
    asked = ["solve", QUESTION, "--model", "line"]
    for more, says in (
        (["--strategy", "guess"], "no strategy named 'guess'; choose auto, direct"),
        (["--strategy", "tree"], "needs something that tells good answers from bad ones"),
        (["--strategy", "direct", "--samples", "3"], "--samples is for a strategy that takes it: --strategy vote"),
        (["--samples", "3"], "not auto"),
        (["--judge", "judge", "--confidence"], "one scorer at a time"),
        (["--worth", "much"], "worth"),
    ):
        with pytest.raises(BadInput, match=says):
            rheostat(*asked, *more)


def test_samples_raise_the_caps() -> None:
    assert solving.caps_for(None) == solving.caps_for(3) == Caps()
    assert (solving.caps_for(40).max_samples, solving.caps_for(40).max_rounds) == (40, 40)
    assert solving.named_strategy("vote", 7) == Vote(most_samples=7)
    assert solving.named_strategy("best-of-n", 7) == BestOfN(samples=7)
    assert solving.named_strategy("auto", None) == "auto"


def test_events_of_parallel_branches_may_come_in_any_order() -> None:
    first, second = (shown(viewed(*(sample(number) for number in order)).tree()) for order in ((0, 1, 2), (2, 0, 1)))
    assert first == second
