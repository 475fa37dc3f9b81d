"""Every exception that Rheostat raises, as a tree.

.. code-block:: text

    RheostatError
    ├── BadInput (ValueError)            what you passed can't be used; nothing was spent
    │   ├── BudgetInvalid                a limit is negative, zero, not a number or missing
    │   ├── VerifierInvalid              tests that don't parse, a schema that isn't one
    │   └── ModelUnknown                 no model, file or address of that name
    ├── MissingExtra (ImportError)       an optional dependency is needed: says which to install
    ├── SandboxMissing                   this machine has nothing to run a model's code in; says what to do
    ├── BudgetExceeded (ModelError)      a hold doesn't fit: the request never left
    │   └── HoldExceeded                 a reply cost more than its hold: posted in full, then raised
    ├── NoPrice                          a money limit over a model without a price
    ├── LedgerError                      an account that the ledger doesn't know, a damaged reading or file
    │   └── LedgerUnavailable            the database of a ledger can't be reached: nothing was sent
    └── LocalModelError                  the embedded model
        ├── PullFailed                   no source could deliver the file
        ├── ModelFileCorrupt             the file is not what its hash says, or not a GGUF
        └── ServerFailed                 the model server didn't start, or died and didn't come back

Two warnings: `LimitWarning`, a limit that doesn't bind as expected; `SettingWarning`, a setting of the model
object that the plan replaces.

`BudgetExceeded` inherits from `langchain_core.exceptions.ModelError` with `is_retryable = False` and from
`RuntimeError`: this is the shape that neither LangGraph's default `RetryPolicy` nor LangChain's
`ModelRetryMiddleware` retries or swallows.
"""

from __future__ import annotations

from langchain_core.exceptions import ModelError

__all__ = [
    "BadInput",
    "BudgetExceeded",
    "BudgetInvalid",
    "HoldExceeded",
    "LedgerError",
    "LedgerUnavailable",
    "LimitWarning",
    "LocalModelError",
    "MissingExtra",
    "ModelFileCorrupt",
    "ModelUnknown",
    "NoPrice",
    "PullFailed",
    "RheostatError",
    "SandboxMissing",
    "ServerFailed",
    "SettingWarning",
    "VerifierInvalid",
]


class RheostatError(Exception):
    """Base of everything below."""


class BadInput(RheostatError, ValueError):
    """What was passed can't be used. Raised before anything is spent."""


class BudgetInvalid(BadInput):
    """A limit is negative, zero, not a number, without a unit, or there is none."""


class VerifierInvalid(BadInput):
    """A verifier can't be built: tests that don't parse, a schema that isn't one."""


class ModelUnknown(BadInput):
    """No model, file or address of that name."""


class MissingExtra(RheostatError, ImportError):
    """An optional dependency is needed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional dependency: pip install 'rheostat[{extra}]'")


class SandboxMissing(RheostatError):
    """Code that a model wrote can't be kept apart on this machine, so it isn't run."""


class BudgetExceeded(ModelError, RheostatError, RuntimeError):
    """A hold doesn't fit into what is left. The request never left; nothing was charged for it."""

    is_retryable = False

    def __init__(
        self,
        *,
        account: str,
        limit: str,
        asked: int,
        left: int,
        cap: float,
        settled: int = 0,
        held: int = 0,
        unknown: int = 0,
        coming: int = 0,
        standing: int = 0,
        queued: bool = False,
        child: str | None = None,
        who: str = "",
        hint: str = "",
    ) -> None:
        self.account, self.child = account, child
        """The account whose limit it was; the one beneath it that asked, if that is another."""
        self.limit, self.asked, self.left, self.cap = limit, asked, left, cap
        """Name of the limit with its unit; the amount that was asked, left, and the whole limit."""
        self.settled, self.held, self.unknown = settled, held, unknown
        """Where the rest of it went, in the same unit."""
        self.coming, self.standing, self.queued = coming, standing, queued
        """Of what is held, the part that requests hold until their replies are in, and the part that is kept back for
        last words; or others wait before this one."""
        self.hint = hint
        """What to do next."""
        who = who or f"account {account!r}" + (f" (above {child!r})" if child else "")
        if limit == "seconds":
            text = f"{who}: seconds: the deadline of {cap:g} s has passed"
        else:
            text = f"{who}: {limit}: asked {asked:,}, left {left:,} of {cap:,}"
            parts = {"settled": settled, "held": held, "unknown": unknown}
            went = ", ".join(f"{name} {amount:,}" for name, amount in parts.items() if amount)
            text += f" ({went})" if went else ""
        super().__init__(f"{text}. {hint}" if hint else text)

    @property
    def waits(self) -> bool:
        """The room is only held by requests that are under way: when their replies are in, it may be enough."""
        return self.queued or (self.limit != "seconds" and self.asked <= self.left + self.coming)

    @property
    def waits_for_runs(self) -> bool:
        """The same, when those runs have ended that keep something back for their last words."""
        return self.waits or (self.limit != "seconds" and self.asked <= self.left + self.coming + self.standing)

    @property
    def plainly(self) -> str:
        """For the person who talks to the agent: without accounts and nano-dollars."""
        if self.limit == "seconds":
            return f"its {self.cap:g} seconds are over"
        if self.limit == "usd_nanos":
            asked, left, cap = (
                f"${amount / 1e9:.6f}".rstrip("0").rstrip(".") for amount in (self.asked, self.left, self.cap)
            )
        else:
            asked, left, cap = f"{self.asked:,} {self.limit}", f"{self.left:,}", f"{self.cap:,}"
        return f"the next call may need {asked}; left are {left} of {cap}"

    def because(self, hint: str, *, who: str = "") -> BudgetExceeded:
        """The same with a hint, and the account called by another name."""
        names = (
            "account", "limit", "asked", "left", "cap", "settled", "held", "unknown", "coming", "standing", "queued",
            "child",
        )  # fmt: skip
        return BudgetExceeded(**{name: getattr(self, name) for name in names}, who=who, hint=hint)


class HoldExceeded(BudgetExceeded):
    """A provider reported more than the most that the call could cost. The overrun is posted in full."""


class NoPrice(BadInput):
    """A money limit can't bind a model whose price is unknown."""


class LedgerError(RheostatError):
    """An account that the ledger doesn't know, a damaged reading, a file that is no ledger."""


class LedgerUnavailable(LedgerError):
    """The database of a ledger can't be reached. Fail closed: without a hold nothing is sent."""


class LimitWarning(UserWarning):
    """A limit that doesn't bind as expected: an account above has a tighter one, or an account that is open
    already keeps the limits that it has.
    """


class SettingWarning(UserWarning):
    """The model object has thinking settings of its own, or settings that thinking refuses: the plan replaces them."""


class LocalModelError(RheostatError):
    """Something about the embedded model."""


class PullFailed(LocalModelError):
    """No source could deliver the model file."""


class ModelFileCorrupt(LocalModelError):
    """The file is not what its hash says, or no GGUF at all."""


class ServerFailed(LocalModelError):
    """The model server didn't start, or died and didn't come back."""
