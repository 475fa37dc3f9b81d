"""One line more in an agent changes thinking and money, and nothing else: each thing is done bare and with us."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    LLMToolEmulator,
    LLMToolSelectorMiddleware,
    SummarizationMiddleware,
    ToolRetryMiddleware,
    before_model,
    wrap_model_call,
    wrap_tool_call,
)
from langchain_anthropic.middleware import AnthropicPromptCachingMiddleware
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.prebuilt import InjectedStore
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

from conftest import Runner
from rheostat import AdaptiveThinking, BadInput, Budget, NoPrice, ThinkingChatModel, build_agent, terms
from rheostat.providers import endpoint_for
from rheostat.testing import Said, ScriptedModel, free
from rheostat.testing.server import Fault, Turn
from test_middleware import Case
from wire import ADAPTIVE, CHAT, RESPONSE, Api, simulated

ASK: Any = {"messages": [HumanMessage("Do it.")]}
CALL = Said(tool_calls=(("work", {"x": 1}),))
MODES = ["bare", "with us"]


def agent(mode: str, script: list[Any], tools: list[Any], *, before: Any = (), after: Any = (), **more: Any) -> Any:
    """The same agent with our line in it, or without; ours between its neighbours."""
    ours = [AdaptiveThinking(budget=Budget(tokens=10_000_000, calls=100))] if mode == "with us" else []
    return create_agent(ScriptedModel(script=script), tools, middleware=[*before, *ours, *after], **more)


class Flaky:
    """A tool that works at its third try."""

    def __init__(self) -> None:
        self.tries = 0

    @property
    def tool(self) -> BaseTool:
        @tool
        def work(x: int) -> str:
            """Works at last."""
            self.tries += 1
            if self.tries < 3:
                raise ConnectionError(f"not yet: {self.tries}")
            return f"done at try {self.tries}"

        return work


# --- exceptions of tools ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("where", ["outside", "inside"])
def test_a_retry_middleware_retries(mode: str, where: str, run: Runner) -> None:
    flaky = Flaky()
    retry = [ToolRetryMiddleware(max_retries=3, initial_delay=0.0, jitter=False)]
    before, after = (retry, []) if where == "outside" else ([], retry)
    result = run(agent(mode, [CALL, "fine"], [flaky.tool], before=before, after=after), ASK)
    assert [m.text for m in result["messages"] if isinstance(m, ToolMessage)] == ["done at try 3"]


@pytest.mark.parametrize("mode", MODES)
def test_an_exception_that_is_meant_to_end_the_run_ends_it(mode: str, run: Runner) -> None:
    class Stop(Exception):
        """Of the application."""

    @tool
    def work(x: int) -> str:
        """Ends it."""
        raise Stop("that's all")

    with pytest.raises(Stop, match="that's all"):
        run(agent(mode, [CALL, "fine"], [work]), ASK)


@pytest.mark.parametrize("mode", MODES)
def test_a_users_own_handler_sees_the_exception(mode: str) -> None:
    seen: list[str] = []

    @wrap_tool_call
    def mine(request: Any, handler: Any) -> Any:
        try:
            return handler(request)
        except ConnectionError as error:
            seen.append(str(error))
            return ToolMessage("sorry", tool_call_id=request.tool_call["id"])

    result = agent(mode, [CALL, "fine"], [Flaky().tool], before=[mine]).invoke(ASK)
    assert seen == ["not yet: 1"]
    assert [m.text for m in result["messages"] if isinstance(m, ToolMessage)] == ["sorry"]


def test_what_is_named_becomes_evidence(run: Runner) -> None:
    thinking = AdaptiveThinking(budget=Budget(calls=100), effort="none", correct_tools=(ConnectionError,))
    model = ScriptedModel(script=[CALL, CALL, CALL, "fine"])
    result = run(create_agent(model, [Flaky().tool], middleware=[thinking]), ASK)
    told = [m for m in result["messages"] if isinstance(m, ToolMessage)]
    assert [m.status for m in told] == ["error", "error", "success"]
    assert told[0].text.startswith("FAILED: work(")
    with pytest.raises(BadInput, match="kinds of exceptions"):
        AdaptiveThinking(budget=Budget(calls=1), correct_tools=("ValueError",))  # type: ignore[arg-type]  # not one


@pytest.mark.parametrize("mode", MODES)
def test_wrong_arguments_come_back_even_if_a_tool_has_no_json_form(mode: str, run: Runner) -> None:
    @tool
    def work(x: int, store: Annotated[BaseStore, InjectedStore()]) -> str:
        """Needs a store."""
        return "worked"

    wrong = Said(tool_calls=(("work", {"x": "many"}),))
    result = run(agent(mode, [wrong, CALL, "fine"], [work], store=InMemoryStore()), ASK)
    told = [m for m in result["messages"] if isinstance(m, ToolMessage)]
    assert [m.status for m in told] == ["error", "success"]
    assert "x" in told[0].text


# --- what isn't planned ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_models_of_neighbours_need_no_max_tokens(mode: str, run: Runner) -> None:
    """A summary, an emulated tool: fakes that say nothing of their context."""
    summary, emulated = ScriptedModel(script=["a summary"]), ScriptedModel(script=["as if it had worked"])
    neighbours = [
        SummarizationMiddleware(model=summary, trigger=("messages", 3), keep=("messages", 1)),
        LLMToolEmulator(model=emulated),
    ]
    result = run(agent(mode, [CALL, "fine"], [Flaky().tool], before=neighbours), ASK)
    assert result["messages"][-1].text == "fine"
    assert len(summary.calls) + len(emulated.calls) >= 1


@pytest.mark.parametrize("mode", MODES)
def test_a_tool_selector_chooses(mode: str) -> None:
    """It binds a schema, which is no tool on the provider's side."""
    from langchain_core.runnables import RunnableLambda

    class Selecting(ScriptedModel):
        def with_structured_output(self, schema: Any, **kwargs: Any) -> Any:
            return self.bind(tools=[schema]) | RunnableLambda(lambda _: {"tools": ["work"]})

    selector = LLMToolSelectorMiddleware(model=Selecting(script=["x"]), max_tools=1)

    @tool
    def other() -> str:
        """Another."""
        return ""

    built = agent(mode, ["fine"], [Flaky().tool, other], before=[selector])
    assert built.invoke(ASK)["messages"][-1].text == "fine"


# --- state -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_messages_may_come_from_a_hook(mode: str, run: Runner) -> None:
    @before_model
    def ask(state: Any, runtime: Any) -> dict[str, Any] | None:
        return None if state["messages"] else {"messages": [HumanMessage("Do it.")]}

    result = run(agent(mode, ["fine"], [], before=[ask]), {"messages": []})
    assert [m.text for m in result["messages"]] == ["Do it.", "fine"]


@pytest.mark.parametrize("mode", MODES)
def test_a_neighbour_may_replace_the_state_of_a_request(mode: str) -> None:
    @wrap_model_call
    def mine(request: Any, handler: Any) -> Any:
        return handler(request.override(state={"messages": request.messages}))

    result = agent(mode, [CALL, "fine"], [Flaky3().tool], before=[mine]).invoke(ASK)
    assert result["messages"][-1].text == "fine"
    if mode == "with us":
        assert result["rheostat"]["run"]["calls"] == 2


class Flaky3(Flaky):
    """It works at once."""

    def __init__(self) -> None:
        self.tries = 2


@pytest.mark.parametrize("mode", MODES)
def test_the_users_model_is_the_one_in_the_request(mode: str) -> None:
    seen: list[Any] = []

    class Looks(AgentMiddleware[Any, Any, Any]):
        def wrap_model_call(self, request: Any, handler: Any) -> Any:
            seen.append(request.model)
            return handler(request)

    agent(mode, ["fine"], [], after=[Looks()]).invoke(ASK)
    assert all(type(model) is ScriptedModel for model in seen)


@pytest.mark.parametrize("mode", MODES)
def test_an_unknown_tool_is_answered_by_langchain(mode: str, run: Runner) -> None:
    unknown = Said(tool_calls=(("nothing", {}),))
    result = run(agent(mode, [unknown, "fine"], [Flaky3().tool]), ASK)
    told = [m for m in result["messages"] if isinstance(m, ToolMessage)]
    assert [m.status for m in told] == ["error"]
    assert "not a valid tool" in told[0].text
    assert isinstance(result["messages"][-1], AIMessage)


# --- budgets bind what they limit ------------------------------------------------------------------------------------

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
FILE = {"type": "file", "base64": "JVBERi0=", "mime_type": "application/pdf"}


@pytest.mark.parametrize("budget", [Budget(calls=3), Budget(seconds=30)], ids=["calls", "seconds"])
@pytest.mark.parametrize("part", [IMAGE, FILE], ids=["image", "file"])
def test_what_counts_no_tokens_needs_no_bound_on_them(budget: Budget, part: Any, run: Runner) -> None:
    """A model that says nothing of its context, and content that nothing bounds."""
    asked: Any = {"messages": [HumanMessage([{"type": "text", "text": "What is it?"}, part])]}
    built = create_agent(ScriptedModel(script=["a dot"]), [], middleware=[AdaptiveThinking(budget=budget)])
    assert run(built, asked)["messages"][-1].text == "a dot"
    counted = create_agent(
        ScriptedModel(script=["a dot"]), [], middleware=[AdaptiveThinking(budget=Budget(tokens=999))]
    )
    with pytest.raises(BadInput, match="can't be bounded"):
        run(counted, asked)


def test_a_search_without_an_end_needs_no_max_uses_under_a_limit_of_calls() -> None:
    with simulated(Turn(text="found")) as server:
        case = Case(RESPONSE, server, budget=Budget(calls=3))
        built = case.agent([{"type": "web_search"}])
        assert built.invoke(ASK)["messages"][-1].text == "found"


# --- the loop guard --------------------------------------------------------------------------------------------------


def polls(repeats: bool) -> tuple[Any, list[int]]:
    ran: list[int] = []

    @tool
    def work(x: int) -> str:
        """Looks whether it is ready."""
        ran.append(x)
        return "not yet"

    return terms(work, repeats=repeats), ran


@pytest.mark.parametrize(("repeats", "times"), [(False, 3), (True, 6)])
def test_polling_is_stopped_unless_the_tool_says_that_it_repeats(repeats: bool, times: int, run: Runner) -> None:
    waiting, ran = polls(repeats)
    thinking = AdaptiveThinking(budget=Budget(calls=50), effort="none")
    run(create_agent(ScriptedModel(script=[*[CALL] * 6, "fine"]), [waiting], middleware=[thinking]), ASK)
    assert len(ran) == times


def test_another_turn_of_the_user_may_ask_for_the_same_again(run: Runner) -> None:
    looking, ran = polls(False)
    thinking = AdaptiveThinking(budget=Budget(calls=50), effort="none")
    script = [CALL, CALL, "not ready", CALL, CALL, "still not"]
    built = create_agent(ScriptedModel(script=script), [looking], middleware=[thinking], checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": f"turns {run.__name__}"}}
    for question in ("Is it ready?", "And now?"):
        run(built, {"messages": [HumanMessage(question)]}, config=config)
    assert len(ran) == 4


# --- results and unplanned calls -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_long_results_and_artifacts_reach_others_whole(mode: str, run: Runner) -> None:
    @tool(response_format="content_and_artifact")
    def work(x: int) -> tuple[str, dict[str, int]]:
        """Says much."""
        return "word " * 40_000, {"x": x}

    result = run(agent(mode, [CALL, "fine"], [work]), ASK)
    [told] = [m for m in result["messages"] if isinstance(m, ToolMessage)]
    assert told.text == "word " * 40_000
    assert told.artifact == {"x": 1}


def test_a_cut_result_keeps_its_artifact() -> None:
    @tool(response_format="content_and_artifact")
    def work(x: int) -> tuple[str, dict[str, int]]:
        """Says much."""
        return "word " * 40_000, {"x": x}

    thinking = AdaptiveThinking(budget=Budget(calls=9), effort="none", most_result_chars=1_000)
    result = create_agent(ScriptedModel(script=[CALL, "fine"]), [work], middleware=[thinking]).invoke(ASK)
    [told] = [m for m in result["messages"] if isinstance(m, ToolMessage)]
    assert len(told.text) < 1_100
    assert told.artifact == {"x": 1}


def test_a_call_beside_the_agent_is_held_for_the_longest_reply_of_its_model() -> None:
    """Not for its whole context, where its profile says how much it writes."""
    with simulated(Turn(text="a summary"), Turn(text="fine")) as server:
        case = Case(CHAT, server, budget=Budget(tokens=200_000))  # gpt-5.1 holds 400,000 and writes 128,000

        @before_model
        def beside(state: Any, runtime: Any) -> None:
            CHAT.chat(server).invoke("Sum it up.")

        result = case.agent([], before=[beside]).invoke(ASK)
        assert result["messages"][-1].text == "fine"
        case.agrees(result)


# --- fakes -----------------------------------------------------------------------------------------------------------


class Stubborn(BaseChatModel):
    """As people write them for their tests: it takes no settings, and `bind_tools` gives itself back."""

    replies: list[Any]
    copies: bool = False
    bound: int = 0

    @property
    def _llm_type(self) -> str:
        return "stubborn-fake"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None) -> ChatResult:  # type: ignore[override]
        reply = self.replies[sum(isinstance(m, AIMessage) for m in messages)]
        return ChatResult(generations=[ChatGeneration(message=reply.model_copy(deep=True))])

    def bind_tools(self, tools: Any, *, tool_choice: Any = None) -> Any:  # type: ignore[override]
        return self.model_copy(update={"bound": len(tools)}) if self.copies else self


def replies() -> list[AIMessage]:
    call = {"name": "work", "args": {"x": 1}, "id": "1", "type": "tool_call"}
    return [AIMessage("", tool_calls=[call]), AIMessage("fine")]  # type: ignore[list-item]  # a tool call as a dict


@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_a_fake_that_takes_nothing_works(mode: str, copies: bool, run: Runner) -> None:
    ours = [AdaptiveThinking(budget=Budget(tokens=1_000_000))] if mode == "with us" else []
    built = create_agent(Stubborn(replies=replies(), copies=copies), [Flaky3().tool], middleware=ours)
    result = run(built, ASK)
    assert [m.text for m in result["messages"]] == ["Do it.", "", "done at try 3", "fine"]


@pytest.mark.parametrize("copies", [False, True])
def test_it_works_within_a_chat_model_and_in_nodes_too(copies: bool, run: Runner) -> None:
    fake = Stubborn(replies=replies(), copies=copies)
    model = ThinkingChatModel(model=fake, budget=Budget(calls=10))
    tools = model.bind_tools([Flaky3().tool])
    first = tools.invoke("Do it.")
    assert isinstance(first, AIMessage)
    assert first.tool_calls
    assert isinstance(model.invoke("Do it."), AIMessage)
    result = run(build_agent(fake, [Flaky3().tool], budget=Budget(calls=10)).compile(), ASK)
    assert result["messages"][-1].text == "fine"


def test_a_fake_runs_under_dollars_when_it_is_free() -> None:
    fake = Stubborn(replies=replies())
    with pytest.raises(NoPrice):
        ThinkingChatModel(model=fake, budget=Budget(usd="1"))
    thinking = AdaptiveThinking(budget=Budget(usd="1"))
    result = create_agent(free(fake), [Flaky3().tool], middleware=[thinking]).invoke(ASK)
    assert result["messages"][-1].text == "fine"
    assert result["rheostat"]["run"]["usd_nanos"] == 0


# --- streams, traces and settings, on the wire -----------------------------------------------------------------------


def hosted(mode: str, api: Api, server: Any, tools: list[Any], **chat: Any) -> Any:
    model = api.chat(server, **chat)
    ours = []
    if mode == "with us":
        ours = [
            AdaptiveThinking(
                budget=Budget(usd="20"), effort="low", endpoint=lambda chat: endpoint_for(chat, provider=api.provider)
            )
        ]
    return create_agent(model, tools, middleware=ours)


def without_thought(events: list[Any]) -> list[Any]:
    """Chunks of a thought come only where there is one."""
    return [event for event in events if event[1] or event[2]]


@pytest.mark.parametrize("api", [CHAT, ADAPTIVE], ids=["chat", "messages"])
@pytest.mark.parametrize("settings", [{}, {"disable_streaming": True}, {"disable_streaming": "tool_calling"}], ids=str)
def test_streams_are_as_without_us(api: Api, settings: dict[str, Any]) -> None:
    """The same kinds of messages in the same order with the same texts, whole or in pieces, and one last chunk each."""
    seen = []
    for mode in MODES:
        with simulated(Turn(tool_calls=(("work", {"x": 1}),), text="I look."), Turn(text="It is done.")) as server:
            built = hosted(mode, api, server, [Flaky3().tool], **settings)
            events = [
                (type(m).__name__, m.text, [c["name"] for c in getattr(m, "tool_calls", ()) if c["name"]])
                for m, _ in built.stream(ASK, stream_mode="messages")
            ]
            seen.append(without_thought(events))
    assert seen[0] == seen[1]


@pytest.mark.parametrize("api", [CHAT, ADAPTIVE], ids=["chat", "messages"])
def test_tracers_see_the_same_model_with_the_same_tags(api: Api) -> None:
    class Seen(BaseCallbackHandler):
        def __init__(self) -> None:
            self.models: list[Any] = []

        def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
            named = {k: v for k, v in (kwargs.get("metadata") or {}).items() if k in ("ls_provider", "ls_model_name")}
            self.models.append((kwargs.get("name") or serialized.get("name"), sorted(kwargs.get("tags") or ()), named))

    seen = []
    for mode in MODES:
        with simulated(Turn(text="It is done.")) as server:
            handler = Seen()
            config: Any = {"callbacks": [handler], "tags": ["mine"]}
            hosted(mode, api, server, [], tags=["of the model"]).invoke(ASK, config)
            seen.append(handler.models)
    assert len(seen[0]) == 1
    assert seen[0] == seen[1]


def test_settings_mean_what_they_meant() -> None:
    """Tier, length, retries: as the user set them; a `ModelRetryMiddleware` doesn't multiply anything."""
    for mode in MODES:
        busy = Turn(fault=Fault(status=429, retry_after="0"))
        with simulated(busy, busy, Turn(text="It is done.")) as server:
            built = hosted(mode, CHAT, server, [], service_tier="flex", max_tokens=3_000, max_retries=2)
            assert built.invoke(ASK)["messages"][-1].text == "It is done."
            assert [body["service_tier"] for body in server.bill.bodies] == ["flex"] * 3
            assert {body["max_completion_tokens"] for body in server.bill.bodies} == {3_000}
        with simulated(busy, busy, busy, Turn(text="never asked for")) as server:
            built = hosted(mode, CHAT, server, [], max_retries=1)
            with pytest.raises(Exception, match="429"):
                built.invoke(ASK)
            assert server.bill.requests == 2


@pytest.mark.parametrize("mode", MODES)
def test_anthropics_prompt_cache_is_used_behind_us(mode: str) -> None:
    """Its middleware asks what kind of model it is."""
    with simulated(Turn(text="It is done.")) as server:
        built = create_agent(
            ADAPTIVE.chat(server),
            [],
            middleware=[
                *([AdaptiveThinking(budget=Budget(calls=9))] if mode == "with us" else []),
                AnthropicPromptCachingMiddleware(),
            ],
        )
        built.invoke(ASK)
        assert "cache_control" in str(server.bill.bodies[0])


@pytest.mark.parametrize("kind", ["bash_20250124", "text_editor_20250728", "memory_20250818"])
def test_tools_of_anthropic_that_run_here_are_no_searches(kind: str) -> None:
    names = {"bash_20250124": "bash", "text_editor_20250728": "str_replace_based_edit_tool"}
    with simulated(Turn(text="It is done.")) as server:
        built = hosted("with us", ADAPTIVE, server, [{"type": kind, "name": names.get(kind, "memory")}])
        assert built.invoke(ASK)["messages"][-1].text == "It is done."


def test_a_call_between_that_changed_something_begins_anew(run: Runner) -> None:
    """Look, write, look, write something else, look …: each look may bring something new."""
    looking, ran = polls(False)

    @tool
    def write(text: str) -> str:
        """Change something."""
        return f"wrote {text}"

    script: list[Any] = []
    for number in range(5):
        script += [CALL, Said(tool_calls=(("write", {"text": str(number)}),))]
    thinking = AdaptiveThinking(budget=Budget(calls=50), effort="none")
    run(create_agent(ScriptedModel(script=[*script, "fine"]), [looking, write], middleware=[thinking]), ASK)
    assert len(ran) == 5


def test_two_calls_in_turn_that_bring_nothing_new_are_stopped(run: Runner) -> None:
    looking, ran = polls(False)

    @tool
    def other() -> str:
        """Looks elsewhere."""
        return "nothing"

    script: list[Any] = [CALL, Said(tool_calls=(("other", {}),))] * 8
    thinking = AdaptiveThinking(budget=Budget(calls=50), effort="none")
    run(create_agent(ScriptedModel(script=[*script, "fine"]), [looking, other], middleware=[thinking]), ASK)
    assert len(ran) == 4
