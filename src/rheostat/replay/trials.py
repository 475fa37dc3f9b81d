"""Read recorded trials of arms: one draw a line, as JSON Lines or CSV; or recorded samples.

The formats: docs/reference/replay.md.
"""

from __future__ import annotations

import csv
import fnmatch
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from rheostat.errors import BadInput
from rheostat.files import read_text
from rheostat.judgement.fitting import Trial
from rheostat.judgement.profile import Arm
from rheostat.money.pricing import Price, listed_price
from rheostat.money.usage import Spend
from rheostat.replay.choice import Choice
from rheostat.replay.keys import key_of, right
from rheostat.replay.reading import MOST_BYTES, rows_of

__all__ = ["COLUMNS", "Trials", "parse_columns", "parsed", "read_trials", "trials_of"]

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "task": ("task", "instance", "question_id", "id"),
    "arm": ("arm", "model"),
    "correct": ("correct", "success", "resolved", "valid", "ok"),
    "usd": ("usd", "cost"),
    "kind": ("kind", "category", "service", "benchmark", "set"),
    "input_tokens": ("input_tokens", "input"),
    "output_tokens": ("output_tokens", "output", "tokens"),
    "seconds": ("seconds", "latency_s"),
    "answer": ("answer",),
    "gold": ("gold",),
    "score": ("score", "min32_logprob", "logprob"),
    "passed": ("passed",),
    "prompt": ("prompt", "question"),
    "effort": ("effort",),
    "way": ("way",),
}
"""The fields of a trial, and the column names that each is read from without `--columns`, the first that is there."""
_PROVIDERS: Final = ("openai", "anthropic", "google", "deepseek", "x-ai", "moonshotai", "groq", "openrouter")
_TRUE: Final = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
EXPECTED: Final = '{"task": …, "arm": …, "correct": 0 or 1, "usd": …, "kind"?: …, "tokens"?: …, "answer"?: …}'


@dataclass(frozen=True, slots=True)
class Trials:
    """The trials of a file, with their costs in one unit."""

    trials: tuple[Trial, ...]
    unit: str
    """`usd`, or `tokens` where nothing has a price."""
    notes: tuple[str, ...] = ()

    def cost(self, trial: Trial) -> float:
        """The cost of a trial: nano-dollars, or output tokens."""
        return (trial.usd or 0.0) * 1e9 if self.unit == "usd" else trial.output_tokens or 0.0


def parse_columns(text: str) -> dict[str, tuple[str, ...]]:
    """Read `task=instance,arm=agent+model`: a field and the column, or columns, that it is in.

    Raises:
        BadInput: It isn't like that.
    """
    found: dict[str, tuple[str, ...]] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, equals, given = part.partition("=")
        if not equals or name not in COLUMNS or not given:
            fields = ", ".join(COLUMNS)
            raise BadInput(
                f"--columns is FIELD=COLUMN,…, such as task=instance,arm=model; fields: {fields}; not {part!r}"
            )
        found[name] = tuple(given.split("+"))
    return found


def read_trials(
    path: Path,
    *,
    columns: Mapping[str, Sequence[str]] | None = None,
    prices: Mapping[str, Price] | None = None,
    choice: Choice | None = None,
    kinds: Sequence[str] = (),
    models: Sequence[str] = (),
    complete: bool = False,
    one_kind: bool = False,
) -> Trials:
    """Read a file of trials.

    Args:
        columns: Which column each field is in; the others are found by their usual names.
        prices: Prices by the beginning of a model's name, for trials with tokens and no dollars; else list prices.
        choice: Of recorded samples: which to take.
        kinds: Only tasks of these kinds.
        models: Only arms of these models: a name, a glob or a part of a name.
        one_kind: All tasks are one kind.
        complete: Only arms that were tried on every task.

    Raises:
        BadInput: It can't be read, or a line isn't a trial: names the line, and what is expected.
    """
    return trials_of(
        parsed(path, EXPECTED), path, columns=columns, prices=prices, choice=choice, kinds=kinds, models=models,
        complete=complete, one_kind=one_kind,
    )  # fmt: skip


def trials_of(
    lines: Sequence[tuple[int, dict[str, Any]]],
    path: Path,
    *,
    columns: Mapping[str, Sequence[str]] | None = None,
    prices: Mapping[str, Price] | None = None,
    choice: Choice | None = None,
    kinds: Sequence[str] = (),
    models: Sequence[str] = (),
    complete: bool = False,
    one_kind: bool = False,
) -> Trials:
    """The trials of parsed lines; see `read_trials`."""
    if any("samples" in each or isinstance(each.get("models"), Mapping) for _, each in lines[:1]):
        trials = _of_samples(lines, path, choice or Choice(models=("*",), ways=("*",)))
    else:
        trials = [_trial(each, number, path, columns or {}) for number, each in lines]
    if kinds:
        trials = [each for each in trials if each.kind in kinds]
        if not trials:
            raise BadInput(f"{path} has no task of the kind {', '.join(kinds)}")
    if models:
        wanted = [each if any(char in each for char in "*?[") else f"*{each}*" for each in models]
        trials = [each for each in trials if any(fnmatch.fnmatchcase(each.arm.model, one) for one in wanted)]
        if not trials:
            raise BadInput(f"{path} has no arm of a model like {', '.join(models)}")
    if one_kind:
        trials = [replace(each, kind="") for each in trials]
    if complete:
        tasks = {each.task for each in trials}
        tried: dict[Arm, set[str]] = {}
        for each in trials:
            tried.setdefault(each.arm, set()).add(each.task)
        trials = [each for each in trials if len(tried[each.arm]) == len(tasks)]
        if not trials:
            raise BadInput(f"{path} has no arm that was tried on all {len(tasks)} tasks")
    return _priced(trials, prices or {}, path)


def parsed(path: Path, expected: str) -> list[tuple[int, dict[str, Any]]]:
    """The lines of a file of JSON Lines, a JSON list, or CSV, with their numbers.

    Raises:
        BadInput: It is none of these.
    """
    text = read_text(path, "recording", most_bytes=MOST_BYTES, may_be_packed=True)
    if text.lstrip()[:1] in "{[":
        try:
            whole = json.loads(text) if text.lstrip().startswith("[") else None
            lines = (
                list(enumerate(whole, 1))
                if whole is not None
                else [(number, json.loads(line)) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
            )
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{path}: not JSON ({error}); expected {expected}") from None
        for number, each in lines:
            if not isinstance(each, dict):
                raise BadInput(f"{path}, line {number}: expected {expected}, not {each!r}")
        return lines
    try:
        return [(number, dict(each)) for number, each in enumerate(csv.DictReader(io.StringIO(text), strict=True), 2)]
    except csv.Error as error:
        raise BadInput(f"{path} is neither JSON Lines nor CSV ({error}); expected {expected}") from None


def _trial(data: Mapping[str, Any], number: int, path: Path, columns: Mapping[str, Sequence[str]]) -> Trial:
    where = f"{path}, line {number}"
    found: dict[str, Any] = {}
    for name, usual in COLUMNS.items():
        given = columns.get(name)
        if given is not None:
            lacking = [each for each in given if each not in data]
            if lacking:
                raise BadInput(f"{where}: no column {lacking[0]!r}; there are {', '.join(map(str, data))}")
            parts = [data[each] for each in given]
            found[name] = parts[0] if len(parts) == 1 else "/".join(map(str, parts))
        else:
            column = next((each for each in usual if data.get(each) not in (None, "")), None)
            found[name] = None if column is None else data[column]
    for name in ("task", "arm"):
        if found[name] is None:
            usual_names = ", ".join(COLUMNS[name])
            raise BadInput(f"{where}: no {name} (columns {usual_names}; or --columns {name}=…); expected {EXPECTED}")
    said = _truth(found["correct"], where)
    if said is None and found["gold"] is not None:
        said = right(found["answer"], found["gold"])
    if said is None:
        raise BadInput(f'{where}: neither "correct" nor "gold"; expected {EXPECTED}')
    effort, way = (str(found[name] or "") for name in ("effort", "way"))
    numbers = {name: _number(found[name], name, where) for name in ("usd", "input_tokens", "output_tokens", "seconds")}
    return Trial(
        task=str(found["task"]) if found["kind"] is None else f"{found['kind']}/{found['task']}",
        arm=Arm(model=str(found["arm"]), effort=effort, way=way),
        right=said,
        kind=str(found["kind"] or ""),
        answer=key_of(found["answer"]),
        score=_number(found["score"], "score", where, least=-math.inf),
        passed=_truth(found["passed"], where),
        prompt=str(found["prompt"] or ""),
        **numbers,
    )


def _truth(given: Any, where: str) -> bool | None:
    if given is None or isinstance(given, bool):
        return given
    known = _TRUE.get(str(given).strip().lower().removesuffix(".0"))
    if known is None:
        raise BadInput(f"{where}: expected 1 or 0, true or false; not {given!r}")
    return known


def _number(given: Any, name: str, where: str, *, least: float = 0.0) -> float | None:
    if given is None or given == "":
        return None
    try:
        value = float(given)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value) or value < least:
        raise BadInput(f"{where}: {name} is a number{' of at least 0' if least == 0 else ''}, not {given!r}")
    return value


def _of_samples(lines: Sequence[tuple[int, Any]], path: Path, choice: Choice) -> list[Trial]:
    rows = rows_of(lines, choice, name=str(path)).rows
    return [
        Trial(
            task=f"{row.set}/{row.id}" if row.set else row.id,
            arm=Arm(model=each.model or "model", way=each.way),
            right=each.correct,
            kind=row.set,
            answer=each.key,
            usd=None if each.usd_nanos is None else each.usd_nanos / 1e9,
            input_tokens=len(row.question) / 4 if row.question else None,
            output_tokens=each.tokens,
            score=each.low_logprob if each.low_logprob is not None else each.logprob,
            passed=each.passed,
            prompt=row.question,
        )
        for row in rows
        for each in row.samples
    ]


def _priced(trials: Iterable[Trial], prices: Mapping[str, Price], path: Path) -> Trials:
    listed = list(trials)
    known: dict[str, Price | None] = {}
    made: list[Trial] = []
    for each in listed:
        model = each.arm.model
        if model not in known:
            known[model] = _price(model, prices)
        price = known[model]
        if each.usd is None and price is not None and each.output_tokens is not None:
            spend = Spend(input_tokens=round(each.input_tokens or 0), output_tokens=round(each.output_tokens))
            made.append(replace(each, usd=price.cost(spend) / 1e9))
        else:
            made.append(each)
    unpriced = sorted({each.arm.model for each in made if each.usd is None})
    if not unpriced:
        computed = sum(each.usd is None for each in listed)
        notes = (f"{computed:,} of {len(listed):,} prices are computed from tokens",) if computed else ()
        return Trials(tuple(made), "usd", notes)
    if all(each.output_tokens is not None for each in made):
        note = f"no price for {', '.join(unpriced[:4])}{' …' if len(unpriced) > 4 else ''}: costs are output tokens"
        return Trials(tuple(made), "tokens", (note,))
    raise BadInput(f"{path} has neither dollars nor tokens for {', '.join(unpriced[:4])}; expected {EXPECTED}")


def _price(model: str, prices: Mapping[str, Price]) -> Price | None:
    """The declared price with the longest beginning of this name; else the list price of the name, or of its part
    before an effort such as `-high`."""
    fitting = [name for name in prices if model.startswith(name)]
    if fitting:
        return prices[max(fitting, key=len)]
    name = model
    for _ in range(3):
        for provider in _PROVIDERS:
            price = listed_price(provider, name)
            if price is not None:
                return price
        name = name.rpartition("-")[0]
        if not name:
            break
    return None
