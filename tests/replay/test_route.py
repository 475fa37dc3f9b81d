"""`replay route`: which of two models, by the text of a task."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from rheostat.errors import BadInput
from rheostat.judgement.router import Router, fit_router
from rheostat.replay.route import RouteRow, apgr, read_route, replay_route


def rows(count: int = 300, seed: int = 0) -> list[RouteRow]:
    """Tasks on which a word tells whether the strong model is needed."""
    dice = random.Random(seed)
    made = []
    for _ in range(count):
        hard = dice.random() < 0.5
        word = dice.choice(["vectors", "theorem"] if hard else ["oranges", "carrots"])
        text = f"Tell me about {dice.choice(['the', 'a', 'some'])} {word} number {dice.randrange(50)}"
        weak, strong = (
            (dice.random() < 0.2, dice.random() < 0.9) if hard else (dice.random() < 0.9, dice.random() < 0.9)
        )
        made.append(RouteRow(text, weak, strong, 0.001, 0.02))
    return made


def test_the_average_part_of_the_gap() -> None:
    four = [RouteRow("", False, True), RouteRow("", True, True), RouteRow("", True, True), RouteRow("", True, True)]
    assert apgr([1, 0, 0, 0], four) == pytest.approx(7 / 8)
    assert apgr([0, 1, 1, 1], four) == pytest.approx(1 / 8)
    assert apgr([0, 0, 0, 0], four) == pytest.approx(1 / 2)


def test_a_word_that_tells_is_learned_and_beats_the_controls() -> None:
    lines = {line.name: line for line in replay_route(rows())}
    learned = lines.pop("learned: P(strong) − P(weak)")
    oracle = lines.pop("oracle")
    assert oracle.apgr > learned.apgr > 0.65
    assert all(line.apgr < learned.low for line in lines.values())
    assert lines["random"].apgr == pytest.approx(0.5, abs=0.1)
    assert learned.costs is not None
    assert 0.001 < learned.costs[0.5] < learned.costs[0.95] <= 0.02


def test_it_is_fitted_on_one_file_and_judged_on_the_other() -> None:
    learned = replay_route(rows(seed=1), rows(seed=2))[0]
    assert learned.apgr > 0.65


def test_a_router_is_the_same_after_a_round_trip_and_keeps_no_text(tmp_path: Path) -> None:
    listed = rows()
    router = fit_router([row.prompt for row in listed], {"weak": [row.weak for row in listed]}, date="2026-11-29")
    path = tmp_path / "router.json"
    path.write_text(router.to_text())
    assert "vectors" not in router.to_text()
    again = Router.read(path)
    for row in listed[:20]:
        assert again.chances(row.prompt)["weak"] == pytest.approx(router.chances(row.prompt)["weak"], abs=1e-3)


def test_embeddings_count_too() -> None:
    listed = rows()
    dice = random.Random(0)
    embedded = [[float(row.weak), dice.random()] for row in listed]
    router = fit_router(["same"] * len(listed), {"weak": [row.weak for row in listed]}, embedded=embedded, strength=10)
    yes, no = (router.chances("same", [each, 0.5])["weak"] for each in (1.0, 0.0))
    assert yes > 0.7
    assert no < 0.4
    with pytest.raises(BadInput, match="embeddings of 2"):
        router.chances("same")


@pytest.mark.parametrize("text", ["no", "{}", '{"format": "other"}'])
def test_a_bad_router_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "router.json"
    path.write_text(text)
    with pytest.raises(BadInput, match="no router"):
        Router.read(path)


def test_too_few_tasks() -> None:
    with pytest.raises(BadInput, match="too few"):
        fit_router(["a"] * 5, {"m": [True] * 5})


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "a", "weak": 1}, "no strong"),
        ({"prompt": "a", "weak": "x", "strong": 1}, "outcomes are 0 or 1"),
        ({"prompt": "a", "weak": 1, "strong": 0}, "nothing is to be routed"),
    ],
)
def test_a_bad_line_says_what_is_wrong(row: dict[str, object], said: str, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(BadInput) as caught:
        read_route(path)
    assert said in str(caught.value)
