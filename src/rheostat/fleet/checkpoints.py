"""The checkpoints of a fleet's tasks, in the fleet's database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from rheostat.addresses import without_password
from rheostat.errors import LedgerUnavailable, MissingExtra
from rheostat.fleet.database import Database

__all__ = ["close_saver", "forget", "open_saver", "prepare"]


def prepare(database: Database) -> None:
    """Make the tables, once, before workers that start together would all try to.

    Raises:
        MissingExtra: The saver isn't installed.
    """
    with database.alone(), _saver(database) as saver:
        saver.setup()


def forget(database: Database, threads: list[str]) -> None:
    """Delete the checkpoints of these threads.

    Raises:
        LedgerUnavailable: The database can't be reached.
    """
    if threads:
        try:
            with _saver(database) as saver:
                for thread in threads:
                    saver.delete_thread(thread)
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in ("psycopg", "psycopg_pool", "sqlite3"):
                raise
            raise LedgerUnavailable(f"the fleet's database can't be reached: {without_password(str(error))}") from error


def _saver(database: Database) -> Any:
    try:
        if database.is_file:
            from langgraph.checkpoint.sqlite import SqliteSaver

            return _on_file(SqliteSaver, _path(database))
        from langgraph.checkpoint.postgres import PostgresSaver

        return PostgresSaver.from_conn_string(database.address)
    except ImportError:
        raise MissingExtra("Fleet", "fleet") from None


@contextmanager
def _on_file(kind: Any, path: str) -> Iterator[Any]:
    with closing(sqlite3.connect(path, timeout=60, check_same_thread=False)) as connection:
        yield kind(connection)


async def open_saver(database: Database, connections: int) -> Any:
    """A saver for the running event loop.

    Args:
        connections: The most connections to a Postgres database.
    """
    if database.is_file:
        import aiosqlite
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

        connection = await aiosqlite.connect(_path(database), timeout=60)
        await connection.execute("PRAGMA synchronous = NORMAL")
        return AsyncSqliteSaver(connection)
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
    from psycopg.rows import dict_row
    from psycopg_pool import AsyncConnectionPool

    settings = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    pool: Any = AsyncConnectionPool(database.address, min_size=1, max_size=connections, kwargs=settings, open=False)
    try:
        await pool.open(wait=True)
    except BaseException:
        await pool.close()
        raise
    return AsyncPostgresSaver(pool)


async def close_saver(saver: Any) -> None:
    """Close what `open_saver` opened."""
    await saver.conn.close()


def _path(database: Database) -> str:
    return database.url.removeprefix("sqlite:///")
