"""`rheostat capacity`: how many GPUs, or which rate limits, users need whose model thinks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from rheostat.capacity.calibrate import calibrate as measure
from rheostat.capacity.hosted import HostedPlan, RateLimits, serve_hosted
from rheostat.capacity.limits import Limits
from rheostat.capacity.plan import SAFETY, make_plan
from rheostat.capacity.sources import TAIL
from rheostat.capacity.table import StepTable, shipped_tables
from rheostat.capacity.traffic import Traffic
from rheostat.cli.capacity_demand import demands_of
from rheostat.cli.capacity_view import show_hosted, show_plan, show_table
from rheostat.cli.progress import stepping
from rheostat.cli.safe_text import one_line
from rheostat.cli.said import Json
from rheostat.cli.screen import Screen, tell, tell_json
from rheostat.errors import BadInput
from rheostat.files import write_whole

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="How many GPUs, or which rate limits, users need whose model thinks: in closed form, and by simulation.",
)


@app.command()
def plan(
    users: Annotated[float, typer.Option(help="Users at the same time.")],
    per_hour: Annotated[float, typer.Option(help="Tasks of a user an hour, in the mean of the day.")],
    source: Annotated[
        str,
        typer.Argument(
            metavar="[SOURCE]",
            help="Demand: a ledger (an SQLite file or URL), a profile (.json) or a record of bench-arms (.jsonl).",
        ),
    ] = "",
    profile: Annotated[str, typer.Option(metavar="TABLE", help="A step table: a file, or a shipped one.")] = "",
    ttft_p95: Annotated[float, typer.Option(help="Seconds to the first token, at p95.")] = 2.0,
    tpot_p95: Annotated[float, typer.Option(help="Seconds for each further token, at p95.")] = 0.05,
    gpu_usd: Annotated[float | None, typer.Option(min=0, help="US dollars for a GPU an hour.")] = None,
    assume: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABEL=MEAN:P99[@RIGHT]",
            help="Also plan for assumed (lognormal) output lengths, or a mix: mine=0.6*300:1500+0.4*8000:60000@0.8.",
        ),
    ] = None,
    input_tokens: Annotated[float, typer.Option(min=1, help="The mean input that goes with --assume.")] = 1000.0,
    only: Annotated[list[str] | None, typer.Option(help="Only policies whose name begins so; may be repeated.")] = None,
    model: Annotated[str, typer.Option(help="Only calls, arms or rows of models that begin so.")] = "",
    kind: Annotated[str, typer.Option(help="The kind of task, of a profile.")] = "maths",
    of: Annotated[str, typer.Option("--set", help="The set of tasks, of a record; without it the first one.")] = "",
    tail: Annotated[float, typer.Option(help="The p99 of outputs against their mean, of a profile.")] = TAIL,
    growth: Annotated[float, typer.Option(help="Plan for so many times the users.")] = 1.0,
    shape: Annotated[
        str, typer.Option(help="The day: flat, office, or 24 weights with commas. Planned is for its busiest hour.")
    ] = "flat",
    safety: Annotated[float, typer.Option(help="All times of the step table are multiplied by it.")] = SAFETY,
    routing: Annotated[
        Literal["least", "random"], typer.Option(help="To the replica with the fewest requests, or to any.")
    ] = "least",
    provider: Annotated[
        str,
        typer.Option(
            metavar="rpm=N,tpm=N,…",
            help="A provider's limits a minute instead of a table: rpm, tpm, itpm, otpm, counts_max_tokens=yes.",
        ),
    ] = "",
    clamp: Annotated[
        int | None,
        typer.Option(min=1, help="With --provider: the length cap of every call, for those recorded."),
    ] = None,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Draw goodput against replicas.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same plan.")] = 0,
    as_json: Json = False,
) -> None:
    """Plan replicas, or check rate limits, for each policy: what binds, latencies, the cost of a correct answer.

    Examples:

        rheostat capacity plan spend.db --users 500 --per-hour 6 --profile h200-qwen3-32b-fp8 --gpu-usd 4

        rheostat capacity plan --assume high=8000:60000@0.8 --users 500 --per-hour 6 --profile h200-qwen3-30b-a3b

        rheostat capacity plan spend.db --users 500 --per-hour 6 --provider rpm=500,tpm=2M,counts_max_tokens=yes
    """
    if bool(profile) == bool(provider):
        raise BadInput("give --profile TABLE for servers of your own, or --provider rpm=…,tpm=… for a hosted one")
    if provider and (plot is not None or gpu_usd is not None):
        raise BadInput("--plot and --gpu-usd are for servers of your own, not for --provider")
    if clamp is not None and not provider:
        raise BadInput("--clamp goes with --provider: a server of your own doesn't count caps")
    traffic = Traffic(users=users, per_hour=per_hour, growth=growth, shape=Traffic.shaped(shape))
    limits = Limits(ttft_seconds=ttft_p95, tpot_seconds=tpot_p95)
    table = StepTable.read(profile) if profile else None
    rates = RateLimits.from_text(provider) if provider else None
    demands = demands_of(
        source, assume or (), only or (), input_tokens=input_tokens, model=model, kind=kind, of=of, tail=tail, seed=seed
    )
    console = Screen()
    if rates is not None:
        served = [serve_hosted(each, rates, traffic, clamp_tokens=clamp, seed=seed) for each in demands.values()]
        hosted = HostedPlan(limits=rates, traffic=traffic, policies=tuple(served))
        if as_json:
            tell_json(hosted.to_dict())
        else:
            show_hosted(hosted, console)
        return
    assert table is not None  # noqa: S101 - or rates
    with stepping("simulating") as on_step:
        made = make_plan(
            demands, table, traffic, limits, safety=safety, gpu_usd=gpu_usd, routing=routing, seed=seed, on_step=on_step
        )
    if plot is not None:
        from rheostat.capacity.plot import plot_plan

        plot_plan(made, plot)
    if as_json:
        tell_json(made.to_dict())
    else:
        show_plan(made, console)
        if plot is not None:
            tell(one_line(f"plot: {plot}"))


@app.command()
def calibrate(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="An OpenAI-compatible server, such as http://HOST:8000/v1.")
    ],
    model: Annotated[str, typer.Option(help="The model's name there; without it, the first one listed.")] = "",
    key: Annotated[str, typer.Option(envvar="OPENAI_API_KEY", help="The API key, if the server wants one.")] = "none",
    concurrency: Annotated[str, typer.Option(help="Requests side by side, with commas.")] = "1,2,4,8,16,32",
    contexts: Annotated[str, typer.Option(help="Input tokens, with commas.")] = "256,2048,8192",
    output_tokens: Annotated[int, typer.Option(min=8, help="Output tokens of each request.")] = 64,
    kv_dtype: Annotated[str, typer.Option(help="The type of its KV cache, such as bfloat16 or fp8.")] = "",
    kv_tokens: Annotated[
        int, typer.Option(min=0, help="The tokens that its KV cache holds (in the server's log).")
    ] = 0,
    max_context: Annotated[int, typer.Option(min=0, help="The most tokens of one request.")] = 0,
    max_batched_tokens: Annotated[int, typer.Option(min=1, help="The most tokens of one step.")] = 8192,
    max_sequences: Annotated[
        int, typer.Option(min=0, help="The most requests side by side; without it, the largest concurrency.")
    ] = 0,
    gpus: Annotated[int, typer.Option(min=1, help="GPUs of one replica.")] = 1,
    gpu: Annotated[str, typer.Option(help="Their name.")] = "",
    out: Annotated[Path | None, typer.Option(metavar="TABLE.json", help="Write the table here.")] = None,
    as_json: Json = False,
) -> None:
    """Measure a live server's steps, and write a step table for `rheostat capacity plan`.

    It sends streams at several concurrencies and contexts, and takes the median gap between tokens. Nothing else should
    use the server meanwhile.

    Example:

        rheostat capacity calibrate http://localhost:8000/v1 --kv-tokens 368000 --kv-dtype bfloat16 --out mine.json
    """
    if not kv_tokens or not kv_dtype:
        raise BadInput(
            "give --kv-tokens and --kv-dtype: they decide how many requests fit, and no API tells them. vLLM logs "
            '"GPU KV cache size: … tokens"; llama.cpp: slots × context of a slot, f16'
        )
    with stepping("measuring") as on_step:
        table = measure(
            url, model=model, key=key, concurrency=_counts("--concurrency", concurrency),
            contexts=_counts("--contexts", contexts), output_tokens=output_tokens, kv_dtype=kv_dtype,
            kv_tokens=kv_tokens, max_context_tokens=max_context or kv_tokens, max_batched_tokens=max_batched_tokens,
            max_sequences=max_sequences, gpus=gpus, gpu=gpu, on_step=on_step,
        )  # fmt: skip
    if out is not None:
        try:
            write_whole(out, table.to_text())
        except OSError as error:
            raise BadInput(f"can't write {out}: {error.strerror}; give another file with --out") from None
    if as_json or out is None:
        tell(table.to_text(), end="")
    console = Screen(err=as_json or out is None)
    show_table(table, console)
    if out is not None:
        console.print(
            one_line(f"written to {out}; to use it: rheostat capacity plan … --profile {out}"), soft_wrap=True
        )


@app.command()
def tables(
    name: Annotated[str, typer.Argument(metavar="[TABLE]", help="Show this one: a file, or a shipped table.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print it, or the list, as JSON.")] = False,
) -> None:
    """List the shipped step tables, or show one: step times by batch and context.

    Examples:

        rheostat capacity tables

        rheostat capacity tables h200-qwen3-32b-fp8
    """
    if name:
        table = StepTable.read(name)
        if as_json:
            tell(table.to_text(), end="")
        else:
            show_table(table, Screen())
        return
    found = shipped_tables()
    if as_json:
        facts = ("model", "engine", "gpu", "kv_dtype", "kv_tokens", "source", "date", "licence")
        listed = [{"name": key, **{name: getattr(each, name) for name in facts}} for key, each in found.items()]
        tell_json(listed)
        return
    for key, each in found.items():
        tell(f"{key:32} {each.model}, {each.engine}, {each.gpu}, KV {each.kv_dtype}, {each.kv_tokens:,} tokens")


def _counts(name: str, text: str) -> tuple[int, ...]:
    try:
        found = sorted({int(each) for each in text.split(",")})
    except ValueError:
        found = []
    if not found or found[0] < 1:
        raise BadInput(f"{name} is a list of whole numbers above 0 with commas, not {text!r}")
    return tuple(found)
