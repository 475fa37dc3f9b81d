"""Whatever a reward model's server replies: never an exception, and never a score out of range."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rheostat.evidence.scorers import ProcessReward
from test_reward import OUTCOMES, SENT, URL, read, replied

numbers = st.one_of(st.floats(), st.integers(), st.booleans(), st.none(), st.text(max_size=3), st.just(10**400))
names = st.sampled_from(
    [
        "data",
        "results",
        "scores",
        "embedding",
        "probs",
        "score",
        "relevance_score",
        "index",
        "error",
        "detail",
        "object",
    ]
)
replies = st.recursive(
    numbers, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=4))
)
rows = st.one_of(st.lists(numbers, max_size=4), st.lists(st.lists(numbers, max_size=3), max_size=4), replies)


@given(reply=replies, kind=st.sampled_from([*OUTCOMES, "vLLM, steps", "SGLang, steps"]))
def test_no_reply_makes_an_exception_or_a_score_out_of_range(reply: Any, kind: str) -> None:
    verdict = read(SENT[kind][0], reply)
    assert verdict.score is None or 0 <= verdict.score <= 1
    assert verdict.reason


@given(number=rows, kind=st.sampled_from(OUTCOMES))
def test_no_number_does(number: Any, kind: str) -> None:
    verdict = read(SENT[kind][0], replied(kind, number))
    assert verdict.score is None or 0 <= verdict.score <= 1


@given(found=rows, reduce=st.sampled_from(["min", "last", "mean", "product"]), way=st.sampled_from(["vllm", "sglang"]))
def test_no_rows_do(found: Any, reduce: Any, way: str) -> None:
    made = SENT["vLLM, steps" if way == "vllm" else "SGLang, steps"][0]
    scorer = ProcessReward(url=URL, model="m", server=made.server, api=made.api, format=made.format, reduce=reduce)
    verdict = read(scorer, {"data": [{"index": 0, "data": found}]} if way == "vllm" else {"scores": [found]})
    assert verdict.score is None or 0 <= verdict.score <= 1
    assert all(0 <= part <= 1 for part in verdict.parts.values())
    assert (verdict.score is None) == (not verdict.parts)


@given(logits=st.lists(st.lists(st.floats(-50, 50), min_size=2, max_size=2), min_size=3, max_size=3))
def test_a_well_formed_reply_is_always_a_score(logits: list[list[float]]) -> None:
    verdict = read(SENT["vLLM, steps"][0], {"data": [{"index": 0, "data": logits}]})
    assert verdict.score == min(verdict.parts.values())
