"""The policy beside every fixed arm as a picture: `python -m rheostat.bench.picture RECORD.jsonl PICTURE.svg`.

The record is that of `make bench-arms`. A panel for each set of tasks, a point for each setting, 95 % intervals of a
bootstrap over tasks in both directions. The colours are readable on a light and on a dark page.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rheostat.bench.record import read_record
from rheostat.errors import MissingExtra
from rheostat.replay.intervals import intervals

__all__ = ["draw", "main"]

_GREY, _BLUE, _ORANGE = "#7d8590", "#3b82d6", "#d9730d"
_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",  # text stays text: small, searchable, in the reader's font
    "svg.hashsalt": "rheostat",
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": _GREY,
    "axes.labelcolor": _GREY,
    "axes.edgecolor": _GREY,
    "xtick.color": _GREY,
    "ytick.color": _GREY,
}
_TITLES: Final = {
    "multiarith 61-": "MultiArith 61 to 180",
    "mbpp": "MBPP, its tests as verifier",
    "gsm8k": "GSM8K 61 to 100",
}
Row = Mapping[str, Any]


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw the record's sets of tasks side by side.

    Raises:
        MissingExtra: matplotlib isn't installed.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise MissingExtra("a picture", "plot") from None
    mpl.use("Agg")
    from matplotlib import pyplot

    sets: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if "," not in row["models"]:  # several models are compared in money
            sets[f"{_TITLES.get(row['set'], row['set'])}, {row['models']}"].append(row)
    with mpl.rc_context(_STYLE):
        figure, panels = pyplot.subplots(1, len(sets), figsize=(5.4 * len(sets), 4.6), sharey=True, squeeze=False)
        for axes, (title, group) in zip(panels[0], sets.items(), strict=True):
            _panel(axes, title, group)
        panels[0][0].set_ylabel("right, %")
        figure.tight_layout()
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        pyplot.close(figure)


def _panel(axes: Any, title: str, rows: Sequence[Row]) -> None:
    by: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by[row["setting"]].append(row)
    means = {
        setting: tuple(sum(float(row[name]) for row in tasks) / len(tasks) for name in ("output_tokens", "right"))
        for setting, tasks in by.items()
    }
    points: list[tuple[float, float, str, str]] = []
    for setting, tasks in by.items():
        tokens, right = means[setting][0], 100 * means[setting][1]
        columns = [[100.0 * row["right"] for row in tasks], [float(row["output_tokens"]) for row in tasks]]
        (low, high), (less, more) = intervals(columns)
        ours = _ours(setting)
        colour = _ORANGE if ours else _BLUE
        spans = {"xerr": [[tokens - less], [more - tokens]], "yerr": [[right - low], [high - right]]}
        axes.errorbar(tokens, right, **spans, fmt="o" if ours else "s", color=colour, elinewidth=0.7, alpha=0.9)
        name = setting.removeprefix("policy, ") if ours else setting.rsplit(" · ", 1)[-1]
        points.append((tokens, right, f"{name} {right:.0f} %", colour))
    for (tokens, right, text, colour), down in zip(points, _offsets(points), strict=True):
        axes.annotate(
            text, (tokens, right), textcoords="offset points", xytext=(7, down), ha="left", color=colour, fontsize=9
        )
    tasks_each = {len(tasks) for tasks in by.values()}
    axes.set_title(f"{title}\n{' to '.join(map(str, sorted(tasks_each)))} tasks", fontsize=11)
    axes.set_xlabel("output tokens a task")
    axes.set_xlim(left=0)
    axes.set_ylim(0, 100)
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.plot([], [], "o", color=_ORANGE, label="policy, at its presets")
    axes.plot([], [], "s", color=_BLUE, label="fixed: one answer, one way of asking")
    axes.legend(loc="upper right", frameon=False, fontsize=9)


def _ours(setting: str) -> bool:
    return setting.startswith("policy")


_WIDE, _HIGH, _LINE, _LETTER = 300.0, 250.0, 11.0, 5.0
"""A panel, a line and a letter, in points."""


def _offsets(points: Sequence[tuple[float, float, str, str]]) -> list[float]:
    """How far each name goes above its point, in points, so that no two names cover each other."""
    widest = max(tokens for tokens, *_ in points) or 1.0
    taken: list[tuple[float, float, float]] = []
    found: dict[int, float] = {}
    for number in sorted(range(len(points)), key=lambda each: points[each][0]):
        tokens, right, text, _ = points[number]
        left, long = _WIDE * tokens / widest, _LETTER * len(text)
        for down in (5.0, -13.0, 17.0, -25.0, 29.0, -37.0, 41.0):
            level = _HIGH * right / 100 + down
            free = all(
                abs(level - other) >= _LINE or left > start + width or start > left + long
                for other, start, width in taken
            )
            if free:
                break
        taken.append((level, left, long))
        found[number] = down
    return [found[number] for number in range(len(points))]


def main(record: str, picture: str) -> None:
    """Draw a record of `make bench-arms`."""
    draw(read_record(Path(record)), Path(picture))


if __name__ == "__main__":
    main(*sys.argv[1:])
