"""What the nodes share, and how a flow becomes a node."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from langchain_core.runnables import Runnable
from langgraph.runtime import get_runtime

from rheostat.calling.meter import Meter
from rheostat.calling.payer import PAYER
from rheostat.errors import BadInput
from rheostat.evidence.expected import Expected
from rheostat.evidence.forms import AnswerForm, Form
from rheostat.evidence.verifiers import JsonSchema, Verifier
from rheostat.flow import Flow
from rheostat.graph.accounts import account_above, task_name, thread_account
from rheostat.graph.node import FlowNode
from rheostat.graph.state import read
from rheostat.judgement.policy import Caps, Policy
from rheostat.money.budget import Budget
from rheostat.money.ledger import Account, Reading
from rheostat.providers import Endpoint
from rheostat.solver.state import SolverState
from rheostat.task import AskedEffort, parse_effort
from rheostat.thinking.difficulty import Agreement

__all__ = ["OnLimit", "Solver", "Update", "as_node"]

Update = dict[str, Any]
OnLimit: TypeAlias = Literal["answer", "raise", "interrupt"]
"""At the cap: end with the best answer so far; raise `BudgetExceeded`; ask a human by a LangGraph interrupt."""


def as_node(solver: Solver, flow: Callable[[Solver, Any], Flow[Update]]) -> Runnable[Any, Any]:
    """A LangGraph node from a flow."""
    return FlowNode(flow.__name__, functools.partial(flow, solver))


@dataclass(frozen=True, kw_only=True)
class Solver:
    """What the nodes share: models, meter, budget, verifier, policy."""

    models: Sequence[Endpoint]
    """The models to ask, the first one first; the others when it is worth their price."""
    meter: Meter
    budget: Budget
    verifier: Verifier | None
    form: AnswerForm | Form | None
    """Of the answer, where the caller says so."""
    policy: Policy
    caps: Caps
    effort: AskedEffort
    probe: Agreement | None
    parent: str | None
    """An account above every run: a user's, a tenant's."""
    on_limit: OnLimit
    last_word: Budget | None
    """What is kept back for the final answer, if the operator says so; else what the smallest call may cost."""

    def start(self, before: Reading) -> Flow[tuple[str, str]]:
        """Open the thread's account and, beneath it, this run's; both names.

        The thread's only counts: what all its runs, forks and subgraphs spend together.
        """
        payer = PAYER.get()
        if payer is not None and payer.ledger is self.meter.ledger:  # inside an agent's tool: beneath that agent
            run = f"{payer.account}/{task_name()}"
            yield from self.meter.open(Account(run, self.budget, payer.account), {})
            return payer.account, run
        name = thread_account()
        run = f"{name}/{task_name()}"
        yield from self.meter.open(Account(name, parent=self._above(before, name)), before)
        yield from self.meter.open(Account(run, self.budget, name), {})
        return name, run

    def _above(self, before: Reading, name: str) -> str | None:
        context = get_runtime().context
        named = context.get("account") if isinstance(context, dict) else None
        return account_above(name, before, named, self.parent)

    def open(self, state: SolverState) -> Flow[str]:
        """The run's account, known to the ledger again even after a restart."""
        readings = read(state)
        spend, run = readings["spend"], readings["run"]
        account: str = run["account"]
        yield from self.meter.open(Account(spend["account"], parent=spend["parent"] or None), spend)
        yield from self.meter.open(Account(account, Budget.from_dict(state["budget"]), spend["account"]), run)
        return account

    def readings(self, account: str) -> Flow[Update]:
        """The thread's and the run's reading, for state."""
        run = yield from self.meter.reading(account)
        return {"spend": (yield from self.meter.reading(run["parent"])), "run": run}

    def asked(self) -> AskedEffort:
        """The effort asked for of this run: its context's, else the builder's."""
        context: Any = get_runtime().context
        if isinstance(context, dict) and not context.keys() <= {"effort", "account"}:
            raise BadInput(
                f"the context has effort and account; not {', '.join(context.keys() - {'effort', 'account'})}"
            )
        asked = context.get("effort") if isinstance(context, dict) else None
        return parse_effort(asked) if asked else self.effort

    def endpoint(self, state: SolverState) -> Endpoint:
        """The model that is asked now."""
        return self.models[state.get("model", 0)]

    @property
    def schema(self) -> Any | None:
        """The JSON Schema that the answer must satisfy, if there is one."""
        return self.verifier.schema if isinstance(self.verifier, JsonSchema) else None

    def expected(self, state: SolverState) -> Expected:
        """What the answer should look like."""
        return Expected.of(state["question"], state["difficulty"]["kind"], self.verifier, self.form)
