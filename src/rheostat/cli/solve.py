"""`rheostat solve`: one question with adaptive thinking, under a hard budget."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from rheostat.addresses import without_password
from rheostat.cli.fetch import ensure_model
from rheostat.cli.safe_text import one_line, visible
from rheostat.cli.screen import Screen, labelled, tell, tell_json
from rheostat.cli.statuses import INTERRUPTED, status_of
from rheostat.cli.view import SolveView, spend_line
from rheostat.errors import BadInput, LimitWarning, ProviderFailed
from rheostat.evidence.scorers import Confidence, Judge
from rheostat.evidence.verifiers import Exact, JsonSchema, Matches, MathsAnswer, PythonTests, Verifier
from rheostat.files import read_text
from rheostat.graph.state import KEY, read
from rheostat.judgement.policy import Caps
from rheostat.judgement.worth import amount
from rheostat.local import DEFAULT_MODEL
from rheostat.models import resolve
from rheostat.money.budget import Budget
from rheostat.money.ledger import MemoryLedger, open_ledger
from rheostat.money.ledger.durable import DurableLedger
from rheostat.solver.build import build_solver
from rheostat.strategies import STRATEGIES, Strategy, as_strategy
from rheostat.task import parse_effort
from rheostat.thinking.difficulty import check_question

__all__ = ["caps_for", "named_strategy", "solve"]

_DEFAULT_TOKENS, _DEFAULT_SECONDS = 20_000, 180.0


def solve(
    question: Annotated[str, typer.Argument(help="The question; `-` reads it from standard input.")] = "",
    file: Annotated[Path | None, typer.Option(help="Read the question from a text file.")] = None,
    model: Annotated[
        str,
        typer.Option(
            help="A local model (see `rheostat models list`), a GGUF file, openai:MODEL, anthropic:MODEL, "
            "or the URL of an OpenAI-compatible server."
        ),
    ] = DEFAULT_MODEL,
    escalate_to: Annotated[list[str] | None, typer.Option(help="A better model, asked if the first one fails.")] = None,
    budget_usd: Annotated[str | None, typer.Option(help="Limit in US dollars, such as 0.05.")] = None,
    budget_tokens: Annotated[int | None, typer.Option(help="Limit in tokens, input and output together.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Limit in seconds.")] = None,
    effort: Annotated[
        str, typer.Option(help="A preset (auto, fast, balanced, thorough) or a fixed level (none, minimal, low … max).")
    ] = "auto",
    strategy: Annotated[
        str, typer.Option(help=f"What is drawn, and when it is enough: auto, {', '.join(STRATEGIES)}.")
    ] = "auto",
    samples: Annotated[
        int | None,
        typer.Option(min=1, help="The most samples, for a strategy that takes them, such as vote."),
    ] = None,
    judge: Annotated[
        str | None, typer.Option(help="A model that scores answers which nothing can verify; as for --model.")
    ] = None,
    confidence: Annotated[
        bool, typer.Option("--confidence", help="Score answers by the model's own log-probabilities; free.")
    ] = False,
    worth: Annotated[
        str | None,
        typer.Option(help="Value of a correct answer in US dollars: no sample is drawn that isn't worth it."),
    ] = None,
    tests: Annotated[Path | None, typer.Option(help="Python asserts that the answer's code must pass.")] = None,
    schema: Annotated[Path | None, typer.Option(help="JSON Schema that the answer must satisfy.")] = None,
    equals: Annotated[str | None, typer.Option(help="The answer must equal this number or expression.")] = None,
    exact: Annotated[str | None, typer.Option(help="The answer must be this text.")] = None,
    matches: Annotated[str | None, typer.Option(help="The answer must match this regular expression.")] = None,
    ledger_at: Annotated[
        str | None, typer.Option("--ledger", help="Keep the ledger in this SQLite file or postgresql://… database.")
    ] = None,
    account: Annotated[str | None, typer.Option(help="An account in that ledger; its limits also bind.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON document.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the answer only.")] = False,
) -> None:
    """Answer one question under a hard budget.

    If you set no limit, the run gets 20,000 tokens and 180 seconds. Ctrl-C ends the run with the best answer so far.

    Examples:

        rheostat solve "A pen costs $3. How many can I buy for $20?"

        rheostat solve "Write a function is_prime(n)" --tests tests.py --budget-tokens 5000

        rheostat solve "Prove it" --model anthropic:claude-sonnet-5-5 --budget-usd 0.10 --effort thorough

        rheostat solve "Name a good tea shop" --strategy best-of-n --samples 6 --judge qwen2.5-coder-1.5b

        rheostat solve - --strategy tree --tests tests.py --ledger spend.db
    """
    asked = _question(question, file)
    level = parse_effort(effort)
    verifier = _verifier(tests, schema, equals, exact, matches)
    if budget_usd is None and budget_tokens is None and seconds is None:
        budget_tokens, seconds = _DEFAULT_TOKENS, _DEFAULT_SECONDS
    budget = Budget(usd=budget_usd, tokens=budget_tokens, seconds=seconds)
    plan = named_strategy(strategy, samples)
    if judge is not None and confidence:
        raise BadInput("one scorer at a time: --judge and --confidence were given")
    names = [model, *(escalate_to or [])]
    for name in (*names, *([judge] if judge is not None else [])):
        ensure_model(name, quiet=quiet or as_json)
    models = [resolve(name) for name in names]
    scorer = Judge(model=resolve(judge)) if judge is not None else Confidence() if confidence else None
    if account is not None and ledger_at is None:
        raise BadInput("--account names an account in a ledger: also give --ledger FILE")
    ledger = open_ledger(ledger_at) if ledger_at is not None else MemoryLedger()
    graph = build_solver(
        models[0],
        escalate_to=models[1:],
        budget=budget,
        verifier=verifier,
        effort=level,
        caps=caps_for(samples),
        ledger=ledger,
        account=account,
        strategy=plan,
        scorer=scorer,
        worth=worth,
    ).compile()
    if account is not None:  # the default limits may be looser than the account's
        warnings.simplefilter("ignore", LimitWarning)
    view = SolveView(asked, model, budget)
    console = Screen(err=True)
    seen = None if quiet or as_json or not console.is_terminal else console
    result, interrupted = _watch(graph, asked, view, seen)
    if seen is not None and view.totals.candidates > 1:  # the live view is gone
        seen.print(view.tree())
    spend = read(result)["spend"]
    if spend:
        spend = ledger.reading(spend["account"])
    result["spend"] = spend
    if isinstance(ledger, DurableLedger):
        ledger.close()
    if interrupted:
        result["stopped"] = "interrupted by the user"
    if read(result)["end"].get("by") == "failure" and result.get("answer") is None:
        raise ProviderFailed(str(result["candidates"][-1]["error"]))
    said = f"{strategy} · {view.totals.counted(scorer.name if scorer is not None else 'scoring')}"
    _print(result, said, ledger_at, as_json=as_json, quiet=quiet)
    status = str(result.get("status"))
    ended = status_of(read(result)["end"], done=status == "answered", proven=status == "solved")
    raise typer.Exit(INTERRUPTED if interrupted else ended)


def named_strategy(name: str, samples: int | None) -> Strategy | str:
    """A strategy by its name, with the most samples that it may draw.

    Raises:
        BadInput: there is no such strategy, or it takes no number of samples.
    """
    as_strategy(name)
    if samples is None:
        return name
    option = _most_samples(name)
    if option is None:
        takers = ", ".join(each for each in STRATEGIES if _most_samples(each))
        raise BadInput(f"--samples is for a strategy that takes it: --strategy {takers}; not {name}")
    return STRATEGIES[name](**{option: samples})


def _most_samples(strategy: str) -> str | None:
    known = {each.name for each in fields(STRATEGIES[strategy])} if strategy in STRATEGIES else set()  # type: ignore[arg-type]  # all are dataclasses
    return next((each for each in ("samples", "most_samples") if each in known), None)


def caps_for(samples: int | None) -> Caps:
    """The usual caps, raised so that this many samples fit, even one by one."""
    usual = Caps()
    if samples is None:
        return usual
    return Caps(max_samples=max(usual.max_samples, samples), max_rounds=max(usual.max_rounds, samples))


def _question(question: str, file: Path | None) -> str:
    if file is not None:
        if question:
            raise BadInput("give the question or --file, not both")
        return check_question(read_text(file, "question"))
    if question == "-":
        data = sys.stdin.buffer.read()
        try:
            return check_question(data.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise BadInput(f"standard input is not UTF-8: byte {error.start} is 0x{data[error.start]:02x}") from None
    if not question.strip():
        raise BadInput('no question: rheostat solve "…", or --file FILE, or - for standard input')
    return check_question(question)


def _verifier(
    tests: Path | None, schema: Path | None, equals: str | None, exact: str | None, matches: str | None
) -> Verifier | None:
    named: dict[str, Any] = {
        "--tests": tests,
        "--schema": schema,
        "--equals": equals,
        "--exact": exact,
        "--matches": matches,
    }
    given = [name for name, value in named.items() if value is not None]
    if len(given) > 1:
        raise BadInput(f"one check at a time: {' and '.join(given)} were given")
    if tests is not None:
        return PythonTests(read_text(tests, "tests"))
    if schema is not None:
        return JsonSchema(read_text(schema, "schema"))
    if equals is not None:
        return MathsAnswer(equals)
    if exact is not None:
        return Exact(exact)
    return Matches(matches) if matches is not None else None


def _watch(graph: Any, question: str, view: SolveView, console: Screen | None) -> tuple[dict[str, Any], bool]:
    """Run on an event loop, so that Ctrl-C cuts the call in flight. Returns the last state seen."""
    state: dict[str, Any] = {}

    async def run() -> None:
        async for mode, event in graph.astream({"question": question}, stream_mode=["custom", "values"]):
            if mode == "values":
                state.update(event)
            else:
                view.feed(event)
                if "spend" in event:
                    state[KEY] = {"spend": event["spend"]}
                if event["type"] == "sample" and event["answer"] is not None and state.get("answer") is None:
                    state["answer"] = event["answer"]  # better than nothing, should the user stop here

    live = Live(view, console=console, transient=True, refresh_per_second=8) if console else contextlib.nullcontext()
    try:
        with live:
            asyncio.run(run())
    except KeyboardInterrupt:
        return state, True
    return state, False


def _beside(baseline: dict[str, Any], candidates: list[dict[str, Any]]) -> str:
    """What a fixed arm would have cost, and how much less or more this run did."""
    unit, cost = baseline["unit"], baseline["cost"]
    name = "usd_nanos" if unit == "usd" else "output_tokens"
    spent = sum((each[part] or {}).get(name) or 0 for each in candidates for part in ("spend", "scoring"))
    share = f"{abs(1 - spent / cost):.0%} {'less' if spent < cost else 'more'}" if cost else "nothing to compare"
    said = f"{baseline['name']} ({baseline['arm']}): P {baseline['chance']:.2f} for about {amount(cost, unit)}"
    return f"{said}; this run took {amount(spent, unit)}, {share}"


def _print(result: dict[str, Any], said: str, ledger_at: str | None, *, as_json: bool, quiet: bool) -> None:
    keep = ("answer", "status", "stopped", "confidence", "difficulty", "plan", "round", "spend", "chosen", "baselines")
    shown: dict[str, Any] = {**{key: result.get(key) for key in keep}, "candidates": result.get("candidates") or []}
    shown["run"], shown["end"] = read(result)["run"].get("account"), read(result)["end"]
    if as_json:
        tell_json(shown)
        return
    answer = shown["answer"]
    if quiet:
        if answer is not None:
            tell(answer)
        return
    console = Screen()
    share = shown["confidence"]
    title = f"{shown['status']}, verified" if shown["status"] == "solved" else f"{shown['status']}"
    if shown["status"] == "answered":
        scored = any(each["id"] == shown["chosen"] and each.get("score") is not None for each in shown["candidates"])
        known = "" if share is None else f": score {share:.2f}" if scored else f": {share:.0%} of the votes"
        title += f", not verified{known}"
    body = Text(visible(answer)) if answer is not None else Text("no answer", "red")
    colour = "green" if shown["status"] == "solved" else "yellow"
    console.print(Panel(body, title=Text(one_line(title)), subtitle=Text(one_line(said)), border_style=colour))
    console.print(labelled("stopped", shown["stopped"]))
    if shown["spend"]:
        console.print(labelled("spend", spend_line(shown["spend"])))
    for each in shown["baselines"] or ():
        console.print(labelled("beside", _beside(each, shown["candidates"])))
    if ledger_at is not None and shown["run"] is not None:
        again = f"rheostat show {without_password(ledger_at)} {shown['run']}"
        console.print(labelled("again", again), soft_wrap=True)
