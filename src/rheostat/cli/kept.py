"""A run of `rheostat code` that can go on after Ctrl-C or a crash: its settings, checkpoints, ledger and originals.

They lie in our folder of the user's cache, one run for each repository, and are removed when a run has come to its end.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rheostat.errors import BadInput, LedgerError, MissingExtra
from rheostat.files import read_text, write_whole
from rheostat.graph.state import read
from rheostat.local.store import home
from rheostat.money.budget import Budget
from rheostat.money.ledger import Reading, SQLiteLedger
from rheostat_tools import Workspace
from rheostat_tools.journal import Journal

__all__ = ["KeptRun"]

_THREAD = "thread"
_MILLISECONDS = 1000


class KeptRun:
    """The one run that is kept for a repository.

    Args:
        root: The repository.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        name = hashlib.sha256(str(self._root).encode("utf-8", "surrogateescape")).hexdigest()[:16]
        self._folder = home() / "code" / name
        self.journal = self._folder / "journal.json"
        """Where the originals of changed files are kept."""

    @property
    def config(self) -> Any:
        """The configuration of the graph: the run's own thread."""
        return {"configurable": {"thread_id": json.loads(self._settings.read_text(encoding="utf-8"))[_THREAD]}}

    @property
    def _ledger(self) -> Path:
        return self._folder / "spend.db"

    @property
    def _settings(self) -> Path:
        return self._folder / "run.json"

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Keep the settings of a new run, and forget an earlier one; what it changed stays as it is."""
        self.end()
        self._folder.mkdir(parents=True, mode=0o700)
        write_whole(self._settings, json.dumps({**settings, _THREAD: uuid.uuid4().hex}))

    def settings(self) -> dict[str, Any]:
        """The settings of the run to go on with.

        Raises:
            BadInput: there is none.
        """
        if not self._settings.exists():
            raise BadInput(
                f"no run in {self._root} was interrupted, so that there is nothing to resume: leave --resume out"
            )
        try:
            found: dict[str, Any] = json.loads(read_text(self._settings, "run"))
        except (ValueError, RecursionError) as error:
            raise BadInput(f"the interrupted run can't be read: {error}. To begin anew, leave --resume out") from None
        return found

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[tuple[SQLiteLedger, Any]]:
        """The run's ledger and checkpointer.

        Raises:
            MissingExtra: langgraph-checkpoint-sqlite isn't installed.
        """
        try:
            from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
        except ImportError as error:
            raise MissingExtra("rheostat code", "cli") from error
        ledger = SQLiteLedger(self._ledger)
        try:
            async with AsyncSqliteSaver.from_conn_string(str(self._folder / "thread.db")) as saver:
                yield ledger, saver
        finally:
            ledger.close()

    async def more_seconds(self, graph: Any, ledger: SQLiteLedger, budget: Budget) -> None:
        """Allow a run that goes on as many seconds again: between Ctrl-C and --resume its clock went on."""
        run = read((await graph.aget_state(self.config)).values)["run"]
        if budget.seconds is None or not run:
            return
        try:
            passed = ledger.reading(run["account"])["elapsed_milliseconds"] / _MILLISECONDS
        except LedgerError:  # the run's account was never opened: it begins anew
            return
        ledger.amend(run["account"], replace(budget, seconds=passed + budget.seconds))

    def reading(self, account: str) -> Reading:
        """What an account in the run's ledger has spent."""
        ledger = SQLiteLedger(self._ledger)
        try:
            return ledger.reading(account)
        finally:
            ledger.close()

    def diff(self) -> str:
        """All changes since the run began."""
        return Workspace(self._root, journal=Journal(self.journal)).diff()

    def end(self) -> None:
        """Forget the run."""
        shutil.rmtree(self._folder, ignore_errors=True)
