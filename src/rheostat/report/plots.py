"""The plots of a report as SVG inside the page, in the page's own colours. They hold no text of a user."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from rheostat.drawing import by_defaults
from rheostat.errors import MissingExtra
from rheostat.judgement.baselines import BEST_FIXED, STRONG_ALWAYS, Beside
from rheostat.judgement.worth import amount
from rheostat.money.usage import usd
from rheostat.report.data import Limit, Point, Report
from rheostat.report.texts import percent

__all__ = ["Plot", "plots_of"]

_INK, _MUTED, _LINE, _ACCENT, _BAD, _FILL, _BASELINE = (f"#01020{place}" for place in range(7))
_VARIABLES = {
    _INK: "var(--ink)", _MUTED: "var(--muted)", _LINE: "var(--line)", _ACCENT: "var(--accent)", _BAD: "var(--bad)",
    _FILL: "var(--accent-soft)", _BASELINE: "var(--baseline)",
}  # fmt: skip
"""Colours that stand for the page's variables, so that a plot follows light and dark."""
_MOST_POINTS = 600
_CLOCK_FROM_MS = 600_000
_SETTINGS: Any = {"svg.fonttype": "none", "svg.hashsalt": "rheostat", "font.size": 10}


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot as SVG, and its caption."""

    svg: Markup
    caption: str


@by_defaults
def plots_of(report: Report) -> list[Plot]:
    """Spend over time against the cap, and the cost of a right answer beside the baselines, where there are any.

    Raises:
        MissingExtra: matplotlib isn't installed.
    """
    made = [_spend(report)] if len(report.points) > 1 else []
    unit = report.beside[0].unit if report.beside else ""
    beside = [each for each in report.beside if each.unit == unit]
    return [*made, _worth(beside)] if len(beside) > 1 else made


def _spend(report: Report) -> Plot:
    in_money = report.points[-1].usd_nanos is not None and bool(report.points[-1].usd_nanos)
    name = "usd_nanos" if in_money else "tokens"
    limit = next((each for each in report.limits if each.name == name and not report.window), None)
    figure, axes = _axes()
    scale = 1e9 if in_money else 1.0
    points = _thinned(report.points)
    first, last = points[0].at_ms, points[-1].at_ms
    elapsed = last - first < _CLOCK_FROM_MS
    times: list[Any] = [
        (point.at_ms - first) / 1000 if elapsed else datetime.fromtimestamp(point.at_ms / 1000, UTC) for point in points
    ]
    amounts = [(point.usd_nanos or 0) / scale if in_money else point.tokens for point in points]
    axes.step(times, amounts, where="post", color=_ACCENT, linewidth=1.8)
    axes.fill_between(times, amounts, step="post", color=_FILL)
    if limit is not None:
        cap = limit.most / scale
        near = amounts[-1] > cap / 8
        axes.set_ylim(0, 1.12 * (max(cap, amounts[-1]) if near else max(amounts)))
        if near:
            axes.axhline(cap, color=_BAD, linewidth=1.4, linestyle=(0, (5, 3)))
            said = usd(round(limit.most)) if in_money else f"{limit.most:,.0f} tokens"
            axes.annotate(f"cap {said}", (0.01, cap), xycoords=("axes fraction", "data"), xytext=(0, 3),
                          textcoords="offset points", color=_BAD)  # fmt: skip
    else:
        axes.set_ylim(0)
    _times(axes, elapsed=elapsed)
    axes.yaxis.set_major_formatter((lambda value, _: usd(round(value * 1e9))) if in_money else "{x:,.0f}")
    whole = usd(report.points[-1].usd_nanos) if in_money else f"{report.points[-1].tokens:,} tokens"
    caption = f"Charged so far, held and unknown amounts included: {whole} in the end{_of(limit, in_money)}."
    return Plot(_svg(figure, caption), caption)


def _of(limit: Limit | None, in_money: bool) -> str:
    if limit is None:
        return ""
    cap = usd(round(limit.most)) if in_money else f"{limit.most:,.0f} tokens"
    return f", {percent(limit.share)} of the cap of {cap}" if limit.share is not None else f", of a cap of {cap}"


def _thinned(points: tuple[Point, ...]) -> list[Point]:
    """Few enough for a picture; the last one is always there."""
    every = -(-len(points) // _MOST_POINTS)
    return [*points[:-1:every], points[-1]]


def _worth(beside: list[Beside]) -> Plot:
    known = all(each.per_right is not None for each in beside)
    costs = [each.per_right or 0.0 if known else each.spent for each in beside]
    names = [_label(each, place) for place, each in enumerate(beside)]
    figure, axes = _axes()
    places = range(len(beside))
    axes.barh(places, costs, color=[_BASELINE if each.name else _ACCENT for each in beside], height=0.55)
    for place, cost, each in zip(places, costs, beside, strict=True):
        said = amount(cost, each.unit)
        axes.annotate(said, (cost, place), xytext=(5, 0), textcoords="offset points", va="center", color=_INK)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.35 * max(costs) or 1)
    axes.set_xticks([])
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    what = "Cost of a right answer" if known else "Cost of the runs"
    listed = ", ".join(f"{name} {amount(cost, beside[0].unit)}" for name, cost in zip(names, costs, strict=True))
    return Plot(_svg(figure, f"{what}: {listed}"), f"{what}, beside what the baselines were expected to cost.")


def _label(each: Beside, place: int) -> str:
    """Our own words only: matplotlib would read another's as formulas, or miss their glyphs."""
    if not each.name:
        return "1 run" if each.runs == 1 else f"{each.runs:,} runs"
    return each.name if each.name in (BEST_FIXED, STRONG_ALWAYS) else f"baseline {place}"


def _axes() -> tuple[Any, Any]:
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("a report", "report") from error
    with rc_context(_SETTINGS):
        figure = Figure(figsize=(5.6, 2.7), layout="constrained")
        axes = figure.add_subplot()
    figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
    axes.grid(axis="y", color=_LINE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_MUTED, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(_LINE)
    return figure, axes


def _times(axes: Any, *, elapsed: bool) -> None:
    """Short periods in seconds since the first call, long ones with the clock and the calendar, in UTC."""
    axes.margins(x=0.01)
    if elapsed:
        axes.xaxis.set_major_formatter("{x:g} s")
        return
    from matplotlib import dates

    locate: Any = dates.AutoDateLocator
    write: Any = dates.ConciseDateFormatter
    locator = locate(tz=UTC, minticks=3, maxticks=6)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(write(locator, tz=UTC, show_offset=False))


def _svg(figure: Any, label: str) -> Markup:
    from matplotlib import rc_context

    written = io.StringIO()
    with rc_context(_SETTINGS):
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    text = written.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r'(<svg [^>]*?)width="[^"]*" height="[^"]*"|(<svg [^>]*?)height="[^"]*" width="[^"]*"', r"\1\2", text)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px; font-family: inherit", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    start = Markup('<svg role="img" aria-label="{}" ').format(label)
    return start + Markup(text.removeprefix("<svg "))  # noqa: S704 - matplotlib wrote it, of numbers and our own words
