"""Nodes for an agent in a `StateGraph` of your own, and `build_agent`, which puts them together.

=============  =====================================  ============================================================
node           reads                                  writes
=============  =====================================  ============================================================
`estimate`     `messages`, `rheostat`                 `difficulty`, `rheostat`, resets: opens the run's account
`plan`         `messages`, `rheostat`                 `plan`: the next call's plan, before it is fitted
`think`        `messages`, `rheostat`                 `messages` (the reply), `rheostat`
`act`          `messages`, `rheostat`                 `messages` (the tools' results)
`verify`       `messages`                             `verdict`
`correct`      `verdict`, `messages`                  `messages` (the evidence), `corrections`
=============  =====================================  ============================================================

`estimate` comes first; after it, each of the others can be used alone. `after_think` and `after_verify` are routers.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypedDict

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langgraph.graph import END, START, StateGraph, add_messages
from langgraph.prebuilt import ToolNode
from typing_extensions import Unpack

from rheostat.agents.core import AgentCore, AgentOptions
from rheostat.agents.guided import Sending
from rheostat.agents.tools import terms_of
from rheostat.calling.call_options import tools_as_sent
from rheostat.calling.watch import doing, found
from rheostat.errors import BadInput
from rheostat.evidence.expected import Expected
from rheostat.evidence.forms import Form
from rheostat.evidence.verifiers import Check, Verdict, Verifier, as_verifier, judged
from rheostat.flow import Effect, Flow, adrive, drive
from rheostat.graph.events import emit
from rheostat.graph.node import FlowNode
from rheostat.graph.state import KEY, RheostatState, merge, read
from rheostat.models import resolve
from rheostat.money.budget import Budget
from rheostat.money.usage import usd_nanos
from rheostat.providers import Endpoint
from rheostat.thinking.difficulty import THOUGHT_WITH, read_trajectory

__all__ = ["AgentGraphState", "AgentInput", "AgentNodes", "BudgetedGraph", "NodeOptions", "build_agent"]

_MOST_STEPS = 10_000
CORRECTION = "Your answer was checked and refused: {reason}\nMend it."


class NodeOptions(AgentOptions, total=False):
    """The options that `AgentNodes` takes besides model, tools and budget."""

    verifier: Verifier | Check | None
    system_prompt: str | None
    most_corrections: int


class AgentInput(TypedDict):
    """The input of an agent's graph."""

    messages: Annotated[list[AnyMessage], add_messages]


class AgentGraphState(TypedDict, total=False):
    """All channels of an agent's graph."""

    messages: Annotated[list[AnyMessage], add_messages]
    difficulty: dict[str, Any]
    """The next step's difficulty, read from the trajectory, as `Difficulty.to_dict` gives it."""
    plan: dict[str, Any]
    """As `ThinkingPlan.to_dict` gives it."""
    verdict: dict[str, Any]
    """The verifier's verdict on the last answer, as `Verdict.to_dict` gives it."""
    corrections: int
    """How often an answer was sent back."""
    rheostat: Annotated[RheostatState, merge]
    """`spend`, `run` and `thinking`: see `rheostat.read`."""
    spend: Any
    """Read in checkpoints that precede the key `rheostat`; so is `run`."""
    run: Any


class AgentNodes:
    """The nodes, sharing one model, one set of tools, one budget.

    Args:
        model: A chat model or its name (see `resolve`).
        tools: The tools that it may call.
        budget: Hard limits of each run.
        verifier: Checks the final answer from outside the model; or a function of its text.
        system_prompt: Put before the messages at each call; not kept in state.
        most_corrections: How often a refused answer goes back.
        options: `effort`, `escalate_to`, `ledger` and so on: see `AgentOptions`.

    Raises:
        BadInput, BudgetInvalid, NoPrice, ModelUnknown, VerifierInvalid: an argument is invalid.
    """

    def __init__(
        self,
        model: str | BaseChatModel | Endpoint,
        tools: Sequence[BaseTool | Callable[..., Any]] = (),
        *,
        budget: Budget,
        verifier: Verifier | Check | None = None,
        system_prompt: str | None = None,
        most_corrections: int = 3,
        **options: Unpack[AgentOptions],
    ) -> None:
        if most_corrections < 0:
            raise BadInput(f"most_corrections must be zero or more, not {most_corrections}")
        self.endpoint = endpoint = resolve(model)
        self._tool_node = ToolNode(
            list(tools), wrap_tool_call=self._wrap, awrap_tool_call=self._awrap, handle_tool_errors=False
        )
        self._tools = list(self._tool_node.tools_by_name.values())
        self.core = AgentCore.made(
            budget,
            options,
            endpoint=lambda _: endpoint,
            most_result_chars=50_000,
            tools_cost=any(usd_nanos(terms_of(tool).usd) for tool in self._tools),
        )
        self.chat = endpoint.own
        self.core.stepper(self.chat, self.core.meter)  # raises now if a price is missing
        self._verifier, self._system, self._most_corrections = as_verifier(verifier), system_prompt, most_corrections
        self.estimate, self.plan, self.think, self.verify, self.correct = (
            FlowNode(name, flow)
            for name, flow in (
                ("estimate", self._estimate),
                ("plan", self._plan),
                ("think", self._think),
                ("verify", self._verify),
                ("correct", self._correct),
            )
        )
        self.act: Runnable[Any, Any] = self._tool_node

    # --- the flows ------------------------------------------------------------------------------------------

    def _estimate(self, state: AgentGraphState) -> Flow[dict[str, Any]]:
        if not state.get("messages"):
            raise BadInput('an agent needs messages: invoke({"messages": [("user", "…")]})')
        opened = yield from self.core.start(state)
        at = read_trajectory(state["messages"])
        return {**opened, "difficulty": at.difficulty.to_dict(), "verdict": {}, "plan": {}, "corrections": 0}

    def _plan(self, state: AgentGraphState) -> Flow[dict[str, Any]]:
        meter, _ = yield from self.core.open(state)
        stepper = self.core.stepper(self.chat, meter)
        plan = stepper.wanted(state["messages"], tools=bool(self._tools))
        return {"plan": plan.to_dict(), "difficulty": read_trajectory(state["messages"]).difficulty.to_dict()}

    def _think(self, state: AgentGraphState) -> Flow[dict[str, Any]]:
        head = [SystemMessage(self._system)] if self._system else []
        messages = [*head, *state["messages"]]

        def send(sending: Sending) -> Effect:
            bound = sending.runnable(self._tools)
            return Effect(lambda: bound.invoke(sending.messages), lambda: bound.ainvoke(sending.messages))

        kwargs = {"tools": tools_as_sent(self.chat, self._tools)} if self._tools else {}
        message, readings, before = yield from self.core.step(
            state, self.chat, messages, kwargs, send, lambda reply: reply
        )
        thinking = message.response_metadata.get(THOUGHT_WITH, {})
        return {"messages": [*before, message], KEY: {**readings, "thinking": thinking}}

    def _verify(self, state: AgentGraphState) -> Flow[dict[str, Any]]:
        last = state["messages"][-1]
        if self._verifier is None or not isinstance(last, AIMessage):
            return {"verdict": {"passed": None, "reason": "no verifier"}}
        difficulty = read_trajectory(state["messages"]).difficulty
        task = next(
            (m.text for m in reversed(state["messages"]) if isinstance(m, HumanMessage) and m.name != "verifier"), ""
        )
        expected = Expected.of(task, difficulty.kind, self._verifier)
        reading = functools.partial(expected.read, last.text)
        answer = yield Effect(reading, lambda: asyncio.to_thread(reading))
        if answer is None and expected.given is not None:
            form = expected.given.name if isinstance(expected.given, Form) else expected.asked
            verdict = Verdict(False, f"no answer was found in the reply: the form of the answer is {form}")
        else:
            text = answer.text if answer is not None else last.text  # a guessed form refuses nothing
            check = functools.partial(judged, self._verifier, text)
            with doing("verify", type(self._verifier).__name__) as work:
                verdict = yield Effect(check, lambda: asyncio.to_thread(check))
                found(work, verdict=verdict)
        emit("verdict", **verdict.to_dict())
        return {"verdict": verdict.to_dict()}

    def _correct(self, state: AgentGraphState) -> Flow[dict[str, Any]]:
        yield from ()
        reason = state["verdict"].get("reason", "")
        emit("correction", name="answer", args={}, text=reason)
        said = HumanMessage(CORRECTION.format(reason=reason), name="verifier")
        return {"messages": [said], "corrections": state.get("corrections", 0) + 1}

    def _run_tool(self, request: Any, work: Effect) -> Flow[Any]:
        return (yield from self.core.tool(request.state, request.tool_call, request.tool, self.names, work))

    @property
    def names(self) -> list[str]:
        """The names of the tools."""
        return [tool.name for tool in self._tools]

    def _wrap(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        return drive(self._run_tool(request, Effect(lambda: handler(request), _never)))

    async def _awrap(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        return await adrive(self._run_tool(request, Effect(lambda: None, lambda: handler(request))))

    # --- routers ------------------------------------------------------------------------------------------------

    @staticmethod
    def after_think(state: AgentGraphState) -> str:
        """`act` if tools were called, else `verify`."""
        last = state["messages"][-1]
        return "act" if isinstance(last, AIMessage) and last.tool_calls else "verify"

    def after_verify(self, state: AgentGraphState) -> str:
        """`correct` if the answer was refused and may be corrected once more, else the end."""
        verdict, thinking = state.get("verdict") or {}, read(state)["thinking"]
        over = thinking.get("stopped") or thinking.get("last_word")
        again = verdict.get("passed") is False and state.get("corrections", 0) < self._most_corrections
        return "correct" if again and not over else END


async def _never() -> Any:
    raise AssertionError("a blocking tool was driven on the event loop")


class BudgetedGraph(StateGraph[Any, Any, Any, Any]):
    """A `StateGraph` whose runs end by their budget, not by LangGraph's limit of 25 steps."""

    def compile(self, *args: Any, **kwargs: Any) -> Any:
        """Compile as `StateGraph` does, with a high recursion limit."""
        return super().compile(*args, **kwargs).with_config(recursion_limit=_MOST_STEPS)


def build_agent(
    model: str | BaseChatModel | Endpoint,
    tools: Sequence[BaseTool | Callable[..., Any]] = (),
    *,
    budget: Budget,
    **options: Unpack[NodeOptions],
) -> StateGraph[AgentGraphState, None, AgentInput, AgentGraphState]:
    """Build a ReAct agent in which every step has a plan, a hold and a price.

    estimate → think → (act → think)* → verify → (correct → think | end)

    Args:
        model: A chat model or its name (see `resolve`).
        tools: The tools that it may call.
        budget: Hard limits of each run.
        options: As in `AgentNodes`.

    Returns:
        An uncompiled graph: `.compile(checkpointer=…)` it and `invoke({"messages": [("user", "…")]})`.
    """
    nodes = AgentNodes(model, tools, budget=budget, **options)
    graph = BudgetedGraph(AgentGraphState, input_schema=AgentInput)
    for name in ("estimate", "think", "act", "verify", "correct"):
        graph.add_node(name, getattr(nodes, name))
    graph.add_edge(START, "estimate")
    graph.add_edge("estimate", "think")
    graph.add_conditional_edges("think", nodes.after_think, ["act", "verify"])
    graph.add_edge("act", "think")
    graph.add_conditional_edges("verify", nodes.after_verify, ["correct", END])
    graph.add_edge("correct", "think")
    return graph
