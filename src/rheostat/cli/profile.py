"""`rheostat profile`: what is known of arms, and what changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.table import Table

from rheostat.cli.safe_text import one_line
from rheostat.cli.said import Json, say
from rheostat.cli.screen import Screen, tell, tell_json
from rheostat.errors import BadInput
from rheostat.judgement.profile import Arm, KindProfile, Measured, Profile
from rheostat.judgement.shipped import changing, default_profile, own_path, shipped

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="How often each arm (model, effort, way of asking) is right on each kind of task, and what it costs.\n\n"
    "The policy goes by the shipped profile with yours over it: the file that RHEOSTAT_PROFILE names, else "
    "~/.config/rheostat/profile.json. It is JSON, one line for each arm, to be read and edited.",
)

File = Annotated[Path | None, typer.Argument(metavar="[FILE]", help="A profile; without it: the one in use.")]


def _read(path: Path | None) -> Profile:
    return default_profile() if path is None else Profile.read(path)


@app.command()
def show(
    file: File = None,
    kind: Annotated[str, typer.Option(help="Only this kind of task.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the profile itself.")] = False,
) -> None:
    """Show a profile, the arms with the most right answers for their tokens first.

    Examples:

        rheostat profile show

        rheostat profile show mine.json --kind maths
    """
    profile = _read(file)
    if kind and kind not in profile.kinds:
        raise BadInput(f"no kind {kind!r} in this profile; there are {', '.join(sorted(profile.kinds)) or 'none'}")
    if as_json:
        tell(profile.to_text(), end="")
        return
    console = Screen()
    if not profile.kinds:
        console.print("the profile is empty")
    show_profile(profile, console, kind)


def show_profile(profile: Profile, console: Screen, kind: str = "") -> None:
    """Print a profile, or one kind of it, as tables."""
    for name, each in sorted(profile.kinds.items()):
        if not kind or name == kind:
            console.print(_table(name, each, profile))
            console.print(one_line(_numbers(each)), style="dim")


def _table(name: str, kind: KindProfile, profile: Profile) -> Table:
    table = Table(title=one_line(name), title_justify="left", box=box.SIMPLE, pad_edge=False)
    table.add_column("arm", overflow="fold", min_width=24)
    for column in ("right", "P", "tokens", "a right answer", "from"):
        table.add_column(column, justify="right" if column != "from" else "left")
    rated = [(profile.rate(name, arm), arm, each) for arm, each in kind.arms.items()]
    for rate, arm, each in sorted(rated, key=lambda one: _price(one[0], one[2])):
        dollars = each.usd is not None
        price = _price(rate, each)
        table.add_row(
            one_line(str(arm)), f"{each.right:.4g} of {each.tried:.4g}", f"{rate:.2f}", f"{each.output_tokens:,.0f}",
            f"${price:.4g}" if dollars else f"{price:,.0f} tokens",
            one_line(f"{each.date}{' prior' if each.prior else ' learned' if each.learned else ''}".strip()),
        )  # fmt: skip
    return table


def _price(rate: float, each: Measured) -> float:
    return (each.output_tokens if each.usd is None else each.usd) / max(rate, 1e-3)


def _numbers(kind: KindProfile) -> str:
    known = f"measured on {kind.tasks:g} tasks" if kind.tasks else "assumed"
    return (
        f"spread {kind.spread:.2g}, alike {kind.alike:.2g} (lure {kind.lure:.2g}), repeat {kind.repeat:.2g}, "
        f"clue {kind.clue:.2g}: {known} (docs/explanation/judgement.md)"
    )


@app.command()
def diff(
    one: Annotated[Path, typer.Argument(help="A profile.")],
    two: Annotated[Path | None, typer.Argument(help="Another; without it: the one in use.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show which rates differ, and whether by more than chance (two standard errors).

    Example:

        rheostat profile diff last-month.json
    """
    rows = _differences(_read(one), _read(two))
    if as_json:
        tell_json(rows)
        return
    console = Screen()
    if not rows:
        console.print("no difference")
        return
    table = Table(box=box.SIMPLE, pad_edge=False)
    for column in ("kind", "arm", "one", "two", ""):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(one_line(str(row[name])) for name in ("kind", "arm", "one", "two", "said")))
    console.print(table)


def _differences(one: Profile, two: Profile) -> list[dict[str, str]]:
    rows = []
    for kind in sorted({*one.kinds, *two.kinds}):
        here, there = (each.kinds.get(kind, KindProfile()).arms for each in (one, two))
        for arm in sorted({*here, *there}):
            left, right = here.get(arm), there.get(arm)
            if left != right:
                rows.append(_difference(kind, arm, left, right))
    return rows


def _difference(kind: str, arm: Arm, one: Measured | None, two: Measured | None) -> dict[str, str]:
    shown = ["–" if each is None else f"{each.right:.4g} of {each.tried:.4g}" for each in (one, two)]
    said = "new" if one is None else "gone" if two is None else ""
    if one is not None and two is not None and one.tried and two.tried:
        rates = [each.right / each.tried for each in (one, two)]
        error = (
            sum((rate * (1 - rate) + 0.01) / each.tried for rate, each in zip(rates, (one, two), strict=True)) ** 0.5
        )
        gap = rates[1] - rates[0]
        said = f"{100 * gap:+.0f} points" + (": more than chance" if abs(gap) > 2 * error else "")
    return {"kind": kind, "arm": str(arm), "one": shown[0], "two": shown[1], "said": said}


@app.command()
def merge(
    files: Annotated[list[Path], typer.Argument(help="Profiles; counts add up, measurements replace priors.")],
    out: Annotated[Path | None, typer.Option(help="Where to write; without it: your own profile.")] = None,
    as_json: Json = False,
) -> None:
    """Merge profiles into one, or into your own.

    Examples:

        rheostat profile merge measured.json

        rheostat profile merge a.json b.json --out both.json
    """
    target = out or own_path()
    with changing(target) as file:
        made = file.read() if out is None else Profile()
        for path in files:
            made = made.merged(Profile.read(path))
        file.write(made)
    arms = sum(len(each.arms) for each in made.kinds.values())
    text = f"{target}: {arms} arms on {len(made.kinds)} kinds of tasks"
    say({"path": str(target), "arms": arms, "kinds": len(made.kinds)}, text, as_json=as_json)


@app.command()
def reset(
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete your own profile. What was learned from your runs stays: `rheostat learn --forget`."""
    path = own_path()
    if not path.exists():
        text = f"there is no profile of your own ({path}); the shipped one knows {len(shipped().kinds)} kinds"
        say({"path": str(path), "deleted": False}, text, as_json=as_json)
        return
    if not yes and not typer.confirm(f"delete {path}?", err=True):
        raise typer.Exit(1)
    path.unlink()
    say({"path": str(path), "deleted": True}, f"deleted {path}", as_json=as_json)
