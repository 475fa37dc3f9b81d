"""Every exception that Rheostat raises, as a tree.

.. code-block:: text

    RheostatError
    ├── BadInput (ValueError)            an argument can't be used; nothing was spent
    │   ├── BudgetInvalid                a limit is negative, zero, not a number or missing
    │   ├── VerifierInvalid              tests that don't parse, an invalid schema
    │   ├── ContextFull                  the conversation is longer than the model can read (ContextOverflowError)
    │   └── ModelUnknown                 no model, file or address of that name
    ├── MissingExtra (ImportError)       an optional dependency is missing: says how to install it
    ├── SandboxMissing                   this machine has no sandbox for a model's code: says what to do
    ├── BudgetExceeded (ModelError)      a hold doesn't fit: the request never left
    │   └── HoldExceeded                 a reply cost more than its hold: posted in full, then raised
    ├── NoPrice                          a money limit on a model without a price
    ├── ProviderFailed                   no model of a run could be asked: its key, name or credit; says what to do
    ├── LedgerError                      an account unknown to the ledger, a damaged reading or file
    │   └── LedgerUnavailable            the ledger's database can't be reached: nothing was sent
    └── LocalModelError                  a failure of the embedded model
        ├── PullFailed                   no source could deliver the file
        ├── ModelFileCorrupt             the file doesn't match its hash, or isn't a GGUF file
        └── ServerFailed                 the model server didn't start, or died and didn't restart

Two warnings: `LimitWarning`, a limit that doesn't bind as expected; `SettingWarning`, a setting of the model
object that the plan replaces.

`BudgetExceeded` inherits from `langchain_core.exceptions.ModelError` with `is_retryable = False` and from
`RuntimeError`: neither LangGraph's default `RetryPolicy` nor LangChain's `ModelRetryMiddleware` retries or swallows
such an exception.
"""

from __future__ import annotations

from datetime import UTC, datetime

from langchain_core.exceptions import ContextOverflowError, ModelError

__all__ = [
    "BadInput",
    "BudgetExceeded",
    "BudgetInvalid",
    "ContextFull",
    "HoldExceeded",
    "LedgerError",
    "LedgerUnavailable",
    "LimitWarning",
    "LocalModelError",
    "MissingExtra",
    "ModelFileCorrupt",
    "ModelUnknown",
    "NoPrice",
    "ProviderFailed",
    "PullFailed",
    "RheostatError",
    "SandboxMissing",
    "ServerFailed",
    "SettingWarning",
    "VerifierInvalid",
]


class RheostatError(Exception):
    """The base of all exceptions of Rheostat."""


class BadInput(RheostatError, ValueError):
    """An argument can't be used. Raised before anything is spent."""


class BudgetInvalid(BadInput):
    """A limit is negative, zero, not a number, without a unit, or missing."""


class VerifierInvalid(BadInput):
    """A verifier can't be built: tests that don't parse, an invalid schema."""


class ModelUnknown(BadInput):
    """No model, file or address of that name."""


class ContextFull(BadInput, ContextOverflowError):
    """The conversation is longer than the model can read. Nothing was sent.

    It is LangChain's `ContextOverflowError` too, so that `SummarizationMiddleware` and others handle it as the
    provider's own.
    """


class MissingExtra(RheostatError, ImportError):
    """An optional dependency is missing."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional dependency: pip install 'rheostat[{extra}]'")
        self.what = what
        """What needs it."""


class SandboxMissing(RheostatError):
    """This machine has no sandbox for code that a model wrote, so the code isn't run."""


class BudgetExceeded(ModelError, RheostatError, RuntimeError):
    """A hold doesn't fit into the room that is left. The request never left; nothing was charged for it."""

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
        renews_at_ms: int | None = None,
        rate: bool = False,
        ready_in_seconds: float | None = None,
        ready_at_ms: int | None = None,
        who: str = "",
        hint: str = "",
    ) -> None:
        self.account, self.child = account, child
        """The account whose limit was reached; the account beneath it that asked, if it is another."""
        self.limit, self.asked, self.left, self.cap = limit, asked, left, cap
        """The name of the limit with its unit; the amount asked; the amount left; the whole limit."""
        self.settled, self.held, self.unknown = settled, held, unknown
        """Where the rest went, in the same unit."""
        self.coming, self.standing, self.queued = coming, standing, queued
        """Of the held amount: the part that requests hold until their replies are in, and the part kept back for last
        words. `queued`: others wait before this one."""
        self.renews_at_ms = renews_at_ms
        """When the account's limits start anew, in milliseconds since the epoch; `None`: they don't."""
        self.rate = rate
        """The limit is a rate, of which there is more as time goes on: `settled` is what counts of the last minute,
        `held` what is in flight."""
        self.ready_in_seconds, self.ready_at_ms = ready_in_seconds, ready_at_ms
        """When a rate will have room, in seconds from now and in milliseconds since the epoch by the ledger's clock, if
        nothing else leaves; `None`: that depends on requests in flight, or never."""
        self.hint = hint
        """What the user can do next."""
        who = who or f"account {account!r}" + (f" (above {child!r})" if child else "")
        if limit == "seconds":
            text = f"{who}: seconds: the deadline of {cap:g} s has passed"
        else:
            text = f"{who}: {limit.removesuffix('_nanos')}: asked {self._bare(asked)}, "
            text += f"left {self._bare(left)} of {self._bare(cap)}"
            names = ("in the last minute", "in flight") if rate else ("settled", "held")
            parts = dict(zip((*names, "unknown"), (settled, held, unknown), strict=True))
            went = ", ".join(f"{name} {self._bare(amount)}" for name, amount in parts.items() if amount)
            text += f" ({went})" if went else ""
            text += f", anew from {self.renews_at:%Y-%m-%d %H:%M %Z}" if self.renews_at else ""
            text += f", ready in {ready_in_seconds:.1f} s" if ready_in_seconds is not None else ""
        super().__init__(f"{text}. {hint}" if hint else text)

    @property
    def waits(self) -> bool:
        """The room is only held by requests in flight: when their replies are in, it may be enough. Or it is a rate's,
        which time gives back."""
        if self.rate:
            return self.asked <= self.cap
        return self.queued or (self.limit != "seconds" and self.asked <= self.left + self.coming)

    @property
    def waits_for_runs(self) -> bool:
        """The same, once the runs that keep something back for their last words have ended."""
        return self.waits or (self.limit != "seconds" and self.asked <= self.left + self.coming + self.standing)

    @property
    def renews_at(self) -> datetime | None:
        """The same moment, in UTC."""
        return None if self.renews_at_ms is None else datetime.fromtimestamp(self.renews_at_ms / 1000, UTC)

    @property
    def plainly(self) -> str:
        """For the user of an agent: without accounts and nano-dollars."""
        if self.limit == "seconds":
            return f"its {self.cap:g} seconds are used up"
        left, cap = self._bare(self.left), self._bare(self.cap)
        if self.rate:
            return f"the next call may need {self.spelled(self.asked)}, and the provider allows {cap}"
        return f"the next call may need {self.spelled(self.asked)}, and {left} of {cap} is left"

    def spelled(self, amount: float) -> str:
        """An amount of this limit as people write it: `$0.0612`, `1,234 output_tokens`."""
        return self._bare(amount) if self.limit == "usd_nanos" else f"{amount:,} {self.limit}"

    def _bare(self, amount: float) -> str:
        if self.limit != "usd_nanos":
            return f"{amount:,}"
        digits = 6 if amount >= 100_000 else 9
        return "$" + f"{amount / 1e9:,.{digits}f}".rstrip("0").rstrip(".")

    def because(self, hint: str, *, who: str = "") -> BudgetExceeded:
        """The same error with a hint and, if given, another name for the account."""
        names = (
            "account", "limit", "asked", "left", "cap", "settled", "held", "unknown", "coming", "standing", "queued",
            "child", "renews_at_ms", "rate", "ready_in_seconds", "ready_at_ms",
        )  # fmt: skip
        return BudgetExceeded(**{name: getattr(self, name) for name in names}, who=who, hint=hint)


class HoldExceeded(BudgetExceeded):
    """A provider reported a cost above the hold of the call. The overrun is posted in full."""


class NoPrice(BadInput):
    """A money limit can't bind a model without a known price."""


class ProviderFailed(RheostatError):
    """No model of a run could be asked: the provider refuses the key, knows no such model, or wants money first.

    The message has a line for each model: what to do, the provider's own words, and what is charged. An agent's own
    model raises the exceptions of its provider's client instead, with the same line as a note.
    """


class LedgerError(RheostatError):
    """An account unknown to the ledger, a damaged reading, or a file that isn't a ledger."""


class LedgerUnavailable(LedgerError):
    """The ledger's database can't be reached. It fails closed: without a hold nothing is sent."""


class LimitWarning(UserWarning):
    """A limit that doesn't bind as expected: an account above has a tighter one, or an open account keeps the limits
    that it has.
    """


class SettingWarning(UserWarning):
    """The model object has thinking settings of its own, or settings that thinking refuses: the plan replaces them."""


class LocalModelError(RheostatError):
    """A failure of the embedded model."""


class PullFailed(LocalModelError):
    """No source could deliver the model file."""


class ModelFileCorrupt(LocalModelError):
    """The file doesn't match its hash, or isn't a GGUF file."""


class ServerFailed(LocalModelError):
    """The model server didn't start, or died and didn't restart."""
