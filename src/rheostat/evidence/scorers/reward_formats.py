"""How reward models want to be asked, and how their numbers are read: formats, as data.

A format belongs to a model, not to a server: `reward_servers` knows what the servers take and return. Your own model is
a `RewardFormat` or a `StepFormat` that you fill in.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from rheostat.errors import BadInput

__all__ = ["REWARD_FORMATS", "STEP_FORMATS", "RewardFormat", "StepFormat", "Text", "Unreadable", "Value", "score_of"]

Text: TypeAlias = str | Callable[[str, str], str]
"""`"messages"`: a chat that the model's own chat template puts into one text. `"pair"`: query and document, two texts.
Any other text is a template with `{question}` and `{answer}`; a function of question and answer returns the text."""

Value: TypeAlias = Literal["logit", "softmax", "probability"]
"""`"logit"`: a number without bounds, which a sigmoid maps to 0..1. `"softmax"`: one logit for each class.
`"probability"`: the server, or the model itself, has mapped it already."""

_PLACES = re.compile(r"\{(question|answer)\}")


class Unreadable(ValueError):
    """A reply that holds no score; the message names what it holds instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardFormat:
    """The format of an outcome reward model: one text in, `labels` numbers out, of which `index` says how good it is.

    Raises:
        BadInput: The index isn't one of the labels, a template lacks a place, or the value is none of the three.
    """

    text: Text = "messages"
    """How question and answer become one text."""
    system: str = ""
    """The system message of a chat; empty: none."""
    value: Value = "logit"
    """What the model's numbers are."""
    labels: int = 1
    """The numbers for each text; another number of them is no score."""
    index: int = 0
    """The number that says how good it is, counted from 0."""

    def __post_init__(self) -> None:
        if self.value not in ("logit", "softmax", "probability"):
            raise BadInput(f'value is "logit", "softmax" or "probability", not {self.value!r}')
        if not 0 <= self.index < self.labels:
            raise BadInput(f"index={self.index} is none of {self.labels} labels, counted from 0")
        if self.value == "softmax" and self.labels == 1:
            raise BadInput('the softmax of one label is always 1: value="logit" maps it with a sigmoid')
        if isinstance(self.text, str) and self.text not in ("messages", "pair"):
            missing = {"question", "answer"} - set(_PLACES.findall(self.text))
            if missing:
                raise BadInput(f"the template {self.text!r} has no {{{min(missing)}}}")

    def messages(self, question: str, answer: str) -> list[dict[str, Any]]:
        """The chat."""
        said = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        return [{"role": "system", "content": self.system}, *said] if self.system else said

    def written(self, question: str, answer: str) -> str:
        """The one text; only for a template or a function."""
        if callable(self.text):
            return self.text(question, answer)
        known = {"question": question, "answer": answer}
        return _PLACES.sub(lambda place: known[place[1]], self.text)  # once: an answer may say "{question}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFormat(RewardFormat):
    """The format of a process reward model: after each step stands a token, at which its numbers are read."""

    separator: str = "<extra_0>"
    """The text after each step."""
    token: str = ""
    """The token within the separator at which the numbers are read; empty: the separator is that token."""

    def __post_init__(self) -> None:
        RewardFormat.__post_init__(self)  # super() has no class cell in a dataclass with slots
        if not self.separator or self.mark not in self.separator:
            raise BadInput(f"the token {self.token!r} isn't part of the separator {self.separator!r}")
        if self.text == "pair":
            raise BadInput("a process reward model reads one text, not a pair")

    @property
    def mark(self) -> str:
        """The token at which the numbers are read."""
        return self.token or self.separator

    def joined(self, steps: Sequence[str]) -> str:
        """The answer as the model reads it. A step that holds the token itself loses it, or the counts would differ."""
        return "".join(f"{step.replace(self.mark, ' ')}{self.separator}" for step in steps)


REWARD_FORMATS: Mapping[str, RewardFormat] = {
    "skywork": RewardFormat(text="messages", value="logit"),
    "reranker": RewardFormat(text="pair", value="logit"),
}
"""Outcome reward models by name.

`skywork`: Skywork-Reward and Skywork-Reward-V2, and any other Bradley-Terry model with one label. A sequence classifier
with `num_labels=1` over the chat of question and answer; its logit has no bounds, so that the sigmoid is an order of
answers and not the probability that one is right. Source: model card of Skywork-Reward-V2 (huggingface.co/Skywork), and
vLLM's list of reward models, which names it as `Qwen3ForSequenceClassification` and `LlamaForSequenceClassification`.

`reranker`: a cross-encoder with one label, such as bge-reranker-v2-m3, over question and answer. It tells whether the
answer is about the question, not whether it is right. Source: llama.cpp, tools/server/README.md, `/reranking`.
"""

STEP_FORMATS: Mapping[str, StepFormat] = {
    "qwen-math-prm": StepFormat(
        text="messages",
        system="Please reason step by step, and put your final answer within \\boxed{}.",
        value="softmax",
        labels=2,
        index=1,
        separator="<extra_0>",
    ),
}
"""Process reward models by name.

`qwen-math-prm`: Qwen2.5-Math-PRM-7B, -72B and Qwen2.5-Math-7B-PRM800K. Steps are what blank lines separate; after each
stands `<extra_0>` (token 151651), and the softmax over its two logits gives class 1, "the step is right". The system
message is the card's. Source: model card of Qwen/Qwen2.5-Math-PRM-7B; vLLM, model_executor/models/qwen2_rm.py
(`Qwen2ForProcessRewardModel`, 2 labels).
"""


def score_of(values: Sequence[float], how: RewardFormat) -> float:
    """The numbers for one text or one step as a score from 0 to 1.

    Raises:
        Unreadable: There are too many or too few, one isn't finite, or a probability lies outside 0..1.
    """
    if len(values) != how.labels:
        wanted = "1 number" if how.labels == 1 else f"{how.labels} numbers"
        raise Unreadable(f"expected {wanted} for a text, received {len(values)}: {list(values[:8])}")
    if not all(map(math.isfinite, values)):
        raise Unreadable(f"received a number that isn't finite: {list(values[:8])}")
    value = values[how.index]
    if how.value == "probability":
        if not 0.0 <= value <= 1.0:
            raise Unreadable(f"expected a probability, received {value!r}: is it a logit?")
        return value
    if how.value == "softmax":
        top = max(values)
        powers = [math.exp(each - top) for each in values]
        return min(1.0, powers[how.index] / sum(powers))
    return 1.0 / (1.0 + math.exp(-value)) if value >= 0 else math.exp(value) / (1.0 + math.exp(value))
