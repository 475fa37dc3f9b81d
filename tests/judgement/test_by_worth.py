"""The strategy by worth, as a pure function of a history and a view."""

from __future__ import annotations

from typing import Any

from past import TASK, came
from profiles import two_models
from rheostat import Effort, Price, Room, Spend
from rheostat.evidence.candidate import Candidate
from rheostat.judgement.by_worth import ByWorth
from rheostat.strategies import Accept, Available, Draw, Stop, View
from rheostat.strategies.base import WAIT
from rheostat.thinking.model_facts import ModelFacts

LEVELS = {Effort.none: 0, Effort.low: 64}


def model(name: str, **changes: Any) -> Available:
    return Available(name=name, facts=ModelFacts(name=name, levels=LEVELS, takes_temperature=True, **changes))


def view(*models: Available, **changes: Any) -> View:
    return View(models=models or (model("small"),), room=Room(), **changes)


def strategy(preset: str = "balanced") -> ByWorth:
    return ByWorth(profile=two_models(), preset=preset)


def drawn(said: Any) -> Draw:
    assert isinstance(said, tuple), said
    [draw] = said
    assert isinstance(draw, Draw)
    return draw


def by(way: str, answer: str | None, *, number: int = 0, **changes: Any) -> Candidate:
    [made] = came(answer, effort=Effort.none, way=way)
    return Candidate(
        **{**{n: getattr(made, n) for n in made.__slots__}, "id": f"c{number}", "number": number, **changes}
    )


def test_its_first_draw_is_the_arm_with_the_largest_sum_and_says_so() -> None:
    draw = drawn(strategy("fast").decide(TASK, [], view()))
    assert (draw.model, draw.way, draw.effort) == ("small", "steps", Effort.none)
    assert draw.why.startswith("small · none · steps: P 0.")
    assert "tokens − 100 tokens" in draw.why


def test_two_ways_that_agree_end_the_run() -> None:
    history = [by("steps", "4"), by("program", "4", number=1)]
    said = strategy().decide(TASK, history, view())
    assert isinstance(said, Accept)
    assert said.id == "c0"
    assert "no further draw is worth its price" in said.why


def test_a_right_answer_that_is_worth_more_buys_a_second_opinion() -> None:
    history = [by("steps", "4")]
    assert isinstance(strategy("fast").decide(TASK, history, view()), Accept)
    assert drawn(strategy("thorough").decide(TASK, history, view())).way in ("program", "function")


def test_with_prices_it_counts_in_dollars_and_by_the_users_worth() -> None:
    price = Price(input_per_million="1", output_per_million="10")  # type: ignore[arg-type]
    models = (Available(name="small", facts=model("small").facts, price=price),)
    poor, rich = (
        strategy().decide(TASK, [by("steps", "4")], view(*models, worth_usd_nanos=worth))
        for worth in (2_000_000, 900_000_000)
    )
    assert isinstance(poor, Accept)
    assert "$0.9" in drawn(rich).why


def test_a_verifiers_refusal_is_corrected_or_tried_otherwise_until_nothing_is_worth_its_price() -> None:
    history: list[Candidate] = []
    seen = view(model("small"), model("large"), verified=True, draws_left=40, rounds_left=40)
    purposes = []
    for number in range(40):
        said = strategy().decide(TASK, history, seen)
        if isinstance(said, Stop):
            break
        draw = drawn(said)
        purposes.append((draw.model, draw.purpose))
        parent = draw.parent
        history.append(
            by(draw.way or "steps", str(number), number=number, model=draw.model, purpose=draw.purpose, parent=parent,
               effort=draw.effort, passed=False, reason="no", round=number + 1)
        )  # fmt: skip
    assert isinstance(said, Stop)
    assert "refused" in said.why
    assert ("large", "solve") in purposes
    assert ("small", "correct") in purposes
    assert purposes.index(("small", "solve")) < purposes.index(("large", "solve"))


def test_an_answer_that_passed_ends_the_run() -> None:
    assert strategy().decide(TASK, [by("steps", "4", passed=True)], view(verified=True)) == Accept(
        "c0", "the verifier passed it"
    )


def test_a_verifier_that_cannot_tell_leaves_the_answers_to_agree() -> None:
    history = [by("steps", "4"), by("program", "4", number=1)]
    assert isinstance(strategy().decide(TASK, history, view(verified=True)), Accept)


def test_draws_that_bring_nothing_end_after_three() -> None:
    history = [by("steps", None, number=number, status="failed") for number in range(3)]
    assert isinstance(strategy().decide(TASK, history, view()), Stop)


def test_while_draws_are_in_flight_it_waits() -> None:
    assert strategy().decide(TASK, [by("steps", None, status="pending")], view()) == WAIT


def test_it_draws_nothing_that_the_room_cannot_hold() -> None:
    least = Spend(calls=1, output_tokens=100)
    models = (Available(name="small", facts=model("small").facts, least=least),)
    said = strategy("thorough").decide(TASK, [by("steps", "4")], View(models=models, room=Room(tokens=50)))
    assert isinstance(said, Accept)
    assert "room" in said.why


def test_an_arm_beyond_a_fixed_level_is_not_played() -> None:
    draw = drawn(strategy().decide(TASK, [], view(model("large"), fixed_effort=True, effort=Effort.low)))
    assert (draw.model, draw.effort) == ("large", Effort.low)
