"""What is measured of a live server: against one whose steps have a known length, and the provider simulator."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from paced import paced
from rheostat.capacity import StepTable, acalibrate, calibrate
from rheostat.errors import BadInput, ProviderFailed
from rheostat.testing.server import Turn, provider_server

FACTS: dict[str, Any] = {
    "kv_dtype": "f16", "kv_tokens": 100_000, "max_context_tokens": 4096, "concurrency": (1, 4), "contexts": (50, 400),
    "output_tokens": 16,
}  # fmt: skip


def test_steps_and_prefills_are_measured() -> None:
    """Timings on a busy machine: the bounds are wide, and still tell one stream from four."""
    seen: list[tuple[int, int]] = []
    with paced() as server:
        table = calibrate(server.url, **FACTS, on_step=lambda done, all_: seen.append((done, all_)))
    assert seen[-1] == (6, 6)
    alone, four = (table.decode_step(count, 400) for count in (1, 4))
    assert 0.008 < alone < 0.014
    assert 0.016 < four < 0.030
    few, many = table.prefill_seconds
    assert 0.02 < many - few < 0.09
    assert table.batch == (1, 4)
    assert table.max_sequences == 4
    assert table.name == "small\\x1b[31m", "a server's words are harmless to look at"
    assert StepTable.from_text(table.to_text()).kv_dtype == "f16"
    assert {body["model"] for body in server.bodies} == {"small\x1b[31m"}
    prompts = [body["messages"][-1]["content"] for body in server.bodies]
    assert len({prompt.split()[0] for prompt in prompts}) > len(prompts) / 2, "no two share a prefix in a cache"


def test_a_server_that_refuses_extras_is_asked_without() -> None:
    with paced(step=0.001, each=0) as server:
        server.refuse_extras = True
        table = asyncio.run(acalibrate(server.url, **{**FACTS, "model": "mine"}))
    assert table.model == "mine"
    assert [("ignore_eos" in body) for body in server.bodies[:3]] == [True, False, False]


def test_fewer_slots_than_streams_are_said() -> None:
    with paced(step=0.001, each=0, slots=1) as server, pytest.raises(ProviderFailed, match="never ran side by side"):
        calibrate(server.url, **FACTS)


def test_a_server_without_tokens() -> None:
    with paced() as server:
        server.silent = True
        with pytest.raises(ProviderFailed, match="sent no tokens"):
            calibrate(server.url, **FACTS)


def test_the_official_rules_of_openai_are_kept() -> None:
    """The simulator enforces them; it sends each reply in a moment, so that only the table's shape can be looked at."""
    turn = Turn(text=" ".join(["word"] * 400), thinking_tokens=0)
    with provider_server(turn) as server:
        table = calibrate(server.openai_url, **{**FACTS, "concurrency": (1,), "model": "gpt-4o"})
    assert not server.bill.refusals or all("ignore_eos" in each for each in server.bill.refusals)
    assert len(table.decode_seconds) == 1


def test_a_server_that_is_not_there_or_refuses_the_key() -> None:
    with pytest.raises(ProviderFailed, match=r"http://127\.0\.0\.1:9/v1: Connection error\.\. Is it running"):
        calibrate("http://127.0.0.1:9/v1", **FACTS)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"max_context_tokens": 300}, r"400 input tokens and 32 output tokens don't fit into --max-context 300"),
        ({"kv_tokens": 1500}, r"4 streams of 432 tokens don't fit into --kv-tokens 1,500"),
    ],
)
def test_what_would_not_fit_is_refused_before_anything_is_sent(changes: dict[str, int], said: str) -> None:
    with paced() as server:
        with pytest.raises(BadInput, match=said):
            calibrate(server.url, **{**FACTS, **changes})
        assert not server.bodies
