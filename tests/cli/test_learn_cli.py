"""`rheostat learn` and `rheostat worth` over a real ledger."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rheostat import BadInput, Budget, Caps, Effort, Policy, Room, SQLiteLedger, build_solver, heuristic, resolve
from rheostat.cli.app import app
from rheostat.judgement.profile import Profile
from rheostat.judgement.shipped import OWN, default_profile, default_router, learned_path, router_path
from rheostat.money.ledger import StepRecord
from rheostat.money.ledger.steps import CANDIDATE, DECISION
from rheostat.strategies import Available, View
from rheostat.task import Task
from rheostat.testing import ScriptedModel
from rheostat.thinking.model_facts import ModelFacts

QUESTION = "How many apples are 3 and 4 apples? Calculate."


@pytest.fixture(autouse=True)
def _own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OWN, str(tmp_path / "config" / "profile.json"))
    monkeypatch.setenv("COLUMNS", "200")


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert isinstance(result.exception, BadInput)
    return str(result.exception)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "spend.db"
    kept = SQLiteLedger(path)
    for answer in ("7", "8", "7"):
        at = resolve(ScriptedModel(script=[f"Answer: {answer}"] * 20, model="mine"))
        at.dial.facts = replace(at.dial.facts, name="mine")
        build_solver(
            at, budget=Budget(tokens=5000), ledger=kept, policy=Policy(), verifier=lambda given: given == "7"
        ).compile().invoke({"question": QUESTION})
    kept.close()
    return path


def test_learning_writes_what_the_policy_reads(ledger: Path) -> None:
    assert "mine" in said("learn", str(ledger), "--dry-run")
    assert not learned_path().exists()
    shown = said("learn", str(ledger))
    assert "of 3 runs" in shown
    arms = default_profile().kinds["maths"].arms
    mine = [each for arm, each in arms.items() if arm.model == "mine" and not arm.strategy]
    assert [each.learned for each in mine] == [True]
    assert mine[0].tried == pytest.approx(3, abs=0.01)
    before = learned_path().read_text()
    said("learn", str(ledger))
    assert json.loads(learned_path().read_text()).keys() == json.loads(before).keys(), "learned again, not twice"
    assert default_profile().kinds["maths"].arms.keys() == arms.keys()


def test_what_was_learned_can_be_listed_and_forgotten(ledger: Path) -> None:
    assert "nothing has been learned" in said("learn", "--list")
    said("learn", str(ledger))
    assert "mine" in said("learn", "--list")
    assert "nothing" in said("learn", "--list", "--model", "other")
    assert "forgotten" in said("learn", "--forget", "--model", "mine")
    assert "nothing has been learned" in said("learn", "--list")
    assert all(arm.model != "mine" for arm in default_profile().kinds["maths"].arms)


def test_no_text_is_learned(ledger: Path) -> None:
    said("learn", str(ledger))
    assert "apples" not in learned_path().read_text()


def test_bad_input_says_what_to_do(ledger: Path, tmp_path: Path) -> None:
    assert "give ledgers to learn from" in refused("learn")
    assert "give ledgers to learn from" in refused("learn", str(ledger), "--list")
    assert "--account" in refused("learn", str(ledger), "--kind", "maths")
    assert "no file" in refused("learn", str(tmp_path / "none.db"))
    assert "choose kind" in refused("worth", str(ledger), "--by", "day")


def test_worth_shows_the_price_of_a_right_answer_beside_fixed_arms(ledger: Path) -> None:
    shown = said("worth", str(ledger), "--by", "kind")
    assert "3 runs" in shown
    assert "2 of 3 judged" in shown
    assert "best fixed" in shown
    assert "strong always" in shown
    [ours, *beside] = json.loads(said("worth", str(ledger), "--json"))
    assert ours["right"] == "2 of 3 judged"
    assert [each["beside"] for each in beside] == ["best fixed", "strong always"]


ADD = """
import sys
from pathlib import Path
from rheostat.judgement.profile import Arm, KindProfile, Measured, Profile
from rheostat.judgement.shipped import changing
one = Profile(kinds={"maths": KindProfile(arms={Arm(model=sys.argv[2]): Measured(right=1, tried=1)})})
with changing(Path(sys.argv[1])) as file:
    file.write(file.read().merged(one))
"""


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    path, names = tmp_path / "shared.json", [f"m{number}" for number in range(6)]
    running = [subprocess.Popen([sys.executable, "-c", ADD, str(path), name]) for name in names]
    assert [each.wait() for each in running] == [0] * len(names)
    assert {arm.model for arm in Profile.read(path).kinds["maths"].arms} == set(names)


def test_texts_are_kept_and_learned_only_if_asked(tmp_path: Path) -> None:
    path = tmp_path / "texts.db"
    kept = SQLiteLedger(path)
    for number in range(40):
        hard = number % 2
        at = resolve(ScriptedModel(script=["Answer: 7"] * 20, model="mine"))
        at.dial.facts = replace(at.dial.facts, name="mine")
        graph = build_solver(
            at, budget=Budget(tokens=50_000), ledger=kept, keep_text=number != 0,
            verifier=lambda given, hard=hard: not hard, caps=Caps(max_samples=1),
        )  # fmt: skip
        graph.compile().invoke({"question": f"{'Prove the theorem' if hard else 'Add the numbers'} {number}."})
    asked = [step.candidate.get("question") for step in kept.steps()]
    kept.close()
    assert sum(each is not None for each in asked) == 39
    assert "39 questions" in said("learn", str(path), "--text")
    router = default_router()
    assert router is not None
    assert router.harder("Add the numbers 3.", "mine") > 0.5 > -0.5 > router.harder("Prove the theorem 3.", "mine")
    assert "theorem" not in router_path().read_text()
    view = View(models=(Available(name="mine", facts=ModelFacts(name="mine", levels={Effort.none: 0})),), room=Room())
    easy, hard = (
        Policy().by_worth("balanced").first(Task(question=text, difficulty=heuristic("Hi")), view)[1].chance
        for text in ("Add the numbers 3.", "Prove the theorem 3.")
    )
    assert easy > hard
    said("learn", "--forget")
    assert default_router() is None


@pytest.mark.parametrize(
    "text", ["", "{", '{"format": "rheostat-profile-9"}', '{"format": "rheostat-profile-1", "kinds": 3}']
)
def test_a_damaged_file_of_what_was_learned_stops_no_run(text: str) -> None:
    learned_path().parent.mkdir(parents=True)
    learned_path().write_text(text)
    router_path().write_text(text)
    with pytest.warns(RuntimeWarning, match="what was learned isn't used"):
        assert Policy().profile.kinds
    assert "forgotten" in said("learn", "--forget")
    assert not learned_path().exists()
    assert not router_path().exists()


def test_records_of_other_versions_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "odd.db"
    kept = SQLiteLedger(path)
    good = {"number": 0, "status": "done", "passed": True, "way": "plain", "cost": {"output_tokens": 5}}
    odd: list[Any] = [
        {**good, "number": None}, {**good, "number": "two", "cost": []}, {**good, "cost": {"output_tokens": "many"}},
    ]  # fmt: skip
    for number, candidate in enumerate([good, *odd]):
        kept.record(StepRecord(
            id=f"r{number}", account=f"run/{number}", node=CANDIDATE, model="m" if number < 3 else "", kind="maths",
            effort_planned="low", candidate=candidate, at_ms=1000 * number,
        ))  # fmt: skip
    kept.record(StepRecord(id="e", account="run/0", node=DECISION, candidate={"action": "stop", "baselines": [3, {}]}))
    kept.close()
    assert "3 verdicts" in said("learn", str(path), "--half-life-days", "100000")
    said("learn", str(path), "--half-life-days", "0.01", "--dry-run")  # all of it is forgotten
    assert "1 runs" in said("worth", str(path))
