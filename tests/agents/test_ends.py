"""How a run ended, as data: the same in the result and in the stream, whichever way it is run."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool

from conftest import Runner
from rheostat import (
    AdaptiveThinking,
    Budget,
    BudgetExceeded,
    Caps,
    ThinkingChatModel,
    build_agent,
    build_autonomous,
    build_solver,
    read,
)
from rheostat.agents.outline import steps_of
from rheostat.testing.server import Fault, Turn
from wire import ADAPTIVE, ALWAYS, CHAT, RESPONSE, Api, simulated

BUDGET = Budget(tokens=200_000)
HELLO = {"messages": [("user", "Hello.")]}
apis = pytest.mark.parametrize("api", [ADAPTIVE, CHAT, RESPONSE], ids=["messages", "chat", "responses"])


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def agents(api: Api, server: Any, **options: Any) -> list[Any]:
    options = {"budget": BUDGET, **options}
    return [
        create_agent(api.chat(server), [add], middleware=[AdaptiveThinking(**options)]),
        build_agent(api.chat(server), [add], **options).compile(),
    ]


def end_of(graph: Any, inputs: Any, run: Runner) -> dict[str, Any]:
    """The end in the result, which the stream has told too."""
    end = read(run(graph, inputs))["end"]
    told = [each for each in graph.stream(inputs, stream_mode="custom") if each["type"] == "end"]
    assert told[-1]["by"] == end["by"]
    return end


@apis
@pytest.mark.parametrize(
    ("turn", "by"),
    [
        (Turn(text="Hello!"), "answer"),
        (Turn(text="I can't help with that.", stop="refusal"), "declined"),
        (Turn(text="I can", stop="content_filter"), "declined"),
        (Turn(text="word " * 9_000), "cut"),
    ],
    ids=["answer", "refusal", "filter", "cut"],
)
def test_an_agents_reply(api: Api, turn: Turn, by: str, run: Runner) -> None:
    with simulated(turn) as server:
        for graph in agents(api, server, caps=Caps(answer_tokens=400)):
            assert end_of(graph, HELLO, run)["by"] == by


@apis
def test_the_cap_of_an_agent_names_its_limit(api: Api, run: Runner) -> None:
    calls = Turn(text="", tool_calls=(("add", {"a": 1, "b": 2}),))
    with simulated(calls) as server:
        for graph in agents(api, server, budget=Budget(calls=3)):
            end = end_of(graph, HELLO, run)
            assert end["by"] == "budget"
            assert end["limit"] == "calls" or "last word" in end["why"]


@apis
@pytest.mark.parametrize("stop", ["refusal", "content_filter"])
def test_a_refusal_is_no_answer_of_a_solver(api: Api, stop: str, run: Runner) -> None:
    """Its text could be read as an answer, and vote."""
    with simulated(Turn(text="The answer is 4.", stop=stop)) as server:
        graph = build_solver(api.at(server), budget=BUDGET).compile()
        result = run(graph, {"question": "What is 2 + 2?"})
        assert (result["answer"], result["status"]) == (None, "unsolved")
        assert read(result)["end"]["by"] == "declined"
        assert "declined" in result["stopped"]


def test_a_text_that_was_cut_says_so(run: Runner) -> None:
    with simulated(Turn(text="word " * 9_000)) as server:
        graph = build_solver(CHAT.at(server), budget=BUDGET, caps=Caps(answer_tokens=300)).compile()
        result = run(graph, {"question": "Tell me a story."})
        assert read(result)["end"]["by"] == "cut"
        assert "cut at its length cap" in result["stopped"]


def test_the_cap_of_a_solver_names_its_limit_and_account(run: Runner) -> None:
    with simulated(Turn(text="I don't know.")) as server:
        graph = build_solver(CHAT.at(server), budget=Budget(calls=1), verifier=lambda answer: "no").compile()
        result = run(graph, {"question": "What is 2 + 2?"})
        end = read(result)["end"]
        assert (end["by"], read(result)["run"]["calls"]) == ("budget", 1)


def test_a_new_run_of_a_thread_begins_without_an_end() -> None:
    from langgraph.checkpoint.memory import InMemorySaver

    with simulated(Turn(text="", tool_calls=(("add", {"a": 1, "b": 2}),)), Turn(text="3"), Turn(text="Bye.")) as server:
        graph = create_agent(
            CHAT.chat(server), [add], middleware=[AdaptiveThinking(budget=BUDGET)], checkpointer=InMemorySaver()
        )
        config: Any = {"configurable": {"thread_id": "1"}}
        ends = [read(each)["end"] for each in graph.stream(HELLO, config, stream_mode="values") if read(each)["run"]]
        assert ends[0] == {}
        assert ends[-1]["by"] == "answer"
        again = [read(each)["end"] for each in graph.stream(HELLO, config, stream_mode="values")]
        assert {} in again


# --- conversations that providers refuse ----------------------------------------------------------------

CALL = {"name": "add", "args": {"a": 1, "b": 2}}
SHAPES = {
    "a call without a result": [
        HumanMessage("hi"),
        AIMessage("", tool_calls=[{**CALL, "id": "c1"}]),
        HumanMessage("?"),
    ],
    "one result of two": [
        HumanMessage("hi"),
        AIMessage("", tool_calls=[{**CALL, "id": "c1"}, {**CALL, "id": "c2"}]),
        ToolMessage("3", tool_call_id="c1"),
    ],
    "a result without a call": [HumanMessage("hi"), ToolMessage("3", tool_call_id="zz"), HumanMessage("?")],
    "a result twice": [
        HumanMessage("hi"),
        AIMessage("", tool_calls=[{**CALL, "id": "c1"}]),
        ToolMessage("3", tool_call_id="c1"),
        ToolMessage("3", tool_call_id="c1"),
        HumanMessage("?"),
    ],
    "results among other words": [
        SystemMessage("Be brief."),
        HumanMessage("hi"),
        AIMessage("", tool_calls=[{**CALL, "id": "c1"}]),
        HumanMessage("wait"),
        ToolMessage("3", tool_call_id="c1"),
    ],
}


@pytest.mark.parametrize("api", [ADAPTIVE, ALWAYS, CHAT, RESPONSE], ids=["messages", "always", "chat", "responses"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_broken_conversation_is_mended_before_it_is_sent(api: Api, shape: str, run: Runner) -> None:
    with simulated(Turn(text="Three.")) as server:
        for graph in agents(api, server):
            result = run(graph, {"messages": SHAPES[shape]})
            assert result["messages"][-1].text == "Three."
        model = ThinkingChatModel(model=api.chat(server), budget=BUDGET).bind_tools([add])
        assert model.invoke(SHAPES[shape]).text == "Three."


# --- outlines ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "steps"),
    [
        ("1. Look.\n2. Write **it** down.", ["Look.", "Write it down."]),
        ("Here are the steps:\n- look\n* write\n", ["look", "write"]),
        ('{"steps": ["look", "write"]}', ["look", "write"]),
        ('```json\n["look"]\n```', ["look"]),
        ('{"steps": []}', []),
        ("First look, then write.", None),
        ('{"steps": "look"}', None),
        ("", None),
        ("\n".join(f"{n}. step {n}" for n in range(1, 30)), [f"step {n}" for n in range(1, 9)]),
    ],
)
def test_steps_are_read_from_what_models_write(reply: str, steps: list[str] | None) -> None:
    assert steps_of(reply) == steps


@apis
@pytest.mark.parametrize("bad", ["First do this.", '{"steps": "one"}', '{"steps": ["one', "", "w " * 9_000])
def test_a_bad_outline_is_repaired_once_and_then_the_task_is_one_step(api: Api, bad: str, run: Runner) -> None:
    for second, steps in ((Turn(text="1. add\n2. say"), ["add", "say"]), (Turn(text=bad), ["Add 1 and 2."])):
        with simulated(Turn(text=bad), second, Turn(text="Three.")) as server:
            result = run(build_autonomous(api.at(server), [add], budget=BUDGET).compile(), {"task": "Add 1 and 2."})
            assert [each["step"] for each in result["done"]] == steps
            assert (result["status"], read(result)["end"]["by"]) == ("done", "answer")
            assert server.bill.requests == 2 + len(steps) + 1


def test_an_endpoint_in_the_place_of_a_model_says_what_is_missing() -> None:
    """`create_agent(resolve(…))` is the first thing that people try."""
    with simulated(Turn(text="Hello.")) as server:
        for tools in ([], [add]):
            thinking = AdaptiveThinking(budget=BUDGET)
            with pytest.raises(AttributeError, match=r"its chat model is its attribute chat"):
                create_agent(CHAT.at(server), tools, middleware=[thinking]).invoke(HELLO)
        assert not hasattr(CHAT.at(server), "nothing_like_this")
        assert create_agent(CHAT.at(server).chat, middleware=[AdaptiveThinking(budget=BUDGET)]).invoke(HELLO)


# --- what newcomers met ------------------------------------------------------------------------------------


def test_replies_that_were_all_cut_are_called_cut(run: Runner) -> None:
    with simulated(Turn(text="The answer is", stop="length")) as server:
        graph = build_solver(CHAT.at(server), budget=BUDGET, verifier=lambda answer: True, form="number").compile()
        result = run(graph, {"question": "How many people live on Earth?"})
        assert (result["answer"], read(result)["end"]["by"]) == (None, "cut")
        assert "length cap" in result["stopped"]


def test_a_clients_own_retry_that_no_longer_fits_is_planned_again(run: Runner) -> None:
    """The failed attempt stays charged at an estimate; the same body again would be refused, a smaller one is sent."""
    ask = Turn(text="", tool_calls=(("add", {"a": 1, "b": 2}),))
    with simulated(ask, Turn(fault=Fault(status=503)), Turn(text="Three.")) as server:
        chat = CHAT.chat(server, max_retries=2)
        agent = create_agent(chat, [add], middleware=[AdaptiveThinking(budget=Budget(tokens=9_000), effort="high")])
        result = run(agent, {"messages": [("user", "What is 1 + 2?")]})
        assert result["messages"][-1].text == "Three."
        run_ = read(result)["run"]
        assert run_["unknown_calls"] == 1
        assert run_["input_tokens"] + run_["output_tokens"] + run_["unknown_output_tokens"] <= 9_000


def test_the_refusal_of_a_call_that_no_plan_made_says_whose_it_is() -> None:
    """Such as a summary's: nothing made it smaller, so its longest reply is held."""

    class Summary(AgentMiddleware[Any, Any, Any]):
        def __init__(self, chat: Any) -> None:
            super().__init__()
            self.chat = chat

        def before_model(self, state: Any, runtime: Any) -> None:
            self.chat.invoke("Summarize.")

    with simulated(Turn(text="Three.")) as server:
        chat = CHAT.chat(server)
        thinking = AdaptiveThinking(budget=Budget(output_tokens=5_000))
        agent = create_agent(CHAT.chat(server), middleware=[Summary(chat), thinking])
        with pytest.raises(BudgetExceeded, match=r"no plan made.*Set a smaller max_tokens on that model"):
            agent.invoke(HELLO)
        assert server.bill.requests == 0
