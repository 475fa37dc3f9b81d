"""Where a span belongs: under the run in whose graph it is made, the solver's round, or what is current.

LangGraph runs each node in a context of its own, so a run's span can't be current in its nodes. LangChain's callbacks
say which invocation of which graph a node belongs to, when that began, and when it ended: returned, failed, cancelled
or left. An invocation gets a span once work of ours is done in its nodes; other graphs get none.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tracers.context import register_configure_hook
from opentelemetry import trace
from opentelemetry.context import Context, attach, create_key, detach, get_current, get_value, set_value

from rheostat.calling.watch import Work

__all__ = ["Invocation", "Round", "Tree", "follow", "make_current", "nearest"]

_REMEMBERED = 10_000
_NODE = "graph:step:"
"""LangGraph tags the run of each node with it."""
_INSIDE, _NEAREST = create_key("rheostat-inside"), create_key("rheostat-nearest")
"""In a context: the invocation that it lies in, and the nearest span of ours."""


@dataclass(slots=True, eq=False)
class Round:
    """The span of a solver's round, which ends with the last work in it."""

    number: int
    span: trace.Span
    last_ns: int


@dataclass(slots=True, eq=False)
class Invocation:
    """A run of LangChain's: of a graph, of one of its nodes, or of another chain."""

    parent: UUID | None
    name: str
    node: bool
    thread: str
    """The thread of a checkpointer, if the caller named one."""
    context: Context
    """As it was where it was called."""
    began_ns: int
    span: trace.Span | None = None
    """Once work of ours is done in its nodes."""
    round: Round | None = None


class _Follower(BaseCallbackHandler):
    """Hears of every chain of this process while a tree listens; a hook of LangChain's can't be taken out again."""

    run_inline = True
    ignore_llm = ignore_chat_model = ignore_retriever = ignore_agent = ignore_retry = ignore_custom_event = True

    def __init__(self) -> None:
        self.trees: tuple[Tree, ...] = ()

    @property
    def ignore_chain(self) -> bool:
        """Whether nobody listens."""
        return not self.trees

    def on_chain_start(
        self,
        serialized: Any,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Note where and when it was called."""
        node = any(tag.startswith(_NODE) for tag in tags or ())
        thread = str((metadata or {}).get("thread_id") or "")
        name = str(kwargs.get("name") or "")
        for tree in self.trees:
            tree.called(run_id, Invocation(parent_run_id, name, node, thread, get_current(), time.time_ns()))

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """End its span, if it has one."""
        for tree in self.trees:
            tree.returned(run_id, None)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        """As above."""
        for tree in self.trees:
            tree.returned(run_id, error)


_follower = _Follower()
_hook: ContextVar[BaseCallbackHandler | None] = ContextVar("rheostat_spans", default=_follower)
_registered: list[None] = []


def follow(tree: Tree) -> Callable[[], None]:
    """Tell this tree of invocations; the returned function ends that, and every span that is open."""
    if not _registered:
        _registered.append(None)
        register_configure_hook(_hook, inheritable=True)
    _follower.trees = (*_follower.trees, tree)

    def stop() -> None:
        _follower.trees = tuple(each for each in _follower.trees if each is not tree)
        tree.close()

    return stop


class Tree:
    """The invocations in flight, with their spans.

    Args:
        start: Starts the span of a graph's invocation, in this context.
        start_round: Starts that of a solver's round.
        end: Ends the span of an invocation.
    """

    def __init__(
        self,
        start: Callable[[Invocation, Work, Context], trace.Span],
        start_round: Callable[[int, Context], trace.Span],
        end: Callable[[Invocation, BaseException | None], None],
    ) -> None:
        self._start, self._start_round, self._end = start, start_round, end
        self._lock = threading.RLock()
        self._known: OrderedDict[UUID, Invocation] = OrderedDict()

    def called(self, id_: UUID, invocation: Invocation) -> None:
        """An invocation has begun."""
        with self._lock:
            self._known[id_] = invocation
            lost = [self._known.popitem(last=False)[1]] if len(self._known) > _REMEMBERED else []
        for each in lost:
            self._close(each, None)

    def returned(self, id_: UUID, error: BaseException | None) -> None:
        """It has ended."""
        with self._lock:
            invocation = self._known.pop(id_, None)
        if invocation is not None:
            self._close(invocation, error)

    def close(self) -> None:
        """End every span that is open."""
        with self._lock:
            left = list(self._known.values())
            self._known.clear()
        for each in reversed(left):
            self._close(each, None)

    def _close(self, invocation: Invocation, error: BaseException | None) -> None:
        self._end_round(invocation)
        if invocation.span is not None:
            self._end(invocation, error)

    @staticmethod
    def _end_round(invocation: Invocation) -> None:
        if invocation.round is not None:
            invocation.round.span.end(invocation.round.last_ns)
            invocation.round = None

    def place(self, work: Work) -> tuple[Context, Invocation | None]:
        """The context that a piece of work belongs in, and the invocation that it lies in (`None`: in none of ours)."""
        here = get_current()
        with self._lock:
            invocation = self._invocation(work)
            inside = get_value(_INSIDE, here)
            if invocation is None or inside is invocation:  # in a tool, a sample, or a span of the user's in one
                return here, inside if isinstance(inside, Invocation) else None
            span = self.round(invocation, work.round) if work.round else invocation.span
            return make_current(span, invocation, here), invocation

    def round(self, invocation: Invocation, number: int) -> trace.Span:
        """The span of a solver's round; the first to ask for the next round ends the one before."""
        with self._lock:
            if invocation.round is None or invocation.round.number != number:
                self._end_round(invocation)
                at = make_current(invocation.span, invocation, invocation.context)
                invocation.round = Round(number, self._start_round(number, at), time.time_ns())
            return invocation.round.span

    @staticmethod
    def went_on(invocation: Invocation | None) -> None:
        """Work in an invocation has ended, so its round goes on until now at least."""
        if invocation is not None and invocation.round is not None:
            invocation.round.last_ns = time.time_ns()

    def here(self) -> tuple[Invocation | None, trace.Span | None]:
        """The invocation of ours around this, and the nearest span in it; `None`: that of the round, or of the run."""
        inside, span = get_value(_INSIDE), get_value(_NEAREST)
        with self._lock:
            invocation = next((each for each in self._around() if each.span is not None), None)
        if invocation is not None and inside is not invocation:
            return invocation, None
        return inside if isinstance(inside, Invocation) else None, span if isinstance(span, trace.Span) else None

    def _invocation(self, work: Work) -> Invocation | None:
        """The invocation in whose nodes this is done: the nearest that has a span, or the nearest of all, for a run."""
        for each in self._around():
            if each.span is None and work.run:
                each.span = self._start(each, work, self._under(each))
            if each.span is not None:
                return each
        return None

    def _under(self, invocation: Invocation) -> Context:
        """The context of an invocation's span: where it was called, and under the run of the graph around it."""
        outer = next((each for each in self._graphs(invocation.parent) if each.span is not None), None)
        if outer is None or get_value(_INSIDE, invocation.context) is outer:
            return invocation.context
        return make_current(outer.span, outer, invocation.context)

    def _around(self) -> Iterator[Invocation]:
        """The graphs around this node, from the inside out."""
        config = var_child_runnable_config.get() or {}
        return self._graphs(getattr(config.get("callbacks"), "parent_run_id", None))

    def _graphs(self, id_: UUID | None) -> Iterator[Invocation]:
        while id_ is not None and (found := self._known.get(id_)) is not None:
            id_ = found.parent
            graph = self._known.get(id_) if found.node and id_ is not None else None
            if graph is not None:
                yield graph


def make_current(span: trace.Span | None, inside: Invocation | None, context: Context) -> Context:
    """The context with this span of ours as the current one."""
    if span is None:
        return context
    context = set_value(_INSIDE, inside, trace.set_span_in_context(span, context))
    return set_value(_NEAREST, span, context)


def nearest(context: Context) -> Callable[[], None]:
    """Make a context the current one; the returned function ends that."""
    token = attach(context)
    return lambda: detach(token)
