"""One run is one tree of spans, in all four ways, and what its requests cost is what the ledger says."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware, SummarizationMiddleware, wrap_model_call
from langchain_core.messages import HumanMessage
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from conftest import Runner, by_ainvoke, by_astream, in_loop
from rheostat import (
    Account,
    AdaptiveThinking,
    Budget,
    BudgetExceeded,
    FinalAnswer,
    Judge,
    MemoryLedger,
    ThinkingChatModel,
    build_agent,
    build_autonomous,
    build_solver,
    terms,
)
from rheostat.calling import watch
from rheostat.calling.gate import close_call
from rheostat.calling.instrument import install_gate
from rheostat.calling.payer import Call, Payer, paid_by
from rheostat.flow import drive
from rheostat.providers import endpoint_for
from rheostat.testing import scripted
from rheostat.testing.server import Fault, ProviderServer, Turn
from traced import Traced, sums, traced, tree
from wire import ADAPTIVE, CHAT, RESPONSE, Api, simulated

BUDGET = Budget(usd="20", seconds=60)
ASK: Any = {"messages": [HumanMessage("What is 2 * 3, and that times 7?")]}
DONE = Turn(text="42")
on_three = pytest.mark.parametrize("api", [CHAT, RESPONSE, ADAPTIVE], ids=["chat", "responses", "messages"])


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two whole numbers."""
    return a * b


def calls(*pairs: tuple[int, int]) -> Turn:
    return Turn(tool_calls=tuple(("multiply", {"a": a, "b": b}) for a, b in pairs), text="")


def agent(api: Api, server: ProviderServer, tools: list[BaseTool] | None = None, **more: Any) -> Any:
    thinking = AdaptiveThinking(
        budget=more.pop("budget", BUDGET),
        endpoint=lambda chat: endpoint_for(chat, provider=api.provider),
        **more.pop("options", {}),
    )
    middleware = [*more.pop("before", ()), thinking, *more.pop("after", ())]
    return create_agent(api.chat(server), tools or [multiply], middleware=middleware, **more)


def agree(recorded: Traced, run: dict[str, Any]) -> None:
    """Spans, metrics and ledger say the same."""
    found = sums(recorded.requests)
    assert found == {name: run[name] for name in found}
    assert recorded.metric("rheostat.usd_nanos") == run["usd_nanos"]
    assert recorded.metric("rheostat.thinking_tokens") == run["thinking_tokens"]
    assert recorded.metric("rheostat.unknown.usd_nanos") == run["unknown_usd_nanos"]
    assert recorded.metric("gen_ai.client.token.usage", {"gen_ai.token.type": "input"}) == run["input_tokens"]
    assert recorded.metric("gen_ai.client.token.usage", {"gen_ai.token.type": "output"}) == run["output_tokens"]
    assert recorded.metric("rheostat.held.usd_nanos") == recorded.metric("rheostat.held.tokens") == 0
    assert len({each.context.trace_id for each in recorded.spans if each.context}) == 1


# --- the shape ---------------------------------------------------------------------------------------------------


@on_three
def test_an_agent_with_parallel_tools(api: Api, run: Runner) -> None:
    with simulated(calls((2, 3), (4, 5)), calls((6, 7)), DONE) as server, traced() as recorded:
        result = run(agent(api, server, name="sums"), ASK)
        request = f"chat {api.model}"
        assert tree(recorded.spans) == [
            (
                "invoke_agent sums",
                [
                    ("step", [request]),
                    "execute_tool multiply",
                    "execute_tool multiply",
                    ("step", [request]),
                    "execute_tool multiply",
                    ("step", [request]),
                ],
            )
        ]
        agree(recorded, result["rheostat"]["run"])
        assert sums(recorded.requests)["usd_nanos"] == server.bill.total("usd_nanos") > 0
        for each in recorded.requests:
            assert each.kind is SpanKind.CLIENT
            said = dict(each.attributes or {})
            assert said["gen_ai.provider.name"] == api.provider
            assert said["gen_ai.response.model"]
            assert said["rheostat.held.usd_nanos"] >= said["rheostat.usd_nanos"]
            assert said["rheostat.effort"] in ("none", "low", "medium", "high", "xhigh", "max")
            assert said["rheostat.reasons"]
        [root] = recorded.named("invoke_agent")
        assert (root.attributes or {})["rheostat.run.usd_nanos"] == result["rheostat"]["run"]["usd_nanos"]


def test_each_attempt_is_a_request(run: Runner) -> None:
    faults = [Turn(fault=Fault(status=429)), Turn(fault=Fault(status=500))]
    with simulated(*faults, DONE) as server, traced() as recorded:
        result = run(agent(CHAT, server), ASK)
        assert tree(recorded.spans) == [("invoke_agent agent", [("step", ["chat gpt-5.1"] * 3)])]
        agree(recorded, result["rheostat"]["run"])
        said = [(each.status.status_code, dict(each.attributes or {})) for each in recorded.named("chat")]
        assert [(code, one.get("error.type"), one["rheostat.outcome"]) for code, one in said] == [
            (StatusCode.ERROR, "429", "settled"),
            (StatusCode.ERROR, "500", "unknown"),
            (StatusCode.UNSET, None, "settled"),
        ]
        assert recorded.metric("rheostat.unknown.usd_nanos") > 0
        assert recorded.metric("gen_ai.client.operation.duration", {"error.type": "429"}) > 0


def test_a_subagent_lies_under_the_tool_that_called_it(run: Runner) -> None:
    def planned(number: int, body: dict[str, Any]) -> Turn:
        text = str(body)
        if "Inner" in text and "Outer" not in text:
            return DONE if "tool_call_id" in text else calls((2, 3))
        return Turn(tool_calls=(("ask", {"question": "Inner"}),), text="") if number == 0 else Turn(text="It is 42.")

    with simulated(planned=planned) as server, traced() as recorded:
        inner = agent(CHAT, server, name="inner")

        @tool
        def ask(question: str) -> str:
            """Ask another agent."""
            return str(inner.invoke({"messages": [("user", question)]})["messages"][-1].text)

        @tool("ask")
        async def aask(question: str) -> str:
            """Ask another agent."""
            return str((await inner.ainvoke({"messages": [("user", question)]}))["messages"][-1].text)

        one = aask if run in (by_ainvoke, by_astream) else ask
        result = run(agent(CHAT, server, [one], name="outer"), {"messages": [("user", "Outer")]})
        step = ("step", ["chat gpt-5.1"])
        assert tree(recorded.spans) == [
            (
                "invoke_agent outer",
                [
                    step,
                    ("execute_tool ask", [("invoke_agent inner", [step, "execute_tool multiply", step])]),
                    step,
                ],
            )
        ]
        agree(recorded, result["rheostat"]["run"])


def test_build_agent_with_a_verifier_and_a_paid_tool(run: Runner) -> None:
    paid = terms(_paid(), usd="0.01")
    with simulated(calls((2, 3)), Turn(text="6"), DONE) as server, traced() as recorded:
        graph = build_agent(
            CHAT.at(server), [paid], budget=BUDGET, verifier=lambda answer: "42" in answer or "not yet"
        ).compile(name="checked")
        result = run(graph, ASK)
        assert tree(recorded.spans) == [
            (
                "invoke_agent checked",
                [
                    ("step", ["chat gpt-5.1"]),
                    ("execute_tool multiply", ["pay tool:multiply"]),
                    ("step", ["chat gpt-5.1"]),
                    "verify Function",
                    ("step", ["chat gpt-5.1"]),
                    "verify Function",
                ],
            )
        ]
        labels = [(each.attributes or {})["gen_ai.evaluation.score.label"] for each in recorded.named("verify")]
        assert labels == ["fail", "pass"]
        spent = result["rheostat"]["run"]["usd_nanos"]
        [payment] = recorded.named("pay")
        assert sums([*recorded.requests, payment])["usd_nanos"] == spent == recorded.metric("rheostat.usd_nanos")


def _paid() -> BaseTool:
    @tool("multiply")
    def paid(a: int, b: int) -> int:
        """Multiply two whole numbers, for money."""
        return a * b

    return paid


def test_the_solver(run: Runner) -> None:
    def planned(number: int, body: dict[str, Any]) -> Turn:
        return Turn(text='{"reason": "fine", "points": 9}') if "points" in str(body) else Turn(text="The answer is 4.")

    with simulated(planned=planned) as server, traced() as recorded:
        at = CHAT.at(server)
        graph = build_solver(at, budget=BUDGET, strategy="best-of-n", scorer=Judge(model=at), effort="low").compile()
        result = run(graph, {"question": "What is 2 + 2?"})
        [(root, rounds)] = tree(recorded.spans)
        assert root == "invoke_workflow solver"
        for number, (name, work) in enumerate(rounds, 1):
            assert name == f"round {number}"
            kinds = Counter(each[0].split()[0] for each in work)
            assert kinds["sample"] > 1
            assert kinds["score"] >= (number == 1)  # later answers are equal to one that has its score
            assert all(each[1] == ["chat gpt-5.1"] for each in work)
        agree(recorded, result["rheostat"]["run"])
        nodes = {(each.attributes or {})["rheostat.node"] for each in recorded.requests}
        assert nodes == {"call", "judge"}
        assert all((each.attributes or {})["rheostat.effort"] == "low" for each in recorded.named("round"))
        [root_span] = recorded.named("invoke_workflow")
        for each in recorded.named("round"):  # a round ends with its last work, within the run
            assert each.end_time <= root_span.end_time  # type: ignore[operator]


def test_the_solver_with_a_verifier(run: Runner) -> None:
    at, _ = scripted("It is 5.", "It is 4.")
    with traced() as recorded:
        graph = build_solver(at, budget=Budget(tokens=100_000), verifier=lambda answer: answer == "4").compile()
        result = run(graph, {"question": "What is 2 + 2?"})
        assert result["status"] == "solved"
        [(_, rounds)] = tree(recorded.spans)
        for _, work in rounds:
            assert work[0][0].startswith("sample")
        labels = [(each.attributes or {})["gen_ai.evaluation.score.label"] for each in recorded.named("verify")]
        assert labels[-1] == "pass"
        found, run_ = sums(recorded.requests), result["rheostat"]["run"]
        assert found["output_tokens"] == run_["output_tokens"] > 0


def test_a_long_task(run: Runner) -> None:
    """Its steps are agents of their own, called in a node: they lie under the task."""
    outline = Turn(text='{"steps": ["multiply", "write it down"]}')
    turns = (outline, calls((2, 3)), Turn(text="It is 6."), Turn(text="Written."), Turn(text="The report."))
    with simulated(*turns) as server, traced() as recorded:
        graph = build_autonomous(RESPONSE.at(server), [multiply], budget=BUDGET).compile(name="task")
        result = run(graph, {"task": "Multiply 2 by 3."})
        assert result["report"] == "The report."
        step = ("step", [f"chat {RESPONSE.model}"])
        assert tree(recorded.spans) == [
            (
                "invoke_agent task",
                [
                    step,
                    ("invoke_agent agent", [step, "execute_tool multiply", step]),
                    ("invoke_agent agent", [step]),
                    step,
                ],
            )
        ]
        agree(recorded, result["rheostat"]["run"])


def test_a_search_for_the_final_answer(run: Runner) -> None:
    with simulated(*[Turn(text="42")] * 9) as server, traced() as recorded:
        search = FinalAnswer(strategy="vote", verifier=lambda answer: answer == "42")
        result = run(agent(CHAT, server, before=[search]), ASK)
        [(root, work)] = tree(recorded.spans)
        assert root == "invoke_agent agent"
        assert work[:2] == [("step", ["chat gpt-5.1"]), "verify Function"]
        agree(recorded, result["rheostat"]["run"])


def test_a_chat_model_with_a_budget() -> None:
    with simulated(DONE, DONE, DONE, DONE) as server, traced() as recorded:
        model = ThinkingChatModel(model=CHAT.at(server), budget=BUDGET)
        model.invoke("What is 6 * 7?")
        list(model.stream("What is 6 * 7?"))
        in_loop(model.ainvoke("What is 6 * 7?"))

        async def stream() -> None:
            async for _ in model.astream("What is 6 * 7?"):
                pass

        in_loop(stream())
        assert tree(recorded.spans) == [("step", ["chat gpt-5.1"])] * 4
        assert sums(recorded.requests)["usd_nanos"] == model.spend["usd_nanos"]


# --- the user's own spans ------------------------------------------------------------------------------------------


def test_the_users_spans_are_parents_and_children(run: Runner) -> None:
    with simulated(calls((2, 3), (4, 5)), DONE) as server, traced() as recorded:
        tracer = recorded.provider.get_tracer("theirs")

        @tool("multiply")
        def traced_multiply(a: int, b: int) -> int:
            """Multiply two whole numbers."""
            with tracer.start_as_current_span(f"theirs {a}"):
                return a * b

        graph = agent(CHAT, server, [traced_multiply])

        async def job() -> None:
            with tracer.start_as_current_span("their job"):
                if run is by_ainvoke:
                    await graph.ainvoke(ASK)
                else:
                    assert [each async for each in graph.astream(ASK)]

        if run in (by_ainvoke, by_astream):
            in_loop(job())
        else:
            with tracer.start_as_current_span("their job"):
                run(graph, ASK)
        [(root, [(top, work)])] = tree(recorded.spans)
        assert (root, top) == ("their job", "invoke_agent agent")
        tools = [each for each in work if each[0] == "execute_tool multiply"]
        assert sorted(each[1] for each in tools) == [["theirs 2"], ["theirs 4"]]
        assert not trace.get_current_span().get_span_context().is_valid


def test_a_span_of_other_middleware_is_linked() -> None:
    with simulated(DONE) as server, traced() as recorded:
        tracer = recorded.provider.get_tracer("theirs")

        @wrap_model_call
        def around(request: Any, handler: Any) -> Any:
            with tracer.start_as_current_span("theirs"):
                return handler(request)

        agent(CHAT, server, before=[around]).invoke(ASK)
        [step] = recorded.named("step")
        [theirs] = recorded.named("theirs")
        [root] = recorded.named("invoke_agent")
        assert step.parent is not None
        assert step.parent.span_id == root.context.span_id  # type: ignore[union-attr]
        assert [each.context.span_id for each in step.links] == [theirs.context.span_id]  # type: ignore[union-attr]


# --- side by side ------------------------------------------------------------------------------------------------


def _one_each(recorded: Traced, number: int) -> None:
    """Every run has a trace of its own, and each is whole."""
    traces: dict[int, list[Any]] = {}
    for each in recorded.spans:
        traces.setdefault(each.context.trace_id, []).append(each)  # type: ignore[union-attr]
    assert len(traces) == number
    for spans in traces.values():
        accounts = {(each.attributes or {}).get("rheostat.account") for each in spans} - {None}
        assert len(accounts) == 1
        [(root, work)] = tree(spans)
        assert root == "invoke_agent agent"
        assert work == [
            ("step", ["chat gpt-5.1"]),
            "execute_tool multiply",
            "execute_tool multiply",
            ("step", ["chat gpt-5.1"]),
        ]


def _two_calls(number: int, body: dict[str, Any]) -> Turn:
    return DONE if "tool_call_id" in str(body) else calls((2, 3), (4, 5))


def test_runs_in_threads_never_mix() -> None:
    with simulated(planned=_two_calls) as server, traced() as recorded:
        graph = agent(CHAT, server)
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda _: graph.invoke(ASK), range(12)))
        _one_each(recorded, 12)


def test_runs_in_tasks_never_mix() -> None:
    with simulated(planned=_two_calls) as server, traced() as recorded:
        graph = agent(CHAT, server)

        async def all_() -> None:
            await asyncio.gather(*(graph.ainvoke(ASK) for _ in range(12)))

        in_loop(all_())
        _one_each(recorded, 12)


def test_streams_read_in_turns_never_mix() -> None:
    with simulated(planned=_two_calls) as server, traced() as recorded:
        graph = agent(CHAT, server)
        streams = [graph.stream(ASK) for _ in range(3)]
        while streams:
            streams = [each for each in streams if next(each, None) is not None]
            assert not trace.get_current_span().get_span_context().is_valid
        _one_each(recorded, 3)


# --- what ends early -----------------------------------------------------------------------------------------------


async def _cut(graph: Any, begun: Callable[[], Any]) -> None:
    """Cancel a run once this is true."""
    task = asyncio.ensure_future(graph.ainvoke(ASK))
    async with asyncio.timeout(30):
        while not begun():  # noqa: ASYNC110 - a server in another thread counts its requests
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_cancelled_tool() -> None:
    began = threading.Event()

    @tool("multiply")
    async def slow(a: int, b: int) -> int:
        """Multiply two whole numbers, slowly."""
        began.set()
        await asyncio.sleep(60)
        return a * b

    with simulated(calls((2, 3))) as server, traced() as recorded:
        in_loop(_cut(agent(CHAT, server, [slow]), began.is_set))
        assert tree(recorded.spans) == [("invoke_agent agent", [("step", ["chat gpt-5.1"]), "execute_tool multiply"])]
        for name in ("invoke_agent", "execute_tool"):
            [each] = recorded.named(name)
            assert each.status.status_code is StatusCode.ERROR
            assert "CancelledError" in str((each.attributes or {})["error.type"])


def test_a_cancelled_request() -> None:
    with simulated(Turn(text="slow", fault=Fault(seconds=30))) as server, traced() as recorded:
        ledger = MemoryLedger()
        in_loop(_cut(agent(CHAT, server, options={"ledger": ledger}), lambda: server.bill.requests))
        [request] = recorded.requests
        said = dict(request.attributes or {})
        assert said["rheostat.outcome"] == "unknown"
        assert "CancelledError" in str(said["error.type"])
        assert said["rheostat.unknown.usd_nanos"] == ledger.reading(str(said["rheostat.account"]))["unknown_usd_nanos"]
        assert recorded.metric("rheostat.held.usd_nanos") == 0
        assert [each.status.status_code for each in recorded.named("step")] == [StatusCode.ERROR]


def test_a_stream_that_is_left() -> None:
    with simulated(calls((2, 3)), DONE) as server, traced() as recorded:
        for _ in agent(CHAT, server).stream(ASK):
            break
        assert {each.name for each in recorded.spans} <= {"invoke_agent agent", "step", "chat gpt-5.1"}
        tree(recorded.spans)


def test_a_tool_that_fails_and_a_run_that_fails(run: Runner) -> None:
    @tool("multiply")
    def broken(a: int, b: int) -> int:
        """Multiply two whole numbers."""
        raise ValueError("secret words")

    with simulated(calls((2, 3)), DONE, calls((2, 3))) as server, traced() as recorded:
        run(agent(CHAT, server, [broken], options={"correct_tools": True}), ASK)
        [one] = recorded.named("execute_tool")
        assert (one.status.status_code, (one.attributes or {})["error.type"]) == (StatusCode.ERROR, "tool_error")
        with pytest.raises(ValueError, match="secret words"):
            run(agent(CHAT, server, [broken], options={"correct_tools": False}), ASK)
        for name in ("execute_tool", "invoke_agent"):
            last = recorded.named(name)[-1]
            assert (last.status.status_code, (last.attributes or {})["error.type"]) == (StatusCode.ERROR, "ValueError")
        assert "secret words" not in str([each.to_json() for each in recorded.spans])


def test_a_refusal(run: Runner) -> None:
    with simulated(*[calls((2, 3))] * 9) as server, traced() as recorded:
        graph = agent(CHAT, server, budget=Budget(calls=2, usd="20"))
        result = run(graph, ASK)
        assert result["rheostat"]["run"]["calls"] <= 2
        agree(recorded, result["rheostat"]["run"])
        with pytest.raises(BudgetExceeded):
            run(agent(CHAT, server, budget=Budget(usd="0.000001")), ASK)
        assert recorded.metric("rheostat.refusals", {"rheostat.limit": "usd_nanos"}) >= 1
        last = recorded.named("invoke_agent")[-1]
        assert (last.attributes or {})["error.type"] == "BudgetExceeded"


def test_a_run_that_was_interrupted_goes_on_in_a_span_of_its_own() -> None:
    with simulated(calls((2, 3)), DONE) as server, traced() as recorded:
        ask = HumanInTheLoopMiddleware(interrupt_on={"multiply": True})
        graph = agent(CHAT, server, after=[ask], checkpointer=InMemorySaver())
        config: Any = {"configurable": {"thread_id": "thread 1"}}
        graph.invoke(ASK, config)
        assert tree(recorded.spans) == [("invoke_agent agent", [("step", ["chat gpt-5.1"])])]
        result = graph.invoke(Command(resume={"decisions": [{"type": "approve"}]}), config)
        assert tree(recorded.spans)[1:] == [
            ("invoke_agent agent", ["execute_tool multiply", ("step", ["chat gpt-5.1"])])
        ]
        assert all(each.status.status_code is StatusCode.UNSET for each in recorded.spans)
        assert {(each.attributes or {})["gen_ai.conversation.id"] for each in recorded.named("invoke_agent")} == {
            "thread 1"
        }
        assert sums(recorded.requests)["usd_nanos"] == result["rheostat"]["run"]["usd_nanos"]


# --- calls beside an agent's own, and costs that come late ---------------------------------------------------------


def test_a_summary_lies_under_the_run(run: Runner) -> None:
    with simulated(Turn(text="a summary"), calls((2, 3)), DONE) as server, traced() as recorded:
        old: list[Any] = [HumanMessage(f"What is {number} * 1?") for number in range(6)]
        summing = SummarizationMiddleware(
            model=CHAT.chat(server, max_tokens=2000), trigger=("messages", 6), keep=("messages", 2)
        )
        result = run(agent(CHAT, server, before=[summing]), {"messages": [*old, *ASK["messages"]]})
        [(root, [first, *_])] = tree(recorded.spans)
        assert (root, first) == ("invoke_agent agent", "chat gpt-5.1")
        assert (recorded.named("chat")[0].attributes or {}).get("rheostat.effort") is None  # nobody planned it
        agree(recorded, result["rheostat"]["run"])


def test_subagents_side_by_side(run: Runner) -> None:
    """Two tools at once, each with an agent inside: no span of one lies under the other's."""

    def planned(number: int, body: dict[str, Any]) -> Turn:
        text = str(body)
        if "Outerwords" in text:
            asks = tuple(("ask", {"question": f"Innerwords {each}"}) for each in "ab")
            return DONE if "tool_call_id" in text else Turn(tool_calls=asks, text="")
        return DONE if "tool_call_id" in text else calls((2, 3))

    with simulated(planned=planned) as server, traced() as recorded:
        inner = agent(CHAT, server, name="inner")

        @tool
        def ask(question: str) -> str:
            """Ask another agent."""
            return str(inner.invoke({"messages": [("user", question)]})["messages"][-1].text)

        result = run(agent(CHAT, server, [ask], name="outer"), {"messages": [("user", "Outerwords")]})
        step = ("step", ["chat gpt-5.1"])
        below = ("execute_tool ask", [("invoke_agent inner", [step, "execute_tool multiply", step])])
        assert tree(recorded.spans) == [("invoke_agent outer", [step, below, below, step])]
        agree(recorded, result["rheostat"]["run"])


def test_a_cost_that_comes_after_the_end() -> None:
    """A background response: its call was charged as unknown and its span ended; the cost comes in one of its own."""
    usage = {"input_tokens": 10, "output_tokens": 20, "total_tokens": 30}
    states = iter(["queued", "completed"])

    def answer(request: httpx2.Request) -> httpx2.Response:
        status = next(states)
        told = {"id": "r1", "status": status, "model": "gpt-5.1", "usage": usage if status == "completed" else None}
        return httpx2.Response(200, json=told)

    install_gate()
    ledger = MemoryLedger()
    ledger.open(Account("a", BUDGET))
    call = Call(note={}, refined=True)
    with (
        traced() as recorded,
        httpx2.Client(transport=httpx2.MockTransport(answer)) as client,
        paid_by(Payer(ledger, "a", BUDGET, call=call)),
    ):
        body = {"model": "gpt-5.1", "input": "hi", "background": True, "max_output_tokens": 100}
        client.post("https://api.openai.com/v1/responses", json=body)
        drive(close_call(call, ledger))
        client.get("https://api.openai.com/v1/responses/r1")
        first, late = (dict(each.attributes or {}) for each in recorded.requests)
        assert (first["rheostat.outcome"], late["rheostat.outcome"]) == ("unknown", "settled")
        assert late["rheostat.late"] is True
        assert late["gen_ai.usage.output_tokens"] == ledger.reading("a")["output_tokens"] == 20
        assert late["rheostat.usd_nanos"] == ledger.reading("a")["usd_nanos"] == recorded.metric("rheostat.usd_nanos")
        assert recorded.metric("rheostat.held.usd_nanos") == 0


# --- nobody listens, or somebody stops -------------------------------------------------------------------------------


def test_nothing_happens_when_nobody_listens() -> None:
    with traced() as recorded:
        assert watch.begin("step", "step") is not None
    assert watch.begin("step", "step") is None
    assert watch.doing("step", "step") is watch.inside(None)
    with simulated(DONE) as server:
        agent(CHAT, server).invoke(ASK)
    assert len(recorded.exporter.get_finished_spans()) == 0


def test_stopped_in_the_middle_of_a_run() -> None:
    with simulated(calls((2, 3)), DONE) as server, traced() as recorded:
        stream = agent(CHAT, server).stream(ASK)
        next(stream)
        next(stream)
    assert len(list(stream)) > 0
    assert len(recorded.spans) == recorded.started.number > 0


def test_two_tracers_both_hear_all() -> None:
    with simulated(calls((2, 3)), DONE) as server, traced() as one, traced() as two:
        agent(CHAT, server).invoke(ASK)
        assert [each.name for each in one.spans] == [each.name for each in two.spans]
        agree(one, {**sums(two.requests)})


def test_a_watcher_that_fails_breaks_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def begun(self, work: watch.Work) -> None:
            raise RuntimeError("broken")

        current = more = ended = begun

    stop = watch.watch(Broken())  # type: ignore[arg-type]
    try:
        with simulated(DONE) as server:
            assert agent(CHAT, server).invoke(ASK)["messages"][-1].text == "42"
    finally:
        stop()
    assert "a watcher of work failed" in caplog.text
