"""A strategy beside its controls, with what each costs and paired intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rheostat.replay.controls import Control, Run, controls_for
from rheostat.replay.intervals import intervals
from rheostat.replay.play import replay
from rheostat.replay.rows import Row, Sample
from rheostat.replay.tape import order_of
from rheostat.strategies import BestOfN, Strategy, TreeSearch

__all__ = ["Comparison", "Line", "compare", "kind_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What the strategy or one control reaches, as means over rows and orders."""

    id: str
    name: str
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    """The 95 % interval, over rows."""
    samples: float
    tokens: float | None
    """`None`: not all samples say."""
    usd: float | None
    difference: float | None = None
    """The strategy's accuracy minus this one's; `None` for the strategy itself."""
    difference_low: float | None = None
    difference_high: float | None = None
    """The paired 95 % interval of the difference, over rows."""
    matched: bool = False
    """A control that draws as many samples as the strategy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The strategy's line and those of its controls."""

    kind: str
    rows: int
    orders: int
    seed: int
    lines: tuple[Line, ...]
    """The strategy's first."""
    notes: tuple[str, ...] = ()

    @property
    def strategy(self) -> Line:
        """The strategy's line."""
        return self.lines[0]

    def line(self, identity: str) -> Line:
        """The line of this id."""
        return next(each for each in self.lines if each.id == identity)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as `--json` prints it."""
        plain = {"kind": self.kind, "rows": self.rows, "orders": self.orders, "seed": self.seed}
        return {**plain, "notes": list(self.notes), "lines": [asdict(each) for each in self.lines]}


@dataclass(slots=True)
class _Column:
    """The means of each row."""

    accuracy: list[float] = field(default_factory=list)
    samples: list[float] = field(default_factory=list)
    tokens: list[float] = field(default_factory=list)
    nanos: list[float] = field(default_factory=list)

    def add(self, row: Row, ends: Sequence[tuple[float, Sequence[int]]]) -> None:
        """A row: for each order, whether it was right and what was drawn."""
        runs = len(ends)
        tokens, nanos = (_amounts(row.samples, name) for name in ("tokens", "usd_nanos"))
        self.accuracy.append(sum(correct for correct, _ in ends) / runs)
        self.samples.append(sum(len(drawn) for _, drawn in ends) / runs)
        self.tokens.append(sum(tokens[at] for _, drawn in ends for at in drawn) / runs)
        self.nanos.append(sum(nanos[at] for _, drawn in ends for at in drawn) / runs)


def kind_of(strategy: Strategy) -> str:
    """The kind of controls that suit a strategy."""
    return "best-of-n" if isinstance(strategy, BestOfN) else "tree" if isinstance(strategy, TreeSearch) else "votes"


def compare(
    rows: Sequence[Row],
    strategy: Strategy,
    *,
    orders: int = 20,
    seed: int = 0,
    kind: str | None = None,
    name: str = "",
    worth_usd_nanos: int | None = None,
    on_row: Callable[[], Any] | None = None,
) -> Comparison:
    """Replay a strategy and its controls over the same samples in the same orders; see `replay`.

    Corrections (samples with a parent) are left out but for trees.

    Args:
        kind: The controls: `votes`, `best-of-n` or `tree`; `None`: those that suit the strategy.
        name: The strategy's name in the result.
        on_row: Called twice for each row: after the strategy, and after the controls.
    """
    kind = kind or kind_of(strategy)
    corrections = sum(each.parent is not None for row in rows for each in row.samples)
    notes: list[str] = []
    if corrections and kind != "tree":
        rows = [row.keeping(lambda each: each.parent is None) for row in rows]
        notes.append(f"{corrections:,} corrections (samples with a parent) are left out: only a tree draws them")
    played = replay(rows, strategy, orders=orders, seed=seed, worth_usd_nanos=worth_usd_nanos, on_row=on_row)
    controls = controls_for(kind, rows, played.samples)
    ours, theirs = _Column(), [_Column() for _ in controls]
    for row, outcomes in zip(rows, played.outcomes, strict=True):
        ours.add(row, [(outcome.correct, outcome.drawn) for outcome in outcomes])
        runs = [Run(row.samples, order_of(row, number, seed), outcome) for number, outcome in enumerate(outcomes)]
        for control, column in zip(controls, theirs, strict=True):
            column.add(row, _ends(control, runs))
        if on_row is not None:
            on_row()
    samples = [each for row in rows for each in row.samples]
    known = (all(each.tokens is not None for each in samples), all(each.usd_nanos is not None for each in samples))
    columns = [column.accuracy for column in (ours, *theirs)]
    gaps = [[a - b for a, b in zip(ours.accuracy, column.accuracy, strict=True)] for column in theirs]
    bounds = intervals([*columns, *gaps], seed=seed)
    lines = [_line("strategy", name or type(strategy).__name__, ours, bounds[0], known)]
    for control, column, own, gap, (low, high) in zip(
        controls, theirs, bounds[1:], gaps, bounds[len(columns) :], strict=False
    ):
        difference = (_mean(gap), low, high)
        lines.append(_line(control.id, control.name, column, own, known, difference, matched=control.matched))
    missing = sum(outcome.missing for row in played.outcomes for outcome in row)
    asked = missing + sum(len(outcome.drawn) for row in played.outcomes for outcome in row)
    if missing:
        share = f"{missing / asked:.1%} of the draws found no unused sample in the record"
        notes.append(f"{share}: nodes without an answer, at no cost")
    return Comparison(kind=kind, rows=len(rows), orders=orders, seed=seed, lines=tuple(lines), notes=tuple(notes))


def _ends(control: Control, runs: Sequence[Run]) -> list[tuple[float, Sequence[int]]]:
    if control.average:
        samples = runs[0].samples
        return [(float(each.correct), (at,)) for at, each in enumerate(samples)] or [(0.0, ())]
    ends: list[tuple[float, Sequence[int]]] = []
    for run in runs:
        at, drawn = control.take(run)
        right = (
            any(each.correct for each in run.samples) if control.oracle else at is not None and run.samples[at].correct
        )
        ends.append((float(right), drawn))
    return ends


def _line(
    identity: str,
    name: str,
    column: _Column,
    own: tuple[float, float],
    known: tuple[bool, bool],
    difference: tuple[float, float, float] | tuple[None, None, None] = (None, None, None),
    *,
    matched: bool = False,
) -> Line:
    return Line(
        id=identity,
        name=name,
        accuracy=_mean(column.accuracy),
        accuracy_low=own[0],
        accuracy_high=own[1],
        samples=_mean(column.samples),
        tokens=_mean(column.tokens) if known[0] else None,
        usd=_mean(column.nanos) / 1e9 if known[1] else None,
        difference=difference[0],
        difference_low=difference[1],
        difference_high=difference[2],
        matched=matched,
    )


def _amounts(samples: Sequence[Sample], name: str) -> list[int]:
    return [getattr(each, name) or 0 for each in samples]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
