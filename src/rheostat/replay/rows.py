"""One recorded question and its samples, as plain data."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from rheostat.errors import BadInput
from rheostat.money.usage import usd_nanos
from rheostat.replay.keys import key_of, right

__all__ = ["Row", "Sample", "row_of"]

EXPECTED = '{"id": …, "gold": …, "samples": [{"answer": …, "tokens": …}, …]}'
CHARS_PER_TOKEN = 4
_MOST = 10**9
"""The most tokens, characters or dollars of a sample; beyond, sums would lose digits."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One recorded sample."""

    answer: str | None = None
    """The answer as text; `None`: there is none."""
    key: str | None = None
    """Equal answers have equal keys; `None`: no answer, or one that isn't recorded."""
    correct: bool = False
    """Whether it is right. Only the report looks at it; no strategy does."""
    tokens: int | None = None
    estimated: bool = False
    """The tokens are estimated from characters, at four each."""
    usd_nanos: int | None = None
    score: float | None = None
    passed: bool | None = None
    logprob: float | None = None
    low_logprob: float | None = None
    greedy: bool = False
    way: str = ""
    """How it was asked."""
    model: str = ""
    parent: int | None = None
    """The place in the row of the sample that it corrects."""

    @property
    def named(self) -> str:
        """Model and way, as in `GPT3/cot1`."""
        return "/".join(each for each in (self.model, self.way) if each)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One recorded question."""

    id: str
    samples: tuple[Sample, ...]
    question: str = ""
    set: str = ""
    """The set of questions that it belongs to, where a file holds several."""

    def keeping(self, wanted: Callable[[Sample], bool]) -> Row:
        """The row with some of its samples; a correction of one that is left out is left out too."""
        kept: set[int] = set()
        for number in _parents_first(self.samples):
            each = self.samples[number]
            if wanted(each) and (each.parent is None or each.parent in kept):
                kept.add(number)
        places = {number: place for place, number in enumerate(sorted(kept))}
        samples = (self.samples[number] for number in places)
        moved = (each if each.parent is None else replace(each, parent=places[each.parent]) for each in samples)
        return replace(self, samples=tuple(moved))


def row_of(data: Any, *, number: int = 0) -> Row:
    """Read one row in the format of docs/reference/replay.md.

    Args:
        number: The place of the row in its file, for a row without an id.

    Raises:
        BadInput: It says what is wrong, and what is expected.
    """
    if not isinstance(data, Mapping):
        raise BadInput(f"a row is an object {EXPECTED}, not {_shown(data)}")
    if "samples" not in data:
        raise BadInput(f"the row has no samples (its keys: {', '.join(map(str, data)) or 'none'}); expected {EXPECTED}")
    given = data["samples"]
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise BadInput(f'"samples" is a list of objects such as {{"answer": "42", "tokens": 120}}, not {_shown(given)}')
    _check_gold(data, given)
    samples = []
    places = {str(each["id"]): place for place, each in enumerate(given) if isinstance(each, Mapping) and "id" in each}
    for place, each in enumerate(given):
        try:
            samples.append(_sample(each, data, places, place, len(given)))
        except BadInput as error:
            raise BadInput(f"sample {place}: {error}") from None
    _check_roots(samples)
    identity = data.get("id")
    return Row(
        id=str(number) if identity is None else _text(identity),
        samples=tuple(samples),
        question=_text(data.get("question")),
        set=_text(data.get("set")),
    )


def _check_gold(data: Mapping[str, Any], given: Sequence[Any]) -> None:
    gold = data.get("gold")
    if key_of(gold) is not None:
        return
    for place, each in enumerate(given):
        if isinstance(each, Mapping) and each.get("correct") is None and each.get("passed") is None:
            raise BadInput(f'"gold" is missing, and sample {place} has neither "correct" nor "passed" instead')


def _sample(data: Any, row: Mapping[str, Any], places: Mapping[str, int], place: int, count: int) -> Sample:
    if not isinstance(data, Mapping):
        raise BadInput(f'a sample is an object such as {{"answer": "42", "tokens": 120}}, not {_shown(data)}')
    gold = row.get("gold")
    passed, said = _truth(data, "passed"), _truth(data, "correct")
    answer = data.get("answer")
    key = key_of(answer)
    if "answer" not in data:
        if said is None and passed is None:
            raise BadInput('it has no "answer" (null means that it gave none), and neither "correct" nor "passed"')
        text: str | None = f"answer {place}, not recorded"
    else:
        text = None if key is None else answer.strip() if isinstance(answer, str) else json.dumps(answer)
    judged = said if said is not None else right(answer, gold) if key_of(gold) is not None else bool(passed)
    tokens, chars = (_count(data, name) for name in ("tokens", "chars"))
    temperature = _number(data, "temperature")
    greedy = _truth(data, "greedy")
    return Sample(
        answer=text,
        key=key,
        correct=judged and text is not None,
        tokens=tokens if tokens is not None else None if chars is None else -(-chars // CHARS_PER_TOKEN),
        estimated=tokens is None and chars is not None,
        usd_nanos=_dollars(data),
        score=_number(data, "score"),
        passed=passed,
        logprob=_number(data, "logprob"),
        low_logprob=_number(data, "min32_logprob"),
        greedy=greedy if greedy is not None else temperature == 0,
        way=_text(data.get("way")),
        model=_text(data.get("model") or row.get("model")),
        parent=_parent(data.get("parent"), places, place, count),
    )


def _parent(given: Any, places: Mapping[str, int], place: int, count: int) -> int | None:
    if given is None:
        return None
    at = places.get(str(given))  # a sample's own id is meant before its place
    if at is None and isinstance(given, int) and not isinstance(given, bool) and 0 <= given < count:
        at = given
    if at is None:
        raise BadInput(f'"parent" is a sample\'s place in the row (0 to {count - 1}) or its "id", not {_shown(given)}')
    if at == place:
        raise BadInput('"parent" is the sample itself')
    return at


def _check_roots(samples: Sequence[Sample]) -> None:
    if len(_parents_first(samples)) < len(samples):
        raise BadInput("the parents of its samples form a circle: a tree begins with samples without a parent")


def _parents_first(samples: Sequence[Sample]) -> list[int]:
    below: dict[int | None, list[int]] = {}
    for place, each in enumerate(samples):
        below.setdefault(each.parent, []).append(place)
    order = list(below.get(None, ()))
    for place in order:  # it grows while it is read: breadth first
        order.extend(below.get(place, ()))
    return order


def _text(given: Any) -> str:
    """Text that can be printed: JSON may hold half of a surrogate pair."""
    return "" if given is None else str(given).encode("utf-8", "replace").decode()


def _truth(data: Mapping[str, Any], name: str) -> bool | None:
    given = data.get(name)
    if given is None or isinstance(given, bool):
        return given
    if given in (0, 1):
        return bool(given)
    raise BadInput(f'"{name}" is true, false or null, not {_shown(given)}')


def _number(data: Mapping[str, Any], name: str) -> float | None:
    given = data.get(name)
    if given is None:
        return None
    try:
        value = float(given)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise BadInput(f'"{name}" is a finite number or null, not {_shown(given)}')
    return value


def _count(data: Mapping[str, Any], name: str) -> int | None:
    value = _number(data, name)
    if value is None:
        return None
    if not 0 <= value <= _MOST:
        raise BadInput(f'"{name}" is a number from 0 to {_MOST:,}, not {_shown(data[name])}')
    return round(value)


def _dollars(data: Mapping[str, Any]) -> int | None:
    value = _number(data, "usd")
    if value is None:
        return None
    if not 0 <= value <= _MOST:
        raise BadInput(f'"usd" is a number of US dollars from 0 to {_MOST:,}, not {_shown(data["usd"])}')
    return usd_nanos(value)


def _shown(given: Any) -> str:
    text = given if isinstance(given, str) else json.dumps(given, default=str)
    return text if len(text) <= 60 else f"{text[:57]}…"
