"""Where the ledgers under test keep their accounts."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import psycopg

from postgres_server import PostgresServer
from rheostat import Ledger, MemoryLedger, PostgresLedger, SQLiteLedger

Clock = Callable[[], float]


class MemoryStore:
    durable = False

    def start(self, clock: Clock) -> Ledger:
        self._ledger = MemoryLedger(clock=clock, wall=clock)
        return self._ledger

    restart = start

    def another(self, clock: Clock) -> Ledger:
        return self._ledger

    def stop(self) -> None:
        pass


class SQLiteStore:
    durable = True

    def start(self, clock: Clock) -> SQLiteLedger:
        self._folder = tempfile.TemporaryDirectory(prefix="rheostat-")
        self.path = Path(self._folder.name) / "ledger.db"
        self._ledgers: list[SQLiteLedger] = []
        return self.restart(clock)

    def restart(self, clock: Clock) -> SQLiteLedger:
        """The last connection is left open, as by a process that hangs."""
        self._ledgers.append(SQLiteLedger(self.path, wall=clock))
        return self._ledgers[-1]

    another = restart

    def stop(self) -> None:
        for ledger in self._ledgers:
            ledger.close()
        self._folder.cleanup()


class PostgresStore:
    durable = True

    def __init__(self, server: PostgresServer) -> None:
        self.address = server.address
        self._ledgers: list[PostgresLedger] = []

    def start(self, clock: Clock) -> PostgresLedger:
        ledger = self.restart(clock)
        with psycopg.connect(self.address, autocommit=True) as connection:
            connection.execute("TRUNCATE rheostat_accounts, rheostat_reservations, rheostat_steps, rheostat_uses")
        return ledger

    def restart(self, clock: Clock) -> PostgresLedger:
        self.stop()
        return self.another(clock)

    def another(self, clock: Clock) -> PostgresLedger:
        self._ledgers.append(PostgresLedger(self.address, clock=clock, connections=4))
        return self._ledgers[-1]

    def stop(self) -> None:
        while self._ledgers:
            self._ledgers.pop().close()
