"""The pictures of docs/explanation/capacity.md: `python -m rheostat.bench.capacity_picture docs/pictures`.

What one chat request and one thinking request hold in the KV cache over time, and the cliff. Readable on a light and on
a dark page.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import numpy as np

from rheostat.bench.capacity import demands
from rheostat.capacity import Limits, StepTable, Traffic, make_plan
from rheostat.capacity.plot import COLOURS, GREY, figure_of, plot_plan, save

__all__ = ["main"]

_TABLE: Final = "h200-qwen3-32b-fp8"
_BATCH: Final = 16


def held(path: Path) -> None:
    """The tokens that one request of mean length holds in the KV cache, over time, in a batch of `_BATCH`."""
    table = StepTable.read(_TABLE)
    figure, (axes,) = figure_of()
    for number, name in enumerate(("high", "chat")):
        means = demands()[name].within(table.max_context_tokens).moments
        steps = np.linspace(0, means.output_tokens, 200)
        curve = table.curve(_BATCH)
        seconds = [curve.during(means.input_tokens, float(each)) for each in steps]
        context = means.input_tokens + steps
        area = float(np.trapezoid(context, seconds))
        label = f"{name}: {means.output_tokens:,.0f} tokens, {seconds[-1]:,.0f} s, {area:,.0f} KV token-seconds"
        axes.fill_between(seconds, context, color=COLOURS[number], alpha=0.55, linewidth=0, label=label)
        axes.plot([seconds[-1]] * 2, [0, context[-1]], color=COLOURS[number], linewidth=1)
    axes.set_xlabel(f"seconds, {table.model} on an H200, batch {_BATCH}")
    axes.set_ylabel("tokens held in the KV cache")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    legend = axes.legend(frameon=False, fontsize=9, loc="upper left")
    for text in legend.get_texts():
        text.set_color(GREY)
    save(figure, path)


def cliff(path: Path) -> None:
    """Goodput against replicas, for everyone on high and for an adaptive mix, at 2 tasks a second."""
    chosen = {name: each for name, each in demands().items() if name != "chat"}
    plan = make_plan(chosen, StepTable.read(_TABLE), Traffic(users=7200, per_hour=1), Limits())
    plot_plan(plan, path)


def main(folder: str) -> None:
    """Draw both into a folder."""
    held(Path(folder, "capacity-kv.svg"))
    cliff(Path(folder, "capacity-cliff.svg"))


if __name__ == "__main__":
    main(*sys.argv[1:])
