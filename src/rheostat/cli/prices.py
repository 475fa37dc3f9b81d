"""`rheostat prices`: how old the list prices are, a model's price, and a newer list."""

from __future__ import annotations

from typing import Annotated

import typer

from rheostat.cli.safe_text import one_line
from rheostat.cli.said import Json
from rheostat.cli.screen import Screen, tell_json
from rheostat.errors import BadInput, ModelUnknown
from rheostat.money import price_list
from rheostat.money.pricing import Price, price_of

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="The list prices of hosted models: their age, and newer ones.\n\n"
    "Limits in dollars are reckoned with them; your own prices in the file that RHEOSTAT_PRICES names come first. "
    f"{price_list.MAX_AGE} refuses lists that are older.",
)


@app.command()
def show(
    model: Annotated[str, typer.Argument(metavar="[PROVIDER:MODEL]", help="A model, such as openai:gpt-6-sol.")] = "",
    as_json: Json = False,
) -> None:
    """Show where the prices come from and how old they are; with a model, its price per million tokens.

    Example:

        rheostat prices show anthropic:claude-sonnet-5-5
    """
    found = _price(model) if model else None
    rates = None if found is None else {
        "input_usd_per_million": float(found.input_per_million),
        "output_usd_per_million": float(found.output_per_million),
    }  # fmt: skip
    told = {
        "origin": price_list.origin(), "age_days": price_list.age_days(), "max_age_days": price_list.max_age_days(),
        **({"model": model, **(rates or {})} if model else {}),
    }  # fmt: skip
    if as_json:
        tell_json(told)
        return
    console = Screen()
    allowed = f", {told['max_age_days']} allowed" if told["max_age_days"] else ""
    console.print(f"{told['origin']}: {told['age_days']} days old{allowed}")
    if found is not None:
        text = f"${found.input_per_million:g} input, ${found.output_per_million:g} output, for a million tokens each"
        console.print(f"{one_line(model)}: {text}")


@app.command()
def update(
    url: Annotated[str, typer.Option(help="Where the list is; by default genai-prices' own repository.")] = (
        price_list.DEFAULT_UPDATE_URL
    ),
    as_json: Json = False,
) -> None:
    """Fetch the newest list of prices, and use it from now on. One request; nothing about you is sent."""
    models, path = price_list.fetch(url)
    if as_json:
        tell_json({"models": models, "path": str(path)})
        return
    Screen().print(f"{models:,} models' prices are in {one_line(path)}")


def _price(model: str) -> Price:
    provider, _, name = model.partition(":")
    if not name:
        raise BadInput(f"{model!r} names no provider: write PROVIDER:MODEL, such as openai:gpt-6-sol")
    found = price_of(provider, name)
    if found is None:
        raise ModelUnknown(f"no price is known for {model}: rheostat prices update, or put it into RHEOSTAT_PRICES")
    return found
