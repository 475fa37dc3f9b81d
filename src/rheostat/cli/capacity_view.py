"""Plans of capacity as tables for a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from rheostat.capacity.hosted import HostedOutcome, HostedPlan
from rheostat.capacity.plan import Plan, PolicyPlan
from rheostat.capacity.table import StepTable
from rheostat.cli.safe_text import escape

__all__ = ["show_hosted", "show_plan", "show_table"]

_CONTEXTS = 6


def show_plan(plan: Plan, console: Console) -> None:
    """Print the policies beside each other, then what each is made of, and what was assumed."""
    console.print(_summary(plan))
    console.print(_latencies(plan))
    console.print(_cliff(plan))
    for each in plan.policies:
        needs = ", ".join(f"{name} {value:.3g}" for name, value in each.closed.needed.items())
        _dim(console, f"{each.demand.label}: by limit alone, in closed form: {needs}; {each.why}")
        for note in each.demand.notes:
            _dim(console, f"{each.demand.label}: {note}")
    day = plan.traffic
    for each in plan.policies:
        if day.peak_share > 1.01:
            hours = day.hours(each.replicas) * plan.table.gpus
            _dim(
                console, f"{each.demand.label}: scaled each hour, {hours:,.0f} GPU-hours a day; {24 * each.gpus:,} else"
            )
    for note in plan.notes:
        _dim(console, note)


def _summary(plan: Plan) -> Table:
    table = _table("replicas")
    for column in (
        "closed form",
        "simulated",
        "GPUs",
        "binds",
        "tokens a task",
        "right",
        "$/h",
        "$ a task",
        "$ a right one",
    ):
        table.add_column(column, justify="right")
    for each in plan.policies:
        means = each.demand.moments
        table.add_row(
            escape(each.demand.label), f"{each.closed.replicas:,}", f"{each.replicas:,}", f"{each.gpus:,}",
            each.closed.binds, f"{means.calls * means.output_tokens:,.0f}",
            "-" if each.demand.p_right is None else f"{each.demand.p_right:.0%}",
            *(_usd(value) for value in (each.usd_per_hour, each.usd_per_task, each.usd_per_right)),
        )  # fmt: skip
    return table


def _latencies(plan: Plan) -> Table:
    table = _table("latency")
    for column in ("TTFT p50/p95/p99, s", "TPOT p50/p95/p99, ms", "a task p50/p95/p99, s", "batch", "KV", "preempted"):
        table.add_column(column, justify="right")
    for each in plan.policies:
        for name, outcome in (("", each.outcome), ("  at the closed form's", each.at_closed)):
            if name and each.closed.replicas == each.replicas:
                continue
            table.add_row(
                escape(name or each.demand.label),
                _three(outcome.ttft_seconds, "{:.2f}"),
                _three({key: 1000 * value for key, value in outcome.tpot_seconds.items()}, "{:.1f}"),
                _three(outcome.task_seconds, "{:,.0f}" if outcome.task_seconds[95] >= 10 else "{:.2f}"),
                f"{outcome.batch:.1f}", f"{outcome.kv_share:.0%}", f"{outcome.preempted:.1%}",
            )  # fmt: skip
    return table


def _cliff(plan: Plan) -> Table:
    table = _table("goodput by replicas")
    most = max(len(each.cliff) for each in plan.policies)
    for _ in range(most):
        table.add_column(justify="right")
    for each in plan.policies:
        table.add_row(escape(each.demand.label), *(_point(each, number) for number in range(most)))
    return table


def _point(each: PolicyPlan, number: int) -> str:
    if number >= len(each.cliff):
        return ""
    outcome = each.cliff[number]
    said = f"{outcome.replicas}: {outcome.goodput:.0%}"
    return f"[bold cyan]{said}[/]" if outcome.replicas == each.replicas else said


def show_hosted(plan: HostedPlan, console: Console) -> None:
    """Print each policy under a provider's limits."""
    table = _table("")
    for column in ("binds", "of the limit", "users that fit", "wait p50/p95/p99, s", "that wait", "cap", "cut by caps"):
        table.add_column(column, justify="right")
    for each in plan.policies:
        waits = "without end" if each.wait_seconds is None else _three(each.wait_seconds, "{:.2f}")
        table.add_row(
            escape(each.demand.label), each.binds, f"{each.used[each.binds]:.0%}", f"{each.most_users:,.0f}", waits,
            f"{each.delayed:.1%}", f"{each.clamp_tokens:,.0f}" if each.clamp_tokens else "-", f"{each.cut:.2%}",
        )  # fmt: skip
    console.print(table)
    for each in plan.policies:
        _dim(console, f"{each.demand.label}: {_asked(each)}")
        for note in each.demand.notes:
            _dim(console, f"{each.demand.label}: {note}")
    for note in plan.notes:
        _dim(console, note)


def _asked(each: HostedOutcome) -> str:
    return "asks a minute for " + ", ".join(f"{name} {value:,.0f}" for name, value in each.asked_per_minute.items())


def show_table(table: StepTable, console: Console) -> None:
    """Print a step table."""
    shown = _table(escape(f"{table.name or table.model}: milliseconds of a step, by batch and mean context"))
    every = max(-(-len(table.context_tokens) // _CONTEXTS), 1)
    places = range(len(table.context_tokens) - 1, -1, -every)[::-1]
    for place in places:
        shown.add_column(f"{table.context_tokens[place]:,}", justify="right")
    for batch, row in zip(table.batch, table.decode_seconds, strict=True):
        shown.add_row(f"{batch:,}", *(f"{1000 * row[place]:.1f}" for place in places))
    console.print(shown)
    prompts = zip(table.prefill_tokens, table.prefill_seconds, strict=True)
    _dim(console, "prefill: " + ", ".join(f"{tokens:,} tokens {1000 * each:,.1f} ms" for tokens, each in prompts))
    _dim(
        console,
        f"{table.model}; {table.engine}; {table.gpus} × {table.gpu or 'GPU'}; KV {table.kv_dtype}, {table.kv_tokens:,} "
        f"tokens; at most {table.max_sequences:,} requests and {table.max_batched_tokens:,} tokens a step; "
        f"{table.source} {table.date} {table.licence}",
    )


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE, pad_edge=False)
    table.add_column("", overflow="fold")
    return table


def _three(values: dict[int, float], form: str) -> str:
    return " / ".join(form.format(each) for each in values.values())


def _usd(value: float | None) -> str:
    return "-" if value is None else f"${value:,.0f}" if value >= 100 else f"${value:.3g}"


def _dim(console: Console, text: str) -> None:
    console.print(escape(text), style="dim", highlight=False)
