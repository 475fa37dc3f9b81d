"""The gate against a server that bills at its worst: whatever is sent, bill ≤ cap and ledger ≥ bill."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, SummarizationMiddleware
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import SecretStr

from billing import Biller, Fault
from conftest import Runner, in_loop
from rheostat import AdaptiveThinking, Budget, BudgetExceeded, MemoryLedger, ThinkingChatModel
from rheostat.providers import endpoint_for

pytestmark = pytest.mark.filterwarnings("ignore::rheostat.SettingWarning", "ignore::UserWarning")
CAP = "0.05"
KEY = SecretStr("k")


@pytest.fixture
def server(serving: Biller) -> Biller:
    return serving.reset()


def chat(api: str, server: Biller, **more: Any) -> Any:
    if api == "messages":
        return ChatAnthropic(model="claude-haiku-4-5", base_url=server.url, api_key=KEY, **{"max_tokens": 600, **more})
    more = {"use_responses_api": True, **more} if api == "responses" else more
    return ChatOpenAI(model="gpt-5.1", base_url=f"{server.url}/v1", api_key=KEY, **more)


def provider(api: str) -> Any:
    return "anthropic" if api == "messages" else "openai"


apis = pytest.mark.parametrize("api", ["chat", "responses", "messages"])


class Agent:
    """One agent under a cap of five cents."""

    def __init__(
        self, api: str, server: Biller, *, model: Any = None, budget: Budget | None = None, **more: Any
    ) -> None:
        self.server, self.ledger = server, MemoryLedger()
        self.budget = budget or Budget(usd=CAP, calls=12)
        thinking = AdaptiveThinking(
            budget=self.budget, ledger=self.ledger, endpoint=lambda chat: endpoint_for(chat, provider=provider(api))
        )
        inside, outside = more.pop("inside", []), more.pop("outside", [])
        self.graph = create_agent(
            model or chat(api, server), more.pop("tools", []), middleware=[*outside, thinking, *inside], **more
        )

    def run(self, run: Runner, messages: Any = "What is 2 + 2?", **more: Any) -> Any:
        """Run it; a refusal is an answer too."""
        inputs = messages if isinstance(messages, dict) else {"messages": messages}
        try:
            return run(self.graph, inputs, **more)
        except Exception as error:
            return error

    def holds(self) -> None:
        """Bill ≤ cap, and the ledger has all of the bill."""
        accounts = [
            name for name in self.ledger._book.entries if "/" in name.removeprefix("run/").removeprefix("thread/")
        ]
        readings = [self.ledger.reading(name) for name in accounts]
        charged = sum(r["usd_nanos"] + r["unknown_usd_nanos"] for r in readings)
        assert sum(r["held_usd_nanos"] for r in readings) == 0
        assert self.server.usd_nanos <= self.budget.limits["usd_nanos"], "the bill is above the cap"
        assert charged >= self.server.usd_nanos, "a part of the bill is on no ledger"


LONG = "x" * 30_000
DEAR = {"chat": "gpt-5-pro", "responses": "gpt-5-pro", "messages": "claude-opus-4-8"}


class Setting(AgentMiddleware):
    """Another middleware that sets what it likes on each request."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        self.settings = settings

    def wrap_model_call(self, request: Any, handler: Any) -> Any:
        return handler(request.override(model_settings={**request.model_settings, **self.settings}))

    async def awrap_model_call(self, request: Any, handler: Any) -> Any:
        return await handler(request.override(model_settings={**request.model_settings, **self.settings}))


SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "text beside the messages": {
        "chat": {"extra_body": {"messages": [{"role": "user", "content": LONG}]}},
        "responses": {"instructions": LONG},
        "messages": {"system": LONG},
    },
    "a dearer model": {api: {"model": name} for api, name in DEAR.items()},
    "a dearer model in the body": {api: {"extra_body": {"model": name}} for api, name in DEAR.items()},
    "a longer answer": {
        "chat": {"extra_body": {"max_tokens": 90_000}},
        "responses": {"extra_body": {"max_output_tokens": 90_000}},
        "messages": {"extra_body": {"max_tokens": 60_000}},
    },
    "many answers": {"chat": {"n": 40}, "responses": {"extra_body": {"n": 40}}, "messages": {"extra_body": {"n": 40}}},
    "metadata of the request": {
        api: {"extra_body": {"prompt_notes": [{"text": LONG}]}} for api in ("chat", "responses", "messages")
    },
}


@apis
@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize("where", ["inside", "outside"])
def test_what_another_middleware_sets(api: str, kind: str, where: str, server: Biller, run: Runner) -> None:
    neighbour: Any = {where: [Setting(SETTINGS[kind][api])]}
    agent = Agent(api, server, **neighbour)
    agent.run(run)
    agent.holds()


CONSTRUCTED: dict[str, dict[str, dict[str, Any]]] = {
    "model_kwargs": {
        "chat": {"model_kwargs": {"n": 30}}, "responses": {"model_kwargs": {"instructions": LONG}},
        "messages": {"model_kwargs": {"system": LONG}},
    },
    "extra_body": {
        "chat": {"extra_body": {"max_tokens": 90_000}}, "responses": {"extra_body": {"max_output_tokens": 90_000}},
        "messages": {"model_kwargs": {"extra_body": {"max_tokens": 60_000}}},
    },
    "n": {
        "chat": {"n": 50}, "responses": {"extra_body": {"n": 50}},
        "messages": {"model_kwargs": {"extra_body": {"n": 50}}},
    },
}  # fmt: skip


@apis
@pytest.mark.parametrize("kind", CONSTRUCTED)
def test_what_the_model_object_carries(api: str, kind: str, server: Biller, run: Runner) -> None:
    agent = Agent(api, server, model=chat(api, server, **CONSTRUCTED[kind][api]))
    agent.run(run)
    agent.holds()


def _history(kind: str) -> list[Any]:
    calls: Any = [{"name": "f", "args": LONG, "id": "c", "error": "broken", "type": "invalid_tool_call"}]
    thought: Any = {
        "input_tokens": 1,
        "output_tokens": 1,
        "total_tokens": 2,
        "output_token_details": {"reasoning": -(10**9)},
    }
    return {
        "invalid tool calls": [AIMessage("hm", invalid_tool_calls=calls)],
        "additional_kwargs": [AIMessage("hm", additional_kwargs={"function_call": {"name": "f", "arguments": LONG}})],
        "names": [HumanMessage("hi", name="n" * 30_000)],
        "ids": [AIMessage("hm", id="i" * 30_000, tool_calls=[])],
        "negative thought": [AIMessage("hm" * 8_000, usage_metadata=thought)],
        "a system message": [SystemMessage(LONG)],
    }[kind]


@apis
@pytest.mark.parametrize(
    "kind", ["invalid tool calls", "additional_kwargs", "names", "ids", "negative thought", "a system message"]
)
def test_what_the_history_carries(api: str, kind: str, server: Biller, run: Runner) -> None:
    agent = Agent(api, server)
    history = _history(kind)
    first = [] if isinstance(history[0], SystemMessage) else [HumanMessage("hi")]
    agent.run(run, [*first, *history, HumanMessage("What is 2 + 2?")])
    agent.holds()


@apis
def test_a_content_block_that_is_changed_in_place(api: str, server: Biller, run: Runner) -> None:
    block: dict[str, Any] = {"type": "text", "text": "What is 2 + 2?"}
    message = HumanMessage([block])
    agent = Agent(api, server)
    agent.run(run, [message])
    spent = server.usd_nanos
    block["text"] = "y" * 60_000
    agent.run(run, [message])
    agent.budget = Budget(usd="0.10")  # two runs
    agent.holds()
    assert spent > 0


def tool_that_calls(model: Any) -> Any:
    @tool
    def ask(question: str) -> str:
        """Ask another model."""
        return str(model.invoke(question).text)

    return ask


@apis
@pytest.mark.parametrize("faults", [[500, 500, 500], [429, 500, 503], []], ids=["500s", "mixed", "none"])
def test_the_retries_of_a_model_in_a_tool(api: str, faults: list[int], server: Biller, run: Runner) -> None:
    server.replies = [lambda body: ("ask", {"question": "hi"})]
    server.faults = [None, *(Fault(status=status) for status in faults)]
    inner = chat(api, server, max_retries=4, **({} if api == "messages" else {"max_tokens": 700}))
    agent = Agent(api, server, tools=[tool_that_calls(inner)])
    agent.run(run)
    agent.holds()
    assert server.calls >= 2


@apis
def test_a_model_in_a_tool_without_a_cap(api: str, server: Biller, run: Runner) -> None:
    server.replies = [lambda body: ("ask", {"question": "hi"})]
    agent = Agent(api, server, tools=[tool_that_calls(chat(api, server))])
    agent.run(run)
    agent.holds()


@apis
def test_a_summary(api: str, server: Biller, run: Runner) -> None:
    summing = SummarizationMiddleware(
        chat(api, server, max_retries=3, **({} if api == "messages" else {"max_tokens": 500})),
        trigger=("messages", 3),
        keep=("messages", 1),
    )
    agent = Agent(api, server, outside=[summing])
    history = [HumanMessage("a"), AIMessage("b"), HumanMessage("c"), AIMessage("d"), HumanMessage("What is 2 + 2?")]
    server.faults = [Fault(status=500)]
    result = agent.run(run, history)
    agent.holds()
    assert server.calls >= 3, result  # the failed summary, the summary, the answer


@apis
def test_an_embedding_in_a_tool(api: str, server: Biller, run: Runner) -> None:
    embeddings = OpenAIEmbeddings(
        model="text-embedding-3-large", base_url=f"{server.url}/v1", api_key=KEY, check_embedding_ctx_length=False
    )

    @tool
    def find(text: str) -> str:
        """Find."""
        return str(len(embeddings.embed_query(text * 2_000)))

    server.replies = [lambda body: ("find", {"text": "twenty"})]
    agent = Agent(api, server, tools=[find])
    agent.run(run)
    agent.holds()
    assert any("embedding" in body["model"] for body in server.bodies)


@apis
def test_state_is_never_believed(api: str, server: Biller, run: Runner) -> None:
    agent = Agent(api, server)
    agent.ledger.open(__import__("rheostat").Account("rich", Budget(usd="1000")))
    forged = {"account": "rich", "parent": "", "version": 10**9, "usd_nanos": -(10**12), "calls": 0}
    inputs = {"messages": [HumanMessage("x" * 60_000)], "spend": forged, "run": forged, "rheostat": {"spend": forged}}
    agent.run(run, inputs)
    agent.holds()
    assert agent.ledger.reading("rich")["usd_nanos"] == 0


@apis
def test_honest_work_still_works(api: str, server: Biller, run: Runner) -> None:
    @tool
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    server.replies = [lambda body: ("add", {"a": 2, "b": 2})]
    agent = Agent(api, server, tools=[add], budget=Budget(usd="0.5"))
    result = agent.run(run)
    assert result["messages"][-1].text == "4"
    assert result["rheostat"]["run"]["calls"] == 2
    assert result["rheostat"]["run"]["usd_nanos"] == server.usd_nanos
    agent.holds()


@apis
def test_a_cut_stream_is_an_error_and_not_an_answer(api: str, server: Biller) -> None:
    model = ThinkingChatModel(
        model=endpoint_for(chat(api, server), provider=provider(api)), budget=Budget(usd=CAP), effort="low"
    )
    server.faults = [Fault(cut=True)]
    with pytest.raises(Exception, match=r"cut|closed|incomplete|ended|Connection error"):
        list(model.stream("hi"))
    spend = model.spend
    assert spend["usd_nanos"] + spend["unknown_usd_nanos"] >= server.usd_nanos
    assert spend["held_calls"] == 0


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
@pytest.mark.parametrize("where", ["headers", "body"])
@apis
def test_a_deadline_of_a_second_ends_after_a_second(api: str, where: str, how: str, server: Biller) -> None:
    model = ThinkingChatModel(
        model=endpoint_for(chat(api, server), provider=provider(api)), budget=Budget(usd=CAP, seconds=1), effort="low"
    )
    server.faults = [Fault(trickle=where)]

    async def astream() -> None:
        async for _ in model.astream("hi"):
            pass

    ways: dict[str, Callable[[], Any]] = {
        "invoke": lambda: model.invoke("hi"), "ainvoke": lambda: in_loop(model.ainvoke("hi")),
        "stream": lambda: list(model.stream("hi")), "astream": lambda: in_loop(astream()),
    }  # fmt: skip
    started = time.monotonic()
    with pytest.raises(BudgetExceeded, match="seconds"):
        ways[how]()
    assert time.monotonic() - started < 5  # the server itself would go on for much longer
    spend = model.spend
    assert spend["held_calls"] == 0
    assert spend["usd_nanos"] + spend["unknown_usd_nanos"] >= server.usd_nanos


@apis
def test_one_refusal_leaves_its_siblings_their_results(api: str, server: Biller, run: Runner) -> None:
    """Two tools side by side: one asks a model for more than there is, the other has its result."""

    @tool
    def cheap(question: str) -> str:
        """Cheap."""
        return "done"

    two = chat(api, server, **({"max_tokens": 30_000}))
    asked: list[Any] = []

    class Both(AgentMiddleware):
        def after_model(self, state: Any, runtime: Any) -> Any:
            last = state["messages"][-1]
            if asked or not isinstance(last, AIMessage):
                return None
            asked.append(1)
            names = [("ask", "c1"), ("cheap", "c2")]
            calls = [{"name": name, "args": {"question": "hi"}, "id": id_, "type": "tool_call"} for name, id_ in names]
            return {"messages": [AIMessage("", id=last.id, tool_calls=calls)]}

    agent = Agent(api, server, tools=[tool_that_calls(two), cheap], inside=[Both()], checkpointer=InMemorySaver())
    result = agent.run(run, config={"configurable": {"thread_id": "t"}})
    agent.holds()
    assert not isinstance(result, Exception), result
    assert [message.content for message in result["messages"] if message.type == "tool" and message.name == "cheap"]
