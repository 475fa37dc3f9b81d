"""Which accounts a person means who names a run, a thread or an account above them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rheostat.errors import BadInput
from rheostat.money.ledger.protocol import Account

__all__ = ["meant", "parents_of"]


def parents_of(accounts: Iterable[Account]) -> dict[str, str | None]:
    """The parent of each account by its id, as `meant` takes it."""
    return {account.id: account.parent for account in accounts}


def meant(what: str, accounts: Iterable[str], parents: Mapping[str, str | None], *, ledger: str = "LEDGER") -> set[str]:
    """The accounts of this name and all beneath them; else those whose names begin so, and all beneath them.

    `thread/` and `run/` may be left out of a name.

    Args:
        accounts: The accounts to choose from.
        parents: The parent of each account that has one, for accounts above threads.
        ledger: The ledger's address, for messages.

    Raises:
        BadInput: None is meant.
    """
    accounts = list(accounts)
    names = (what, f"thread/{what}", f"run/{what}")
    inside = tuple(f"{name}/" for name in names)
    found = _beneath((each for each in accounts if each in names or each.startswith(inside)), accounts, parents)
    found |= _beneath((each for each in parents if each in names), accounts, parents)
    if not found and what:
        begun = [each for each in {*accounts, *parents} if each.startswith(names)]
        found = _beneath(begun, accounts, parents)
    if not found:
        raise BadInput(
            f"no run in this ledger begins with {what!r}: rheostat ledger accounts {ledger} --all lists the runs"
        )
    return found


def _beneath(tops: Iterable[str], accounts: Iterable[str], parents: Mapping[str, str | None]) -> set[str]:
    """Those of these accounts that are one of the tops, or beneath one."""
    known = dict.fromkeys(tops, True)
    for account in accounts:
        path: list[str] = []
        name: str | None = account
        while name is not None and name not in known and name not in path:
            path.append(name)
            name = parents.get(name)
        inside = name is not None and known.get(name, False)
        known.update(dict.fromkeys(path, inside))
    return {account for account in accounts if known.get(account)}
