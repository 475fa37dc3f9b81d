"""Open the ledger at an address."""

from __future__ import annotations

import re
from pathlib import Path

from rheostat.addresses import without_password
from rheostat.errors import BadInput
from rheostat.money.ledger.durable import DurableLedger
from rheostat.money.ledger.postgres import PostgresLedger
from rheostat.money.ledger.sqlite import SQLiteLedger

__all__ = ["open_ledger"]

_KEYWORDS = re.compile(r"(?:^|\s)(?:host|hostaddr|dbname|user|password|service)\s*=")
"""libpq's other form of an address: as the name of a file it would write a password to the disk."""


def open_ledger(address: str, *, must_exist: bool = False) -> DurableLedger:
    """Open the ledger at an address: `postgresql://…` is a Postgres database, anything else the path of an SQLite file.

    Args:
        must_exist: Refuse the path of a file that doesn't exist.

    Raises:
        BadInput: It is another kind of address; with `must_exist`, there is no such file.
        LedgerError, LedgerUnavailable, MissingExtra: As the ledger's class raises them.
    """
    scheme, found, _ = address.partition("://")
    if found and scheme in ("postgresql", "postgres"):
        return PostgresLedger(address)
    if found and scheme != "sqlite":
        shown = without_password(address)
        raise BadInput(f"no ledger at {shown!r}: give the path of an SQLite file or postgresql://USER@HOST/DATABASE")
    if _KEYWORDS.search(address):
        raise BadInput("no ledger at a connection string of keywords: write it as postgresql://USER@HOST/DATABASE")
    path = Path(address.removeprefix("sqlite:///"))
    if must_exist and not path.exists():
        raise BadInput(
            f"no file {without_password(str(path))}: give the path of a ledger's SQLite file, or postgresql://USER@HOST/DATABASE"
        )
    return SQLiteLedger(path)
