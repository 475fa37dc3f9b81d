"""State of an agent × price of a change → the plan of the next step.

The effort changes at effort boundaries (a new user message, the end of a step of the plan, repeated failures) and stays
in between. Prompt caches are kept by effort, so that a change makes the provider read the whole conversation again at
full price. The plan states that price, and the effort changes only if the thought added or saved is worth more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rheostat.judgement.policy import Caps, ModelFacts, Policy
from rheostat.money.pricing import Price
from rheostat.money.usage import Spend, usd
from rheostat.task import AskedEffort, Effort, ThinkingPlan
from rheostat.thinking.difficulty import Trajectory

__all__ = ["Pacing", "switch_price"]

_USED_SHARE = 0.25
"""The share of a level's room that a thought is expected to use; our estimate, because providers publish none."""


def switch_price(price: Price | None, cached_tokens: int) -> int:
    """The extra cost, in nano-dollars, of reading tokens at full price instead of from the cache; 0 without a price."""
    if price is None or cached_tokens <= 0:
        return 0
    from_cache = Spend(input_tokens=cached_tokens, cached_input_tokens=cached_tokens)
    return max(0, price.cost(Spend(input_tokens=cached_tokens)) - price.cost(from_cache))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """The rules of an agent's steps; the numbers that you may change are fields."""

    sticky: bool = True
    """Keep the effort between effort boundaries. `False`: decide anew at each call, whatever the cache costs."""
    escalate_after: int = 4
    """After this many failures in a row, the next model takes over, if there is one."""
    give_up_after: int = 8
    """After this many failures in a row, the task ends with a statement of the failure."""

    def plan(
        self,
        at: Trajectory,
        policy: Policy,
        asked: AskedEffort,
        caps: Caps,
        model: ModelFacts,
        *,
        price: Price | None,
        cached_tokens: int,
        tools: bool = False,
    ) -> ThinkingPlan:
        """The plan of the next step, before it is fitted to the room.

        Args:
            at: The state of the agent as read from the messages.
            price: The model's price; `None`: unknown, so that a change counts as free.
            cached_tokens: The tokens of the conversation that the provider may have in its cache.
            tools: The model may call tools, so that a tool loop may follow.
        """
        if isinstance(asked, Effort):
            plan = _plan(asked, caps, f"{asked.value}: asked for by the user")
            return policy.set_effort(replace(plan, decided_by="user"), asked, caps, model)
        if at.before is not None and not at.boundary and self.sticky:
            return self._kept(at, at.before, policy, caps, model)
        wanted, why = self._wanted(at, policy, asked, model, price)
        if tools and not at.loop and wanted < model.loop_floor:
            wanted = model.loop_floor
            why.append(f"{wanted.value}: a tool loop that begins without thinking can't begin to think later")
        plan = policy.set_effort(_plan(wanted, caps, *why), wanted, caps, model)
        if at.before is None or plan.effort == at.before or at.before not in model.levels:
            return plan
        cost = switch_price(price, cached_tokens)
        moved = abs(model.levels[plan.effort] - model.levels[at.before])
        worth = price.cost(Spend(output_tokens=int(moved * _USED_SHARE))) if price else 0
        change = f"{at.before.value} → {plan.effort.value}: the cache is read anew for {usd(cost)}"
        if at.boundary == "failure" or cost <= worth:
            return plan.because(change, switch_usd_nanos=cost) if cost else plan
        kept = policy.set_effort(_plan(at.before, caps), at.before, caps, model)
        return kept.because(f"{change}, the thought is worth {usd(worth)}: {at.before.value} stays")

    @staticmethod
    def _kept(at: Trajectory, before: Effort, policy: Policy, caps: Caps, model: ModelFacts) -> ThinkingPlan:
        if at.starved and model.clamped:  # the same level once more with a wider length cap; then less thought
            lower = model.nearest(before.step(-1)) if at.widened else before
            why = f"the last reply ran out of its length cap: {before.value} " + (
                "again" if lower == before else f"→ {lower.value}, for the cap was wide already"
            )
            return policy.set_effort(_plan(lower, caps, why), lower, caps, model)
        higher = model.above(before, caps.max_effort) if at.starved else None
        if higher is not None:
            why = f"the last thought was cut: {before.value} → {higher.value}"
            return policy.set_effort(_plan(higher, caps, why), higher, caps, model)
        reasons = [*([at.why] if at.why else []), f"no boundary since: {before.value} stays"]
        return policy.set_effort(_plan(before, caps, *reasons), before, caps, model)

    @staticmethod
    def _wanted(
        at: Trajectory, policy: Policy, asked: AskedEffort, model: ModelFacts, price: Price | None
    ) -> tuple[Effort, list[str]]:
        effort, why_first = policy.level(at.difficulty, str(asked), model, price=price)
        why = [why_first]
        if at.boundary == "failure" and at.before is not None and effort <= at.before:
            higher = model.above(at.before, Effort.max) or at.before
            why.append(f"{at.failures} failures, {at.repeats} repeats: {higher.value}")
            effort = higher
        return effort, why


def _plan(effort: Effort, caps: Caps, *reasons: str) -> ThinkingPlan:
    return ThinkingPlan(
        effort=effort, thinking_tokens=0, answer_tokens=caps.answer_tokens, reasons=reasons, purpose="step"
    )
