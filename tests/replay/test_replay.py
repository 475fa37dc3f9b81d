"""Strategies over recorded samples: small cases computed by hand, and what must hold for every record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordings import row
from rheostat.errors import BadInput
from rheostat.evidence.candidate import Candidate
from rheostat.replay import Row, compare, replay, row_of
from rheostat.replay import intervals as bootstrap
from rheostat.replay.adaptive import beta_certainty, beta_stop
from rheostat.replay.intervals import intervals
from rheostat.replay.tape import order_of
from rheostat.strategies import BestOfN, Draw, Strategy, TreeSearch, View, Vote
from rheostat.task import Task


def test_three_equal_answers_are_enough() -> None:
    made = compare([row("a", "a", "a", "a", "a", "a", "a", "a")], Vote(lead=3.0), orders=3)
    assert (made.strategy.accuracy, made.strategy.samples, made.strategy.tokens) == (1.0, 3.0, 30.0)
    assert made.line("beta-0.95").samples == 4.0  # 1 - 1/2^4 = 0.9375 after three, 0.96875 after four
    assert made.line("oracle").samples == made.line("majority-all").samples == 8.0


def test_the_lines_of_a_mixed_question() -> None:
    """Two right of three, each answer once: a single sample is right in two of three cases, the majority always."""
    made = compare([row("a", "b", "a")], Vote(lead=9.0, gives_up=False), orders=6)
    assert made.line("single").accuracy == pytest.approx(2 / 3)
    assert made.line("majority-all").accuracy == 1.0
    assert made.strategy.samples == 3.0  # the record is exhausted
    assert made.strategy.accuracy == 1.0
    assert made.line("single").difference == pytest.approx(1 / 3)


def test_a_tie_goes_to_the_answer_drawn_first() -> None:
    made = compare([row("a", "b", greedy=False)], Vote(lead=9.0, gives_up=False), orders=40)
    first = [order_of(row("a", "b", greedy=False), number)[0] == 0 for number in range(40)]
    assert made.line("majority-all").accuracy == sum(first) / 40 == made.strategy.accuracy
    assert 0.2 < made.strategy.accuracy < 0.8


def test_no_answer_is_no_vote_and_never_right() -> None:
    made = compare(
        [row(None, None, None, "a"), row(None, None, None, None, id="none")], Vote(gives_up=False), orders=10
    )
    assert made.line("oracle").accuracy == 0.5
    assert made.line("majority-all").accuracy == 0.5
    assert made.strategy.accuracy <= 0.5


def test_greedy_first_and_ways_take_turns() -> None:
    samples = [{"answer": "a", "way": way, "temperature": heat} for way in "xyz" for heat in (1, 0, 1)]
    made = row_of({"id": 1, "gold": "a", "samples": samples})
    for number in range(10):
        drawn = [made.samples[at] for at in order_of(made, number)]
        assert [each.greedy for each in drawn] == [True] * 3 + [False] * 6
        assert all({each.way for each in drawn[at : at + 3]} == set("xyz") for at in (0, 3, 6))


def test_a_way_without_a_greedy_sample_comes_before_repetitions() -> None:
    samples = [{"answer": "a", "way": "x", "greedy": True}, {"answer": "a", "way": "x"}, {"answer": "a", "way": "y"}]
    made = row_of({"id": 1, "gold": "a", "samples": samples})
    assert {tuple(made.samples[at].way for at in order_of(made, number)) for number in range(10)} == {("x", "y", "x")}


def test_two_ways_that_agree_end_the_vote() -> None:
    samples = [{"answer": "a", "way": way} for way in "xxxxyyyy"]
    rows = [row_of({"id": 1, "gold": "a", "samples": samples})]
    assert replay(rows, Vote(lead=4.0)).samples == 4.0  # what the first round draws
    assert replay(rows, Vote(lead=4.0, first_samples=2, ways_agree=True)).samples == 2.0
    assert replay(rows, Vote(lead=4.0, first_samples=2)).samples == 4.0


def test_seeds_repeat() -> None:
    rows = [row(*"aabbbccadd", id=number) for number in range(5)]
    assert replay(rows, Vote(), seed=3) == replay(rows, Vote(), seed=3)
    assert replay(rows, Vote(), seed=3) != replay(rows, Vote(), seed=4)
    assert replay(rows[2:], Vote(), seed=3).outcomes == replay(rows, Vote(), seed=3).outcomes[2:]


def test_best_of_n_takes_the_best_score() -> None:
    samples = [
        {"answer": letter, "score": score, "usd": 0.01} for letter, score in zip("bac", (0.2, 0.9, 0.4), strict=True)
    ]
    made = compare([row_of({"id": 1, "gold": "a", "samples": samples})], BestOfN(samples=3, at_once=1), orders=12)
    assert made.strategy.accuracy == made.line("best-all").accuracy == 1.0
    assert made.strategy.usd == pytest.approx(0.03)
    assert made.strategy.tokens is None
    assert made.line("single").accuracy == pytest.approx(1 / 3)


def test_a_verdict_ends_the_draws() -> None:
    rows = [row_of({"samples": [{"answer": "x", "passed": each} for each in (False, False, True)]})]
    played = replay(rows, BestOfN(samples=3, at_once=1), orders=30)
    assert played.accuracy == 1.0
    assert {len(outcome.drawn) for outcome in played.outcomes[0]} == {1, 2, 3}


TREE: dict[str, Any] = {
    "id": "t",
    "gold": "a",
    "samples": [
        {"answer": "b", "score": 0.3},
        {"answer": "c", "score": 0.1},
        {"answer": "a", "score": 0.9, "parent": 0},
        {"answer": "d", "score": 0.2, "parent": 2},
    ],
}


def test_a_tree_draws_recorded_corrections() -> None:
    played = replay([row_of(TREE)], TreeSearch(samples=30, at_once=1, width=1), orders=10)
    assert played.accuracy == 1.0
    for outcome in played.outcomes[0]:
        place = {at: number for number, at in enumerate(outcome.drawn)}
        assert place.get(2, 9) > place[0]  # a correction comes after what it corrects
    made = compare([row_of(TREE)], TreeSearch(samples=30, at_once=1, width=1), orders=10)
    assert made.line("best-roots").accuracy == 0.0
    assert made.line("best-all").accuracy == made.line("oracle").accuracy == 1.0
    assert 0 < made.line("best-roots").samples <= 2.0


def test_only_a_tree_draws_corrections() -> None:
    made = compare([row_of(TREE)], BestOfN(samples=4), orders=3)
    assert made.line("oracle").samples == made.strategy.samples == 2.0
    assert "2 corrections" in made.notes[0]


def test_a_draw_that_nothing_answers_costs_nothing() -> None:
    made = compare([row("a", "b", score=0.5)], TreeSearch(samples=16, at_once=1, width=1), orders=4)
    assert made.strategy.samples == 2.0
    assert "no unused sample" in made.notes[0]


@pytest.mark.parametrize(
    ("rows", "orders", "says"), [([], 1, "no rows"), ([row()], 1, "no row has a sample"), ([row("a")], 0, "orders")]
)
def test_nothing_to_replay_is_an_error(rows: list[Row], orders: int, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        replay(rows, Vote(), orders=orders)


def test_a_row_without_samples_counts_as_wrong() -> None:
    made = compare([row("a", "a", "a"), row(id="empty")], Vote(), orders=2)
    assert {line.accuracy for line in made.lines} == {0.5}
    assert made.strategy.samples == 1.5


class Greedy:
    """A strategy of another hand, which never stops by itself."""

    def decide(self, task: Task, history: Sequence[Candidate], view: View) -> tuple[Draw, ...]:
        return (Draw(), Draw())


def test_a_strategy_that_never_stops_ends_with_the_record() -> None:
    assert isinstance(Greedy(), Strategy)
    assert replay([row("a", "a", "b")], Greedy(), orders=2).samples == 3.0


def test_beta_is_exact() -> None:
    assert beta_certainty(0, 0) == 0.5
    assert beta_certainty(1, 0) == 0.75
    assert beta_certainty(3, 0) == 0.9375
    assert beta_certainty(5, 1) == pytest.approx(120 / 128)  # at most 5 heads in 7 tosses: 1 - (7 + 1) / 128
    assert beta_stop([None, "a", "a", None, "a", "a", "a"]) == 6
    assert beta_stop(["a", "b", "a"]) == 3


def test_intervals_are_the_same_without_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = [[0.1 * (number % 7) for number in range(50)], [float(number % 2) for number in range(50)]]
    fast = intervals(columns, resamples=700)
    monkeypatch.setattr(bootstrap, "_means", bootstrap._means_without_numpy)
    assert intervals(columns, resamples=700) == fast
    low, high = fast[1]
    assert 0.3 < low < 0.5 < high < 0.7


SAMPLE = st.fixed_dictionaries(
    {"answer": st.sampled_from(["a", "b", "c", None]), "tokens": st.integers(0, 50)},
    optional={"way": st.sampled_from("xy"), "temperature": st.sampled_from([0, 1]), "score": st.floats(0, 1)},
)


@st.composite
def rows_(draw: st.DrawFn) -> list[Row]:
    made = []
    for number in range(draw(st.integers(1, 4))):
        samples = draw(st.lists(SAMPLE, min_size=1, max_size=9))
        for place, each in enumerate(samples[1:], 1):
            if draw(st.booleans()):
                each["parent"] = draw(st.integers(0, place - 1))
        made.append(row_of({"id": number, "gold": "a", "samples": samples}))
    return made


STRATEGIES = st.one_of(
    st.builds(Vote, lead=st.floats(0.5, 5), most_samples=st.integers(1, 20), gives_up=st.booleans()),
    st.builds(BestOfN, samples=st.integers(1, 12), at_once=st.integers(1, 5)),
    st.builds(TreeSearch, samples=st.integers(1, 12), at_once=st.integers(1, 4), width=st.floats(1, 3)),
)


@settings(max_examples=60, deadline=None)
@given(rows=rows_(), strategy=STRATEGIES)
def test_what_holds_for_every_record(rows: list[Row], strategy: Strategy) -> None:
    played = replay(rows, strategy, orders=3)
    for recorded, outcomes in zip(rows, played.outcomes, strict=True):
        for outcome in outcomes:
            assert len(set(outcome.drawn)) == len(outcome.drawn) <= len(recorded.samples)
            assert outcome.answer is None or outcome.answer in outcome.drawn
            assert outcome.correct <= any(each.correct for each in recorded.samples)
            for at in outcome.drawn:
                parent = recorded.samples[at].parent
                assert parent is None or outcome.drawn.index(parent) < outcome.drawn.index(at)


@settings(max_examples=15, deadline=None)
@given(rows=rows_(), strategy=STRATEGIES)
def test_nothing_beats_the_oracle(rows: list[Row], strategy: Strategy) -> None:
    made = compare(rows, strategy, orders=2)
    oracle = made.line("oracle")
    for line in made.lines:
        assert line.accuracy <= oracle.accuracy + 1e-9
        assert line.samples <= oracle.samples + 1e-9
        assert line.accuracy_low <= line.accuracy + 1e-9
