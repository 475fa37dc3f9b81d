"""`build_autonomous`: a long task under a hard cap, in steps with an allowance each, check-ins, and a report.

start → outline → (work → check in → (outline again))* → report. Each step is an agent with an account of its own
beneath the run's; what it doesn't spend is left for the other steps. At chosen fractions of the budget, an interrupt
asks a human. The report is paid for in advance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypedDict

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import BaseTool
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from typing_extensions import Unpack

from rheostat.agents.guided import Sending
from rheostat.agents.nodes import AgentGraphState, AgentNodes, BudgetedGraph, NodeOptions, build_agent
from rheostat.agents.outline import AGAIN, WANTED, steps_of
from rheostat.calling.payer import paid_by
from rheostat.errors import BadInput, BudgetExceeded
from rheostat.flow import Effect, Flow
from rheostat.graph.accounts import readings_of
from rheostat.graph.ending import EndedBy, ended
from rheostat.graph.events import emit
from rheostat.graph.node import FlowNode
from rheostat.graph.state import KEY, Known, read
from rheostat.money.budget import Budget, Room
from rheostat.money.usage import NANOS_PER_USD
from rheostat.providers import Endpoint
from rheostat.thinking.difficulty import THOUGHT_WITH

__all__ = ["AutonomousState", "build_autonomous"]

_OUTLINE_TRIES = 2
"""An outline without steps is asked for once more."""
_REPORT_SHARE = 0.15
"""The share of the budget that is kept back for further outlines and for the report."""
_GENEROSITY = 1.5
"""A step's allowance in even shares of the rest: hard steps need more than one, and easy steps leave some over."""
_LIMITS = {
    "usd_nanos": "usd",
    "tokens": "tokens",
    "output_tokens": "output_tokens",
    "thinking_tokens": "thinking_tokens",
    "calls": "calls",
}


_ENDS: dict[str, EndedBy] = {"done": "answer", "cap": "budget", "stopped": "user"}


class AutonomousState(AgentGraphState, total=False):
    """The agent's state, with the progress of the task."""

    task: str
    """The task, in words."""
    steps: list[str]
    """The steps that are left, the next one first."""
    done: list[dict[str, Any]]
    """Each step that was worked on: `step`, `result`, `finished`, `spend` (its account's reading)."""
    outlines: int
    """The number of outlines so far."""
    asked: list[float]
    """Fractions of the budget at which a human was asked."""
    said: list[str]
    """The human's instructions."""
    heard: int
    """How many of them the latest outline took into account."""
    status: str
    """`done`, `cap` (the budget is used up), `stopped` (by a human)."""
    report: str


class AutonomousInput(TypedDict, total=False):
    """The input: a task."""

    task: str


class _Plan:
    """The nodes of the graph."""

    def __init__(
        self,
        nodes: AgentNodes,
        chat: BaseChatModel,
        tools: Sequence[BaseTool | Callable[..., Any]],
        endpoint: Endpoint,
        check_in: Sequence[float],
        options: dict[str, Any],
    ) -> None:
        self.nodes, self.core, self._chat, self._tools = nodes, nodes.core, chat, tools
        self._endpoint, self._check_in, self._options = endpoint, sorted(check_in), options

    def start(self, state: AutonomousState) -> Flow[dict[str, Any]]:
        task = (state.get("task") or "").strip()
        if not task:
            raise BadInput('there is no task: invoke({"task": "…"})')
        said = HumanMessage(task)
        opened = yield from self.core.start({**state, "messages": [said]})
        return {
            **opened, "messages": [said], "steps": [], "done": [], "outlines": 0, "asked": [], "said": [], "heard": 0,
            "status": "", "report": "",
        }  # fmt: skip

    def outline(self, state: AutonomousState) -> Flow[dict[str, Any]]:
        """Outline the steps that are left."""
        sofar = "\n".join(f"- {each['step']}: {each['result'][:300]}" for each in state["done"])
        words = f"Task: {state['task']}\n"
        words += f"\nDone so far:\n{sofar}\n" if sofar else ""
        words += _said(state)
        words += f"\nLay out what is left to do. Tools: {', '.join(self.nodes.names) or 'none'}."

        def send(sending: Sending) -> Effect:
            ask = sending.runnable()
            return Effect(lambda: ask.invoke(sending.messages), lambda: ask.ainvoke(sending.messages))

        messages: list[BaseMessage] = [HumanMessage(f"{words}\n{WANTED}")]
        for _ in range(_OUTLINE_TRIES):
            reply, readings, _ = yield from self.core.step(
                state, self._chat, messages, {}, send, lambda message: message, ends=False
            )
            steps = steps_of(reply.text)
            if steps or (steps is not None and state["done"]) or _stopped_by_budget(reply):
                break
            emit("correction", name="outline", args={}, text=reply.text[:200])
            messages += [reply, HumanMessage(AGAIN)]
        steps = steps or ([] if state["done"] else [state["task"]])  # without an outline, the task is the only step
        emit("step", name="outline", steps=steps)
        return {"steps": steps, "outlines": state["outlines"] + 1, "heard": len(state["said"]), KEY: readings}

    def work(self, state: AutonomousState) -> Flow[dict[str, Any]]:
        """Do the next step, under an allowance."""
        step, *rest = state["steps"]
        meter, account = yield from self.core.open(state)
        before = "\n".join(f"- {each['step']}: {each['result'][:500]}" for each in state["done"])
        words = f"The whole task: {state['task']}\n\nDone before:\n{before or '- nothing'}\n\nDo this now: {step}"
        inputs: Any = {"messages": [HumanMessage(words)]}
        result: Any = None
        for shares in (len(state["steps"]), 1) if rest else (1,):  # a share too small to work with: all that is left
            room = yield from meter.room(account)
            allowance = _allowance(room, self.core.budget, shares)
            if allowance is None:
                break
            emit("step", name="work", step=step, allowance=str(allowance))
            graph = _agent(self._endpoint, self._tools, allowance, self._options)
            try:
                with paid_by(meter.payer(account, budget=self.core.budget)):
                    result = yield from _invoked(graph, inputs)
            except BudgetExceeded as refused:
                stopped = {"thinking": {"stopped": str(refused)}}
                result = {"messages": [AIMessage(f"Not done: {refused}")], KEY: stopped}
            if not _barely_begun(read(result)):
                break
        if result is None:
            return {"steps": [], "status": "cap"}
        found = read(result)
        finished = not (found["thinking"].get("stopped") or found["thinking"].get("last_word"))
        entry = {"step": step, "result": result["messages"][-1].text, "finished": finished, "spend": found["run"]}
        now = yield from readings_of(meter, account)
        return {"steps": rest, "done": [*state["done"], entry], KEY: now}

    def check_in(self, state: AutonomousState) -> Flow[dict[str, Any]]:
        """Ask a human at chosen fractions of the budget."""
        yield from ()
        run = read(state)["run"]
        used = _used(run, self.core.budget)
        due = [fraction for fraction in self._check_in if fraction <= used and fraction not in state["asked"]]
        if not due or not state["steps"]:
            return {}
        answer = interrupt(
            {
                "type": "check_in",
                "used": round(used, 3),
                "spend": run,
                "next": state["steps"],
                "done": [each["step"] for each in state["done"]],
                "answer": '"go on", "stop", or an instruction',
            }
        )
        if answer == "stop":
            return {"asked": [*state["asked"], *due], "steps": [], "status": "stopped"}
        said = [] if answer == "go on" else [str(answer)]
        return {"asked": [*state["asked"], *due], "said": [*state["said"], *said]}

    def report(self, state: AutonomousState) -> Flow[dict[str, Any]]:
        """Write the report, which is the run's last word."""
        lines = [
            f"- {each['step']} ({'done' if each['finished'] else 'not finished'}): {each['result'][:800]}"
            for each in state["done"]
        ]
        left = "\n".join(f"- {step}" for step in state["steps"]) or "- nothing"
        words = (
            f"Task: {state['task']}\n{_said(state)}\nWhat was done:\n"
            + ("\n".join(lines) or "- nothing")
            + f"\n\nLeft:\n{left}\n\n"
            "Report to the user: the result first, then what is unfinished. Be short."
        )

        def send(sending: Sending) -> Effect:
            ask = sending.runnable()
            return Effect(lambda: ask.invoke(sending.messages), lambda: ask.ainvoke(sending.messages))

        try:
            message, readings, _ = yield from self.core.step(
                state, self._chat, [HumanMessage(words)], {}, send, lambda reply: reply
            )
            text = message.text.strip() or "The model wrote no report.\n" + "\n".join(lines)
        except BudgetExceeded as refused:
            text, readings = f"No report: {refused}\n" + "\n".join(lines), {}
        unfinished = state["steps"] or not all(each["finished"] for each in state["done"])
        status = state["status"] or ("cap" if unfinished else "done")
        emit("report", status=status, text=text)
        end = ended(_ENDS.get(status, "answer"), f"{len(state['done'])} steps were worked on: {status}")
        return {"report": text, "status": status, "messages": [AIMessage(text)], KEY: {**readings, "end": end}}

    def after_check_in(self, state: AutonomousState) -> Literal["work", "outline", "report"]:
        """Go on to the next step, or outline again if the last one wasn't finished or a human gave instructions."""
        if not state["steps"]:
            return "report"
        stuck = not state["done"][-1]["finished"]
        spoke = len(state["said"]) > state["heard"]
        return "outline" if spoke or (stuck and state["outlines"] < 3) else "work"


def _invoked(graph: Any, inputs: Any) -> Flow[Any]:
    return (yield Effect(lambda: graph.invoke(inputs), lambda: graph.ainvoke(inputs)))


def _barely_begun(found: Known) -> bool:
    """Whether a step's allowance paid for its last word at the most: no tool has run, so that it may be done again."""
    thinking, calls = found["thinking"], found["run"].get("calls", 0)
    if thinking.get("stopped"):
        return not calls
    return bool(thinking.get("last_word")) and not thinking.get("gave_up") and calls <= 1


def _stopped_by_budget(reply: AIMessage) -> bool:
    """Whether the budget ended the step that brought this reply."""
    return bool((reply.response_metadata.get(THOUGHT_WITH) or {}).get("stopped"))


def _said(state: AutonomousState) -> str:
    return "".join(f"\nThe user says: {said}" for said in state["said"])


def _agent(
    endpoint: Endpoint, tools: Sequence[BaseTool | Callable[..., Any]], budget: Budget, options: dict[str, Any]
) -> Any:
    return build_agent(endpoint, tools, budget=budget, **options).compile()


def _allowance(room: Room, whole: Budget, steps: int) -> Budget | None:
    """The next step's budget: 1.5 times its even share, without the report's reserve; `None`: nothing is left."""
    limits: dict[str, Any] = {}
    for name, limit in whole.limits.items():
        left = (getattr(room, name) or 0) - int(limit * _REPORT_SHARE)
        share = min(left, int(left / steps * _GENEROSITY)) if steps > 1 else left
        if share <= 0:
            return None
        limits[_LIMITS[name]] = f"{share / NANOS_PER_USD:.9f}" if name == "usd_nanos" else share
    if room.seconds is not None:
        seconds = room.seconds * (1 - _REPORT_SHARE)
        if seconds <= 1:
            return None
        limits["seconds"] = seconds
    return Budget(**limits)


def _used(run: dict[str, Any], budget: Budget) -> float:
    """The share of the tightest limit that is used up."""
    totals = {
        "usd_nanos": run["usd_nanos"] or 0, "tokens": run["input_tokens"] + run["output_tokens"],
        "output_tokens": run["output_tokens"], "thinking_tokens": run["thinking_tokens"] or 0, "calls": run["calls"],
    }  # fmt: skip
    shares = [totals[name] / limit for name, limit in budget.limits.items()]
    if budget.seconds:
        shares.append(run["elapsed_milliseconds"] / 1000 / budget.seconds)
    return max(shares, default=0.0)


def build_autonomous(
    model: str | BaseChatModel | Endpoint,
    tools: Sequence[BaseTool | Callable[..., Any]],
    *,
    budget: Budget,
    check_in: Sequence[float] = (),
    **options: Unpack[NodeOptions],
) -> StateGraph[AutonomousState, None, AutonomousInput, AutonomousState]:
    """Build a graph for a long task under a hard cap.

    Args:
        model: A chat model or its name.
        tools: The tools that its steps may call.
        budget: Hard limits of the whole run.
        check_in: Fractions of the budget (0 … 1) at which an interrupt asks a human. Needs a checkpointer; resume with
            `Command(resume="go on")`, `"stop"`, or an instruction.
        options: As in `AgentNodes`, for the agent of each step.

    Returns:
        An uncompiled graph: `invoke({"task": "…"})`; the result has `status`, `report`, `done`, `rheostat`.

    Raises:
        BadInput: a fraction that isn't between 0 and 1.
    """
    if not all(0 < fraction < 1 for fraction in check_in):
        raise BadInput(f"check_in must be fractions between 0 and 1, such as (0.5, 0.8), not {check_in!r}")
    nodes = AgentNodes(model, tools, budget=budget, **options)
    inner = {name: value for name, value in options.items() if name not in ("ledger", "account", "on_limit")}
    plan = _Plan(nodes, nodes.chat, tools, nodes.endpoint, check_in, inner)
    graph = BudgetedGraph(AutonomousState, input_schema=AutonomousInput)
    for flow in (plan.start, plan.outline, plan.work, plan.check_in, plan.report):
        graph.add_node(flow.__name__, FlowNode(flow.__name__, flow))
    graph.add_edge(START, "start")
    graph.add_edge("start", "outline")
    graph.add_conditional_edges("outline", lambda s: "work" if s["steps"] else "report", ["work", "report"])
    graph.add_edge("work", "check_in")
    graph.add_conditional_edges("check_in", plan.after_check_in, ["work", "outline", "report"])
    graph.add_edge("report", END)
    return graph
