"""Goodput against replicas as a picture, readable on a light and on a dark page."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from rheostat.capacity.plan import Plan
from rheostat.drawing import by_defaults
from rheostat.errors import BadInput, MissingExtra
from rheostat.visible import visible

__all__ = ["COLOURS", "GREY", "figure_of", "plot_plan", "save"]

GREY: Final = "#7d8590"
COLOURS: Final = ("#3b82d6", "#d9730d", "#2f9e6e", "#a855c7", "#c0392b", "#8a7a2a")
_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",  # text stays text: small, searchable, in the reader's font
    "svg.hashsalt": "rheostat",
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": GREY,
    "axes.labelcolor": GREY,
    "axes.edgecolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
}


def figure_of(columns: int = 1) -> tuple[Any, list[Any]]:
    """A figure and its panels.

    Raises:
        MissingExtra: matplotlib isn't installed.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise MissingExtra("a plot", "plot") from None
    mpl.use("Agg")
    from matplotlib import pyplot

    with mpl.rc_context(_STYLE):
        figure, panels = pyplot.subplots(1, columns, figsize=(6.4 * columns, 4.4), squeeze=False)
    for axes in panels[0]:
        axes.grid(alpha=0.25)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    return figure, list(panels[0])


def save(figure: Any, path: Path) -> None:
    """Write a picture in the format that its name says.

    Raises:
        BadInput: It can't be written.
    """
    import matplotlib as mpl
    from matplotlib import pyplot

    about = {"Date": None, "Creator": None} if path.suffix == ".svg" else None
    try:
        with mpl.rc_context(_STYLE):
            figure.tight_layout()
            figure.savefig(path, transparent=path.suffix == ".svg", metadata=about, dpi=120)
    except (OSError, ValueError) as error:
        raise BadInput(f"can't write the plot {path}: {error}") from None
    finally:
        pyplot.close(figure)


@by_defaults
def plot_plan(plan: Plan, path: Path) -> None:
    """Write goodput against replicas for every policy; a dotted line is the closed form, a dot the plan.

    Raises:
        MissingExtra: matplotlib isn't installed.
        BadInput: The file can't be written.
    """
    figure, (axes,) = figure_of()
    for number, each in enumerate(plan.policies):
        colour = COLOURS[number % len(COLOURS)]
        counts = [one.replicas for one in each.cliff]
        axes.plot(counts, [100 * one.goodput for one in each.cliff], "-", color=colour, linewidth=1.6)
        axes.plot([each.replicas], [100 * each.outcome.goodput], "o", color=colour, label=visible(each.demand.label))
        axes.axvline(each.closed.replicas, color=colour, linestyle=":", linewidth=1)
    if max(each.replicas for each in plan.policies) > 10 * min(each.replicas for each in plan.policies):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    axes.set_ylim(0, 103)
    axes.set_xlabel(visible(f"replicas of {plan.table.name or plan.table.model}"), parse_math=False)
    axes.set_ylabel("requests within both limits, %")
    legend = axes.legend(frameon=False, fontsize=9, loc="lower right")
    for text in legend.get_texts():
        text.set_parse_math(False)
        text.set_color(GREY)
    save(figure, path)
