"""Tables, confidence intervals and plots of recorded outcomes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rheostat.bench.run import Outcome, Setting
from rheostat.drawing import by_defaults
from rheostat.errors import MissingExtra
from rheostat.visible import one_line

__all__ = ["Row", "difference", "markdown", "plot_png", "plot_text", "rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The results of one setting over its problems."""

    setting: str
    adaptive: bool
    problems: int
    correct: int
    untold: int
    """Answers that the tests couldn't judge; not among the correct ones."""
    output_tokens: float
    """Mean per problem, as are the next four."""
    thinking_tokens: float
    input_tokens: float
    calls: float
    seconds: float
    usd_per_correct: float | None
    """Dollars per correct answer, at the declared price; `None`: no answer was correct."""
    tokens_per_correct: float | None
    """Generated tokens per correct answer; `None`: no answer was correct."""

    @property
    def accuracy(self) -> float:
        """Correct ÷ problems."""
        return self.correct / self.problems if self.problems else 0.0


def rows(outcomes: Sequence[Outcome], settings: Sequence[Setting], *, level: str | None = None) -> list[Row]:
    """One row for each setting that has outcomes, in order; `level` selects the problems of one level."""
    made = []
    for setting in settings:
        own = [o for o in outcomes if o.setting == setting.name and (level is None or o.level == level)]
        count, correct = len(own), sum(o.correct for o in own)
        if not count:
            continue
        made.append(
            Row(
                setting=setting.name,
                adaptive=setting.adaptive,
                problems=count,
                correct=correct,
                untold=sum(o.untold for o in own),
                output_tokens=sum(o.output_tokens for o in own) / count,
                thinking_tokens=sum(o.thinking_tokens for o in own) / count,
                input_tokens=sum(o.input_tokens for o in own) / count,
                calls=sum(o.calls for o in own) / count,
                seconds=sum(o.seconds for o in own) / count,
                usd_per_correct=sum(o.usd_nanos for o in own) / 1e9 / correct if correct else None,
                tokens_per_correct=sum(o.output_tokens for o in own) / correct if correct else None,
            )
        )
    return made


def difference(
    outcomes: Sequence[Outcome], ours: str, other: str, *, level: str | None = None, draws: int = 10_000
) -> tuple[float, float, float]:
    """accuracy(ours) - accuracy(other): mean and 95 % interval, by a paired bootstrap over the shared problems."""

    def by_problem(name: str) -> dict[str, bool]:
        return {o.problem: o.correct for o in outcomes if o.setting == name and (level is None or o.level == level)}

    left, right = by_problem(ours), by_problem(other)
    gaps = [int(left[p]) - int(right[p]) for p in sorted(left.keys() & right.keys())]
    if not gaps:
        return (0.0, 0.0, 0.0)
    dice = random.Random(0)  # noqa: S311 - a bootstrap, repeatable
    means = sorted(sum(dice.choices(gaps, k=len(gaps))) / len(gaps) for _ in range(draws))
    return sum(gaps) / len(gaps), means[int(0.025 * draws)], means[int(0.975 * draws)]


def frontier(table: Sequence[Row]) -> set[str]:
    """The Pareto frontier: settings that no other setting beats in accuracy and generated tokens."""
    return {
        row.setting
        for row in table
        if not any(
            other is not row
            and other.accuracy >= row.accuracy
            and other.output_tokens <= row.output_tokens
            and (other.accuracy > row.accuracy or other.output_tokens < row.output_tokens)
            for other in table
        )
    }


def markdown(table: Sequence[Row]) -> str:
    """The table in Markdown."""
    best = frontier(table)
    lines = [
        "| setting | accuracy | can't tell | output tokens | thinking | calls | s | tokens / correct | $ / correct "
        "| frontier |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in table:
        cost = f"{row.usd_per_correct:.6f}" if row.usd_per_correct is not None else "–"
        tokens = f"{row.tokens_per_correct:.0f}" if row.tokens_per_correct is not None else "–"
        name = one_line(row.setting).replace("|", "\\|")
        name = f"**{name}**" if row.adaptive else name
        mark = "yes" if row.setting in best else ""
        lines.append(
            f"| {name} | {row.correct}/{row.problems} = {row.accuracy:.1%} | {row.untold} | {row.output_tokens:.0f} "
            f"| {row.thinking_tokens:.0f} | {row.calls:.2f} | {row.seconds:.1f} | {tokens} | {cost} | {mark} |"
        )
    return "\n".join(lines)


def plot_text(table: Sequence[Row], *, width: int = 72, height: int = 16) -> str:
    """Accuracy against output tokens as a plot in text: `o` is a fixed setting, `A` an adaptive one."""
    if not table:
        return ""
    left, bottom = 6, 2
    most = max(row.output_tokens for row in table) * 1.08 or 1.0
    top = max(max(row.accuracy for row in table) * 1.1, 0.1)
    canvas = [[" "] * width for _ in range(height)]
    for row in table:
        x = min(int(row.output_tokens / most * (width - 1)), width - 1)
        y = min(int(row.accuracy / top * (height - 1)), height - 1)
        mark = "A" if row.adaptive else "o"
        label = one_line(row.setting if row.adaptive else row.setting.removeprefix("fixed ")) + " "
        place = canvas[height - 1 - y]
        place[x] = mark
        start = x + 2 if x + 2 + len(label) <= width else x - len(label)
        for offset, letter in enumerate(label):
            if 0 <= start + offset < width and place[start + offset] == " ":
                place[start + offset] = letter
    lines = []
    for number, place in enumerate(canvas):
        level = top * (height - 1 - number) / (height - 1)
        axis = f"{level:>5.0%} " if number % 3 == 0 else " " * left
        lines.append(axis + "│" + "".join(place).rstrip())
    lines.append(" " * left + "└" + "─" * width)
    ticks = " " * (left + 1)
    for step in range(5):
        ticks = ticks.ljust(left + 1 + step * (width - 1) // 4) + f"{most * step / 4:.0f}"
    lines += [ticks, " " * (left + 1) + "output tokens a problem (thinking included)"]
    return "\n".join(lines[: height + 1 + bottom])


@by_defaults
def plot_png(table: Sequence[Row], path: Path, title: str) -> None:
    """The same plot as a PNG file.

    Raises:
        MissingExtra: matplotlib isn't installed.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise MissingExtra("a PNG plot", "plot") from None
    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), dpi=120)
    fixed: Any = [row for row in table if not row.adaptive]
    axes.plot([r.output_tokens for r in fixed], [100 * r.accuracy for r in fixed], "o-", color="#888", label="fixed")
    for row in table:
        if row.adaptive:
            axes.plot(row.output_tokens, 100 * row.accuracy, "*", markersize=18, label=one_line(row.setting))
    for row in fixed:
        axes.annotate(
            one_line(row.setting.removeprefix("fixed ")),
            (row.output_tokens, 100 * row.accuracy),
            textcoords="offset points",
            xytext=(6, -12),
            fontsize=8,
            color="#555",
            parse_math=False,
        )
    axes.set_xlabel("output tokens a problem (thinking included)")
    axes.set_ylabel("accuracy, %")
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    for text in axes.legend(loc="lower right").get_texts():
        text.set_parse_math(False)
    axes.set_title(one_line(title), parse_math=False)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
