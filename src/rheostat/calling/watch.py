"""The work of runs as it happens, told to whoever watches: traces and metrics are made of it.

A piece of work begins and ends, and may be current in between: what begins inside it then lies under it. Watchers find
out under which. Nothing here knows OpenTelemetry, and without a watcher a piece of work is `None` and costs nothing.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

__all__ = ["Watcher", "Work", "WorkKind", "begin", "doing", "end", "found", "inside", "more", "watch"]

WorkKind: TypeAlias = Literal["run", "step", "request", "tool", "sample", "verify", "score", "payment"]


@dataclass(slots=True, eq=False)
class Work:
    """A piece of work.

    =========  ==========================================================  ==========================================
    kind       what it is                                                  its facts
    =========  ==========================================================  ==========================================
    `run`      the account of a run is open; it ends at once               `account`
    `step`     one step of an agent, from its plan to its reply            `account`; `stopped`: the refusal that ended
                                                                           the run
    `request`  a request that leaves, from its admission to the last byte  `request`, `payer`, `attempt`; `admitted`
               of its reply                                                (monotonic seconds), `held`; `outcome`:
                                                                           refused, void, settled or unknown
    `tool`     one tool call                                               `call`, `result`
    `sample`   one draw of the solver                                      `candidates`
    `verify`   a verifier's verdict on one answer                          `verdict`
    `score`    a scorer's on one answer, or on all                         `score`, or `verdicts` by candidate
    `payment`  what isn't a model and has a price                          `account`, `price`, `outcome`
    =========  ==========================================================  ==========================================
    """

    kind: WorkKind
    name: str
    facts: dict[str, Any]
    run: str = ""
    """The account of the run whose graph does it; empty: it may be done anywhere."""
    round: int = 0
    """The solver's round that it belongs to; 0: none."""
    error: BaseException | None = None
    ended: bool = False
    kept: dict[Watcher, Any] = field(default_factory=dict)
    """What each watcher keeps with it."""


class Watcher(Protocol):
    """Someone who is told of all work in this process. One that raises is logged, and breaks nothing."""

    def begun(self, work: Work) -> None:
        """Work begins here and now."""

    def current(self, work: Work) -> Callable[[], None] | None:
        """Work becomes current in this context; the returned function ends that."""

    def more(self, work: Work) -> None:
        """More is known of it: a request is admitted."""

    def ended(self, work: Work) -> None:
        """Work has ended: its facts are complete, and `error` is set if it failed."""


_watchers: tuple[Watcher, ...] = ()
_NOBODY: AbstractContextManager[None] = contextlib.nullcontext()


def watch(watcher: Watcher) -> Callable[[], None]:
    """Tell this watcher of all work that begins from now on; the returned function stops it."""
    global _watchers  # noqa: PLW0603 - replaced, never changed: whoever goes through it isn't disturbed
    _watchers = (*_watchers, watcher)

    def stop() -> None:
        global _watchers  # noqa: PLW0603 - as above
        _watchers = tuple(each for each in _watchers if each is not watcher)

    return stop


def begin(kind: WorkKind, name: str, *, run: str = "", round_: int = 0, **facts: Any) -> Work | None:
    """Begin a piece of work; `None`: nobody watches."""
    if not _watchers:
        return None
    work = Work(kind, name, facts, run=run, round=round_)
    for watcher in _watchers:
        _tell(watcher.begun, work)
    return work


def end(work: Work | None, error: BaseException | None = None, **done: Any) -> None:
    """End a piece of work; what has ended once is told once more as work of its own, with the fact `late`."""
    if work is None:
        return
    if work.ended:
        work = begin(work.kind, work.name, **{**work.facts, "late": True})
        if work is None:
            return
    work.ended, work.error = True, error
    work.facts.update(done)
    for watcher in tuple(work.kept):  # also those that have stopped watching since
        _tell(watcher.ended, work)
    work.kept.clear()


def more(work: Work | None, **facts: Any) -> None:
    """Add to what is known of a piece of work, and tell."""
    if work is not None:
        work.facts.update(facts)
        for watcher in tuple(work.kept):
            _tell(watcher.more, work)


def found(work: Work | None, **facts: Any) -> None:
    """Add to what is known of a piece of work."""
    if work is not None:
        work.facts.update(facts)


def inside(work: Work | None) -> AbstractContextManager[None]:
    """Make a piece of work current."""
    return _NOBODY if work is None else _inside(work)


def doing(
    kind: WorkKind, name: str, *, run: str = "", round_: int = 0, **facts: Any
) -> AbstractContextManager[Work | None]:
    """Begin a piece of work, make it current, and end it: with the exception, if one leaves it."""
    return _doing(kind, name, run, round_, facts) if _watchers else _NOBODY


@contextlib.contextmanager
def _doing(kind: WorkKind, name: str, run: str, round_: int, facts: dict[str, Any]) -> Iterator[Work | None]:
    work = begin(kind, name, run=run, round_=round_, **facts)
    try:
        with inside(work):
            yield work
    except BaseException as error:
        end(work, error)
        raise
    end(work, work.error if work is not None else None)


@contextlib.contextmanager
def _inside(work: Work) -> Iterator[None]:
    leave = [done for watcher in _watchers if (done := _tell(watcher.current, work)) is not None]
    try:
        yield
    finally:
        for each in reversed(leave):
            each()


def _tell(tell: Callable[[Work], Any], work: Work) -> Any:
    try:
        return tell(work)
    except Exception:  # a watcher must not break the run
        logging.getLogger("rheostat").exception("a watcher of work failed")
        return None
