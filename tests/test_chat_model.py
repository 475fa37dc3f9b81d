"""`ThinkingChatModel`: a chat model like any other, and every call of it on the ledger."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_tests.unit_tests import ChatModelUnitTests
from pydantic import BaseModel

from conftest import in_loop
from rheostat import Account, BadInput, Budget, BudgetExceeded, Effort, MemoryLedger, Meter, NoPrice, ThinkingChatModel
from rheostat.calling.step import Stepper
from rheostat.flow import drive
from rheostat.providers.bounds import input_bound
from rheostat.providers.servers import SERVERS, ServerDial
from rheostat.testing import Said, scripted
from rheostat.testing.server import Fault, ProviderServer, Turn
from rheostat.thinking.difficulty import THOUGHT_WITH
from wire import ALWAYS, CHAT, MANUAL, RESPONSE, Api, Way, on_every_api, simulated

BUDGET = Budget(usd="5", seconds=60)


def thinking(api: Api, server: ProviderServer, **more: Any) -> ThinkingChatModel:
    budget = more.pop("budget", BUDGET)
    return ThinkingChatModel(model=api.at(server), budget=budget, **more)


def say(model: Any, messages: Any, way: Way, **kwargs: Any) -> AIMessage:
    """The four ways to call a chat model; a stream is put together."""

    async def astream() -> AIMessage:
        full: Any = None
        async for chunk in model.astream(messages, **kwargs):
            full = chunk if full is None else full + chunk
        return full

    if way.streaming:
        if way.asynchronous:
            return in_loop(astream())
        full: Any = None
        for chunk in model.stream(messages, **kwargs):
            full = chunk if full is None else full + chunk
        return full
    return in_loop(model.ainvoke(messages, **kwargs)) if way.asynchronous else model.invoke(messages, **kwargs)


def agrees(model: ThinkingChatModel, server: ProviderServer) -> None:
    spent = model.spend
    names = ("input_tokens", "cached_input_tokens", "output_tokens", "thinking_tokens", "usd_nanos")
    assert {name: spent[name] for name in names} == {name: server.bill.total(name) for name in names}
    assert spent["held_usd_nanos"] == spent["unknown_usd_nanos"] == spent["overrun_usd_nanos"] == 0
    assert server.bill.refusals == []


def most(body: dict[str, Any]) -> int:
    """The length cap of a request, whatever its API calls it."""
    return next(
        int(body[name]) for name in ("max_tokens", "max_completion_tokens", "max_output_tokens") if name in body
    )


@on_every_api
def test_it_answers_and_says_what_it_thought_with(api: Api, server: ProviderServer, way: Way) -> None:
    model = thinking(api, server)
    message = say(model, [HumanMessage("What is 2 + 2?")], way)
    assert message.text == "The answer is 4."
    stamp = message.response_metadata[THOUGHT_WITH]
    assert stamp["effort"] in {level.value for level in Effort}
    assert stamp["reasons"]
    assert message.usage_metadata is not None
    agrees(model, server)


@on_every_api
def test_hard_questions_are_thought_about_more(api: Api, server: ProviderServer) -> None:
    model = thinking(api, server)
    hard = (
        "Prove that for every prime p the sum of the remainders, computed without division, must be exactly the minimum"
        " of the 12 distinct values; then find the counterexample with at most 3 steps, and calculate 12 * 34 / 5."
    )
    model.invoke("hi")
    model.invoke(hard)
    easy, difficult = server.bill.lines
    assert easy.thinking_tokens <= difficult.thinking_tokens
    assert api is MANUAL or easy.effort != difficult.effort


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two whole numbers."""
    return a * b


CALL = Turn(tool_calls=(("multiply", {"a": 2, "b": 3}),), text="")


@on_every_api
def test_tools_are_bound_as_the_model_within_binds_them(api: Api, way: Way) -> None:
    with simulated(CALL, CALL, Turn(text="36")) as server:
        model = thinking(api, server)
        bound = model.bind_tools([multiply])
        messages: list[Any] = [HumanMessage("What is 2 * 3, and that squared?")]
        for _ in range(2):
            said = say(bound, messages, way)
            said = AIMessage(**said.model_dump(exclude={"type", "tool_call_chunks", "chunk_position"}))
            assert [call["name"] for call in said.tool_calls] == ["multiply"]
            messages += [said, ToolMessage("6", tool_call_id=said.tool_calls[0]["id"])]
        assert say(bound, messages, way).text == "36"
        agrees(model, server)
        assert len({line.effort for line in server.bill.lines}) == 1  # no boundary, no switch


class Answer(BaseModel):
    """The answer."""

    n: int


@on_every_api
@pytest.mark.parametrize("include_raw", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_structured_output(api: Api, include_raw: bool, asynchronous: bool) -> None:
    """Whole replies only: parsers of structured output stream in their own way."""
    way = Way(asynchronous, False)
    by_tool = Turn(tool_calls=(("Answer", {"n": 4}),), text="")
    by_schema = Turn(text='{"n": 4}')
    method = "json_schema" if api in (RESPONSE, ALWAYS) else "function_calling"
    with simulated(by_tool if method == "function_calling" else by_schema) as server:
        model = thinking(api, server)
        structured = model.with_structured_output(Answer, method=method, include_raw=include_raw)
        said = say(structured, "What is 2 + 2?", way)
        assert (said["parsed"] if include_raw else said) == Answer(n=4)
        agrees(model, server)


@on_every_api
def test_batches(api: Api, server: ProviderServer) -> None:
    model = thinking(api, server)
    assert [m.text for m in model.batch(["a", "b", "c"])] == ["The answer is 4."] * 3
    assert [m.text for m in in_loop(model.abatch(["a", "b", "c"]))] == ["The answer is 4."] * 3
    assert model.spend["calls"] == 6
    agrees(model, server)


@on_every_api
def test_a_cut_stream_stays_charged(api: Api, way: Way) -> None:
    with simulated(Turn(text="word " * 200, fault=Fault(cut=True))) as server:
        model = thinking(api, server)
        with pytest.raises(Exception):  # noqa: B017, PT011 - each client has exceptions of its own
            say(model, "hi", way)
        spent = model.spend
        assert spent["unknown_calls"] >= 1
        assert spent["unknown_usd_nanos"] >= server.bill.total("usd_nanos")


@on_every_api
def test_a_busy_provider_is_asked_again_streaming_too(api: Api, way: Way) -> None:
    busy = Turn(fault=Fault(status=429, retry_after="0.05"))
    with simulated(busy, busy, Turn()) as server:
        model = thinking(api, server)
        assert say(model, "hi", way).text == "The answer is 4."
        assert (model.spend["calls"], server.bill.requests) == (3, 3)
        agrees(model, server)


def test_a_stream_that_is_left_is_paid_for_as_far_as_it_was_sent(server: ProviderServer) -> None:
    model = thinking(CHAT, server)
    stream = model.stream("hi")
    next(stream)
    stream.close()
    assert model.spend["unknown_calls"] == 1


@on_every_api
def test_what_the_caller_says_of_effort_gives_way(api: Api, server: ProviderServer) -> None:
    model = thinking(api, server)
    said = model.bind(reasoning_effort="high", max_tokens=900).invoke("hi")
    assert any("gives way" in reason for reason in said.response_metadata[THOUGHT_WITH]["reasons"])
    assert server.bill.refusals == []
    agrees(model, server)


@on_every_api
def test_a_budget_smaller_than_a_call_is_refused_with_the_number(api: Api, server: ProviderServer, way: Way) -> None:
    model = thinking(api, server, budget=Budget(tokens=300))
    with pytest.raises(BudgetExceeded, match=r"asked \d.* left 300 of 300.*may need"):
        say(model, [SystemMessage("x" * 500), HumanMessage("hi")], way)
    assert server.bill.requests == 0
    assert model.spend["calls"] == 0


def test_a_shrinking_room_takes_thought_first() -> None:
    efforts = []
    with simulated(Turn(text="word " * 300)) as server:
        model = thinking(CHAT, server, budget=Budget(tokens=22_000), effort="high")
        while model.spend["output_tokens"] < 21_000:
            try:
                efforts.append(model.invoke("hi " * 40).response_metadata[THOUGHT_WITH]["effort"])
            except BudgetExceeded:
                break
    assert efforts[0] == "high"
    assert efforts[-1] in ("none", "low")
    assert [Effort(e).rank for e in efforts] == sorted((Effort(e).rank for e in efforts), reverse=True)
    spent = model.spend
    assert spent["input_tokens"] + spent["output_tokens"] <= 22_000


def test_an_account_above_binds_too(server: ProviderServer) -> None:
    ledger = MemoryLedger()
    ledger.open(Account("team", Budget(calls=3)))
    models = [thinking(CHAT, server, ledger=ledger, account="team") for _ in range(2)]
    models[0].invoke("a")
    models[1].invoke("b")
    models[0].invoke("c")
    with pytest.raises(BudgetExceeded, match="'team'"):
        models[1].invoke("d")


def test_bad_input() -> None:
    with pytest.raises(BadInput, match="Budget"):
        ThinkingChatModel(model="openai:gpt-5.1", budget=5)
    with pytest.raises(BadInput, match="no effort"):
        ThinkingChatModel(model="openai:gpt-5.1", budget=BUDGET, effort="hihg")
    with simulated() as server, pytest.raises(NoPrice):
        ThinkingChatModel(model=Api("openai", "gpt-4o-none").chat(server), budget=BUDGET)


@pytest.mark.parametrize("api", [CHAT, RESPONSE, ALWAYS], ids=str)
def test_a_reply_that_ran_out_is_followed_by_one_with_twice_the_room(api: Api, way: Way) -> None:
    """The same request is never sent again; and the answer is not an empty one."""
    with simulated(Turn(thinking_tokens=10**6), Turn(text="4")) as server:
        model = thinking(api, server, effort=Effort.high)
        reply = say(model, [HumanMessage("What is 2 + 2?")], way)
        assert reply.text == "4"
        stamp = reply.response_metadata[THOUGHT_WITH]
        assert stamp["widened"]
        assert not stamp["starved"]
        first, second = server.bill.lines
        caps = [most(body) for body in server.bill.bodies]
        assert caps[1] == 2 * caps[0]
        assert first.effort == second.effort == "high"
        agrees(model, server)


def test_one_that_runs_out_of_twice_the_room_thinks_less_the_next_time(way: Way) -> None:
    starving = Turn(thinking_tokens=10**6)
    asks_again = AIMessage("", tool_calls=[{"name": "multiply", "args": {"a": 2, "b": 3}, "id": "1"}])
    with simulated(starving, starving, Turn()) as server:
        model = thinking(RESPONSE, server, effort="thorough")
        question = HumanMessage("Calculate 12 * 34 + 56 / 7 for each of the 3 boxes, then the total; at most 4 steps.")
        stamp = say(model, [question], way).response_metadata[THOUGHT_WITH]
        assert stamp["starved"]
        assert stamp["widened"]
        assert len(server.bill.lines) == 2
        asks_again.response_metadata[THOUGHT_WITH] = stamp
        second = say(model, [question, asks_again, ToolMessage("6", tool_call_id="1")], way)
        again = second.response_metadata[THOUGHT_WITH]
        assert Effort(again["effort"]) < Effort(stamp["effort"])
        assert not again["widened"]
        assert any("ran out" in reason for reason in again["reasons"])
        agrees(model, server)


def test_where_there_is_no_room_for_more_an_empty_reply_stays_one() -> None:
    with simulated(Turn(thinking_tokens=10**6), Turn()) as server:
        model = thinking(RESPONSE, server, effort=Effort.high, budget=Budget(output_tokens=20_000))
        reply = model.invoke([HumanMessage("What is 2 + 2?")])
        assert reply.text == ""
        assert reply.response_metadata[THOUGHT_WITH]["starved"]
        assert len(server.bill.lines) == 1


def test_what_is_held_covers_our_own_sentences_too() -> None:
    """A model without a dial thinks in a request of its own: what we say to it is input as well."""
    at, _ = scripted("a thought", "an answer")
    messages = [HumanMessage("hi")]
    ledger = MemoryLedger()
    budget = Budget(tokens=10**6)
    ledger.open(Account("a", budget))
    stepper = Stepper(budget=budget, models=[at], meter=Meter(ledger), effort=Effort.high)
    ready = drive(stepper.ready("a", messages, {}))
    assert [phase for phase, _ in ready.phases] == ["think", "answer"]
    ready.thought = "t" * ready.plan.thinking_tokens  # one token a byte: the most that it can be
    for (phase, settings), held in zip(ready.phases, ready.held, strict=True):
        sent = input_bound(ready.sent(phase), settings.kwargs, at.dial.overhead).tokens
        assert sent is not None
        assert held.amount.input_tokens >= sent, phase


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_stream_that_fails_gives_its_second_hold_back(asynchronous: bool) -> None:
    at, _ = scripted(Said(error=ValueError("broken")))
    model = ThinkingChatModel(
        model=replace(at, dial=ServerDial("m", SERVERS["vllm"])), budget=Budget(tokens=10**6), effort="low"
    )
    with pytest.raises(ValueError, match="broken"):
        say(model, "hi", Way(asynchronous, True))
    assert (model.spend["held_calls"], model.spend["unknown_calls"]) == (0, 1)


@pytest.mark.filterwarnings("ignore:.*belong to the model within")
class TestStandard(ChatModelUnitTests):
    """LangChain's own tests for chat models, on a model within that passes them."""

    @property
    def chat_model_class(self) -> type[ThinkingChatModel]:
        return ThinkingChatModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        from langchain_openai import ChatOpenAI

        return {
            "model": ChatOpenAI(model="gpt-5.1", api_key="k", base_url="http://127.0.0.1:1"),
            "budget": Budget(tokens=10**9),
        }

    @property
    def supports_image_inputs(self) -> bool:
        return True
