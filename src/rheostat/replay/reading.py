"""Read recorded samples from a file, in any of the known formats."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import exp
from pathlib import Path
from typing import Any, Literal, get_args

from rheostat.errors import BadInput
from rheostat.files import read_text
from rheostat.replay.choice import Choice, choose
from rheostat.replay.recorded import FORMATS, format_of, from_flat, from_pools, from_verdicts
from rheostat.replay.rows import Row, Sample, row_of

__all__ = ["Recording", "ScoreFrom", "read_rows", "rows_of"]

MOST_BYTES = 1 << 30
ScoreFrom = Literal["score", "logprob", "min32_logprob"]


@dataclass(frozen=True, slots=True)
class Recording:
    """The rows of a file, and what one should know about them."""

    rows: tuple[Row, ...]
    format: str
    notes: tuple[str, ...] = ()


def read_rows(
    path: Path,
    choice: Choice | None = None,
    *,
    limit: int | None = None,
    score: ScoreFrom | None = "score",
    verified: bool = False,
) -> Recording:
    """Read a file of recorded samples: JSON Lines, also packed with gzip.

    Args:
        choice: Which samples to take.
        limit: The most rows, from the first.
        score: What the score is: `score`, or e to the power of a log-probability; `None`: strategies see no scores.
        verified: Whether a sample is right also is the verdict of a verifier, so that strategies see it.

    Raises:
        BadInput: The file can't be read, or a line isn't what it should be: names the line, and what is expected.
    """
    text = read_text(path, "recording", most_bytes=MOST_BYTES, may_be_packed=True)
    return rows_of(_lines(text, path), choice, name=str(path), limit=limit, score=score, verified=verified)


def rows_of(
    lines: Sequence[tuple[int, Any]],
    choice: Choice | None = None,
    *,
    name: str = "recording",
    limit: int | None = None,
    score: ScoreFrom | None = "score",
    verified: bool = False,
) -> Recording:
    """The rows of parsed lines; see `read_rows`.

    Args:
        lines: (line number, data).
        name: The name of the file, for messages.
    """
    if score is not None and score not in get_args(ScoreFrom):
        raise BadInput(f"score is one of {', '.join(get_args(ScoreFrom))}; not {score!r}")
    if limit is not None and limit < 1:
        raise BadInput(f"limit must be at least 1, not {limit}")
    if not lines:
        raise BadInput(f"{name} holds no row; expected {FORMATS['rows']}")
    kind, plain = _plain(lines, name)
    rows = [_row(data, number, place, name) for place, (number, data) in enumerate(plain)]
    rows, notes = choose(rows, choice or Choice(), pools=kind in ("pools", "verdicts"))
    rows = rows[:limit]
    if score is None:
        rows = [_each(row, lambda each: replace(each, score=None)) for row in rows]
    elif score != "score":
        rows = _scored_by(rows, score)
    rows, more = _scaled(rows)
    if verified:
        rows = [_each(row, lambda each: replace(each, passed=each.correct)) for row in rows]
    return Recording(tuple(rows), kind, (*notes, *more, *_remarks(rows)))


def _lines(text: str, path: Path) -> list[tuple[int, Any]]:
    if text.lstrip().startswith("["):
        whole = _parsed(text, f"{path}")
        return list(enumerate(whole, 1))
    return [
        (number, _parsed(line, f"{path}, line {number}"))
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    ]


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        said = f"{error.msg} at character {error.pos}" if isinstance(error, json.JSONDecodeError) else str(error)
        raise BadInput(f"{where}: not JSON ({said}); expected {FORMATS['rows']}") from None


def _plain(lines: Sequence[tuple[int, Any]], name: str) -> tuple[str, list[tuple[int, Mapping[str, Any]]]]:
    kinds: dict[str, int] = {}
    plain: list[tuple[int, Mapping[str, Any]]] = []
    flat: list[tuple[int, Mapping[str, Any]]] = []
    for number, data in lines:
        with _at(name, number):
            kind = format_of(data)
            kinds.setdefault(kind, number)
            if len(kinds) > 1:
                first = next(iter(kinds))
                raise BadInput(f"its format isn't that of line {kinds[first]}: expected {FORMATS[first]}")
            if kind == "flat":
                flat.append((number, data))
            else:
                plain.append((number, _CONVERT[kind](data)))
    if flat:
        try:
            plain = list(from_flat(flat))
        except BadInput as error:
            raise BadInput(f"{name}, {error}") from None
    return next(iter(kinds)), plain


_CONVERT: Mapping[str, Any] = {"rows": dict, "pools": from_pools, "verdicts": from_verdicts}


def _row(data: Mapping[str, Any], number: int, place: int, name: str) -> Row:
    with _at(name, number):
        return row_of(data, number=place)


@contextmanager
def _at(name: str, number: int) -> Iterator[None]:
    """Errors name the file and the line."""
    try:
        yield
    except BadInput as error:
        raise BadInput(f"{name}, line {number}: {error}") from None


def _each(row: Row, change: Callable[[Sample], Sample]) -> Row:
    return replace(row, samples=tuple(change(each) for each in row.samples))


def _scored_by(rows: Sequence[Row], score: ScoreFrom) -> list[Row]:
    def changed(sample: Sample) -> Sample:
        value = sample.low_logprob if score == "min32_logprob" else sample.logprob
        return replace(sample, score=None if value is None else exp(min(value, 0.0)))

    made = [_each(row, changed) for row in rows]
    if not any(each.score is not None for row in made for each in row.samples):
        raise BadInput(f'no sample has "{score}", so that there is no score')
    return made


def _scaled(rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Scores from 0 to 1, as strategies expect."""
    scores = [each.score for row in rows for each in row.samples if each.score is not None]
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    if low >= 0 and high <= 1:
        return list(rows), []
    width = (high - low) or 1.0

    def changed(sample: Sample) -> Sample:
        return sample if sample.score is None else replace(sample, score=(sample.score - low) / width)

    return [_each(row, changed) for row in rows], [f"scores from {low:g} to {high:g} were scaled to 0 to 1"]


def _remarks(rows: Sequence[Row]) -> list[str]:
    samples = [each for row in rows for each in row.samples]
    lacking = sum(each.tokens is None for each in samples)
    unpriced = sum(each.usd_nanos is None for each in samples)
    empty = sum(not row.samples for row in rows)
    silent = sum(each.answer is None for each in samples)
    notes = []
    if lacking:
        notes.append(f"{lacking:,} of {len(samples):,} samples have no tokens: no token figures")
    if any(each.estimated for each in samples):
        notes.append("tokens estimated from characters (4 a token)")
    if 0 < unpriced < len(samples):
        notes.append(f"{unpriced:,} of {len(samples):,} samples have no price: no figures in dollars")
    if empty:
        notes.append(f"{empty:,} of {len(rows):,} rows have no sample: they count as wrong")
    if silent:
        notes.append(f"{silent:,} of {len(samples):,} samples have no answer: they are no votes and never right")
    return notes
