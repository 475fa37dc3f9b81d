"""What stands in the attributes: the conventions' names, and no text unless the user wants it."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool

from conftest import Runner
from rheostat import AdaptiveThinking, Budget, Judge, build_solver
from rheostat.calling.payer import Call, Payer
from rheostat.calling.wire import WireRequest, read_request
from rheostat.money.ledger import MemoryLedger
from rheostat.providers import endpoint_for
from rheostat.report import attributes as to
from rheostat.testing.server import Turn
from traced import Traced, traced
from wire import ADAPTIVE, CHAT, RESPONSE, Api, simulated

QUESTION, SYSTEM, ARGUMENT, RESULT, ANSWER = (
    "Questionwords",
    "Systemwords",
    "Argumentwords",
    "Resultwords",
    "Answerwords",
)
TEXTS = (QUESTION, SYSTEM, ARGUMENT, RESULT, ANSWER)
on_three = pytest.mark.parametrize("api", [CHAT, RESPONSE, ADAPTIVE], ids=["chat", "responses", "messages"])


@tool
def look(at: str) -> str:
    """Look at something."""
    if at.endswith("!"):
        raise ValueError(f"{RESULT} {at}")
    return RESULT


def traced_run(api: Api, run: Runner, **options: Any) -> Traced:
    looks = [Turn(tool_calls=(("look", {"at": at}),), text="") for at in (ARGUMENT, f"{ARGUMENT}!")]
    with simulated(*looks, Turn(text=ANSWER)) as server, traced(**options) as recorded:
        thinking = AdaptiveThinking(
            budget=Budget(usd="20", seconds=60),
            correct_tools=True,
            endpoint=lambda chat: endpoint_for(chat, provider=api.provider),
        )
        graph = create_agent(api.chat(server), [look], middleware=[thinking], system_prompt=SYSTEM)
        run(graph, {"messages": [HumanMessage(QUESTION)]})
    return recorded


def all_of(recorded: Traced) -> str:
    return "".join(each.to_json() for each in recorded.spans) + recorded.measured


@on_three
def test_no_text_unless_asked_for(api: Api, run: Runner) -> None:
    written = all_of(traced_run(api, run))
    assert not [text for text in TEXTS if text in written]


@on_three
def test_text_if_asked_for(api: Api, run: Runner) -> None:
    recorded = traced_run(api, run, capture_text=True)
    first, *_, last = recorded.named("chat")
    said, end = dict(first.attributes or {}), dict(last.attributes or {})
    assert json.loads(said["gen_ai.system_instructions"]) == [{"type": "text", "content": SYSTEM}]  # type: ignore[arg-type]
    assert json.loads(said["gen_ai.input.messages"]) == [  # type: ignore[arg-type]
        {"role": "user", "parts": [{"type": "text", "content": QUESTION}]}
    ]
    [reply] = json.loads(said["gen_ai.output.messages"])  # type: ignore[arg-type]
    call = next(each for each in reply["parts"] if each["type"] == "tool_call")
    assert (reply["role"], call["name"], call["arguments"]) == ("assistant", "look", {"at": ARGUMENT})
    assert reply["finish_reason"]
    answers = [each for each in json.loads(end["gen_ai.input.messages"]) if each["role"] == "tool"]  # type: ignore[arg-type]
    assert answers[0]["parts"][0]["response"] == RESULT
    assert ANSWER in str(end["gen_ai.output.messages"])
    looked, failed = (dict(each.attributes or {}) for each in recorded.named("execute_tool"))
    assert json.loads(looked["gen_ai.tool.call.arguments"]) == {"at": ARGUMENT}  # type: ignore[arg-type]
    assert RESULT in str(looked["gen_ai.tool.call.result"])
    assert "ValueError" in str(failed["gen_ai.tool.call.result"])


def test_no_text_of_the_solver() -> None:
    def planned(number: int, body: dict[str, Any]) -> Turn:
        return Turn(text='{"reason": "Answerwords", "points": 9}' if "points" in str(body) else f"It is {ANSWER}.")

    with simulated(planned=planned) as server, traced() as recorded:
        at = CHAT.at(server)
        graph = build_solver(
            at, budget=Budget(usd="20", seconds=60), strategy="best-of-n", scorer=Judge(model=at), effort="low"
        ).compile()
        graph.invoke({"question": QUESTION})
    written = all_of(recorded)
    assert not [text for text in TEXTS if text in written]


def test_names_are_the_conventions(run: Runner) -> None:
    """Every attribute of ours under `gen_ai.*` is in the conventions' own list; so is the operation's name."""
    with warnings.catch_warnings():  # they were moved to a repository of their own, and are marked so
        warnings.simplefilter("ignore", DeprecationWarning)
        from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as conventions
        from opentelemetry.semconv._incubating.metrics import gen_ai_metrics

        known = {value for name, value in vars(conventions).items() if name.startswith("GEN_AI_")}
        operations = {each.value for each in conventions.GenAiOperationNameValues}
        providers = {each.value for each in conventions.GenAiProviderNameValues}
        metrics = {value for name, value in vars(gen_ai_metrics).items() if name.startswith("GEN_AI_")}
    recorded = traced_run(CHAT, run, capture_text=True)
    used = {name for each in recorded.spans for name in (each.attributes or {})}
    assert {name for name in used if name.startswith("gen_ai.")} <= known
    assert {name for name in used if not name.startswith("gen_ai.")} <= {
        name for name in used if name.startswith("rheostat.")
    } | {"error.type", "server.address", "server.port"}
    assert {(each.attributes or {}).get("gen_ai.operation.name", "chat") for each in recorded.spans} <= operations
    assert {"gen_ai.client.token.usage", "gen_ai.client.operation.duration"} <= metrics
    assert {"openai", "anthropic", "gcp.gemini", "aws.bedrock", "x_ai", "mistral_ai", "azure.ai.openai"} <= providers


HOSTILE = "look\x1b[31m\n\x00\u202e" + "x" * 1000


def test_a_hostile_tool_name_stays_one_line() -> None:
    """A name that the model made up isn't in the trace; one that the user's tool has is cut and cleaned."""
    with simulated(Turn(tool_calls=((HOSTILE, {}),), text=""), Turn(text="x")) as server, traced() as recorded:
        thinking = AdaptiveThinking(
            budget=Budget(usd="20"),
            correct_tools=True,
            endpoint=lambda chat: endpoint_for(chat, provider=CHAT.provider),
        )
        create_agent(CHAT.chat(server), [look], middleware=[thinking]).invoke({"messages": [("user", "x")]})
    for each in recorded.spans:
        assert each.name.isprintable()
        assert len(each.name) < 300
        for value in (each.attributes or {}).values():
            for one in value if isinstance(value, tuple) else (value,):
                assert str(one).isprintable()


@pytest.mark.parametrize(
    ("host", "path", "provider", "operation"),
    [
        ("api.openai.com", "/v1/chat/completions", "openai", "chat"),
        ("api.x.ai", "/v1/chat/completions", "x_ai", "chat"),
        ("api.mistral.ai", "/v1/chat/completions", "mistral_ai", "chat"),
        ("mine.openai.azure.com", "/openai/deployments/x/chat/completions", "azure.ai.openai", "chat"),
        ("api.anthropic.com", "/v1/messages", "anthropic", "chat"),
        ("localhost", "/v1/messages", "anthropic", "chat"),
        ("localhost", "/v1/completions", "openai", "text_completion"),
        ("generativelanguage.googleapis.com", "/v1beta/models/g:generateContent", "gcp.gemini", "generate_content"),
        ("bedrock-runtime.eu-west-1.amazonaws.com", "/model/m/converse", "aws.bedrock", "chat"),
        ("europe-west1-aiplatform.googleapis.com", "/v1/models/g:generateContent", "gcp.gemini", "generate_content"),
        ("localhost", "/v1/embeddings", "unknown", "embeddings"),
    ],
)
def test_providers_and_operations(host: str, path: str, provider: str, operation: str) -> None:
    request = read_request("POST", host, path, b'{"model": "m", "input": "x", "messages": []}', port=443)
    assert request is not None
    named = to.asked_by(request)
    assert (named["gen_ai.provider.name"], named["gen_ai.operation.name"]) == (provider, operation)


def test_media_is_named_and_never_copied() -> None:
    call = Call(note={})
    call.asked = (
        SystemMessage("system"),
        HumanMessage([{"type": "text", "text": "see"}, {"type": "image", "base64": "QUJD", "mime_type": "image/png"}]),
        AIMessage("", tool_calls=[{"name": "look", "args": {"at": "x"}, "id": "1"}]),
        ToolMessage("seen", tool_call_id="1"),
    )
    payer = Payer(MemoryLedger(), "a", call=call)
    written = to.text_of_request(payer)
    assert "QUJD" not in str(written)
    roles = [each["role"] for each in json.loads(written["gen_ai.input.messages"])]
    assert roles == ["user", "assistant", "tool"]


def test_a_request_of_an_unknown_api() -> None:
    request = WireRequest(provider="", flavor="other", kind="billable", model="m")
    assert to.provider_of(request) == "unknown"
