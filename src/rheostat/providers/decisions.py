"""Decision models: one yes-no question as each API takes it, and the probability in its reply.

langchain-core 1.8 has `BaseDecisionModel` with the question `Noul`; langchain-openai 1.7 has `OpenAIDecisions`, which
is no such model, with the question `Predicate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rheostat.money.pricing import LIST, Price, price_of
from rheostat.money.usage import Spend
from rheostat.providers.bounds import Overhead, input_bound

__all__ = ["asked", "most", "price_by", "probability", "used"]

_NAME = "asked"
_OVERHEAD = Overhead(request=512, message=64)
"""Tokens that the service's own instructions may add. A guess: no service publishes them."""


def _openai(model: Any) -> bool:
    return any(kind.__name__ == "OpenAIDecisions" for kind in type(model).__mro__)


def asked(model: Any, question: str, state: Mapping[str, str]) -> dict[str, Any]:
    """The input of `model.invoke` for one yes-no question about a state."""
    if _openai(model):
        from langchain_openai.decisions import Predicate

        text = "\n\n".join(f"{name.capitalize()}:\n{value}" for name, value in state.items())
        return {"input": text, "questions": {_NAME: Predicate(instructions=question)}}
    from langchain_core.decisions import Noul

    return {"state": dict(state), "questions": {_NAME: Noul(instructions=question)}}


def price_by(model: Any) -> Price | None:
    """The model's price; `None`: unknown."""
    provider = "openai" if _openai(model) else str(getattr(model, "_provider", ""))
    return price_of(provider, str(getattr(model, "model", "")))


def most(model: Any, question: str, state: Mapping[str, str]) -> tuple[Spend, Price | None]:
    """The most that one question can cost, and the model's price (`None`: unknown). There is no output to pay."""
    text = [{"role": "user", "content": "\n".join([question, *state, *state.values()])}]
    tokens = input_bound(text, {}, _OVERHEAD).tokens or 0
    price = price_by(model)
    spend = Spend(input_tokens=tokens, calls=1, usd_nanos=None)
    return replace(spend, usd_nanos=price.bound(spend, LIST) if price else None), price


def used(reply: Any) -> Spend | None:
    """The tokens that a reply reports; `None`: it reports none."""
    usage = reply.get("usage") if isinstance(reply, Mapping) else getattr(reply, "usage", None)
    if not isinstance(usage, Mapping):
        return None
    counts = [
        next((usage[name] for name in names if type(usage.get(name)) is int and usage[name] >= 0), None)
        for names in (("input_tokens", "prompt_tokens", "total_tokens"), ("output_tokens", "completion_tokens"))
    ]
    return None if counts[0] is None else Spend(input_tokens=counts[0], output_tokens=counts[1] or 0, calls=1)


def probability(reply: Any) -> float | None:
    """The probability of yes; `None`: the model refused to answer."""
    for group, field in (("predicates", "probability"), ("nouls", "noul")):
        answer = (getattr(reply, group, None) or {}).get(_NAME)
        if answer is not None:
            return float(getattr(answer, field))
    return None
