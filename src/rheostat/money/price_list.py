"""The list of prices: genai-prices' own, or a newer one that `rheostat prices update` fetched; and its age.

The list in the package is as old as the package. A hard limit in dollars is no better than the prices it is reckoned
with, so an old list is said (`LimitWarning`), and refused where `RHEOSTAT_PRICES_MAX_AGE_DAYS` says so.
"""

from __future__ import annotations

import functools
import json
import os
import warnings
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from genai_prices.data_snapshot import DataSnapshot, get_snapshot, set_custom_snapshot
from genai_prices.update_prices import DEFAULT_UPDATE_URL

from rheostat.addresses import without_password
from rheostat.errors import BadInput, LimitWarning, NoPrice
from rheostat.files import locked, read_text, write_whole

__all__ = [
    "DEFAULT_UPDATE_URL",
    "MAX_AGE",
    "age_days",
    "check_age",
    "dated",
    "fetch",
    "fetched_path",
    "max_age_days",
    "origin",
    "snapshot",
]

MAX_AGE: Final = "RHEOSTAT_PRICES_MAX_AGE_DAYS"
"""The variable with the most days that a price list may be old under a limit in dollars; older ones are refused."""
_OLD_DAYS = 120
"""Where the variable isn't set, an older list is warned about."""
_MOST_BYTES = 1 << 26


def fetched_path() -> Path:
    """Where a fetched list is kept: `prices.json` in the user's configuration folder."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "rheostat" / "prices.json"


def snapshot() -> DataSnapshot:
    """The prices in force. A list that was fetched is put in genai-prices' place once, unless the program has its own.

    Raises:
        BadInput: the fetched file can't be read.
    """
    _install()
    return get_snapshot()


@functools.cache
def _install() -> date | None:
    """The day on which the list that is in force was fetched; `None`: it is the one in the package."""
    path, known = fetched_path(), get_snapshot()
    if known.from_auto_update:
        return known.timestamp.date()
    if not path.exists():
        return None
    try:
        kept = json.loads(read_text(path, "price list", most_bytes=_MOST_BYTES))
        day = date.fromisoformat(kept["fetched"])
        listed = DataSnapshot(
            providers=_providers(kept["providers"]),
            from_auto_update=True,
            timestamp=datetime(day.year, day.month, day.day),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{path} is no price list: {error}. Delete it, or: rheostat prices update") from error
    if day < _newest_in(known):
        return None  # the package was upgraded since
    set_custom_snapshot(listed)
    return day


def _providers(raw: Any) -> list[Any]:
    from genai_prices.types import _providers_from_raw

    found = _providers_from_raw(raw)
    if not found:
        raise ValueError("it has no providers")
    return found


def _newest_in(listed: DataSnapshot) -> date:
    """The day of the newest price that is already in force: the list is at least as new as that."""
    today = datetime.now(UTC).date()
    starts = (
        start
        for provider in listed.providers
        for model in provider.models
        for price in (model.prices if isinstance(model.prices, list) else ())
        if isinstance(start := getattr(price.constraint, "start_date", None), date) and start <= today
    )
    return max(starts, default=date.min)


@functools.cache
def dated() -> date:
    """The day of the list in force: when it was fetched, or the day of its newest price."""
    listed = snapshot()
    return _install() or _newest_in(listed)


def origin() -> str:
    """Where the list in force comes from, in words."""
    if _install() is not None:
        return f"fetched on {dated()}"
    return f"genai-prices {version('genai-prices')}, its newest price of {dated()}"


def age_days() -> int:
    """The age of the list in force, in days."""
    return (datetime.now(UTC).date() - dated()).days


def max_age_days() -> int | None:
    """The most days that the user allows; `None`: nothing is said.

    Raises:
        BadInput: the variable isn't a whole number of days.
    """
    said = os.environ.get(MAX_AGE, "").strip()
    if not said:
        return None
    if not said.isdecimal() or not int(said):
        raise BadInput(f"{MAX_AGE} must be a whole number of days, such as 30, not {said!r}")
    return int(said)


def check_age() -> None:
    """Check the age of list prices before a limit in dollars is reckoned with them.

    Raises:
        NoPrice: the list is older than the user allows.

    Warns:
        LimitWarning: it is old, and the user says nothing about that.
    """
    most, age = max_age_days(), age_days()
    if age <= (most or _OLD_DAYS):
        return
    told = f"the price list is {age} days old ({origin()})"
    newer = "`rheostat prices update`, or pip install -U genai-prices"
    if most is not None:
        raise NoPrice(f"{told}, and {MAX_AGE} allows {most}: {newer}, or give prices of your own in RHEOSTAT_PRICES")
    warnings.warn(f"{told}: a limit in dollars may be reckoned with old prices. {newer}", LimitWarning, stacklevel=2)


def fetch(url: str = DEFAULT_UPDATE_URL) -> tuple[int, Path]:
    """Fetch the newest list, check it, and keep it. It is in force from the next process on.

    Returns:
        The number of its models, and the file.

    Raises:
        BadInput: it can't be reached, or is no price list; the list in force stays.
    """
    import httpx2

    try:
        reply = httpx2.get(url, timeout=30, follow_redirects=True)
        reply.raise_for_status()
        raw = json.loads(reply.content)
        models = sum(len(provider.models) for provider in _providers(raw))
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError, TypeError, RecursionError) as error:
        shown = without_password(f"{url}: {error}")
        raise BadInput(f"no price list at {shown}. The list in force stays: {origin()}") from error
    path = fetched_path()
    with locked(path):
        kept = {"fetched": datetime.now(UTC).date().isoformat(), "url": url, "providers": raw}
        write_whole(path, json.dumps(kept, separators=(",", ":")))
    return models, path
