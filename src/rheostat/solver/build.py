"""Graphs, ready to compile: each builder returns an uncompiled `StateGraph`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

from langchain_core.language_models import BaseChatModel
from langgraph.graph import END, START, StateGraph

from rheostat.calling.holds import OnContention
from rheostat.calling.meter import Meter
from rheostat.errors import BudgetInvalid
from rheostat.evidence.forms import AnswerForm, Form
from rheostat.evidence.verifiers import Check, Verifier, as_verifier
from rheostat.judgement.policy import Caps, Policy
from rheostat.models import resolve
from rheostat.money.budget import Budget
from rheostat.money.ledger import Ledger
from rheostat.providers import Endpoint
from rheostat.solver.call import call, fan_out, hold, settle
from rheostat.solver.estimate import estimate
from rheostat.solver.judge import decide, verify
from rheostat.solver.plan import plan
from rheostat.solver.shared import OnLimit, Solver, as_node
from rheostat.solver.state import SolverInput, SolverOutput, SolverState
from rheostat.task import AskedEffort
from rheostat.thinking.difficulty import Agreement

__all__ = ["SolverContext", "build_solver"]


class SolverContext(TypedDict, total=False):
    """What may differ from run to run: `graph.invoke(inputs, context={"effort": "high"})`."""

    effort: str
    """`auto`, `fast`, `balanced`, `thorough`, or a level."""
    account: str
    """An account above this thread (a user's, a tenant's), open in the ledger: its limits bind as well."""


def build_solver(
    model: str | BaseChatModel | Endpoint,
    *,
    budget: Budget,
    verifier: Verifier | Check | None = None,
    form: AnswerForm | Form | None = None,
    effort: AskedEffort | str = "balanced",
    escalate_to: Sequence[str | BaseChatModel | Endpoint] = (),
    caps: Caps | None = None,
    policy: Policy | None = None,
    probe: Agreement | None = None,
    ledger: Ledger | None = None,
    account: str | None = None,
    on_limit: OnLimit = "answer",
    on_contention: OnContention = "wait",
    last_word: Budget | None = None,
    meter: Meter | None = None,
) -> StateGraph[SolverState, SolverContext, SolverInput, SolverOutput]:
    """A graph that answers one question with as much thought as it deserves, under a hard budget.

    estimate → plan → hold → call → settle → verify → decide → (plan again | end)

    Args:
        model: A chat model; or a name: `qwen2.5-coder-0.5b`, a GGUF path, `openai:…`, `anthropic:…`, or the URL of
            an OpenAI-compatible server.
        budget: Hard limits of each run.
        verifier: Evidence from outside the model; or a function of the answer (see `as_verifier`).
        form: Of the answer: `number`, `quantity`, `choice`, `date`, `text`, `json`, `code`, or a `Form` of your own. By
            default the verifier's, or what the question asks for and the reply brings (docs/answers.md).
        effort: `fast`, `balanced`, `thorough`, or a fixed level (`none` … `max`), which switches adaptation off.
        escalate_to: Other models, cheapest first: asked when the ones before them didn't do.
        caps: What the operator allows.
        policy: The rules and their numbers.
        probe: Draw cheap answers first and let their agreement speak about the difficulty.
        ledger: Where the spend is kept; by default in this process's memory.
        account: The id of an account above every thread (a tenant's, a user's) that is open in this ledger: its limits
            bind as well. `context={"account": …}` names one for a single run.
        on_limit: At the cap: `answer` ends with the best answer so far and says why; `raise` raises `BudgetExceeded`;
            `interrupt` asks a human by a LangGraph interrupt, who resumes with `Command(resume="finish")` or with
            `Command(resume={"budget": {"usd": "0.50"}})`: the new limits of the whole run.
        on_contention: Where room is only held by requests under way: `wait` for it, or `refuse`.
        last_word: What is kept back for a final answer until there is one; by default what the smallest call may cost.
        meter: A meter of your own (attempts, waits); it brings its ledger.

    Returns:
        An uncompiled graph. `.compile(checkpointer=…)` and `invoke({"question": …})`: the result has `answer`,
        `status`, `stopped`, `confidence` and `spend`.

    Raises:
        BudgetInvalid, NoPrice, ModelUnknown, VerifierInvalid, BadInput: before anything is spent.
    """
    solver = Solver.read(
        budget=budget,
        models=lambda: [resolve(one) for one in (model, *escalate_to)],
        effort=effort,
        ledger=ledger,
        meter=meter,
        account=account,
        on_contention=on_contention,
        quiet=False,
        caps=caps or Caps(),
        policy=policy,
        verifier=as_verifier(verifier),
        form=form,
        probe=probe,
        on_limit=on_limit,
        last_word=last_word,
    )
    if solver.limits_nothing:
        more = "limit tokens, calls or seconds, or declare a price (rheostat.Price)"
        raise BudgetInvalid(f"{solver.limits_nothing}: {more}")
    graph = StateGraph(SolverState, context_schema=SolverContext, input_schema=SolverInput, output_schema=SolverOutput)
    for flow in (estimate, plan, hold, call, settle, verify, decide):
        graph.add_node(flow.__name__, as_node(solver, flow))
    graph.add_edge(START, "estimate")
    graph.add_edge("estimate", "plan")
    graph.add_conditional_edges("plan", _after_plan, {"hold": "hold", "end": END})
    graph.add_conditional_edges("hold", fan_out, ["call", "decide"])
    graph.add_edge("call", "settle")
    graph.add_edge("settle", "verify")
    graph.add_edge("verify", "decide")
    graph.add_conditional_edges("decide", _after_decide, {"again": "plan", "end": END})
    return graph


def _after_plan(state: Any) -> str:
    return "hold" if state["calls"] else "end"


def _after_decide(state: Any) -> str:
    return "end" if state["decision"]["action"] in ("accept", "stop") else "again"
