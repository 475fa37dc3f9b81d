"""Plans of capacity as tables for a terminal."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

from rheostat.capacity.hosted import HostedPlan
from rheostat.capacity.plan import Plan, PolicyPlan
from rheostat.capacity.table import StepTable
from rheostat.cli.safe_text import one_line
from rheostat.cli.screen import Screen

__all__ = ["show_hosted", "show_plan", "show_table"]

_CONTEXTS = 6
_SHOWN = (50, 95)


def show_plan(plan: Plan, console: Screen) -> None:
    """Print the policies beside each other, then what each is made of, and what was assumed."""
    console.print(_summary(plan))
    console.print(_latencies(plan))
    console.print(_cliff(plan))
    for each in plan.policies:
        label = each.demand.label
        needs = ", ".join(f"{name} {value:.3g}" for name, value in each.closed.needed.items())
        _dim(console, f"{label}: by each limit alone, in closed form: {needs}; {each.why}")
        if plan.traffic.peak_share > 1.01:
            hours = plan.traffic.hours(each.replicas) * plan.table.gpus
            _dim(console, f"{label}: replicas scaled by the hour: {hours:,.0f} GPU-hours a day, not {24 * each.gpus:,}")
        for note in each.demand.notes:
            _dim(console, f"{label}: {note}")
    for note in plan.notes:
        _dim(console, note)


def _summary(plan: Plan) -> Table:
    table = _table("replicas", "closed", "simulated", "GPUs", "binds", "tokens", "right", "$/h", "$/task", "$/right")
    for each in plan.policies:
        means, right = each.demand.moments, each.demand.p_right
        table.add_row(
            one_line(each.demand.label), f"{each.closed.replicas:,}", f"{each.replicas:,}", f"{each.gpus:,}",
            each.closed.binds, f"{means.calls * means.output_tokens:,.0f}", "-" if right is None else f"{right:.0%}",
            *(_usd(value) for value in (each.usd_per_hour, each.usd_per_task, each.usd_per_right)),
        )  # fmt: skip
    return table


def _latencies(plan: Plan) -> Table:
    table = _table("p50, p95", "TTFT, s", "", "TPOT, ms", "", "task, s", "", "batch", "KV", "preempted")
    for each in plan.policies:
        rows = {each.demand.label: each.outcome}
        if each.closed.replicas != each.replicas:
            rows[f"  with {each.closed.replicas:,}"] = each.at_closed
        for name, outcome in rows.items():
            table.add_row(
                one_line(name),
                *(_seconds(outcome.ttft_seconds[part]) for part in _SHOWN),
                *(f"{1000 * outcome.tpot_seconds[part]:.1f}" for part in _SHOWN),
                *(_seconds(outcome.task_seconds[part]) for part in _SHOWN),
                f"{outcome.batch:.1f}", f"{outcome.kv_share:.0%}", f"{outcome.preempted:.1%}",
            )  # fmt: skip
    return table


def _cliff(plan: Plan) -> Table:
    most = max(len(each.cliff) for each in plan.policies)
    table = _table("goodput by replicas", *("" for _ in range(most)))
    for each in plan.policies:
        table.add_row(one_line(each.demand.label), *(_point(each, number) for number in range(most)))
    return table


def _point(each: PolicyPlan, number: int) -> Text:
    if number >= len(each.cliff):
        return Text()
    outcome = each.cliff[number]
    said = f"{outcome.replicas}: {outcome.goodput:.0%}"
    return Text(said, "bold cyan" if outcome.replicas == each.replicas else "")


def show_hosted(plan: HostedPlan, console: Screen) -> None:
    """Print each policy under a provider's limits."""
    table = _table("", "binds", "used", "users fit", "wait p50, s", "p95", "p99", "waiting", "cap", "cut")
    for each in plan.policies:
        waits = ["no end", "", ""] if each.wait_seconds is None else map(_seconds, each.wait_seconds.values())
        table.add_row(
            one_line(each.demand.label), each.binds, f"{each.used[each.binds]:.0%}", f"{each.most_users:,.0f}", *waits,
            f"{each.delayed:.0%}", f"{each.clamp_tokens:,.0f}" if each.clamp_tokens else "-", f"{each.cut:.1%}",
        )  # fmt: skip
    console.print(table)
    for each in plan.policies:
        asked = ", ".join(f"{name} {value:,.0f}" for name, value in each.asked_per_minute.items())
        _dim(console, f"{each.demand.label}: asks a minute for {asked}")
        for note in each.demand.notes:
            _dim(console, f"{each.demand.label}: {note}")
    for note in plan.notes:
        _dim(console, note)


def show_table(table: StepTable, console: Screen) -> None:
    """Print a step table."""
    _dim(console, f"{table.name or table.model}: milliseconds of a step, by batch and mean context in tokens")
    every = max(-(-len(table.context_tokens) // _CONTEXTS), 1)
    places = range(len(table.context_tokens) - 1, -1, -every)[::-1]
    shown = _table("", *(f"{table.context_tokens[place]:,}" for place in places))
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


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", overflow="fold", min_width=6)
    for each in columns:
        table.add_column(each, justify="right", no_wrap=True)  # a narrow terminal breaks names, never figures
    return table


def _seconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _usd(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _dim(console: Screen, text: str) -> None:
    console.print(one_line(text), style="dim")
