"""The settings that the solver's nodes share, and the wrapper that makes a flow a node."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from langchain_core.runnables import Runnable
from langgraph.runtime import get_runtime

from rheostat.calling.meter import Meter
from rheostat.calling.payer import PAYER, Payer
from rheostat.calling.settings import RunSettings
from rheostat.calling.watch import begin, end
from rheostat.errors import BadInput, NoPrice
from rheostat.evidence.candidate import Candidate
from rheostat.evidence.expected import Expected
from rheostat.evidence.forms import AnswerForm, Form
from rheostat.evidence.scorers import Ranker, Scorer
from rheostat.evidence.verifiers import JsonSchema, Verifier
from rheostat.flow import Flow
from rheostat.graph.accounts import open_run, readings_of, start_run
from rheostat.graph.node import FlowNode
from rheostat.graph.state import read
from rheostat.money.budget import Budget, Room
from rheostat.money.ledger import Reading
from rheostat.providers import Endpoint
from rheostat.providers.decisions import price_by
from rheostat.solver.race import Races
from rheostat.solver.state import SolverState
from rheostat.strategies import Strategy
from rheostat.strategies.base import left_of, own_cap_reached
from rheostat.task import AskedEffort, Difficulty, ThinkingPlan, parse_effort
from rheostat.thinking.difficulty import Agreement

__all__ = ["OnLimit", "Solver", "Update", "as_node", "told"]

Update = dict[str, Any]
OnLimit: TypeAlias = Literal["answer", "raise", "interrupt"]
"""At the cap: end with the best answer so far, raise `BudgetExceeded`, or ask a human by a LangGraph interrupt."""


def as_node(solver: Solver, flow: Callable[[Solver, Any], Flow[Update]]) -> Runnable[Any, Any]:
    """Make a LangGraph node from a flow."""
    return FlowNode(flow.__name__, functools.partial(flow, solver))


def told(candidate: Candidate) -> dict[str, Any]:
    """A candidate as fields of an event: `cost` is its own spend, since `spend` is the thread's reading."""
    spend, plain = candidate.spend, candidate.to_dict()
    return {
        **{name: value for name, value in plain.items() if name != "spend"},
        "cost": plain["spend"],
        "input_tokens": spend.input_tokens,
        "output_tokens": spend.output_tokens,
        "thinking_tokens": spend.thinking_tokens or 0,
    }


@dataclass(frozen=True, kw_only=True)
class Solver(RunSettings):
    """The settings of a solver's runs, and how their answers are judged."""

    verifier: Verifier | None = None
    form: AnswerForm | Form | None = None
    """The form of the answer, if the caller gives one."""
    probe: Agreement | None = None
    on_limit: OnLimit = "answer"
    last_word: Budget | None = None
    """The reserve for the final answer; `None`: the worst case of the smallest call."""
    strategy: Strategy | None = None
    """Decides what to draw and when to stop; `None`: as the policy sets it by the effort asked for."""
    scorer: Scorer | None = None
    """Scores answers that no verifier can judge."""
    judges: dict[int, Endpoint] = field(default_factory=dict)
    """The chat models that the scorer asks, by `id` of the model as it was given."""
    worth_usd_nanos: int | None = None
    """The value of a correct answer."""
    seed: int | None = None
    """Seeds the sampling, on models that take a seed, and the choices of strategies."""
    keep_text: bool = False
    """Keep the question in the record of a run's end."""
    races: Races = field(default_factory=Races)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.on_limit not in get_args(OnLimit):
            raise BadInput(f"on_limit must be one of {', '.join(get_args(OnLimit))}; not {self.on_limit!r}")
        if self.scorer is not None and not isinstance(self.scorer, Scorer):
            raise BadInput(f"a scorer is an object such as Judge(model=…) or Confidence(), not {self.scorer!r}")
        if getattr(self.strategy, "needs_evidence", False) and self.scorer is None and self.verifier is None:
            raise BadInput(
                f"{type(self.strategy).__name__} needs something that tells good answers from bad ones: give a "
                "verifier, or a scorer such as scorer=Confidence() or Judge(model=…)"
            )
        cap: Budget | None = getattr(self.strategy, "cap", None)
        if cap is not None:
            for endpoint in (*self.models, *self.judges.values()):
                Meter.check_price(endpoint, cap)
        for endpoint in self.judges.values():
            Meter.check_price(endpoint, self.budget)
        dollars = self.budget.usd if self.budget.usd is not None else cap.usd if cap is not None else None
        for model in self.scorer.decision_models if self.scorer is not None and dollars is not None else ():
            if price_by(model) is None:
                raise NoPrice(
                    f"no price is known for the decision model {getattr(model, 'model', model)}, so a limit of "
                    f"${dollars} can't bind it: name a TOML file with it in RHEOSTAT_PRICES, or limit tokens"
                )

    def caller(self) -> Payer | None:
        """The agent around this solver, if the solver runs in its tool and both use the same ledger."""
        payer = PAYER.get()
        return payer if payer is not None and payer.ledger is self.meter.ledger else None

    def start(self, before: Reading) -> Flow[tuple[str, str]]:
        """Open the accounts of the thread and of this run, and return both names."""
        context = get_runtime().context
        named = context.get("account") if isinstance(context, dict) else None
        thread, run = yield from start_run(self, self.meter, before, named=named, caller=self.caller())
        end(begin("run", "solver", run=run, account=run))
        return thread, run

    def open(self, state: SolverState) -> Flow[str]:
        """Open the run's account again, even after a restart, and return its name."""
        budget = Budget.from_dict(state["budget"])
        return (yield from open_run(self.meter, budget, read(state), caller=self.caller()))

    def readings(self, account: str) -> Flow[Update]:
        """The readings of the thread and of the run, for state."""
        return (yield from readings_of(self.meter, account))

    def asked(self) -> AskedEffort:
        """The effort asked for in this run: its context's, else the builder's."""
        context: Any = get_runtime().context
        if isinstance(context, dict) and not context.keys() <= {"effort", "account"}:
            raise BadInput(
                f"the context takes effort and account, not {', '.join(context.keys() - {'effort', 'account'})}"
            )
        asked = context.get("effort") if isinstance(context, dict) else None
        return parse_effort(asked) if asked else self.effort

    def own_room(self, candidates: Sequence[Candidate]) -> Room | None:
        """The room that is left of the strategy's own cap; `None`: it has none."""
        return left_of(getattr(self.strategy, "cap", None), candidates)

    @property
    def own_cap_reached(self) -> str:
        """Why a run ends at the strategy's own cap."""
        return own_cap_reached(getattr(self.strategy, "cap", None))

    @property
    def uses_scores(self) -> bool:
        """Whether the strategy looks at scores."""
        return getattr(self.strategy, "uses_scores", True)

    def wants_logprobs(self, kind: str, model: str) -> bool:
        """Whether the strategy or the scorer looks at log-probabilities of a model's answers to this kind of task."""
        if getattr(self.strategy, "weights", "") == "confidence":
            return True
        if self.scorer is not None:
            return self.scorer.needs_logprobs
        if self.strategy is not None or self.verifier is not None:
            return False
        return self.policy.by_worth(self.asked()).needs_logprobs(kind, model)

    @property
    def ranks(self) -> bool:
        """Whether the scorer compares answers with one another."""
        return isinstance(self.scorer, Ranker) and getattr(self.scorer, "mode", "pairs") == "pairs"

    @functools.cached_property
    def named(self) -> dict[str, Endpoint]:
        """The models by unique names, in order of use."""
        named: dict[str, Endpoint] = {}
        for endpoint in self.models:
            name, number = endpoint.name, 2
            while name in named:
                name, number = f"{endpoint.name}#{number}", number + 1
            named[name] = endpoint
        return named

    def first_plan(self, state: SolverState) -> ThinkingPlan:
        """The plan of the first round, before it is fitted to the room."""
        return self.policy.first(
            Difficulty.from_dict(state["difficulty"]),
            self.asked(),
            self.caps,
            self.models[0].dial.facts,
            verified=self.verifier is not None,
            price=self.models[0].price,
            worth_usd_nanos=self.worth_usd_nanos,
        )

    def endpoint(self, state: SolverState) -> Endpoint:
        """The model that the current round asks."""
        return self.models[state.get("model", 0)]

    def name(self, state: SolverState) -> str:
        """Its unique name."""
        return list(self.named)[state.get("model", 0)]

    @property
    def schema(self) -> Any | None:
        """The JSON Schema that the answer must satisfy, if there is one."""
        return self.verifier.schema if isinstance(self.verifier, JsonSchema) else None

    def expected(self, state: SolverState) -> Expected:
        """The expected form of the answer."""
        return Expected.of(state["question"], state["difficulty"]["kind"], self.verifier, self.form)
