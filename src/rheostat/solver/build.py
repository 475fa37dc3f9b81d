"""`build_solver`: the solver's graph, uncompiled."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypedDict

from langchain_core.language_models import BaseChatModel
from langgraph.graph import END, START, StateGraph

from rheostat.calling.holds import OnContention
from rheostat.calling.meter import Meter
from rheostat.errors import BadInput, BudgetInvalid
from rheostat.evidence.forms import AnswerForm, Form
from rheostat.evidence.scorers import Scorer
from rheostat.evidence.verifiers import Check, Verifier, as_verifier
from rheostat.judgement.policy import Caps, Policy
from rheostat.models import resolve
from rheostat.money.budget import Budget
from rheostat.money.ledger import Ledger
from rheostat.money.usage import usd_nanos
from rheostat.providers import Endpoint
from rheostat.solver.call import call, fan_out, hold, settle
from rheostat.solver.estimate import estimate
from rheostat.solver.judge import decide, verify
from rheostat.solver.plan import plan
from rheostat.solver.score import score, to_score
from rheostat.solver.shared import OnLimit, Solver, as_node
from rheostat.solver.state import SolverInput, SolverOutput, SolverState
from rheostat.strategies import Strategy, as_strategy
from rheostat.task import AskedEffort
from rheostat.thinking.difficulty import Agreement

__all__ = ["SolverContext", "build_solver"]


class SolverContext(TypedDict, total=False):
    """Settings that may differ between runs: `graph.invoke(inputs, context={"effort": "high"})`."""

    effort: str
    """`auto`, a preset (`fast`, `balanced`, `thorough`), or a level."""
    account: str
    """An account above this thread (a user's, a tenant's), open in the ledger; its limits bind as well."""


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
    strategy: Strategy | str = "auto",
    scorer: Scorer | None = None,
    worth: str | Decimal | None = None,
    seed: int | None = None,
    keep_text: bool = False,
    meter: Meter | None = None,
) -> StateGraph[SolverState, SolverContext, SolverInput, SolverOutput]:
    """Build a graph that answers one question, with effort set by its difficulty, under a hard budget.

    estimate → plan → hold → call → settle → verify → (score) → decide → (plan again | end)

    A probe's samples go from `estimate` to `verify`, like those of a round.

    Args:
        model: A chat model; or a name: `qwen2.5-coder-0.5b`, a GGUF path, `openai:…`, `anthropic:…`, or the URL of
            an OpenAI-compatible server.
        budget: Hard limits of each run.
        verifier: Checks answers from outside the model; or a function of the answer (see `as_verifier`).
        form: The form of the answer: `number`, `quantity`, `choice`, `date`, `text`, `json`, `code`, or a `Form` of
            your own. By default the verifier's, or the one that the question asks for and the reply brings
            (docs/reference/answers.md).
        effort: A preset (`fast`, `balanced`, `thorough`), or a fixed level (`none` … `max`) that switches adaptation
            off.
        escalate_to: Other models, cheapest first; each is asked after those before it where that is worth its price,
            and when those are down. Where nothing was measured, a later one is taken for the stronger one.
        caps: The operator's caps.
        policy: The rules and their numbers.
        probe: Draw cheap samples first, and let their agreement adjust the difficulty.
        ledger: Keeps the spend; by default in this process's memory.
        account: The id of an account above every thread (a tenant's, a user's), open in this ledger; its limits bind as
            well. `context={"account": …}` names one for a single run.
        on_limit: At the cap: `answer` ends with the best answer so far and says why; `raise` raises `BudgetExceeded`;
            `interrupt` asks a human by a LangGraph interrupt. Resume it with `Command(resume="finish")`, or with
            `Command(resume={"budget": {"usd": "0.50"}})`, the new limits of the whole run.
        on_contention: Where room is only held by requests in flight: `wait` for it, or `refuse`.
        last_word: The reserve for a final answer, until there is one; by default the worst case of the smallest call.
        strategy: Decides what to draw and when to stop: a name (`direct`, `vote`, `refine`, `best-of-n`, `tree`), an
            object such as `Vote(lead=2)`, or your own (docs/how-to/strategy.md). `auto`: what each draw is worth by the
            profile (docs/explanation/judgement.md).
        scorer: Scores answers that no verifier can judge, for strategies that look at scores: `Judge`, `Decision`,
            `Confidence`, `OutcomeReward` … or several. It is asked only where its verdict can change something.
        worth: The value of a correct answer in dollars, such as "0.05": once a sample has a price, no further one is
            drawn that costs more, and corrections and best-of-N stop when the gain isn't worth the price.
        seed: Seeds the sampling, on models that take a seed (llama.cpp, vLLM, SGLang), and the choices of strategies.
        keep_text: Keep the question in the run's records, so that `rheostat learn --text` can learn from it which tasks
            are hard for which model. By default records hold no text.
        meter: A meter of your own (attempts, waits); it brings its ledger.

    Returns:
        An uncompiled graph: `.compile(checkpointer=…)` it and `invoke({"question": …})`. The result has `answer`,
        `status`, `stopped`, `confidence` and `rheostat` (the readings).

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
        strategy=as_strategy(strategy),
        scorer=scorer,
        worth_usd_nanos=_worth(worth),
        seed=seed,
        keep_text=keep_text,
    )
    if scorer is not None:
        solver = replace(solver, judges={id(each): resolve(each) for each in scorer.models})
    if solver.limits_nothing:
        more = "limit tokens, calls or seconds, or declare a price (rheostat.Price)"
        raise BudgetInvalid(f"{solver.limits_nothing}: {more}")
    graph = StateGraph(SolverState, context_schema=SolverContext, input_schema=SolverInput, output_schema=SolverOutput)
    for flow in (estimate, plan, hold, call, settle, verify, decide):
        graph.add_node(flow.__name__, as_node(solver, flow))
    graph.add_edge(START, "estimate")
    graph.add_conditional_edges("estimate", _after_estimate, {"verify": "verify", "plan": "plan", "end": END})
    graph.add_conditional_edges("plan", _after_plan, {"hold": "hold", "end": END})
    graph.add_conditional_edges("hold", fan_out, ["call", "decide"])
    graph.add_edge("call", "settle")
    graph.add_edge("settle", "verify")
    if solver.scorer is None:
        graph.add_edge("verify", "decide")
    else:
        graph.add_node("score", as_node(solver, score))
        graph.add_conditional_edges("verify", functools.partial(to_score, solver), ["score", "decide"])
        graph.add_edge("score", "decide")
    graph.add_conditional_edges("decide", _after_decide, {"again": "plan", "end": END})
    return graph


def _worth(given: str | Decimal | None) -> int | None:
    if given is None:
        return None
    try:
        worth = usd_nanos(given)
    except ValueError as error:
        raise BadInput(f'worth: {error}; give dollars, such as worth="0.05"') from None
    if worth <= 0:
        raise BadInput(f"worth must be above zero, not {given!r}; leave it out if a correct answer has no price")
    return worth


def _after_estimate(state: Any) -> str:
    if state["candidates"]:
        return "verify"
    return "end" if state["decision"]["action"] == "stop" else "plan"


def _after_plan(state: Any) -> str:
    return "hold" if state["calls"] else "end"


def _after_decide(state: Any) -> str:
    return "end" if state["decision"]["action"] in ("accept", "stop") else "again"
