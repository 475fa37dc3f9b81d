"""`rheostat replay`: a strategy over recorded samples, without a model."""

from __future__ import annotations

import itertools
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from rheostat.cli.progress import stepping
from rheostat.cli.replay_arms import arms
from rheostat.cli.replay_route import route
from rheostat.cli.safe_text import one_line
from rheostat.cli.said import Json
from rheostat.cli.screen import Screen, tell, tell_json
from rheostat.errors import BadInput
from rheostat.money.usage import usd_nanos
from rheostat.replay import Choice, Comparison, Line, Recording, compare, read_rows
from rheostat.replay.plot import plot_png
from rheostat.strategies import BestOfN, Strategy, TreeSearch, Vote

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Run a strategy over recorded samples, without a model, beside simple controls on the same samples.\n\n"
    'FILE has one question a line: {"id": …, "gold": "39", "samples": [{"answer": "39", "tokens": 120}, …]}; '
    "it may be packed with gzip. A sample may also have score, logprob, min32_logprob, passed, usd, parent, "
    "temperature, way, model and correct.\n\n"
    "Each question is replayed in several random orders of its samples; greedy samples come first, and ways of asking "
    "take turns. Figures are means over questions and orders, with 95 % intervals over questions.",
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="Recorded samples, as JSON Lines (also packed with gzip).")]
Orders = Annotated[int, typer.Option(min=1, help="Random orders of each question's samples.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same orders.")]
Plot = Annotated[
    Path | None, typer.Option(metavar="FILE.png", help="Write a plot: accuracy against samples and tokens.")
]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first questions.")]
Ways = Annotated[
    str,
    typer.Option(
        help="Ways of asking to replay, comma-separated: a name, a glob or a part of a name. Without it: all; of pools "
        "of several models, the chain-of-thought pools of the model with the most samples."
    ),
]
Models = Annotated[str, typer.Option(help="Models to replay, in the same way.")]
Sets = Annotated[str, typer.Option(help="Sets of questions to replay, in the same way.")]
Pooled = Annotated[bool, typer.Option("--pooled", help="Treat all ways as one: they take no turns and can't agree.")]
Verified = Annotated[bool, typer.Option("--verified", help="A verifier tells the strategy whether a sample is right.")]
Score = Annotated[
    Literal["score", "logprob", "min32_logprob"],
    typer.Option(help="What the score is: the recorded one, or e to the power of a log-probability."),
]
Worth = Annotated[
    str | None,
    typer.Option(
        help="What a right answer is worth in US dollars: stop when one more sample costs more than it brings."
    ),
]
Samples = Annotated[int, typer.Option(help="The most samples that it draws.")]
AtOnce = Annotated[int, typer.Option(help="Samples drawn side by side.")]
GoodEnough = Annotated[float, typer.Option(help="The score, from 0 to 1, that ends the draws.")]

_MEANING = {
    "beta-0.95": "Adaptive-Consistency: draw until the leader is the most frequent answer with probability 0.95",
    "oracle": "right if any sample is",
}
_VOTE, _BEST, _TREE = Vote(), BestOfN(), TreeSearch()


@app.command()
def votes(
    file: File,
    lead: Annotated[float, typer.Option(help="The lead that is enough; it falls by 0.15 with each vote.")] = _VOTE.lead,
    most_samples: Annotated[int, typer.Option(help="The most samples that it draws.")] = _VOTE.most_samples,
    weights: Annotated[
        Literal["equal", "confidence"], typer.Option(help="`confidence`: votes weigh by their log-probability.")
    ] = _VOTE.weights,
    ways_agree: Annotated[
        bool, typer.Option("--ways-agree/--no-ways-agree", help="Two ways of asking that agree are enough.")
    ] = _VOTE.ways_agree,
    gives_up: Annotated[
        bool, typer.Option("--gives-up/--no-gives-up", help="Stop when the first three answers all differ.")
    ] = _VOTE.gives_up,
    first_samples: Annotated[
        int | None, typer.Option(help="Samples of the first round; without it, the fewest that could be enough.")
    ] = _VOTE.first_samples,
    ways: Ways = "",
    models: Models = "",
    sets: Sets = "",
    pooled: Pooled = False,
    verified: Verified = False,
    orders: Orders = 20,
    seed: Seed = 0,
    limit: Limit = None,
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """Votes (self-consistency): sample until one answer leads by enough.

    Controls: a single sample, the greedy one, the majority of the first N and of all, Adaptive-Consistency (stop when
    the Beta posterior says 95 %, arXiv:2305.11860), and the oracle.

    Examples:

        rheostat replay votes samples.jsonl

        rheostat replay votes samples.jsonl --lead 4 --no-gives-up --plot votes.png

        rheostat replay votes pools.jsonl.gz --ways cot1,cot2 --pooled --json
    """
    strategy = Vote(
        lead=lead, most_samples=most_samples, weights=weights, ways_agree=ways_agree, gives_up=gives_up,
        first_samples=first_samples,
    )  # fmt: skip
    choice = _choice(ways, models, sets, pooled)
    recording = read_rows(file, choice, limit=limit, score=None, verified=verified)  # a vote goes by answers alone
    if not any(each.key is not None for row in recording.rows for each in row.samples):
        raise BadInput(f"{file} records no answers, only whether they are right: they can't vote. Try best-of-n")
    _report("votes", strategy, recording, file, orders, seed, plot, as_json)


@app.command(name="best-of-n")
def best_of_n(
    file: File,
    samples: Samples = _BEST.samples,
    at_once: AtOnce = _BEST.at_once,
    good_enough: GoodEnough = _BEST.good_enough,
    score: Score = "score",
    ways: Ways = "",
    models: Models = "",
    sets: Sets = "",
    verified: Verified = False,
    worth: Worth = None,
    orders: Orders = 20,
    seed: Seed = 0,
    limit: Limit = None,
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """Best of N: N independent answers, and the one that passes or scores best.

    Controls: a single sample, the greedy one, the best of the first N and of all by score, the majority of all, and
    the oracle. Without scores and verdicts, the answers vote.

    Examples:

        rheostat replay best-of-n scored.jsonl --samples 8

        rheostat replay best-of-n samples.jsonl --score min32_logprob --at-once 1

        rheostat replay best-of-n samples.jsonl --verified
    """
    strategy = BestOfN(samples=samples, at_once=at_once, good_enough=good_enough)
    choice = _choice(ways, models, sets, False)
    recording = read_rows(file, choice, limit=limit, score=score, verified=verified)
    _report("best-of-n", strategy, recording, file, orders, seed, plot, as_json, worth)


@app.command()
def tree(
    file: File,
    samples: Samples = _TREE.samples,
    at_once: AtOnce = _TREE.at_once,
    algorithm: Annotated[
        Literal["uct", "ab-mcts"], typer.Option(help="`ab-mcts` needs the extra `search`.")
    ] = _TREE.algorithm,
    width: Annotated[float, typer.Option(help="uct: a node may have width · √visits children.")] = _TREE.width,
    exploration: Annotated[float, typer.Option(help="uct: the weight of rarely visited nodes.")] = _TREE.exploration,
    depth: Annotated[int, typer.Option(help="The most corrections in a row.")] = _TREE.depth,
    good_enough: GoodEnough = _TREE.good_enough,
    score: Score = "score",
    ways: Ways = "",
    models: Models = "",
    sets: Sets = "",
    verified: Verified = False,
    orders: Orders = 20,
    seed: Seed = 0,
    limit: Limit = None,
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """Tree search: fresh answers, and corrections of promising ones (samples with a `parent`).

    A correction draws the next unused sample recorded with that parent. If there is none, the node has no answer and
    costs nothing, but it counts as drawn by the strategy. Controls: a single sample, the first root, the best root of
    as many roots as the strategy drew nodes, the best of all nodes, and the oracle.

    Examples:

        rheostat replay tree tree.jsonl --samples 16

        rheostat replay tree tree.jsonl --algorithm ab-mcts --at-once 1
    """
    strategy = TreeSearch(
        samples=samples, at_once=at_once, algorithm=algorithm, width=width, exploration=exploration, depth=depth,
        good_enough=good_enough,
    )  # fmt: skip
    choice = _choice(ways, models, sets, False)
    recording = read_rows(file, choice, limit=limit, score=score, verified=verified)
    _report("tree", strategy, recording, file, orders, seed, plot, as_json)


app.command()(arms)
app.command()(route)


def _choice(ways: str, models: str, sets: str, pooled: bool) -> Choice:
    parts = [tuple(each.strip() for each in text.split(",") if each.strip()) for text in (ways, models, sets)]
    return Choice(ways=parts[0], models=parts[1], sets=parts[2], pooled=pooled)


def _report(
    kind: str,
    strategy: Strategy,
    recording: Recording,
    file: Path,
    orders: int,
    seed: int,
    plot: Path | None,
    as_json: bool,
    worth: str | None = None,
) -> None:
    made = _compared(kind, strategy, recording, orders, seed, _nanos(worth))
    notes = [*recording.notes, *made.notes, *_advice(kind, strategy, recording)]
    fields = {name: value for name, value in asdict(strategy).items() if name != "cap"}  # type: ignore[call-overload]
    if plot is not None:
        plot_png(made, plot, f"{file.name}: {made.strategy.name}, {made.rows} questions × {made.orders} orders")
    if as_json:
        counts = {"samples": sum(len(row.samples) for row in recording.rows), "format": recording.format}
        named = {"name": type(strategy).__name__, **fields}
        tell_json({"file": str(file), "strategy": named, **counts, **made.to_dict(), "notes": notes})
        return
    console = Screen()
    console.print(_table(made))
    settings = ", ".join(f"{name} {value}" for name, value in fields.items() if value is not None)
    for line in (
        f"{made.strategy.name}: {settings}",
        f"questions: {made.rows:,}; random orders of each: {made.orders}, seed {made.seed}; all figures are means",
        "[low, high]: 95 % of a paired bootstrap over questions; *: as many samples as the strategy draws",
        *(f"{line.name}: {_MEANING[line.id]}" for line in made.lines if line.id in _MEANING),
        *notes,
    ):
        console.print(one_line(line), style="dim")
    if plot is not None:
        tell(one_line(f"plot: {plot}"))


def _compared(
    kind: str, strategy: Strategy, recording: Recording, orders: int, seed: int, worth: int | None
) -> Comparison:
    done = itertools.count(1)
    with stepping("replaying") as on_step:
        return compare(
            recording.rows, strategy, orders=orders, seed=seed, kind=kind, worth_usd_nanos=worth,
            on_row=lambda: on_step(next(done), 2 * len(recording.rows)),
        )  # fmt: skip


def _nanos(worth: str | None) -> int | None:
    if worth is None:
        return None
    try:
        value = usd_nanos(worth)
    except ValueError as error:
        raise BadInput(f"--worth: {error}") from None
    if value <= 0:
        raise BadInput(f"--worth must be above zero, not {worth}")
    return value


def _advice(kind: str, strategy: Strategy, recording: Recording) -> list[str]:
    samples = [each for row in recording.rows for each in row.samples]
    notes = []
    if any(each.passed is not None for each in samples):
        notes.append("the record has a verifier's verdicts: the strategy sees them, and takes the first that passed")
    if isinstance(strategy, Vote) and strategy.weights == "confidence":
        unknown = sum(each.logprob is None and each.low_logprob is None for each in samples)
        if unknown:
            notes.append(f"{unknown:,} of {len(samples):,} samples have no log-probability: votes beside them weigh 1")
    if kind != "votes" and all(each.score is None and each.passed is None for each in samples):
        known = next(
            (name for name, part in (("min32_logprob", "low_logprob"), ("logprob", "logprob"))
             if any(getattr(each, part) is not None for each in samples)), None,
        )  # fmt: skip
        hint = f" (--score {known} makes one from the log-probability)" if known else ""
        notes.append(f"no sample has a score or a verdict: the answers vote{hint}")
    if kind == "tree" and all(each.parent is None for each in samples):
        notes.append("no sample has a parent: there is nothing to correct with")
    return notes


def _table(made: Comparison) -> Table:
    money = made.strategy.usd is not None
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("")
    for column in ("accuracy, %", "samples", "tokens", *(["$"] if money else [])):
        table.add_column(column, justify="right", no_wrap=True)  # a narrow terminal breaks names, never figures
    table.add_column("strategy − it", justify="right")
    for line in made.lines:
        ours = line is made.strategy
        cells: list[Text | str] = [Text(one_line(line.name), "bold cyan" if ours else ""), *_cells(line, money)]
        table.add_row(*cells, end_section=ours)
    return table


def _cells(line: Line, money: bool) -> list[str]:
    gap = "–"
    if line.difference is not None:
        low, high = line.difference_low or 0.0, line.difference_high or 0.0
        gap = f"{100 * line.difference:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"
    cells = [
        f"{100 * line.accuracy:.2f}",
        f"{line.samples:.2f}",
        "–" if line.tokens is None else f"{line.tokens:,.0f}",
    ]
    return [*cells, *([] if not money else ["–" if line.usd is None else f"{line.usd:.6f}"]), gap]
