"""`rheostat learn`: the verdicts of past runs as counts of arms, for the policy."""

from __future__ import annotations

import datetime
import json
import time
from dataclasses import replace
from typing import Annotated

import typer

from rheostat.cli.profile import show_profile
from rheostat.cli.safe_text import one_line
from rheostat.cli.said import Json, say
from rheostat.cli.screen import Screen
from rheostat.errors import BadInput
from rheostat.files import locked, write_whole
from rheostat.judgement.learning import learned, outcomes, texts
from rheostat.judgement.profile import KindProfile, Profile
from rheostat.judgement.router import Router, fit_router
from rheostat.judgement.shipped import calibrated, changing, learned_path, router_path
from rheostat.money.ledger import StepRecord
from rheostat.money.ledger.address import open_ledger

__all__ = ["learn"]


def learn(
    ledgers: Annotated[
        list[str] | None,
        typer.Argument(metavar="[LEDGER]...", help="SQLite files, or postgresql://USER@HOST/DATABASE."),
    ] = None,
    half_life_days: Annotated[float, typer.Option(min=0.01, help="A verdict counts half after so many days.")] = 60.0,
    account: Annotated[str, typer.Option(help="Only runs of accounts that begin so.")] = "",
    text: Annotated[
        bool,
        typer.Option(
            "--text",
            help="Learn from the questions too, of runs that kept them (`keep_text=True`); needs the extra `learn`.",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be learned, and write nothing.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Show what has been learned.")] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Delete what has been learned.")] = False,
    kind: Annotated[str, typer.Option(help="With --list and --forget: only this kind of task.")] = "",
    model: Annotated[str, typer.Option(help="With --list and --forget: only this model.")] = "",
    as_json: Json = False,
) -> None:
    """Learn from the verdicts of past runs how often each arm is right.

    Reads the records of candidates that a verifier judged. They hold no text: only kinds, difficulties, arms, verdicts
    and tokens. What is learned replaces what was learned before, so name all your ledgers. It counts beside the shipped
    profile and your own. The records stay in their ledgers until `rheostat ledger prune`.

    Examples:

        rheostat learn spend.db

        rheostat learn --list

        rheostat learn --forget --model gpt-5-mini
    """
    chosen = [bool(ledgers), listed, forget]
    if sum(chosen) != 1:
        raise BadInput("give ledgers to learn from, or --list, or --forget")
    console = Screen(quiet=as_json)
    if not ledgers:
        if as_json and listed:
            with changing(learned_path()) as file:
                say(json.loads(file.read().to_text()), "", as_json=True)
            return
        _kept(console, kind=kind, model=model, forget=forget)
        if as_json:
            say({"forgotten": True, "kind": kind or None, "model": model or None}, "", as_json=True)
        return
    if kind or model:
        raise BadInput("--kind and --model go with --list and --forget; to learn from some runs only, use --account")
    steps = [step for ledger in ledgers for step in _read(ledger, account)]
    found = outcomes(steps)
    made = learned(found, calibrated(), now_ms=int(1000 * time.time()), half_life_days=half_life_days)
    if text:
        _learn_text(steps, console, dry_run=dry_run)
    if as_json:
        told = {"verdicts": made.verdicts, "runs": made.runs, "drifts": [str(each) for each in made.drifts]}
        say({**told, "profile": json.loads(made.profile.to_text()), "written": not dry_run}, "", as_json=True)
    if not made.verdicts:
        console.print("no verdicts: only runs with a verifier (tests, a schema, a number to match) teach anything")
        return
    show_profile(made.profile, console)
    for drift in made.drifts:
        console.print(f"drift: {one_line(str(drift))}", style="yellow")
    since = datetime.datetime.fromtimestamp(found[0].at_ms / 1000, datetime.UTC).date()
    console.print(f"{made.verdicts:,} verdicts of {made.runs:,} runs since {since}")
    if not dry_run:
        with changing(learned_path()) as file:
            file.write(made.profile)
        console.print(f"written to {one_line(str(learned_path()))}")


def _read(address: str, account: str) -> list[StepRecord]:
    ledger = open_ledger(address, must_exist=True)
    try:
        return [step for step in ledger.steps() if step.account.startswith(account)]
    finally:
        ledger.close()


def _learn_text(steps: list[StepRecord], console: Screen, *, dry_run: bool) -> None:
    asked, right = texts(steps)
    router = fit_router(asked, right)
    console.print(f"learned which of {len(asked):,} questions are hard for {one_line(', '.join(right))}")
    if not dry_run:
        with locked(router_path()):
            write_whole(router_path(), router.to_text())
        console.print(f"written to {one_line(str(router_path()))}: weights of hashed words, no text")


def _kept(console: Screen, *, kind: str, model: str, forget: bool) -> None:
    if forget and not kind and not model:
        found = [path for path in (learned_path(), router_path()) if path.exists()]
        for path in found:
            path.unlink()
        console.print(f"forgotten: {', '.join(path.name for path in found) or 'nothing, for nothing was learned'}")
        return
    with changing(learned_path()) as file:
        kept = file.read()
        wanted, others = Profile(), kept
        for name, each in kept.kinds.items():
            of = {arm: one for arm, one in each.arms.items() if kind in ("", name) and model in ("", arm.model)}
            if of:
                wanted = wanted.merged(Profile(kinds={name: KindProfile(arms=of)}))
                others = others.dropping(name, of)
        if forget and not kind and router_path().exists():
            _forget_text(model)
            console.print("forgotten: what was learned from texts")
        if not wanted.kinds:
            console.print(f"nothing has been learned ({one_line(str(learned_path()))})")
        elif forget:
            file.write(others)
            count = sum(len(each.arms) for each in wanted.kinds.values())
            console.print(f"forgotten: {count} arms. Their records stay in the ledgers until `rheostat ledger prune`")
        else:
            show_profile(wanted, console)


def _forget_text(model: str) -> None:
    with locked(router_path()):
        router = Router.read(router_path())
        left = {name: each for name, each in router.arms.items() if name != model}
        if not left:
            router_path().unlink()
            return
        usual = {name: router.usual[name] for name in left if name in router.usual}
        write_whole(router_path(), replace(router, arms=left, usual=usual).to_text())
