"""Routing between two models by the text of a task, before anything is asked: replayed on recorded outcomes.

A router orders the tasks; for each share of them the foremost go to the strong model. APGR is the mean, over all
shares, of the part of the accuracy gap between the two models that is recovered (RouteLLM, arXiv:2406.18665): 0.5 is
chance.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rheostat.errors import BadInput
from rheostat.judgement.router import fit_router
from rheostat.replay.intervals import intervals
from rheostat.replay.trials import parsed
from rheostat.thinking.difficulty import heuristic

__all__ = ["GAPS", "RouteLine", "RouteRow", "apgr", "read_route", "replay_route"]

GAPS: Final = (0.5, 0.8, 0.95)
"""The parts of the gap for which the cost is reported."""
_FOLDS: Final = 5
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "prompt": ("prompt", "question", "problem"),
    "weak": ("weak", "mixtral_8x7b"),
    "strong": ("strong", "gpt4"),
    "weak_usd": ("weak_usd",),
    "strong_usd": ("strong_usd",),
}
EXPECTED: Final = '{"prompt": "…", "weak": 0 or 1, "strong": 0 or 1, "weak_usd"?: …, "strong_usd"?: …}'


@dataclass(frozen=True, slots=True)
class RouteRow:
    """A task and how both models did on it."""

    prompt: str
    weak: bool
    strong: bool
    weak_usd: float | None = None
    strong_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteLine:
    """How well one way to order the tasks routes."""

    name: str
    apgr: float
    low: float
    high: float
    """The 95 % interval of a bootstrap over tasks."""
    shares: dict[float, float]
    """For each part of the gap: the share of the tasks that must go to the strong model."""
    costs: dict[float, float] | None = None
    """For each part of the gap: the dollars of a task, if the rows have prices."""


def read_route(path: Path, columns: Mapping[str, Sequence[str]] | None = None) -> list[RouteRow]:
    """Read rows of two models' outcomes, as JSON Lines or CSV.

    Raises:
        BadInput: A line isn't one; says what is expected.
    """
    rows = []
    for number, data in parsed(path, EXPECTED):
        found: dict[str, Any] = {}
        for name, usual in _NAMES.items():
            at = next((each for each in (columns or {}).get(name, usual) if data.get(each) not in (None, "")), None)
            found[name] = None if at is None else data[at]
        lacking = [name for name in ("prompt", "weak", "strong") if found[name] is None]
        if lacking:
            keys = ", ".join(map(str, data))
            raise BadInput(f"{path}, line {number}: no {lacking[0]} (its columns: {keys}); expected {EXPECTED}")
        try:
            outcomes = [bool(int(float(str(found[name]).lower().replace("true", "1").replace("false", "0"))))
                        for name in ("weak", "strong")]  # fmt: skip
            dollars = [None if found[name] is None else float(found[name]) for name in ("weak_usd", "strong_usd")]
        except ValueError:
            raise BadInput(f"{path}, line {number}: outcomes are 0 or 1, dollars are numbers; {EXPECTED}") from None
        rows.append(RouteRow(str(found["prompt"]), outcomes[0], outcomes[1], dollars[0], dollars[1]))
    if len({(row.weak, row.strong) for row in rows}) < 2 or sum(row.strong for row in rows) <= sum(
        row.weak for row in rows
    ):
        raise BadInput(f"{path}: the strong model is not more often right than the weak one; nothing is to be routed")
    return rows


def replay_route(
    rows: Sequence[RouteRow],
    fit: Sequence[RouteRow] | None = None,
    *,
    seed: int = 0,
    on_step: Callable[[int, int], None] | None = None,
) -> list[RouteLine]:
    """Compare the learned router with the controls.

    Args:
        fit: The rows that it is fitted on; without them each fifth is ordered by a router of the other four, and the
            APGR is the mean over the fifths.
    """
    dice = random.Random(seed)  # noqa: S311 - folds, repeatable
    if fit is not None:
        parts = [list(range(len(rows)))]
    else:
        order = list(range(len(rows)))
        dice.shuffle(order)
        parts = [order[fold::_FOLDS] for fold in range(_FOLDS)]
    learned = [0.0] * len(rows)
    for number, part in enumerate(parts):
        out = set(part)
        known = fit if fit is not None else [row for at, row in enumerate(rows) if at not in out]
        router = fit_router(
            [row.prompt for row in known],
            {"weak": [row.weak for row in known], "strong": [row.strong for row in known]},
        )
        for at in part:
            learned[at] = router.gain(rows[at].prompt, "weak", "strong")
        if on_step is not None:
            on_step(number + 1, len(parts))
    scores = {
        "learned: P(strong) − P(weak)": learned,
        "random": [dice.random() for _ in rows],
        "length": [float(len(row.prompt)) for row in rows],
        "rules, like LiteLLM's": [_rules(row.prompt) for row in rows],
        "our difficulty score": [heuristic(row.prompt[:200_000] or "?").score for row in rows],
        "oracle": [float(row.strong) - float(row.weak) for row in rows],
    }
    return [_line(name, each, rows, parts, seed) for name, each in scores.items()]


def apgr(scores: Sequence[float], rows: Sequence[RouteRow]) -> float:
    """The average part of the gap that is recovered, over all shares; ties keep the expected order of chance."""
    order = sorted(range(len(rows)), key=lambda at: -scores[at])
    gap = sum(row.strong - row.weak for row in rows)
    if gap <= 0:
        return 0.5
    area = reached = 0.0
    at = 0
    while at < len(order):  # equal scores go together, along a straight line
        end = at
        while end < len(order) and scores[order[end]] == scores[order[at]]:
            end += 1
        gain = sum(rows[each].strong - rows[each].weak for each in order[at:end])
        area += (end - at) * (reached + gain / 2)
        reached += gain
        at = end
    return area / len(rows) / gap


def _line(
    name: str, scores: Sequence[float], rows: Sequence[RouteRow], parts: Sequence[Sequence[int]], seed: int
) -> RouteLine:
    areas = [apgr([scores[at] for at in part], [rows[at] for at in part]) for part in parts]
    mean = sum(area * len(part) for area, part in zip(areas, parts, strict=True)) / len(rows)
    low, high = _interval(scores, rows, seed)
    shares, costs = _shares(scores, rows)
    return RouteLine(name=name, apgr=mean, low=mean + low, high=mean + high, shares=shares, costs=costs)


def _interval(scores: Sequence[float], rows: Sequence[RouteRow], seed: int) -> tuple[float, float]:
    """The interval around an APGR, as differences from it: a ratio of means, whose influence values are resampled."""
    whole = apgr(scores, rows)
    ranks = sorted(range(len(rows)), key=lambda at: -scores[at])
    place = {at: (number + 0.5) / len(rows) for number, at in enumerate(ranks)}
    gap = sum(row.strong - row.weak for row in rows) / len(rows)
    values = [((rows[at].strong - rows[at].weak) * (1 - place[at] - whole)) / gap for at in range(len(rows))]
    [(low, high)] = intervals([values], seed=seed, resamples=2_000)
    return low, high


def _shares(scores: Sequence[float], rows: Sequence[RouteRow]) -> tuple[dict[float, float], dict[float, float] | None]:
    order = sorted(range(len(rows)), key=lambda at: -scores[at])
    gap = sum(row.strong - row.weak for row in rows)
    priced = all(row.weak_usd is not None and row.strong_usd is not None for row in rows)
    cost = sum(row.weak_usd or 0.0 for row in rows)
    shares: dict[float, float] = {}
    costs: dict[float, float] = {}
    reached = 0
    for number, at in enumerate([*order, -1]):
        for part in GAPS:
            if part not in shares and reached >= part * gap:
                shares[part], costs[part] = number / len(rows), cost / len(rows)
        if at >= 0:
            reached += rows[at].strong - rows[at].weak
            cost += (rows[at].strong_usd or 0.0) - (rows[at].weak_usd or 0.0)
    return shares, costs if priced else None


_CODE = re.compile(r"\b(function|class|def|import|code|debug|algorithm|api|database|python|sql)\b|```", re.I)
_REASON = re.compile(r"\b(step by step|think through|analy[sz]e|reason|prove|derive|explain why|compare)\b", re.I)
_TECHNICAL = re.compile(
    r"\b(architecture|distributed|encryption|kubernetes|theorem|matrix|protocol|concurren\w+)\b", re.I
)
_SEVERAL = re.compile(r"\b(first|then|next|finally|after that|step \d)\b|^\s*\d+[.)]", re.I | re.M)


def _rules(prompt: str) -> float:
    """A weighted sum of keyword counts and length, as LiteLLM's complexity router has it (docs.litellm.ai)."""
    words = len(prompt.split())
    length = -1.0 if words < 15 else 1.0 if words > 400 else 0.0
    parts = (
        (0.10, length),
        (0.30, min(len(_CODE.findall(prompt)), 2) / 2),
        (0.25, min(len(_REASON.findall(prompt)), 2) / 2),
        (0.25, min(len(_TECHNICAL.findall(prompt)), 2) / 2),
        (0.05, min(len(_SEVERAL.findall(prompt)), 3) / 3),
        (0.05, min(prompt.count("?"), 4) / 4),
    )
    return sum(weight * value for weight, value in parts)
