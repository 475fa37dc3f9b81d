"""P(right) of each arm from the text of a task: logistic models on text features (`rheostat learn`).

`P(strong right) − P(weak right)` routes, not the probability that the weak one is wrong: where both fail, the strong
one buys nothing (RouteLLM, arXiv:2406.18665; that simple models do as well as complicated ones: arXiv:2601.07206).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rheostat.errors import BadInput, MissingExtra
from rheostat.files import read_text
from rheostat.judgement.features import BUCKETS, COUNTS, counts, hashed

__all__ = ["Embed", "Router", "fit_router"]

FORMAT: Final = "rheostat-router-1"
_COUNT_WEIGHT: Final = 0.1
"""The counts, in standard deviations, beside a hashed text of length 1."""
_MOST_BYTES: Final = 64 << 20
_STRENGTH: Final = 0.1
"""The inverse strength of the penalty, the same for all arms: chosen for each by itself, their difference loses its
meaning (APGR on the shared part of RouteLLM's MMLU .49 instead of .65)."""
_LEAST_TASKS: Final = 30

Vector = dict[int, float]
Embed = Any
"""A LangChain `Embeddings`: has `embed_documents(texts)`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """Logistic models of P(right), one for each arm, over the same features."""

    arms: dict[str, tuple[float, dict[int, float]]]
    """(intercept, weight of each feature) by the arm's name."""
    rarity: dict[int, float] = field(default_factory=dict)
    """The inverse document frequency of each bucket."""
    means: tuple[float, ...] = ()
    spreads: tuple[float, ...] = ()
    """Mean and standard deviation of each count."""
    usual: dict[str, float] = field(default_factory=dict)
    """The mean log-odds of each arm over the tasks that it was learned from."""
    embedding: int = 0
    """The length of the embedding; 0: it needs none."""
    tasks: int = 0
    date: str = ""

    def vector(self, text: str, embedded: Sequence[float] = ()) -> Vector:
        """The features of a text: counts, then hashed words, then its embedding."""
        weighed = {bucket: times * self.rarity.get(bucket, 0.0) for bucket, times in hashed(text).items()}
        length = math.sqrt(sum(each * each for each in weighed.values())) or 1.0
        made = {len(COUNTS) + bucket: each / length for bucket, each in weighed.items() if each}
        for number, (each, mean, spread) in enumerate(zip(counts(text), self.means, self.spreads, strict=True)):
            made[number] = _COUNT_WEIGHT * max(min((each - mean) / spread, 3.0), -3.0)
        if len(embedded) != self.embedding:
            raise BadInput(f"this router was learned with embeddings of {self.embedding} numbers, not {len(embedded)}")
        norm = math.sqrt(sum(each * each for each in embedded)) or 1.0
        made.update({len(COUNTS) + BUCKETS + at: each / norm for at, each in enumerate(embedded)})
        return made

    def chances(self, text: str, embedded: Sequence[float] = ()) -> dict[str, float]:
        """P(right) of each arm on this text."""
        vector = self.vector(text, embedded)
        return {name: _expit(start + _dot(weights, vector)) for name, (start, weights) in self.arms.items()}

    def harder(self, text: str, arm: str) -> float:
        """How much an arm's log-odds on this text are above its usual ones; 0 for an arm that wasn't learned."""
        if arm not in self.usual or self.embedding:
            return 0.0
        start, weights = self.arms[arm]
        return start + _dot(weights, self.vector(text)) - self.usual[arm]

    def gain(self, text: str, weak: str, strong: str, embedded: Sequence[float] = ()) -> float:
        """P(strong right) − P(weak right)."""
        chances = self.chances(text, embedded)
        return chances[strong] - chances[weak]

    def to_text(self) -> str:
        """The router as JSON, one line for each arm."""
        head = {
            "format": FORMAT, "tasks": self.tasks, "date": self.date, "embedding": self.embedding,
            "usual": {name: _short(each) for name, each in sorted(self.usual.items())},
            "means": list(map(_short, self.means)), "spreads": list(map(_short, self.spreads)),
            "rarity": {str(key): _short(each) for key, each in sorted(self.rarity.items())},
        }  # fmt: skip
        lines = ",\n".join(
            f"  {json.dumps(name)}: {json.dumps([_short(start), {str(k): _short(v) for k, v in sorted(w.items())}])}"
            for name, (start, w) in sorted(self.arms.items())
        )
        return f'{json.dumps(head)[:-1]}, "arms": {{\n{lines}\n}}}}\n'

    @classmethod
    def read(cls, path: Path) -> Router:
        """Read a router from a file.

        Raises:
            BadInput: It isn't one.
        """
        text = read_text(path, "router", most_bytes=_MOST_BYTES)
        try:
            data = json.loads(text)
            if data["format"] != FORMAT:
                raise ValueError(f"its format is {data['format']!r}")
            made = cls(
                arms={name: (float(start), _numbers(weights)) for name, (start, weights) in data["arms"].items()},
                rarity=_numbers(data["rarity"]),
                means=tuple(map(float, data["means"])),
                spreads=tuple(map(float, data["spreads"])),
                usual={str(name): float(each) for name, each in data.get("usual", {}).items()},
                embedding=int(data["embedding"]),
                tasks=int(data["tasks"]),
                date=str(data["date"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BadInput(f"{path} is no router of `rheostat learn`: {error}") from None
        if len(made.means) != len(COUNTS) or len(made.spreads) != len(COUNTS) or not all(made.spreads):
            raise BadInput(f"{path} was learned with other features: learn it again")
        return made


def fit_router(
    texts: Sequence[str],
    right: Mapping[str, Sequence[bool | None]],
    *,
    embedded: Sequence[Sequence[float]] = (),
    date: str = "",
    strength: float = _STRENGTH,
) -> Router:
    """Fit a router to tasks with known outcomes; needs the extra `learn` (scikit-learn).

    Args:
        texts: The text of each task.
        right: For each arm, whether it was right on each task; `None`: not tried.
        embedded: An embedding of each text, if there are any.
        strength: The inverse strength of the penalty.

    Raises:
        MissingExtra: scikit-learn isn't installed.
        BadInput: There are too few tasks.
    """
    try:
        import numpy as np
        from scipy.sparse import csr_matrix
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise MissingExtra("learning from text", "learn") from None
    if len(texts) < _LEAST_TASKS:
        raise BadInput(f"{len(texts)} tasks are too few to learn from; {_LEAST_TASKS} are the least")
    listed = np.array([counts(text) for text in texts])
    frequency: dict[int, int] = {}
    for text in texts:
        for bucket in hashed(text):
            frequency[bucket] = frequency.get(bucket, 0) + 1
    base = Router(
        arms={},
        rarity={each: 1 + math.log((1 + len(texts)) / (1 + times)) for each, times in frequency.items() if times > 1},
        means=tuple(map(float, listed.mean(0))),
        spreads=tuple(float(each) or 1.0 for each in listed.std(0)),
        embedding=len(embedded[0]) if embedded else 0,
        tasks=len(texts),
        date=date,
    )
    vectors = [base.vector(text, embedded[at] if embedded else ()) for at, text in enumerate(texts)]
    rows = [at for at, vector in enumerate(vectors) for _ in vector]
    columns = [column for vector in vectors for column in vector]
    values = [value for vector in vectors for value in vector.values()]
    width = len(COUNTS) + BUCKETS + base.embedding
    matrix = csr_matrix((values, (rows, columns)), shape=(len(texts), width))
    arms: dict[str, tuple[float, dict[int, float]]] = {}
    usual: dict[str, float] = {}
    for name, outcomes in right.items():
        tried = [at for at, each in enumerate(outcomes) if each is not None]
        truth = np.array([bool(outcomes[at]) for at in tried])
        if min(truth.sum(), (~truth).sum()) < 3:  # nothing to tell apart
            rate = (truth.sum() + 0.5) / (len(truth) + 1)
            arms[name] = (math.log(rate / (1 - rate)), {})
            usual[name] = arms[name][0]
            continue
        best = LogisticRegression(C=strength, max_iter=500).fit(matrix[tried], truth)
        weights = {int(at): float(each) for at, each in enumerate(best.coef_[0]) if abs(each) > 1e-6}
        arms[name] = (float(best.intercept_[0]), weights)
        usual[name] = float(best.decision_function(matrix).mean())
    return Router(
        arms=arms, rarity=base.rarity, means=base.means, spreads=base.spreads, embedding=base.embedding,
        usual=usual, tasks=base.tasks, date=date,
    )  # fmt: skip


def _numbers(given: Mapping[str, Any]) -> dict[int, float]:
    return {int(key): float(value) for key, value in given.items()}


def _dot(weights: Mapping[int, float], vector: Vector) -> float:
    return sum(weights.get(at, 0.0) * value for at, value in vector.items())


def _expit(value: float) -> float:
    return 1 / (1 + math.exp(-max(min(value, 60.0), -60.0)))


def _short(value: float) -> float:
    return float(f"{value:.4g}")
