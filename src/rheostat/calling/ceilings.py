"""The worst case of a planned request: its most input tokens, its most cost, and whether a limit can bind it."""

from __future__ import annotations

from dataclasses import replace

from rheostat.calling.conversations import Conversations
from rheostat.calling.holds import Holds, OnContention
from rheostat.calling.payer import Payer, under
from rheostat.calling.waits import longest
from rheostat.errors import BadInput, ContextFull, NoPrice
from rheostat.flow import Flow
from rheostat.money.budget import Budget
from rheostat.money.ledger import Ledger
from rheostat.money.price_list import check_age
from rheostat.money.usage import Spend
from rheostat.providers import Endpoint, Settings
from rheostat.providers.bounds import input_bound, searches
from rheostat.providers.dial import Messages

__all__ = ["Ceilings"]

_ABSURD_TOKENS = 4_000_000
_PLENTY = 1_000_000
"""Input tokens assumed where nothing bounds them and no limit counts them."""


class Ceilings(Holds):
    """Bounds planned requests before they are held.

    Args:
        on_contention: See `OnContention`.
        stale_after_seconds: See `Meter`.
        gated: Requests are read where they leave.
    """

    def __init__(
        self, ledger: Ledger, *, on_contention: OnContention, stale_after_seconds: float | None, gated: bool
    ) -> None:
        super().__init__(ledger, on_contention=on_contention, stale_after_seconds=stale_after_seconds)
        self.conversations, self.gated = Conversations(), gated

    def input_bound(
        self, endpoint: Endpoint, messages: Messages, settings: Settings, *, exact: bool = False, account: str = ""
    ) -> Flow[int]:
        """The most input tokens: known from before, bounded by the request's content, or counted by the provider.

        Args:
            exact: Ask the provider even where that takes a request of its own.
            account: The conversation's account: where a conversation only grew, only the new part is bounded.

        Raises:
            BadInput: nothing bounds it: an unlimited tool on the provider's side, or a file and no known context.
        """
        dial, context = endpoint.dial, endpoint.context_tokens
        if not dial.counts_at_once and dial.steer is None:
            known = self.conversations.bound(account, endpoint.name, messages, settings.kwargs, dial.overhead)
            if known is not None and not searches(settings.kwargs):
                return known
        try:
            found = input_bound(messages, settings.kwargs, dial.overhead)
        except BadInput:  # the provider's own tools, without a limit
            if (yield from self._counts_tokens(account)):
                raise
            return min(_PLENTY, (context or 2 * _PLENTY) // 2)
        bound = found.tokens
        if context is not None and (bound is None or bound > context):  # no more than that is read
            bound = found.rounds * max(1, context - settings.max_output_tokens)
        if bound is not None and bound > _ABSURD_TOKENS * found.rounds:
            raise BadInput(f"a request of {bound:,} bytes is more than any model reads")
        if found.rounds == 1 and (exact or bound is None or dial.counts_at_once):
            counting = dial.count_input(messages, settings)
            if counting is not None:
                counted: int | None
                try:
                    counted = int((yield under(Payer(self.ledger, "", gated=self.gated), counting)))
                except Exception:  # the server can't count now; the bound holds anyway
                    counted = bound
                bound = counted if bound is None else min(bound, counted or bound)
        if bound is None and not (yield from self._counts_tokens(account)):
            return _PLENTY
        if bound is None:
            raise BadInput(
                f"the input of this request can't be bounded for {endpoint.name}: its context is unknown. "
                "Send text, or give the chat model a profile with max_input_tokens"
            )
        return bound

    def _counts_tokens(self, account: str) -> Flow[bool]:
        """Whether a limit of this account, or of one above it, needs a bound on tokens."""
        if not account:
            return True
        room = yield from self.room(account)
        limits = (room.usd_nanos, room.tokens, room.output_tokens, room.thinking_tokens)
        by_rate = (room.call_tokens, room.call_input_tokens, room.call_output_tokens)
        return any(left is not None for left in (*limits, *by_rate))

    @staticmethod
    def bound(endpoint: Endpoint, input_tokens: int, settings: Settings) -> Spend:
        """The most that one request can cost.

        Raises:
            BadInput: the request is larger than the model's context.
        """
        try:
            terms = replace(settings.terms, web_searches=searches(settings.kwargs))
        except BadInput:  # no limit counts tokens: see `input_bound`
            terms = settings.terms
        total = input_tokens + settings.max_output_tokens
        if not terms.web_searches and endpoint.context_tokens is not None and total > endpoint.context_tokens:
            raise ContextFull(
                f"{endpoint.name} has a context of {endpoint.context_tokens:,} tokens; this request may need {total:,} "
                f"({input_tokens:,} of input, {settings.max_output_tokens:,} of output). Shorten the question, or "
                "summarize the conversation before."
            )
        spend = Spend(
            input_tokens=input_tokens,
            output_tokens=settings.max_output_tokens,
            thinking_tokens=settings.max_thinking_tokens,
            calls=1,
            milliseconds=int(1000 * longest(endpoint.price)),
        )
        return replace(spend, usd_nanos=endpoint.price.bound(spend, terms) if endpoint.price else None)

    @staticmethod
    def check_price(endpoint: Endpoint, budget: Budget) -> None:
        """Check that a model has a price if the budget has a limit in money.

        Raises:
            NoPrice: it has none, or the list that it is from is older than the user allows.
        """
        if budget.usd is not None and endpoint.price is not None and endpoint.price.listed is not None:
            check_age()
        if budget.usd is not None and endpoint.price is None:
            raise NoPrice(
                f"no price is known for {endpoint.name}, so a limit of ${budget.usd} can't bind it. "
                "Give a price: resolve(model, price=Price(…)) instead of the model, or, where a chat model is wanted, "
                "AdaptiveThinking(endpoint=lambda chat: resolve(chat, price=Price(…))), or in the file that "
                "RHEOSTAT_PRICES names; or limit tokens, calls or seconds instead. If only its address hides the "
                "provider: endpoint_for(chat, provider='openai')."
            )
