"""The part of a database ledger that one operation works on, and its changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rheostat.money.ledger.entry import Entry, Held, dump
from rheostat.money.ledger.law import Book
from rheostat.money.ledger.rows import HELD, Statement, packed, row_of

__all__ = ["Page"]


class Page:
    """Some rows of the tables as a `Book`, to which operations are applied."""

    def __init__(self, entries: Iterable[Entry], reservations: Iterable[Held], now_ms: int) -> None:
        self.book = Book({e.id: e for e in entries}, {h.id: h for h in reservations}, now_ms, now_ms)
        self.versions = {entry.id: entry.version for entry in self.book.entries.values()}
        """The accounts' versions in the tables."""
        self._statuses = {held.id: (held, held.status) for held in self.book.reservations.values()}

    def changes(self, condition: str = "TRUE") -> Iterator[Statement]:
        """The statements that write the book's changes to the tables, if an SQL condition holds."""
        for entry in sorted(self.book.entries.values(), key=lambda each: each.id):
            if self.versions[entry.id] != entry.version:
                text = f"UPDATE rheostat_accounts SET version = ?, state = ? WHERE id = ? AND {condition}"  # noqa: S608 - ours
                yield text, [entry.version, packed(dump(entry)), entry.id]
        for held in self.book.reservations.values():
            before, status = self._statuses.get(held.id, (held, None))
            if status is None:
                marks = ", ".join("?" * 11)
                yield f"INSERT INTO rheostat_reservations ({HELD}) SELECT {marks} WHERE {condition}", row_of(held)
            elif before is not held:  # a standing hold that was resized
                text = (
                    "UPDATE rheostat_reservations SET status = ?, amount = ?, held_at_ms = ?, model = ?, node = ?, "  # noqa: S608 - ours
                    f"closed_at_ms = NULL WHERE id = ? AND {condition}"
                )
                yield text, [held.status, packed(held.amount), held.held_at_ms, held.model, held.node, held.id]
            elif status != held.status:
                text = (
                    "UPDATE rheostat_reservations SET status = ?, request_id = ?, begun_at_ms = ?, closed_at_ms = ?, "  # noqa: S608 - ours
                    f"actual = ? WHERE id = ? AND {condition}"
                )
                actual = None if held.actual is None else packed(held.actual)
                yield text, [held.status, held.request_id, held.begun_at_ms, held.closed_at_ms, actual, held.id]
