"""Files of recorded samples: formats, equality, selection, and what is said about a bad line."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recordings import write
from rheostat.errors import BadInput
from rheostat.replay import Choice, Recording, compare, read_rows, row_of, rows_of
from rheostat.replay.keys import key_of, right
from rheostat.strategies import Vote

NAMES = (
    "id gold samples answer tokens parent passed correct score usd a c models m/cot cot_correct cot_chars way model "
    "set greedy temperature"
)
KEYS = st.sampled_from(NAMES.split())
ROW = {"id": "1", "gold": "39", "samples": [{"answer": 39.0, "tokens": 5}, {"answer": None, "tokens": 7}]}


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (39.0, "39"), ("39", "39.00"), (39, " 39 "), ("1,234", 1234), ("-0", 0), ("1e3", 1000), ("Yes ", "yes"),
        ("new\n  york", "New York"), (True, "true"), ([1, 2], [1, 2]), ("+5", 5), ("05/01/2021", "05/01/2021"),
    ],
)  # fmt: skip
def test_equal(a: Any, b: Any) -> None:
    assert key_of(a) == key_of(b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("39", "39.01"), ("1,23", "123"), ("1_000", "1000"), ("nan", 0), ("yes", "no"), ("0.1", 0.10000001),
        ("12345678901234567890123456789012345", "12345678901234567890123456789012346"), ("inf", "infinity"),
    ],
)  # fmt: skip
def test_unequal(a: Any, b: Any) -> None:
    assert key_of(a) != key_of(b)


def test_no_answer_is_never_right() -> None:
    assert key_of(None) is key_of("") is key_of(" \n") is None
    assert not right(None, None)
    assert right("b", ["a", "B"])


def test_what_decides_whether_a_sample_is_right() -> None:
    samples = [{"answer": "x", "correct": True}, {"answer": "39", "correct": False}, {"answer": "39", "passed": False}]
    assert [each.correct for each in row_of({**ROW, "samples": samples}).samples] == [True, False, True]
    judged = row_of({"samples": [{"answer": "x", "passed": True}, {"answer": None, "correct": True}, {"correct": 1}]})
    assert [each.correct for each in judged.samples] == [True, False, True]
    assert judged.samples[2].key is None


def test_rows_plain_packed_and_as_a_list(tmp_path: Path) -> None:
    plain = write(tmp_path / "a.jsonl", [{**ROW, "unknown": 1}, "", {**ROW, "id": 2}])
    packed = tmp_path / "b.bin"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    listed = tmp_path / "c.json"
    listed.write_text("\ufeff" + json.dumps([{**ROW, "unknown": 1}, {**ROW, "id": 2}]), "utf-8")
    first = read_rows(plain)
    assert [row.id for row in first.rows] == ["1", "2"]
    assert read_rows(packed) == read_rows(listed) == first
    assert len(read_rows(plain, limit=1).rows) == 1
    assert any("2 of 4 samples have no answer" in note for note in first.notes)


SAMPLES = {"gold": "a", "samples": [{"answer": "a"}]}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"id": 1', "not JSON"),
        ("[" * 5000, "not JSON"),
        ("5", "expected an object"),
        ({"id": 1, "gold": 2}, "no recorded question .its keys: id, gold."),
        ({**SAMPLES, "samples": 5}, '"samples" is a list'),
        ({**SAMPLES, "samples": ["a"]}, "sample 0: a sample is an object"),
        ({"samples": [{"answer": "a"}]}, '"gold" is missing, and sample 0'),
        ({"gold": None, "samples": [{"answer": "a", "passed": True}, {"answer": "a"}]}, "sample 1 has neither"),
        ({**SAMPLES, "samples": [{"answr": "a"}]}, 'sample 0: it has no "answer"'),
        ({**SAMPLES, "samples": [{"answer": "a", "tokens": "many"}]}, '"tokens" is a finite number'),
        ({**SAMPLES, "samples": [{"answer": "a", "tokens": -1}]}, "number from 0 to"),
        ({**SAMPLES, "samples": [{"answer": "a", "usd": -1}]}, "dollars from 0"),
        ({**SAMPLES, "samples": [{"answer": "a", "score": float("nan")}]}, '"score" is a finite'),
        ({**SAMPLES, "samples": [{"answer": "a", "passed": "yes"}]}, '"passed" is true, false or null'),
        ({**SAMPLES, "samples": [{"answer": "a", "parent": 3}]}, '"parent" is a sample\'s place'),
        ({**SAMPLES, "samples": [{"answer": "a", "parent": 0}]}, "is the sample itself"),
        ({**SAMPLES, "samples": [{"answer": "a", "parent": 1}, {"answer": "a", "parent": 0}]}, "a circle"),
        ({**SAMPLES, "samples": {"m/w": {"c": [1]}}}, "has no answers"),
        ({**SAMPLES, "samples": {"m/w": {"a": ["a"], "c": [1, 2]}}}, "different lengths: 1 of answer, 2 of chars"),
        ({"id": 1, "answer": 5, "gold": 5}, "its format isn't that of line 1"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: Any, says: str) -> None:
    path = write(tmp_path / "bad.jsonl", [ROW, line])
    if isinstance(line, dict) and isinstance(line.get("samples"), dict):
        path = write(tmp_path / "bad.jsonl", ["", line])
    with pytest.raises(BadInput, match=says) as caught:
        read_rows(path)
    assert str(caught.value).startswith(f"{path}, line 2: ")


def test_bad_files(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"{}" * 1000)[:-10])
    os.mkfifo(tmp_path / "pipe")
    for name, says in (("empty", "is empty"), ("cut.gz", "can't unpack"), ("pipe", "pipe"), ("none", "can't read")):
        with pytest.raises(BadInput, match=says):
            read_rows(tmp_path / name)
    with pytest.raises(BadInput, match="holds no row"):
        read_rows(write(tmp_path / "list", ["[]"]))


def test_parents_by_place_and_by_id() -> None:
    samples = [{"id": "r", "answer": "a"}, {"answer": "b", "parent": "r"}, {"answer": "c", "parent": 1}]
    assert [each.parent for each in row_of({"gold": "a", "samples": samples}).samples] == [None, 0, 1]


def pools(**ways: list[Any]) -> dict[str, Any]:
    return {
        name.replace("__", "/"): {"a": answers, "c": [8, *[9] * (len(answers) - 1)]} for name, answers in ways.items()
    }


def named(recording: Recording) -> set[str]:
    return {each.named for row in recording.rows for each in row.samples}


def test_pools(tmp_path: Path) -> None:
    samples = pools(
        M__cot1=["a", None], M__cot2=["b", "a"], M__cot1_9=["a", None, "b"], M__pot1=["c"] * 9, N__cot1=["a"]
    )
    path = write(tmp_path / "p.jsonl", [{"i": 7, "gold": "a", "samples": samples}] * 2)
    found = read_rows(path)
    assert named(found) == {"M/cot1", "M/cot2"}  # cot1_9 begins with the samples of cot1
    assert (found.format, found.rows[0].id) == ("pools", "7")
    assert [each.tokens for each in found.rows[0].samples] == [2, 3, 2, 3]
    assert any("estimated from characters" in note for note in found.notes)
    assert any("left out: M/cot1_9, M/pot1, N/cot1" in note for note in found.notes)
    assert named(read_rows(path, Choice(ways=("cot1",)))) == {"M/cot1"}
    assert named(read_rows(path, Choice(ways=("cot1", "pot")))) == {"M/cot1", "M/pot1"}
    assert named(read_rows(path, Choice(ways=("*/cot1",)))) == {"M/cot1", "N/cot1"}
    assert named(read_rows(path, Choice(models=("n",)))) == {"N/cot1"}
    assert named(read_rows(path, Choice(ways=("cot1", "cot2"), pooled=True))) == {""}
    twice = read_rows(path, Choice(ways=("cot*",)))
    assert any("they count twice" in note for note in twice.notes)
    with pytest.raises(BadInput, match="no way fits 'tree'; there are: M/cot1, "):
        read_rows(path, Choice(ways=("tree",)))


def test_a_greedy_pool_is_the_greedy_sample_of_its_way(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", [{"gold": "a", "samples": pools(M__cot1=["a", "b"], M__greedy_cot1=["a"])}])
    assert [(each.way, each.greedy) for each in read_rows(path).rows[0].samples] == [
        ("cot1", False), ("cot1", False), ("cot1", True),
    ]  # fmt: skip


def test_models_with_one_sample_each(tmp_path: Path) -> None:
    models = {"big": {"a": 5.0, "ok": 1, "chars": 8}, "small": {"a": None, "ok": 0, "chars": 8}}
    found = read_rows(write(tmp_path / "m.jsonl", [{"id": 1, "gold": "5", "models": models}]))
    assert [(each.model, each.correct) for each in found.rows[0].samples] == [("big", True), ("small", False)]


def test_one_sample_a_line(tmp_path: Path) -> None:
    lines = [
        {"set": group, "model": model, "way": way, "id": number, "gold": 4, "answer": 4, "tokens": 9}
        for group in ("x", "y") for model in ("s", "l") for way in ("program", "steps") for number in (0, 1)
    ]  # fmt: skip
    path = write(tmp_path / "f.jsonl", lines)
    assert [len(row.samples) for row in read_rows(path).rows] == [2] * 8
    some = read_rows(path, Choice(sets=("x",), models=("s",)))
    assert named(some) == {"s/program", "s/steps"}
    assert [len(row.samples) for row in some.rows] == [2, 2]  # rows of the other model are no rows without samples
    with pytest.raises(BadInput, match="gold is 5, but 4 in an earlier line"):
        read_rows(write(tmp_path / "g.jsonl", [*lines, {**lines[0], "gold": 5}]))


def test_verdicts_without_answers(tmp_path: Path) -> None:
    line = {"idx": 3, "puzzle": "4 4", "cot_correct": [0, 1], "cot_chars": [8, 8], "io_correct": [1, 1, 1]}
    found = read_rows(write(tmp_path / "v.jsonl", [line]), verified=True)
    assert [(each.passed, each.key, each.tokens) for each in found.rows[0].samples] == [
        (False, None, 2),
        (True, None, 2),
    ]


def test_scores(tmp_path: Path) -> None:
    samples = [{"answer": "a", "score": -1}, {"answer": "b", "score": 3, "logprob": -0.5}]
    path = write(tmp_path / "s.jsonl", [{"gold": "a", "samples": samples}])
    found = read_rows(path)
    assert [each.score for each in found.rows[0].samples] == [0.0, 1.0]
    assert any("scaled" in note for note in found.notes)
    assert {each.score for each in read_rows(path, score=None).rows[0].samples} == {None}
    assert read_rows(path, score="logprob").rows[0].samples[1].score == pytest.approx(0.60653, abs=1e-4)
    with pytest.raises(BadInput, match="no sample has"):
        read_rows(path, score="min32_logprob")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-2, 10**400) | st.text(max_size=6) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
MANY = st.lists(st.dictionaries(KEYS, ANYTHING, max_size=6), max_size=3)
LINES = st.lists(
    st.fixed_dictionaries({"gold": ANYTHING, "samples": MANY | st.dictionaries(KEYS, MANY)}) | ANYTHING, max_size=3
)


@settings(max_examples=100)
@given(lines=LINES)
def test_whatever_a_file_holds_it_is_read_or_refused(lines: list[Any]) -> None:
    try:
        found = rows_of(list(enumerate(lines, 1)))
    except BadInput:
        return
    if any(row.samples for row in found.rows):
        made = compare(found.rows, Vote(), orders=1)
        assert all(0 <= line.accuracy <= 1 for line in made.lines)
