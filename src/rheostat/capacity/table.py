"""Step tables: how long one step of a server takes, by batch and context. JSON, to be read and edited.

A table, not a formula: a linear fit misses the steps of mixture-of-experts models by 20 % in the mean, and up to 69 %.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from rheostat.errors import BadInput
from rheostat.files import read_text
from rheostat.visible import visible_json

__all__ = ["FORMAT", "Curve", "StepTable", "shipped_tables"]

FORMAT: Final = "rheostat-steps-1"
_MOST: Final = 10**9
_COUNTS: Final = ("kv_tokens", "max_sequences", "max_batched_tokens", "max_context_tokens", "gpus")


class Curve:
    """Seconds of a decode step by mean context, for one batch: linear between the table's points.

    Its integral tells how long many steps take during which each context grows by a token a step.
    """

    __slots__ = ("_areas", "_seconds", "_tokens")

    def __init__(self, tokens: Sequence[float], seconds: Sequence[float]) -> None:
        slope = (seconds[-1] - seconds[-2]) / (tokens[-1] - tokens[-2]) if len(tokens) > 1 else 0.0
        end = tokens[-1] + _MOST
        self._tokens = [0.0, *(each for each in tokens if each > 0), end]
        self._seconds = [
            seconds[0],
            *(value for at, value in zip(tokens, seconds, strict=True) if at > 0),
            seconds[-1] + max(slope, 0.0) * _MOST,
        ]
        self._areas = [0.0]
        for place in range(1, len(self._tokens)):
            wide = self._tokens[place] - self._tokens[place - 1]
            mean = (self._seconds[place] + self._seconds[place - 1]) / 2
            self._areas.append(self._areas[-1] + wide * mean)

    def at(self, context: float) -> float:
        """Seconds of one step at this mean context, in tokens."""
        place = bisect_right(self._tokens, context) - 1
        start, end = self._tokens[place], self._tokens[place + 1]
        low, high = self._seconds[place], self._seconds[place + 1]
        return low + (high - low) * (context - start) / (end - start)

    def _area(self, context: float) -> float:
        tokens, seconds = self._tokens, self._seconds
        place = bisect_right(tokens, context) - 1
        wide = context - tokens[place]
        low = seconds[place]
        slope = (seconds[place + 1] - low) / (tokens[place + 1] - tokens[place])
        return self._areas[place] + wide * (low + slope * wide / 2)

    def during(self, context: float, steps: float) -> float:
        """Seconds of so many steps from this mean context on."""
        return self._area(context + steps) - self._area(context)

    def steps_in(self, context: float, seconds: float) -> float:
        """How many steps, with fractions, take so many seconds from this mean context on."""
        goal = self._area(context) + seconds
        place = bisect_right(self._areas, goal) - 1
        start, low = self._tokens[place], self._seconds[place]
        slope = (self._seconds[place + 1] - low) / (self._tokens[place + 1] - start)
        left = goal - self._areas[place]
        root = math.sqrt(max(low * low + 2 * slope * left, 0.0))
        return start + 2 * left / (low + root) - context


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTable:
    """How long steps of one replica take, and what it can hold."""

    name: str = ""
    model: str
    engine: str = ""
    """The server and its version, such as `vllm 0.24.0`."""
    gpu: str = ""
    gpus: int = 1
    """The GPUs of one replica (tensor parallel)."""
    kv_dtype: str
    """The type of the KV cache: half the bytes are twice the tokens, so that it is never assumed."""
    kv_tokens: int
    """The most tokens that the KV cache of a replica holds."""
    max_sequences: int
    """The most requests that run side by side (vLLM: `--max-num-seqs`; llama.cpp: slots)."""
    max_batched_tokens: int
    """The most tokens of one step, prefill and decode together (vLLM: `--max-num-batched-tokens`)."""
    max_context_tokens: int
    """The most tokens of one request, input and output together (vLLM: `--max-model-len`)."""
    batch: tuple[int, ...]
    """Ascending: the rows of `decode_seconds`."""
    context_tokens: tuple[int, ...]
    """Ascending: the columns of `decode_seconds`."""
    decode_seconds: tuple[tuple[float, ...], ...]
    """A step that brings each of `batch` requests one token, at this mean context."""
    prefill_tokens: tuple[int, ...]
    """Ascending."""
    prefill_seconds: tuple[float, ...]
    """A step that reads a prompt of so many tokens, alone."""
    source: str = ""
    date: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        for name in _COUNTS:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _MOST:
                raise BadInput(f"{name} is a whole number from 1 to {_MOST:,}, not {value!r}")
        for name in ("batch", "context_tokens", "prefill_tokens"):
            _ascending(name, getattr(self, name))
        if len(self.decode_seconds) != len(self.batch):
            raise BadInput(f"decode_seconds has {len(self.decode_seconds)} rows for {len(self.batch)} batches")
        for batch, row in zip(self.batch, self.decode_seconds, strict=True):
            _times(f"decode_seconds of batch {batch}", row, len(self.context_tokens))
        _times("prefill_seconds", self.prefill_seconds, len(self.prefill_tokens))
        if self.max_context_tokens > self.kv_tokens:
            raise BadInput(
                f"a request of max_context_tokens ({self.max_context_tokens:,}) doesn't fit into kv_tokens "
                f"({self.kv_tokens:,}): lower the one, as the server must too"
            )

    # --- time ------------------------------------------------------------------------------------

    def curve(self, batch: float) -> Curve:
        """The decode step at this batch; between the table's batches linear, above the last one on its last slope."""
        place, share = _place(self.batch, batch)
        if len(self.batch) == 1:
            return Curve(self.context_tokens, self.decode_seconds[0])
        low, high = self.decode_seconds[place], self.decode_seconds[place + 1]
        return Curve(self.context_tokens, [max(a + (b - a) * share, 1e-9) for a, b in zip(low, high, strict=True)])

    def decode_step(self, batch: float, context: float) -> float:
        """Seconds of a decode step, bilinear in batch and mean context."""
        return self.curve(batch).at(context)

    def prefill_step(self, tokens: float) -> float:
        """Seconds to read a prompt of so many tokens, alone; below the table's first, down to a step's."""
        if tokens < self.prefill_tokens[0]:
            return self.step_seconds + (self.prefill_seconds[0] - self.step_seconds) * tokens / self.prefill_tokens[0]
        if len(self.prefill_tokens) == 1:
            return self.prefill_seconds[0]
        place, share = _place(self.prefill_tokens, tokens)
        low, high = self.prefill_seconds[place], self.prefill_seconds[place + 1]
        return low + (high - low) * share

    @property
    def step_seconds(self) -> float:
        """What a step costs before it does anything, mostly reading the weights: of a shared step it is paid once."""
        return min(self.prefill_seconds[0], self.decode_seconds[0][0])

    def prefill_times(self) -> list[float]:
        """Seconds of a step by its tokens, from none to the most that one request or one step has.

        Tokens read beside others pay the difference: the weights (of a mixture of experts: the experts) are read once.
        """
        most = max(self.max_context_tokens, self.max_batched_tokens + self.max_sequences) + 1
        times, slowest = [self.step_seconds], self.step_seconds
        for tokens in range(1, most + 1):
            slowest = max(self.prefill_step(tokens), slowest)
            times.append(slowest)
        return times

    def slower(self, factor: float) -> StepTable:
        """The table with all times multiplied, as a safety margin.

        Raises:
            BadInput: The factor isn't a number above 0.
        """
        if not math.isfinite(factor) or factor <= 0:
            raise BadInput(f"the factor of safety is a number above 0, not {factor!r}")
        return replace(
            self,
            decode_seconds=tuple(tuple(each * factor for each in row) for row in self.decode_seconds),
            prefill_seconds=tuple(each * factor for each in self.prefill_seconds),
        )

    # --- files -----------------------------------------------------------------------------------

    def to_text(self) -> str:
        """The table as JSON, one row a line."""
        data = {"format": FORMAT, **asdict(self)}
        rows = ",\n  ".join(json.dumps([float(f"{each:.5g}") for each in row]) for row in self.decode_seconds)
        data["prefill_seconds"] = [float(f"{each:.5g}") for each in self.prefill_seconds]
        lines = [
            f'"decode_seconds": [\n  {rows}]' if key == "decode_seconds" else f"{json.dumps(key)}: {json.dumps(value)}"
            for key, value in data.items()
        ]
        return visible_json("{" + ",\n ".join(lines) + "}\n")

    @classmethod
    def from_text(cls, text: str, name: str = "step table") -> StepTable:
        """The inverse of `to_text`.

        Raises:
            BadInput: It isn't a step table; the message says what is wrong.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{name}: not JSON ({error})") from None
        given = data.get("format") if isinstance(data, Mapping) else type(data).__name__
        if given != FORMAT:
            raise BadInput(f'{name} is no step table: expected {{"format": "{FORMAT}", …}}, not {given!r}')
        known = {each.name for each in fields(cls)}
        unknown, needed = data.keys() - known - {"format"}, {"kv_dtype", "kv_tokens", "model"} - data.keys()
        if unknown:
            raise BadInput(f"{name}: unknown {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
        if needed:
            raise BadInput(f"{name}: {', '.join(sorted(needed))} missing")
        try:
            return cls(**{key: _frozen(value) for key, value in data.items() if key != "format"})
        except (BadInput, TypeError) as error:
            raise BadInput(f"{name}: {error}") from None

    @classmethod
    def read(cls, named: str | Path) -> StepTable:
        """Read a file, or a shipped table by name, with or without `.json`.

        Raises:
            BadInput: There is no such file or table, or it isn't a step table.
        """
        path = Path(named)
        shipped = shipped_tables()
        if not path.exists() and path.name.removesuffix(".json") in shipped and path.name == str(named):
            return shipped[path.name.removesuffix(".json")]
        if not path.exists():
            raise BadInput(f"no step table {named}: give a file, or one of {', '.join(sorted(shipped))}")
        return cls.from_text(read_text(path, "step table"), str(path))


def shipped_tables() -> dict[str, StepTable]:
    """The tables in the package, by name."""
    found = {}
    for each in (files("rheostat.capacity") / "tables").iterdir():
        if each.name.endswith(".json"):
            found[each.name.removesuffix(".json")] = StepTable.from_text(each.read_text(encoding="utf-8"), each.name)
    return dict(sorted(found.items()))


def _place(grid: Sequence[int], value: float) -> tuple[int, float]:
    """The cell of a value, and how far it is inside; below the grid at its start, above it beyond the last cell."""
    place = min(max(bisect_right(grid, value) - 1, 0), max(len(grid) - 2, 0))
    wide = grid[place + 1] - grid[place] if len(grid) > 1 else 1
    return place, max((value - grid[place]) / wide, 0.0)


def _ascending(name: str, values: Any) -> None:
    whole = isinstance(values, tuple) and all(isinstance(each, int) and 0 <= each <= _MOST for each in values)
    if not whole or not values or any(two <= one for one, two in pairwise(values)):
        raise BadInput(f"{name} is an ascending list of whole numbers, not {values!r}")


def _times(name: str, values: Any, count: int) -> None:
    if not isinstance(values, tuple) or len(values) != count:
        raise BadInput(f"{name} has {len(values) if isinstance(values, tuple) else values!r} times; expected {count}")
    for each in values:
        if isinstance(each, bool) or not isinstance(each, int | float) or not math.isfinite(each) or each <= 0:
            raise BadInput(f"{name}: a time is a number of seconds above 0, not {each!r}")


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
