"""Amounts, times and states as people read them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from rheostat.judgement.worth import Unit, amount
from rheostat.money.usage import Spend, usd
from rheostat.report.data import AccountRow, Candidate, Report, Run, Step

__all__ = ["FILTERS", "models_of", "period_of", "status_of", "thinking_share_of", "title_of"]

_DEEPEST = 24
"""Levels of nested lists; what lies deeper stays at this level, and names its parent."""
_LATEST_MS = 250_000_000_000_000
"""Beyond it, a time isn't one."""


def count(value: int | None) -> str:
    """A count with commas; `?` where the provider doesn't say."""
    return "?" if value is None else f"{value:,}"


def plural(value: int, noun: str) -> str:
    """A count and its noun."""
    return f"{value:,} {noun}{'' if value == 1 else 's'}"


def percent(share: float) -> str:
    """A share; small ones aren't rounded to nothing."""
    return f"{100 * share:.1f} %" if 0 < share < 0.1 else f"{100 * share:.0f} %"


def amounts(spend: Spend) -> str:
    """Money and tokens; a dash for nothing."""
    if not (spend.calls or spend.tokens or spend.usd_nanos):
        return "–"
    return f"{usd(spend.usd_nanos)} / {spend.tokens:,} tokens"


def signed(value: float, unit: Unit) -> str:
    """Nano-dollars or tokens; a minus where it is less than nothing."""
    return f"−{amount(-value, unit)}" if value < 0 else amount(value, unit)


def limit_name(name: str) -> str:
    """What a limit limits."""
    return {"usd_nanos": "dollars"}.get(name, name.replace("_", " "))


def limit_unit(name: str) -> str:
    """The unit that stands behind the amount of a limit."""
    return {"usd_nanos": "", "seconds": "s"}.get(name, name.replace("_", " "))


def limit_amount(value: float | None, name: str) -> str:
    """An amount of a limit."""
    if value is None:
        return "?"
    return usd(round(value)) if name == "usd_nanos" else f"{value:,.1f}" if name == "seconds" else f"{value:,.0f}"


def tightest(row: AccountRow) -> float | None:
    """The used share of the limit that is nearest to its end."""
    return max((limit.share for limit in row.limits if limit.share is not None), default=None)


def brief(row: AccountRow) -> str:
    """A run's own part of its name, where it stands below its thread."""
    inside = row.depth and row.account.startswith(f"{row.above}/")
    return f"…{row.account.removeprefix(row.above)}" if inside else row.account


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(max(0, min(at_ms, _LATEST_MS)) / 1000, UTC)


def clock(at_ms: int) -> str:
    """The time of day in UTC, to a tenth of a second."""
    return f"{_time(at_ms):%H:%M:%S}.{at_ms // 100 % 10}"


def moment(at_ms: int) -> str:
    """Date and time in UTC."""
    return f"{_time(at_ms):%Y-%m-%d %H:%M:%S} UTC"


def _lasting(milliseconds: int) -> str:
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"


def period_of(report: Report) -> str:
    """From the first call to the end of the last."""
    if not report.steps:
        return "no call is recorded"
    first = report.steps[0].at_ms
    last = max(step.at_ms + step.milliseconds for step in report.steps)
    until = clock(last)[:-2] + " UTC" if moment(first)[:10] == moment(last)[:10] else moment(last)
    return f"{moment(first).removesuffix(' UTC')} – {until} ({_lasting(last - first)})"


def title_of(report: Report) -> str:
    """The account that the report is about, or what was asked for where it is several."""
    tops = [row.account for row in report.accounts if row.depth == 0]
    return tops[0] if len(tops) == 1 else report.what or "Several accounts"


def models_of(report: Report) -> str:
    """The models that were paid for."""
    names = [each.name or "–" for each in report.models]
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown or "no model"


def thinking_share_of(report: Report) -> str:
    """How much of the output was thinking."""
    settled = report.totals.settled
    if settled.thinking_tokens is None:
        return "not every provider says"
    if not settled.output_tokens:
        return "of the output"
    return f"{percent(settled.thinking_tokens / settled.output_tokens)} of the output"


@dataclass(frozen=True, slots=True)
class Status:
    """How it stands with what the report is about."""

    text: str
    tone: str
    """`good`, `warn` or nothing."""


def status_of(report: Report) -> Status:
    """Whether calls are in flight, and how the runs of the solver ended."""
    flying = report.totals.held.calls
    open_ = f" {plural(flying, 'call')} in flight." if flying else ""
    if len(report.runs) == 1 and report.runs[0].ended:
        [run] = report.runs
        last = run.decisions[-1]
        passed = any(each.chosen and each.verdict == "passed" for each in run.candidates)
        ended = "solved" if passed else "accepted" if last.action == "accept" else "stopped"
        why = "; ".join(last.reasons)
        return Status(f"{ended.capitalize()}: {why}{open_}", "good" if last.action == "accept" else "warn")
    runs = [row for row in report.accounts if row.kind == "run"]
    said = f"{plural(len(runs), 'run')}"
    if report.runs:
        ended_runs = sum(run.ended for run in report.runs)
        said += f", {ended_runs:,} of {plural(len(report.runs), 'solver run')} ended"
    return Status(f"{said}.{open_ or ' No call is in flight.'}", "warn" if flying else "good")


def run_line(run: Run) -> str:
    """What a run of the solver was, in a line."""
    looked = f"{run.kind} {run.difficulty:.2f}" if run.kind and run.difficulty is not None else run.kind
    parts = [
        run.strategy, looked, run.scorer and f"scored by {run.scorer}", plural(len(run.candidates), "candidate"),
        "" if run.ended else "no end is recorded",
    ]  # fmt: skip
    return " · ".join(each for each in parts if each)


def plan_lines(step: Step) -> Iterator[tuple[str, str]]:
    """What was planned for a call and how it ended, as labels and texts; nothing for a call without a plan."""
    if not step.planned:
        return
    effort = {"asked": step.effort_asked, "planned": step.effort_planned, "seen in the request": step.effort_seen}
    looked = "" if step.difficulty is None else f"difficulty {step.difficulty:.2f}"
    sample = step.candidate and f"for candidate {step.candidate}"
    cap = "" if step.most_output_tokens is None else f"at most {step.most_output_tokens:,} output tokens"
    lines = {
        "effort": [f"{name} {level}" for name, level in effort.items() if level]
        + [step.decided_by and f"decided by {step.decided_by}"],
        "task": [step.kind, looked, step.purpose, sample, step.way and f"asked by {step.way}"],
        "reply": [f"ended by {step.error or step.stop or '?'}", cap, f"took {step.milliseconds / 1000:.1f} s"],
    }
    for label, parts in lines.items():
        text = ", ".join(each for each in parts if each)
        if text:
            yield label, text


@dataclass(frozen=True, slots=True)
class Nesting:
    """The lists that open before a candidate, and the items that close after it."""

    open: bool
    close: int
    last: bool


def nested(run: Run) -> Iterator[tuple[Candidate, Nesting]]:
    """The candidates with their nesting, for lists in lists."""
    depths = [min(each.depth, _DEEPEST) for each in run.candidates]
    for place, each in enumerate(run.candidates):
        depth, last = depths[place], place + 1 == len(depths)
        before = depths[place - 1] if place else -1
        after = -1 if last else depths[place + 1]
        close = depth + 1 if last else max(0, depth - after + 1)
        yield each, Nesting(depth > before, close, last)


FILTERS = {
    "amount": signed, "amounts": amounts, "brief": brief, "clock": clock, "count": count,
    "limit_amount": limit_amount, "limit_name": limit_name, "limit_unit": limit_unit, "moment": moment,
    "nested": nested, "percent": percent, "plan_lines": plan_lines, "plural": plural,
    "run_line": run_line, "tightest": tightest, "usd": usd,
}  # fmt: skip
