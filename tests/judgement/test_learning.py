"""What past runs teach: rates without the bias of the order of play, forgetting, drift."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rheostat.judgement.learning import Outcome, learned, outcomes
from rheostat.judgement.priors import with_priors
from rheostat.judgement.profile import CORRECT, SAMPLE, Arm, KindProfile, Measured, Profile
from rheostat.money.ledger import StepRecord
from rheostat.money.ledger.steps import CANDIDATE
from rheostat.task import Effort
from rheostat.thinking.model_facts import ModelFacts

DAY = 86_400_000
LOW, HIGH = (Arm(model="m", effort=effort) for effort in ("low", "high"))
BASE = Profile(kinds={"maths": KindProfile(arms={LOW: Measured(right=1, tried=2)}, spread=2.5, tasks=9)})


def outcome(arm: Arm, passed: bool, *, run: str = "r", at_ms: int = 0, kind: str = "maths") -> Outcome:
    return Outcome(run=run, kind=kind, difficulty=None, arm=arm, passed=passed, at_ms=at_ms, output_tokens=100)


def played(rates: dict[Arm, float], runs: int, *, spread: float = 2.5, seed: int = 0) -> Iterator[Outcome]:
    """Runs that go to the next arm only after a refusal, on tasks of different ease."""
    dice = random.Random(seed)
    offsets = {arm: math.log(rate / (1 - rate)) * math.sqrt(1 + spread**2 / 2.9) for arm, rate in rates.items()}
    for run in range(runs):
        ease = dice.gauss(0, 1)
        for arm, offset in offsets.items():
            passed = dice.random() < 1 / (1 + math.exp(-spread * ease - offset))
            yield outcome(arm, passed, run=str(run), at_ms=run)
            if passed:
                break


def test_an_arm_that_is_only_played_after_refusals_isnt_wronged() -> None:
    found = list(played({LOW: 0.6, HIGH: 0.8}, 1500))
    arms = learned(found, BASE, now_ms=0).profile.kinds["maths"].arms
    plain = [each.passed for each in found if each.arm == HIGH]
    assert sum(plain) / len(plain) < 0.65, "the plain share is of hard tasks only"
    assert arms[HIGH].right / arms[HIGH].tried == pytest.approx(0.8, abs=0.05)
    assert arms[LOW].right / arms[LOW].tried == pytest.approx(0.6, abs=0.05)
    assert all(each.learned and not each.prior for each in arms.values())


def test_old_verdicts_count_less() -> None:
    found = [outcome(LOW, False, run=f"old {n}", at_ms=0) for n in range(10)]
    found += [outcome(LOW, True, run=f"new {n}", at_ms=60 * DAY) for n in range(10)]
    measured = learned(found, BASE, now_ms=60 * DAY, half_life_days=30).profile.kinds["maths"].arms[LOW]
    assert measured.tried == pytest.approx(12.5)
    assert measured.right == pytest.approx(10, abs=0.5)


@pytest.mark.parametrize(("late", "drifts"), [(0.8, 0), (0.2, 1)])
def test_drift_is_noticed(late: float, drifts: int) -> None:
    dice = random.Random(1)
    found = [
        outcome(LOW, dice.random() < (0.8 if n < 100 else late), run=str(n), at_ms=n) for n in range(140)
    ]  # fmt: skip
    said = learned(found, BASE, now_ms=140).drifts
    assert len(said) == drifts
    assert all("does worse than it did" in str(each) and "of the last 30" in str(each) for each in said)


def record(
    number: int, *, passed: bool | None, purpose: str = "solve", effort: str = "low", run: str = "a"
) -> StepRecord:
    candidate = {"number": number, "status": "done", "way": "plain", "passed": passed, "cost": {"output_tokens": 9}}
    return StepRecord(
        id=f"{run}#{number}", account=run, node=CANDIDATE, model="m", kind="maths", difficulty=0.3,
        effort_planned=effort, purpose=purpose, candidate=candidate, at_ms=number,
    )  # fmt: skip


def test_records_become_arms() -> None:
    steps = [
        record(0, passed=False),
        record(1, passed=False),
        record(2, passed=False, purpose="correct"),
        record(3, passed=True, purpose="correct", effort="high"),  # at another level: that level's first draw
        record(0, passed=None, run="b"),  # the verifier couldn't tell
        StepRecord(id="c", account="c", node="call", model="m"),
    ]
    found = outcomes(steps)
    assert [(each.arm.effort, each.arm.strategy, each.passed) for each in found] == [
        ("low", "", False), ("low", SAMPLE, False), ("low", CORRECT, False), ("high", "", True),
    ]  # fmt: skip
    assert {each.arm.way for each in found} == {"plain"}


def test_what_was_learned_is_drawn_towards_the_prior_and_moves_the_rest() -> None:
    facts = ModelFacts(name="m", levels={Effort.none: 0, Effort.low: 1000, Effort.high: 9000})
    cold = with_priors(Profile(), "maths", [facts]).kinds["maths"].arms
    bad = Measured(right=0, tried=50, output_tokens=10, learned=True)
    taught = Profile(kinds={"maths": KindProfile(arms={Arm(model="m", effort="low", way="plain"): bad})})
    warm = with_priors(taught, "maths", [facts]).kinds["maths"].arms
    assert {(arm.effort, arm.strategy) for arm in warm} == {(arm.effort, arm.strategy) for arm in cold}
    mine = warm[Arm(model="m", effort="low", way="plain")]
    assert 0 < mine.right / mine.tried < 0.1
    assert warm[Arm(model="m", effort="high")].rate < cold[Arm(model="m", effort="high")].rate


@given(st.lists(st.tuples(st.sampled_from([LOW, HIGH]), st.booleans(), st.integers(0, 5)), max_size=40))
def test_any_history_gives_counts_that_are_possible(draws: list[tuple[Arm, bool, int]]) -> None:
    found = [outcome(arm, passed, run=str(run), at_ms=n) for n, (arm, passed, run) in enumerate(draws)]
    made = learned(found, BASE, now_ms=10 * DAY)
    assert made.verdicts == len(draws)
    for kind in made.profile.kinds.values():
        for arm, measured in kind.arms.items():
            assert 0 <= measured.right <= measured.tried <= sum(each.arm == arm for each in found)
    assert Profile.from_text(made.profile.to_text()).kinds.keys() == made.profile.kinds.keys()
