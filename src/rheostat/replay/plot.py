"""Accuracy against cost as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rheostat.drawing import by_defaults
from rheostat.errors import BadInput, MissingExtra
from rheostat.replay.arms import ArmsReplay
from rheostat.replay.compare import Comparison, Line
from rheostat.visible import one_line

__all__ = ["plot_arms", "plot_png"]


@by_defaults
def plot_png(comparison: Comparison, path: Path, title: str) -> None:
    """Write accuracy against mean samples, and against mean tokens where they are known, with 95 % intervals.

    Raises:
        MissingExtra: matplotlib isn't installed.
        BadInput: The file can't be written.
    """
    pyplot = _pyplot()
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
                one_line(line.name),
                (cost, 100 * line.accuracy),
                textcoords="offset points",
                xytext=(4, -14) if ours else (4, 7),
                rotation=0 if ours else 35,
                fontsize=8 if ours else 7,
                color="#c33" if ours else "#444",
                parse_math=False,
            )
        axes.margins(x=0.12, y=0.08)
        if min(spent) > 0:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel(f"{label} (mean)")
        axes.set_ylabel("accuracy, %")
        axes.grid(alpha=0.3)
    figure.suptitle(one_line(title), parse_math=False)
    figure.tight_layout()
    _save(pyplot, figure, path)


@by_defaults
def plot_arms(replay: ArmsReplay, path: Path, title: str) -> None:
    """Write accuracy against cost: the policy at its worths, every fixed arm, their best mix, and the oracle.

    Raises:
        MissingExtra: matplotlib isn't installed.
        BadInput: The file can't be written.
    """
    pyplot = _pyplot()
    unit = 1e9 if replay.unit == "usd" else 1.0
    figure, axes = pyplot.subplots(figsize=(9, 6), dpi=120)
    axes.plot(
        [each.cost / unit for each in replay.policy], [100 * each.accuracy for each in replay.policy],
        "*-", color="#c33", markersize=11, label="policy, by worth", zorder=3,
    )  # fmt: skip
    axes.scatter(
        [each.cost / unit for each in replay.fixed], [100 * each.accuracy for each in replay.fixed],
        color="#777", label="fixed arms", zorder=2,
    )  # fmt: skip
    for each in replay.fixed[:8]:
        axes.annotate(one_line(each.name), (each.cost / unit, 100 * each.accuracy), xytext=(4, 4), fontsize=7,
                      textcoords="offset points", color="#444", parse_math=False)  # fmt: skip
    least = min(each.cost for each in (*replay.policy, *replay.fixed))
    most = max(each.cost for each in (*replay.policy, *replay.fixed))
    steps = [least + (most - least) * number / 200 for number in range(201)]
    axes.plot([each / unit for each in steps], [100 * replay.mix(each) for each in steps], "--", color="#999",
              label="best random mix of fixed arms, in hindsight")  # fmt: skip
    axes.plot([replay.oracle.cost / unit], [100 * replay.oracle.accuracy], "x", color="#333", label="oracle")
    if least > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("dollars a task" if replay.unit == "usd" else "output tokens a task")
    axes.set_ylabel("accuracy, %")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.suptitle(one_line(title), parse_math=False)
    figure.tight_layout()
    _save(pyplot, figure, path)


def _pyplot() -> Any:
    try:
        import matplotlib as mpl
    except ImportError:
        raise MissingExtra("a plot", "plot") from None
    mpl.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _save(pyplot: Any, figure: Any, path: Path) -> None:
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise BadInput(f"can't write the plot {path}: {error}") from None
    finally:
        pyplot.close(figure)


def _bars(line: Line) -> list[list[float]]:
    low, high = line.accuracy - line.accuracy_low, line.accuracy_high - line.accuracy
    return [[100 * max(low, 0.0)], [100 * max(high, 0.0)]]
