"""The settings of a run: the same for the solver, agents and the chat model, checked once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

from langchain_core.language_models import BaseChatModel

from rheostat.calling.holds import OnContention
from rheostat.calling.meter import Meter
from rheostat.errors import BadInput
from rheostat.judgement.policy import Caps, Policy
from rheostat.judgement.schedule import Pacing
from rheostat.money.budget import Budget, checked_budget
from rheostat.money.ledger import Ledger, MemoryLedger
from rheostat.providers import Endpoint
from rheostat.task import AskedEffort, parse_effort

__all__ = ["Model", "RunSettings"]

Model = str | BaseChatModel | Endpoint
"""The ways to give a model: its name, a chat model, or an endpoint."""


def _agent_caps() -> Caps:
    return Caps(answer_tokens=4096)


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Budget, meter, models and rules of a run.

    Raises:
        BadInput: a value of the wrong kind, with what was expected.
        NoPrice: the budget is in money, and a model has no price.
    """

    budget: Budget
    """Hard limits of each run."""
    meter: Meter
    models: Sequence[Endpoint] = ()
    """In order of use: later ones when a question is worth their price, or when tools keep failing."""
    effort: AskedEffort = "balanced"
    account: str | None = None
    """An account above every run, such as a user's or a tenant's."""
    caps: Caps = field(default_factory=_agent_caps)
    """The operator's caps. Agents may answer with 4,096 tokens, since tool calls can hold whole files."""
    policy: Policy = field(default_factory=Policy)
    pacing: Pacing = field(default_factory=Pacing)

    def __post_init__(self) -> None:
        checked_budget(self.budget)
        kinds: tuple[tuple[str, type], ...] = (("caps", Caps), ("policy", Policy), ("pacing", Pacing))
        for name, kind in kinds:
            if not isinstance(getattr(self, name), kind):
                raise BadInput(f"{name} must be a {kind.__name__}, not {getattr(self, name)!r}")
        for endpoint in self.models:
            Meter.check_price(endpoint, self.budget)

    @classmethod
    def read(
        cls,
        *,
        ledger: Ledger | None = None,
        meter: Meter | None = None,
        on_contention: OnContention = "wait",
        gate: bool = True,
        quiet: bool = True,
        effort: AskedEffort | str = "balanced",
        models: Callable[[], Sequence[Endpoint]] = tuple,
        **fields: Any,
    ) -> Self:
        """Build settings from the arguments of a public entry point.

        Args:
            ledger: Keeps the spend; `None`: in this process's memory.
            meter: Given instead of a ledger; it brings its own.
            on_contention, gate, quiet: As in `Meter`.
            models: Returns the endpoints; called last, once everything else is valid.
            fields: Fields of this class; `None` means the default.

        Raises:
            BadInput: an unknown effort, an object that is no ledger, or both a ledger and a meter.
        """
        if ledger is not None and meter is not None:
            raise BadInput("give a ledger or a meter, not both: a meter brings its own ledger")
        if ledger is not None and not hasattr(ledger, "ahold"):
            raise BadInput(f"ledger must be a MemoryLedger, SQLiteLedger or PostgresLedger, not {ledger!r}")
        if meter is None:
            meter = Meter(ledger or MemoryLedger(), quiet=quiet, on_contention=on_contention, gate=gate)
        given = {name: value for name, value in fields.items() if value is not None}
        budget = checked_budget(given.pop("budget", None))
        return cls(budget=budget, meter=meter, effort=parse_effort(str(effort)), models=models(), **given)

    @classmethod
    def of(cls, settings: RunSettings, **changes: Any) -> Self:
        """The same settings with these changes, as this class."""
        shared = {each.name: getattr(settings, each.name) for each in fields(RunSettings)}
        return cls(**{**shared, **changes})

    @property
    def limits_nothing(self) -> str:
        """Why the budget limits nothing: it is in dollars and every model is free. Empty: it does limit them."""
        free = bool(self.models) and all(each.price is not None and each.price.free for each in self.models)
        if not free or set(self.budget.to_dict()) != {"usd"}:
            return ""
        return f"{self.models[0].name} is free, so ${self.budget.usd} limits nothing"
