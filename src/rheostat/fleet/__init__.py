"""Many budget-capped tasks over hours and machines: see `Fleet`. Needs `pip install 'rheostat[fleet]'`."""

from typing import TYPE_CHECKING, Any

from rheostat.errors import MissingExtra
from rheostat.fleet.tasks import FleetTask, read_tasks

if TYPE_CHECKING:
    from rheostat.fleet.fleet import Fleet
    from rheostat.fleet.results import Counts, TaskResult

__all__ = ["Counts", "Fleet", "FleetTask", "TaskResult", "read_tasks"]

_ROOMS = {"Counts": "results", "Fleet": "fleet", "TaskResult": "results"}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    try:
        return getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("dbos", "sqlalchemy"):
            raise MissingExtra("Fleet", "fleet") from None
        raise
