"""Where conversations and accounts are kept: in the files of a directory, or in one Postgres database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver

_SETUP_LOCK = 7_355_608
"""The key of the advisory lock under which one worker makes the tables and the others wait."""


def in_postgres(data: str) -> bool:
    """Whether this is the address of a database, not a directory."""
    return data.startswith(("postgresql://", "postgres://"))


def ledger_address(data: str) -> str:
    """The ledger's address for `rheostat.open_ledger`; a directory is made if there is none."""
    if in_postgres(data):
        return data
    Path(data).mkdir(parents=True, exist_ok=True)
    return str(Path(data) / "spend.db")


@asynccontextmanager
async def checkpointer(data: str) -> AsyncIterator[BaseCheckpointSaver[Any]]:
    """LangGraph's memory of the conversations."""
    if not in_postgres(data):
        import aiosqlite
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

        async with aiosqlite.connect(Path(data) / "conversations.db", timeout=30) as connection:
            yield AsyncSqliteSaver(connection)
        return
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
    from psycopg.rows import dict_row
    from psycopg_pool import AsyncConnectionPool

    kwargs: Any = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(data, min_size=1, max_size=8, kwargs=kwargs, open=False)
    async with pool:
        saver = AsyncPostgresSaver(pool)
        async with pool.connection() as connection:
            await _lock(connection)
            await saver.setup()
            await connection.execute("SELECT pg_advisory_unlock(%s)", [_SETUP_LOCK])
        yield saver


async def _lock(connection: Any) -> None:
    """Take the lock, asking again and again: a statement that waits for it would block the other worker's setup."""
    while True:
        found = await connection.execute("SELECT pg_try_advisory_lock(%s) AS taken", [_SETUP_LOCK])
        if (await found.fetchone())["taken"]:
            return
        await asyncio.sleep(0.1)
