"""The live view: candidates as a tree, harmless whatever they say."""

from __future__ import annotations

from typing import Any

import pytest

from rheostat.cli.candidates import Row, Totals, tree
from rheostat.cli.safe_text import visible
from rheostat.cli.view import SolveView
from searched import QUESTION, ROOMY, shown
from test_mouths_and_ears import HOSTILE


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


def test_events_of_parallel_branches_may_come_in_any_order() -> None:
    first, second = (shown(viewed(*(sample(number) for number in order)).tree()) for order in ((0, 1, 2), (2, 0, 1)))
    assert first == second
