"""Decision models: one yes-no question as each API takes it, and the probability in its reply.

langchain-core 1.8 has `BaseDecisionModel` with the question `Noul`; langchain-openai 1.7 has `OpenAIDecisions`, which
is no such model, with the question `Predicate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["asked", "probability"]

_NAME = "asked"


def asked(model: Any, question: str, state: Mapping[str, str]) -> dict[str, Any]:
    """The input of `model.invoke` for one yes-no question about a state."""
    if any(kind.__name__ == "OpenAIDecisions" for kind in type(model).__mro__):
        from langchain_openai.decisions import Predicate

        text = "\n\n".join(f"{name.capitalize()}:\n{value}" for name, value in state.items())
        return {"input": text, "questions": {_NAME: Predicate(instructions=question)}}
    from langchain_core.decisions import Noul

    return {"state": dict(state), "questions": {_NAME: Noul(instructions=question)}}


def probability(reply: Any) -> float | None:
    """The probability of yes; `None`: the model refused to answer."""
    for group, field in (("predicates", "probability"), ("nouls", "noul")):
        answer = (getattr(reply, group, None) or {}).get(_NAME)
        if answer is not None:
            return float(getattr(answer, field))
    return None
