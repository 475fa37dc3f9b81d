"""Other formats of recorded samples, turned into rows of docs/reference/replay.md.

Pools: `{"gold": …, "samples": {"MODEL/WAY": {"a": [answers], "c": [characters]}}}`. Flat: one sample a line, with
`id`, `way`, `model` and `set`. Verdicts: `{"WAY_correct": [0, 1, …], "WAY_chars": [108, …]}`, without answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rheostat.errors import BadInput

__all__ = ["FORMATS", "format_of", "from_flat", "from_pools", "from_verdicts"]

FORMATS = {
    "rows": 'one question a line, {"id": …, "gold": …, "samples": [{"answer": …, "tokens": …}, …]}',
    "pools": 'one question a line, {"gold": …, "samples": {"MODEL/WAY": {"a": [answers], "c": [characters]}, …}}',
    "flat": 'one sample a line, {"id": …, "gold": …, "way": …, "answer": …, "tokens": …}',
    "verdicts": 'one question a line, {"WAY_correct": [0, 1, …], "WAY_chars": [108, …]}',
}
_VERDICTS = "_correct"
_NAMES = {
    "answer": ("a", "answer", "answers"),
    "chars": ("c", "chars"),
    "tokens": ("t", "tokens"),
    "correct": ("ok", "correct"),
    "score": ("score", "scores"),
    "usd": ("usd",),
}
"""What the parts of a pool may be called."""
_COMMON = ("id", "set", "gold", "question")


def format_of(data: Any) -> str:
    """The format of a row, by its content.

    Raises:
        BadInput: It is none that is known.
    """
    if isinstance(data, Mapping):
        if "samples" in data:
            return "pools" if isinstance(data["samples"], Mapping) else "rows"
        if isinstance(data.get("models"), Mapping):
            return "pools"
        if "answer" in data or ("correct" in data and "id" in data):
            return "flat"
        if any(isinstance(value, list) for name, value in data.items() if name.endswith(_VERDICTS)):
            return "verdicts"
        keys = ", ".join(str(each) for each in list(data)[:8]) or "none"
        expected = "; or ".join(FORMATS.values())
        raise BadInput(f"this is no recorded question (its keys: {keys}); expected {expected}")
    raise BadInput(f"expected an object, {FORMATS['rows']}; not a {type(data).__name__}")


def from_pools(data: Mapping[str, Any]) -> dict[str, Any]:
    """A row from pools of answers, one for each model and way."""
    pools: Mapping[str, Any] = data["samples"] if "samples" in data else data["models"]
    samples: list[dict[str, Any]] = []
    for name, pool in pools.items():
        model, _, way = name.rpartition("/") if "samples" in data else (name, "", "")
        greedy = way.startswith("greedy_")
        parts = {"model": model, "way": way.removeprefix("greedy_"), **({"greedy": True} if greedy else {})}
        samples.extend({**each, **parts} for each in _pool(pool, name))
    common = {key: value for key, value in data.items() if key not in ("samples", "models", "model")}
    return {**common, "id": _identity(data), "samples": samples}


def _pool(pool: Any, name: str) -> list[dict[str, Any]]:
    if isinstance(pool, list):
        return [each if isinstance(each, dict) else {"answer": each} for each in pool]
    if not isinstance(pool, Mapping):
        raise BadInput(f'pool {name!r} is {{"a": [answers], "c": [characters]}} or a list of answers, not {pool!r}')
    parts = {key: pool[given] for key, names in _NAMES.items() for given in names if given in pool}
    if "answer" not in parts and "correct" not in parts:
        raise BadInput(f'pool {name!r} has no answers; expected {{"a": [answers], "c": [characters]}}')
    columns = {key: value if isinstance(value, list) else [value] for key, value in parts.items()}
    return _zipped(columns, f"pool {name!r}")


def _zipped(columns: Mapping[str, Sequence[Any]], what: str) -> list[dict[str, Any]]:
    lengths = {key: len(values) for key, values in columns.items()}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{count} of {key}" for key, count in lengths.items())
        raise BadInput(f"{what} has lists of different lengths: {counts}")
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def from_flat(lines: Sequence[tuple[int, Mapping[str, Any]]]) -> list[tuple[int, dict[str, Any]]]:
    """Rows from lines of one sample each: those with the same set, model and id are one row.

    Returns:
        (line number of its first sample, row).
    """
    rows: dict[tuple[str, str, str], tuple[int, dict[str, Any]]] = {}
    for number, data in lines:
        if "id" not in data:
            raise BadInput(f'line {number}: it has no "id"; lines with the same id are samples of one question')
        place = (str(data.get("set") or ""), str(data.get("model") or ""), str(data["id"]))
        common = {name: data[name] for name in _COMMON if name in data}
        _, row = rows.setdefault(place, (number, {**common, "samples": []}))
        if data.get("gold") != row.get("gold"):
            golds = f"{data.get('gold')!r}, but {row.get('gold')!r} in an earlier line of the same id"
            raise BadInput(f"line {number}: gold is {golds}")
        row["samples"].append({name: value for name, value in data.items() if name not in _COMMON})
    return list(rows.values())


def from_verdicts(data: Mapping[str, Any]) -> dict[str, Any]:
    """A row from lists of verdicts, one for each way; the answers themselves aren't recorded."""
    samples: list[dict[str, Any]] = []
    for name, verdicts in data.items():
        if not name.endswith(_VERDICTS) or not isinstance(verdicts, list):
            continue
        way = name.removesuffix(_VERDICTS)
        lists = {"correct": verdicts, "chars": data.get(f"{way}_chars"), "tokens": data.get(f"{way}_tokens")}
        columns = {key: values for key, values in lists.items() if isinstance(values, list)}
        samples.extend({**each, "way": way} for each in _zipped(columns, f"way {way!r}"))
    return {"id": _identity(data), "question": data.get("question") or data.get("puzzle"), "samples": samples}


def _identity(data: Mapping[str, Any]) -> Any:
    return next((data[name] for name in ("id", "i", "idx") if data.get(name) is not None), None)
