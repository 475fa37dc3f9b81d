"""Accuracy against cost as a picture."""

from __future__ import annotations

from pathlib import Path

from rheostat.errors import BadInput, MissingExtra
from rheostat.replay.compare import Comparison, Line

__all__ = ["plot_png"]


def plot_png(comparison: Comparison, path: Path, title: str) -> None:
    """Write accuracy against mean samples, and against mean tokens where they are known, with 95 % intervals.

    Raises:
        MissingExtra: matplotlib isn't installed.
        BadInput: The file can't be written.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise MissingExtra("a plot", "plot") from None
    mpl.use("Agg")
    from matplotlib import pyplot

    costs: dict[str, list[float]] = {"samples a question": [line.samples for line in comparison.lines]}
    if all(line.tokens is not None for line in comparison.lines):
        costs["tokens a question"] = [line.tokens or 0.0 for line in comparison.lines]
    figure, all_axes = pyplot.subplots(1, len(costs), figsize=(7 * len(costs), 5), dpi=120, squeeze=False)
    for axes, (label, spent) in zip(all_axes[0], costs.items(), strict=True):
        for line, cost in zip(comparison.lines, spent, strict=True):
            ours = line is comparison.strategy
            axes.errorbar(
                cost,
                100 * line.accuracy,
                yerr=_bars(line),
                fmt="*" if ours else "x" if line.id == "oracle" else "o",
                markersize=16 if ours else 6,
                color="#c33" if ours else "#777",
                capsize=3,
                zorder=3 if ours else 2,
            )
            axes.annotate(
                line.name,
                (cost, 100 * line.accuracy),
                textcoords="offset points",
                xytext=(4, -14) if ours else (4, 7),
                rotation=0 if ours else 35,
                fontsize=8 if ours else 7,
                color="#c33" if ours else "#444",
            )
        axes.margins(x=0.12, y=0.08)
        if min(spent) > 0:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel(f"{label} (mean)")
        axes.set_ylabel("accuracy, %")
        axes.grid(alpha=0.3)
    figure.suptitle(title, parse_math=False)
    figure.tight_layout()
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise BadInput(f"can't write the plot {path}: {error}") from None
    finally:
        pyplot.close(figure)


def _bars(line: Line) -> list[list[float]]:
    low, high = line.accuracy - line.accuracy_low, line.accuracy_high - line.accuracy
    return [[100 * max(low, 0.0)], [100 * max(high, 0.0)]]
