"""A model in this process: the cap holds to the token, for every sample, and the ledger counts each."""

from __future__ import annotations

import inspect
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage

from conftest import Runner
from rheostat import BadInput, Budget, MemoryLedger, build_solver
from rheostat.providers import endpoint_for
from rheostat.providers.transformers import ChatTransformers

sys.path.insert(0, str(Path(__file__).parents[1] / "vllm_job"))


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> ChatTransformers:
    """A tiny random Qwen3: it never ends by itself, so that every cap is met."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    import tiny_model

    folder = str(tmp_path_factory.mktemp("tiny"))
    tiny_model.main(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    return ChatTransformers(model=model, tokenizer=AutoTokenizer.from_pretrained(folder), name="tiny")


def counted(message: Any) -> tuple[int, int]:
    usage = message.usage_metadata
    return usage["output_token_details"]["reasoning"], usage["output_tokens"]


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(cap=st.integers(0, 40), answer=st.integers(1, 10), temperature=st.sampled_from([None, 0.7, 2.0]))
def test_the_thought_ends_at_its_cap(chat: ChatTransformers, cap: int, answer: int, temperature: float | None) -> None:
    message = chat.invoke("2 + 2?", thinking_tokens=cap, max_tokens=answer, temperature=temperature)
    thought, output = counted(message)
    assert thought <= cap
    assert output <= cap + answer + 2  # the end of the thought, and of the text


def test_a_greedy_model_that_never_ends_is_closed_at_exactly_the_cap(chat: ChatTransformers) -> None:
    assert [counted(chat.invoke("2 + 2?", thinking_tokens=cap, max_tokens=5)) for cap in (0, 1, 5, 20)] == [
        (0, 6),
        (1, 8),
        (5, 12),
        (20, 27),
    ]


def test_an_end_that_comes_too_early_becomes_wait(chat: ChatTransformers, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model would close at once: it is made to think on, up to the least."""
    close = chat.tokenizer.encode("</think>", add_special_tokens=False)[0]
    forward = type(chat.model).forward

    def closing(model: Any, *args: Any, **kwargs: Any) -> Any:
        output = forward(model, *args, **kwargs)
        output.logits[..., close] = 1e4
        return output

    monkeypatch.setattr(type(chat.model), "forward", closing)
    assert counted(chat.invoke("2 + 2?", thinking_tokens=40, max_tokens=3))[0] == 0
    message = chat.invoke("2 + 2?", thinking_tokens=40, least_thinking_tokens=10, max_tokens=3)
    assert 10 <= counted(message)[0] <= 40
    assert "Wait" in message.additional_kwargs["reasoning_content"]


def test_samples_share_one_reading_of_the_prompt(chat: ChatTransformers, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[int, ...]] = []
    forward = type(chat.model).forward

    def noting(model: Any, *args: Any, **kwargs: Any) -> Any:
        ids = args[0] if args else kwargs["input_ids"]
        shapes.append(tuple(ids.shape))
        return forward(model, *args, **kwargs)

    alone = chat.invoke("2 + 2?", thinking_tokens=8, max_tokens=4)
    monkeypatch.setattr(type(chat.model), "forward", noting)
    result = chat.generate([[HumanMessage("2 + 2?")]], thinking_tokens=8, max_tokens=4, n=6)
    messages = [generation.message for generation in result.generations[0]]
    assert len(messages) == 6
    assert shapes[0][0] == 1  # the prompt, once
    assert {shape for shape in shapes[1:]} == {(6, 1)}
    assert {message.text for message in messages} == {alone.text}  # greedy: all the same, and the same as alone


class _Old(torch.nn.Module):
    """A model whose code calls its cache `past_key_values`: all before transformers 5.24, and remote code still."""

    def __init__(self, model: Any, *, hidden: bool) -> None:
        super().__init__()
        self.model, self.config, self.device = model, model.config, model.device
        self.seen: list[bool] = []
        if hidden:  # a wrapper without a signature, as torch.compile's
            self.forward = self._wrapped  # type: ignore[method-assign]

    def _wrapped(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return self.old(*args, **kwargs)

    def old(self, ids: Any, past_key_values: Any = None, **kwargs: Any) -> dict[str, Any]:
        self.seen.append(past_key_values is not None)
        new = "cache" in inspect.signature(self.model.forward).parameters
        output = self.model(ids, **{"cache" if new else "past_key_values": past_key_values}, **kwargs)
        return Output(logits=output.logits, past_key_values=output["cache" if new else "past_key_values"])

    def forward(self, ids: Any, past_key_values: Any = None, **kwargs: Any) -> dict[str, Any]:
        return self.old(ids, past_key_values, **kwargs)


class Output(dict[str, Any]):
    """A dict whose items are attributes too, as a `ModelOutput` is."""

    __getattr__ = dict.__getitem__


@pytest.mark.parametrize("hidden", [False, True])
def test_the_cache_goes_by_the_name_that_the_model_gives_it(chat: ChatTransformers, hidden: bool) -> None:
    old = _Old(chat.model, hidden=hidden)
    same = ChatTransformers(model=old, tokenizer=chat.tokenizer, name="old")
    question: dict[str, Any] = {"input": "2 + 2?", "thinking_tokens": 8, "max_tokens": 4}
    assert same.invoke(**question).text == chat.invoke(**question).text
    assert old.seen[0] is False
    assert all(old.seen[1:])
    assert len(old.seen) > 5


def test_a_model_without_a_cache_is_refused(chat: ChatTransformers) -> None:
    class Forgetful(_Old):
        def old(self, ids: Any, past_key_values: Any = None, **kwargs: Any) -> dict[str, Any]:
            return Output(logits=super().old(ids, **kwargs)["logits"])

    forgetful = ChatTransformers(model=Forgetful(chat.model, hidden=True), tokenizer=chat.tokenizer)
    with pytest.raises(BadInput, match="returns no cache"):
        forgetful.invoke("2 + 2?", max_tokens=4)


def test_it_stops_when_asked(chat: ChatTransformers) -> None:
    event = threading.Event()
    event.set()
    assert counted(chat.invoke("2 + 2?", thinking_tokens=500, max_tokens=500, stop_event=event)) == (0, 0)


@pytest.mark.parametrize(
    "wrong", [{"thinking_tokens": -1}, {"max_tokens": 0}, {"thinking_tokens": 5, "least_thinking_tokens": 9}, {"n": 0}]
)
def test_bad_caps_are_refused(chat: ChatTransformers, wrong: dict[str, int]) -> None:
    with pytest.raises(BadInput, match="caps are zero or more"):
        chat.invoke("2 + 2?", **wrong)


def test_a_stop_sequence_isnt_dropped_in_silence(chat: ChatTransformers) -> None:
    with pytest.raises(BadInput, match="takes no stop sequences"):
        chat.invoke("2 + 2?", stop=["x"])


def test_in_a_solver_the_ledger_counts_every_token(chat: ChatTransformers, run: Runner) -> None:
    ledger = MemoryLedger()
    solver = build_solver(endpoint_for(chat), budget=Budget(tokens=20_000), effort="minimal", ledger=ledger)
    result = run(solver.compile(), {"question": "What is 2 + 2?"})
    spend = result["rheostat"]["spend"]
    assert 0 < spend["thinking_tokens"] <= 64 * spend["calls"]
    assert spend["usd_nanos"] == 0
    assert (spend["held_calls"], spend["unknown_calls"]) == (0, 0)
    assert spend["overrun_usd_nanos"] == 0
