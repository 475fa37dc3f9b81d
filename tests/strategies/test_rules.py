"""The rules of each strategy, on histories written by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from past import TASK, available, came, seen
from rheostat import BadInput, Budget, Room, Spend
from rheostat.evidence.candidate import Candidate
from rheostat.strategies import Accept, BestOfN, Direct, Draw, Refine, Stop, TreeSearch, Vote
from rheostat.strategies.nodes import tree_of

TWO = (available(), available("large"))


def refused(*reasons: str) -> list[Candidate]:
    """A chain of corrections, each refused."""
    chain = came(*map(str, range(len(reasons))), passed=False)
    return [
        replace(each, reason=reason, parent=f"c{n - 1}" if n else None)
        for n, (each, reason) in enumerate(zip(chain, reasons, strict=True))
    ]


# --- what all share -----------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", [Direct(), Vote(), Refine(), BestOfN(), TreeSearch()])
def test_the_beginning_and_the_end_are_the_same_for_all(strategy: Any) -> None:
    assert isinstance(strategy.decide(TASK, [], seen()), tuple)
    passed = replace(came("1")[0], passed=True)
    assert strategy.decide(TASK, [*came("0", passed=False), replace(passed, id="p")], seen(verified=True)) == Accept(
        "p", "the verifier passed it"
    )
    last = came("1", purpose="last word", passed=False)
    assert isinstance(strategy.decide(TASK, last, seen()), Stop)
    short = strategy.decide(TASK, [], seen(room=Room(calls=0)))
    assert isinstance(short, Stop)
    assert short.short


def test_without_an_answer_it_thinks_more_tries_again_goes_elsewhere_or_stops() -> None:
    starved = came(None, cut=True)
    assert Vote().decide(TASK, starved, seen(can_think_more=True))[0].more_thought
    assert not Vote().decide(TASK, starved, seen())[0].more_thought
    fixed = seen(can_think_more=True, fixed_effort=True)
    assert not Vote().decide(TASK, starved, fixed)[0].more_thought
    twice = came(None, None)
    assert Vote().decide(TASK, twice, seen(models=TWO))[0].model == "large"
    assert Vote().decide(TASK, twice, seen()) == Stop("no answer came, twice")


def test_a_cost_cap_of_its_own_ends_a_strategy_and_says_so() -> None:
    capped = Vote(lead=5, cap=Budget(usd="0.0000003"), gives_up=False)
    least = available(least=Spend(calls=1, usd_nanos=100))
    assert len(capped.decide(TASK, [], seen(models=(least,)))) == 3
    stop = capped.decide(TASK, came("1", "2", "1"), seen(models=(least,)))
    assert isinstance(stop, Stop)
    assert not stop.short
    assert "own cap" in stop.why


# --- vote ---------------------------------------------------------------------------------------------


BALANCED = Vote(lead=2, most_samples=5, gives_up=True)


def vote(*keys: str, strategy: Vote = BALANCED, **view: Any) -> Any:
    return strategy.decide(TASK, came(*keys), seen(**view))


def test_a_vote_ends_when_the_lead_is_enough() -> None:
    assert isinstance(vote("a", "a"), Accept)
    assert isinstance(vote("a", "b"), tuple)
    assert isinstance(vote("a", "b", "c"), Stop)  # no two agree: hopeless
    assert vote("a", "b", "c", models=TWO)[0].model == "large"
    assert isinstance(vote("a", votable=False), Accept)
    assert isinstance(vote("a", "b", "a", "b", "a"), Stop)  # the most samples
    thorough = Vote(lead=3, most_samples=12)
    assert isinstance(vote("a", "a", strategy=thorough), tuple)
    assert isinstance(vote("a", "a", "a", strategy=thorough), Accept)


def test_the_first_round_draws_the_fewest_samples_that_could_be_enough() -> None:
    assert len(Vote(lead=2).decide(TASK, [], seen())) == 2
    assert len(Vote(lead=3).decide(TASK, [], seen())) == 3
    assert len(Vote(lead=3).decide(TASK, [], seen(votable=False))) == 1


def test_two_ways_that_agree_are_enough() -> None:
    one, two = came("a", "a")
    ways = [one, replace(two, way="program")]
    agreeing = Vote(lead=5, ways_agree=True)
    assert isinstance(agreeing.decide(TASK, ways, seen()), Accept)
    assert isinstance(Vote(lead=5).decide(TASK, ways, seen()), tuple)
    assert isinstance(agreeing.decide(TASK, [one, two], seen()), tuple)  # one way twice


def test_a_confident_answer_weighs_more() -> None:
    a, b = came("a", "b")
    history = [replace(a, low_logprob=-2.0), replace(b, low_logprob=-0.1)]
    sure = Vote(lead=1.5, weights="confidence").decide(TASK, history, seen())
    assert isinstance(sure, Accept)
    assert sure.id == "c1"
    unknown = [history[0], replace(b, low_logprob=None)]
    equal = Vote(lead=1.5, weights="confidence").decide(TASK, unknown, seen())
    assert isinstance(equal, tuple)


def test_an_error_and_a_refused_answer_never_vote() -> None:
    history = [*came("a", "a", passed=False), *came(None)]
    assert isinstance(Vote(lead=2).decide(TASK, history, seen()), tuple)


# --- refine -------------------------------------------------------------------------------------------


def test_a_refused_answer_is_corrected_while_that_is_worth_its_price() -> None:
    kinds = []
    for count in range(1, 8):
        decision = Refine(broadens=False).decide(TASK, refused(*(f"no {n}" for n in range(count))), seen())
        kinds.append(decision[0].purpose if isinstance(decision, tuple) else "stop")
    assert kinds[0] == "correct"
    assert kinds == sorted(kinds)  # correct … correct, stop … stop
    assert kinds[-1] == "stop"
    first = Refine().decide(TASK, refused("no"), seen())
    assert first[0].parent == "c0"
    assert first[0].more_thought
    assert isinstance(Refine(worth_calls=1).decide(TASK, refused("no"), seen()), Stop)
    assert Refine(worth_calls=1).decide(TASK, refused("no"), seen(models=TWO))[0].model == "large"


def test_the_same_reason_twice_goes_from_depth_to_breadth() -> None:
    again = Refine().decide(TASK, refused("no", "no"), seen())
    assert again[0].parent is None
    assert again[0].purpose == "solve"
    assert Refine(broadens=False).decide(TASK, refused("no", "no"), seen())[0].parent == "c1"
    assert Refine().decide(TASK, refused("no", "not that either"), seen())[0].parent == "c1"


def test_the_worth_of_an_answer_in_dollars_decides() -> None:
    poor, rich = (seen(worth_usd_nanos=worth) for worth in (200, 2_000))  # a draw costs 100
    assert isinstance(Refine().decide(TASK, refused("no"), poor), Stop)
    assert isinstance(Refine().decide(TASK, refused("no"), rich), tuple)


def test_nothing_is_drawn_that_costs_more_than_a_right_answer_is_worth() -> None:
    for strategy in (Vote(lead=5), BestOfN(), TreeSearch(), Refine()):
        stop = strategy.decide(TASK, came("a", "b", passed=False), seen(worth_usd_nanos=99, verified=True))
        assert isinstance(stop, Stop), strategy
        assert isinstance(strategy.decide(TASK, [], seen(worth_usd_nanos=1)), tuple)


def test_a_low_score_is_a_reason_to_refine() -> None:
    low = [replace(came("a")[0], score=0.3, reason="vague")]
    assert Refine(good_enough=0.8).decide(TASK, low, seen(scored=True))[0].purpose == "correct"
    assert isinstance(Refine(good_enough=0.2).decide(TASK, low, seen(scored=True)), Accept)


# --- best of n and the tree ---------------------------------------------------------------------------


def scored(*scores: float | None) -> list[Candidate]:
    return [replace(each, score=score) for each, score in zip(came(*"abcdefgh"[: len(scores)]), scores, strict=True)]


def test_best_of_n_takes_the_best_score() -> None:
    three = BestOfN(samples=3, at_once=2)
    assert len(three.decide(TASK, [], seen())) == 2
    assert len(three.decide(TASK, scored(0.2, 0.7), seen())) == 1
    assert three.decide(TASK, scored(0.2, 0.7, 0.5), seen()) == Accept("c1", "best of 3: score 0.70")
    assert three.decide(TASK, scored(0.2, 0.96), seen()) == Accept("c1", "score 0.96: good enough")
    assert isinstance(three.decide(TASK, refused("no", "no", "no"), seen(verified=True)), Stop)
    assert three.decide(TASK, scored(None, None, None), seen()) == Accept("c0", "best of 3")  # a vote, all alike


def test_one_more_sample_must_be_worth_its_price() -> None:
    eight = BestOfN(samples=8)
    assert isinstance(eight.decide(TASK, scored(0.2, 0.7), seen(worth_usd_nanos=10_000)), tuple)
    assert isinstance(eight.decide(TASK, scored(0.2, 0.7), seen(worth_usd_nanos=200)), Accept)
    assert isinstance(eight.decide(TASK, scored(0.2, 0.7), seen()), tuple)  # the worth isn't known


def test_a_tree_goes_deeper_where_scores_are_good_and_spreads_side_by_side() -> None:
    history = scored(0.1, 0.8, 0.1, 0.1)
    tree = TreeSearch(samples=20, at_once=1, width=1, exploration=0.1)
    [deeper] = tree.decide(TASK, history, seen())
    assert deeper == Draw(why="deeper: correct c1 (score 0.80)", parent="c1", purpose="correct")
    wide = TreeSearch(samples=20, at_once=4, width=1, exploration=1.0).decide(TASK, history, seen())
    assert len({draw.parent for draw in wide}) > 1


def test_the_tree_is_rebuilt_from_parents_in_any_order() -> None:
    chain = refused("no", "no", "no")
    root = tree_of(list(reversed(chain)))
    assert (root.visits, len(root.children), root.children[0].children[0].depth) == (3, 1, 2)


@pytest.mark.parametrize("algorithm", ["uct", "ab-mcts"])
def test_a_tree_corrects_what_is_good_more_often_than_what_is_bad(algorithm: Any) -> None:
    parents: list[str | None] = []
    for seed in range(30):
        history = scored(0.05, 0.9, 0.05, 0.1)
        view = seen(seed=seed)
        tree = TreeSearch(samples=30, at_once=1, algorithm=algorithm, width=1, exploration=0.3)
        decision = tree.decide(TASK, history, view)
        assert decision == tree.decide(TASK, history, view)
        parents += [draw.parent for draw in decision]
    assert parents.count("c1") > parents.count("c0")


def test_bad_settings_are_refused() -> None:
    for bad in (
        lambda: Vote(most_samples=0), lambda: Vote(lead=0), lambda: BestOfN(samples=0),
        lambda: TreeSearch(algorithm="a*"), lambda: TreeSearch(at_once=0),
    ):  # fmt: skip
        with pytest.raises(BadInput):
            bad()


def test_a_thought_that_ended_early_is_prolonged_where_the_model_can() -> None:
    thought = came("a", thought="hm")
    extended = Direct(extensions=1)
    assert extended.decide(TASK, thought, seen())[0].purpose == "prolong"
    cut = came("a", thought="hm", cut=True)
    assert isinstance(extended.decide(TASK, cut, seen()), Accept)
    again = [*thought, replace(thought[0], id="c9", number=9, purpose="prolong")]
    assert isinstance(extended.decide(TASK, again, seen()), Accept)


def test_a_scorer_that_cannot_tell_speaks_neither_for_nor_against_an_answer() -> None:
    five = [*came("39", "39", "39", "39", "39"), *came("40")]
    history = [replace(each, id=f"c{n}", number=n) for n, each in enumerate(five)]
    history[-1] = replace(history[-1], score=0.0)
    chosen = BestOfN(samples=6).decide(TASK, history, seen(scored=True))
    assert isinstance(chosen, Accept)
    assert chosen.id == "c0"
