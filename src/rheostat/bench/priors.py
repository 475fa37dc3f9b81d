"""`python -m rheostat.bench.priors`: the weak prior for unmeasured models, from three published records.

- LiveCodeBench (Jain et al., arXiv:2403.07974; its table by question): which questions o3-mini and o4-mini answered
  rightly at each effort, and for `none` three models of the same year that don't think. How one success tells of
  another, the spread, is fitted to it.
- Aider's polyglot leaderboard (aider.chat/docs/leaderboards): tokens of a call by effort, and how often a refused
  answer is right after a correction on what the tests say, from models that were run at several efforts.
- RouteLLM's answers (Ong et al., arXiv:2406.18665) to GSM8K and MMLU: how much the look of a task says of its ease.

They are of few models of one year: the counts are set so low that two dozen tasks of your own outweigh them. Small talk
has no published record; there it is assumed that thought adds nothing.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped]  # it brings no types

from rheostat.judgement.fitting import Trial, fitted
from rheostat.judgement.priors import ANY
from rheostat.judgement.profile import CORRECT, Arm, KindProfile, Measured, Profile
from rheostat.thinking.difficulty import heuristic

__all__ = ["main", "prior_of"]

_LCB: Final = {
    "none": ("DeepSeek-V3", "GPT-4O-2024-08-06", "Claude-3.5-Sonnet-20241022"),
    "low": ("O3-Mini-2025-01-31 (Low)", "O4-Mini (Low)"),
    "medium": ("O3-Mini-2025-01-31 (Med)", "O4-Mini (Medium)"),
    "high": ("O3-Mini-2025-01-31 (High)", "O4-Mini (High)"),
}
_AIDER: Final = {
    "none": (
        "claude-sonnet-4-20250514 (no thinking)", "claude-opus-4-20250514 (no think)",
        "gemini-2.5-flash-preview-05-20 (no think)", "DeepSeek-V3.2-Exp (Chat)",
    ),
    "low": ("gpt-5 (low)",),
    "medium": ("gpt-5 (medium)", "o3"),
    "high": ("gpt-5 (high)", "o3 (high)", "gemini-2.5-flash-preview-05-20 (24k think)"),
}  # fmt: skip
_WEIGHT: Final = 20.0
"""The tasks that a rate counts as."""
_SOURCE: Final = "LiveCodeBench, Aider polyglot, RouteLLM (docs/explanation/judgement.md)"


def prior_of(lcb: Sequence[Mapping[str, str]], aider: Sequence[Mapping[str, Any]], looks: Sequence[Trial]) -> Profile:
    """The prior: any kind and any model, both named `*`, with an arm for each effort and one for its corrections."""
    kind = next(iter(fitted(_lcb_trials(lcb)).kinds.values()))
    looked = next(iter(fitted(looks).kinds.values()))
    arms: dict[Arm, Measured] = {}
    for effort, columns in _LCB.items():
        rate = statistics.fmean(float(row[each]) / 100 for row in lcb for each in columns)
        calls = [each for each in aider if each["model"] in _AIDER[effort]]
        fixed = statistics.fmean(_fixed(each) for each in calls)
        for strategy, chance in (("", rate), (CORRECT, fixed)):
            arms[Arm(model=ANY, effort=effort, strategy=strategy)] = Measured(
                right=_WEIGHT * chance,
                tried=_WEIGHT,
                output_tokens=round(statistics.fmean(_tokens(each) for each in calls), -1),
                date="2025-12",
                source=_SOURCE,
                prior=True,
            )
    made = replace(looked, arms=arms, tasks=0.0)
    code = replace(made, spread=kind.spread)
    talk = {
        arm: replace(each, right=_WEIGHT * 0.95, source="assumed")
        for arm, each in arms.items()
        if not arm.strategy
    }  # fmt: skip
    return Profile(kinds={ANY: made, "chat": KindProfile(arms=talk), "code": code})


def _lcb_trials(rows: Sequence[Mapping[str, str]]) -> Iterator[Trial]:
    for row in rows:
        for effort, columns in _LCB.items():
            for name in columns:
                right = float(row[name]) >= 50  # of the ten samples of models that don't think; else of one
                yield Trial(task=row["question_id"], arm=Arm(model=name, effort=effort), right=right)


def _fixed(row: Mapping[str, Any]) -> float:
    """Of the tasks whose first try was refused, the share that the second one solved."""
    first, second = row["pass_rate_1"] / 100, row["pass_rate_2"] / 100
    return float((second - first) / (1 - first))


def _tokens(row: Mapping[str, Any]) -> float:
    """Output tokens of a call: each task has one, and each that was refused a second one."""
    return float(row["completion_tokens"] / (row["test_cases"] * (2 - row["pass_rate_1"] / 100)))


def _looks(paths: Sequence[Path]) -> list[Trial]:
    trials: dict[str, list[Trial]] = defaultdict(list)
    for path in paths:
        for number, row in enumerate(map(json.loads, path.read_text(encoding="utf-8").splitlines())):
            look = heuristic(row["prompt"]).score
            trials[path.name] += [
                Trial(task=f"{path.name} {number}", arm=Arm(model=name), right=bool(row[name]), difficulty=look)
                for name in ("mixtral_8x7b", "gpt4")
            ]
    chosen: list[Trial] = []
    for each in trials.values():
        pairs = list(zip(each[::2], each[1::2], strict=True))
        random.Random(0).shuffle(pairs)  # noqa: S311 - an order, repeatable
        chosen += [one for pair in pairs[:300] for one in pair]
    return chosen


def main(arguments: list[str] | None = None) -> None:
    """Write the prior."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lcb", type=Path, required=True, help="CSV: question_id and a column of % right for a model")
    parser.add_argument("--aider", type=Path, required=True, help="polyglot_leaderboard.yml")
    parser.add_argument("--routellm", type=Path, nargs="+", required=True, help="JSONL: prompt, mixtral_8x7b, gpt4")
    parser.add_argument("--out", type=Path, default=Path("src/rheostat/judgement/profiles/prior.json"))
    given = parser.parse_args(arguments)
    with given.lcb.open(encoding="utf-8", newline="") as lcb:
        made = prior_of(list(csv.DictReader(lcb)), yaml.safe_load(given.aider.read_text()), _looks(given.routellm))
    given.out.write_text(made.to_text(), encoding="utf-8")
    sys.stdout.write(made.to_text())


if __name__ == "__main__":
    main()
