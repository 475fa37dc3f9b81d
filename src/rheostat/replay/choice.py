"""Which of the recorded samples are replayed."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from rheostat.errors import BadInput
from rheostat.replay.rows import Row, Sample

__all__ = ["Choice", "choose", "default_ways"]

Pool = tuple[str, str]
"""Model and way."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which samples are replayed, by patterns: a name, a glob such as `cot*`, or a part of a name."""

    ways: tuple[str, ...] = ()
    """Ways of asking (`cot1`, `GPT3/cot1`); none: all, or, of pools, the ones that `default_ways` names."""
    models: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    pooled: bool = False
    """All ways count as one."""


def choose(rows: Sequence[Row], choice: Choice, *, pools: bool = False) -> tuple[list[Row], list[str]]:
    """The rows with the chosen samples, and notes about what was chosen.

    Args:
        pools: The file holds pools of several models and ways, so that without a choice not all are taken.

    Raises:
        BadInput: A pattern fits nothing; the message lists the names.
    """
    notes: list[str] = []
    sets = sorted({row.set for row in rows if row.set})
    if choice.sets:
        wanted = _fitting(choice.sets, {row.set for row in rows}, lambda each: (each,), "set")
        rows = [row for row in rows if row.set in wanted]
    elif len(sets) > 1:
        notes.append(f"rows of {len(sets)} sets: {', '.join(sets)} (choose with --sets)")
    there = Counter((each.model, each.way) for row in rows for each in row.samples)
    taken = _taken(rows, there, choice, pools)
    if taken != set(there):
        kept = [(row, row.keeping(lambda each: (each.model, each.way) in taken)) for row in rows]
        rows = [chosen for row, chosen in kept if chosen.samples or not row.samples]
        if len(rows) < len(kept):
            notes.append(f"{len(kept) - len(rows):,} of {len(kept):,} rows have no such sample: left out")
        names = [_name(each) for each in there if each in taken]
        left = [_name(each) for each in there if each not in taken]
        notes.append(f"replayed: {', '.join(names)}; left out: {', '.join(left)} (choose with --ways, --models)")
    elif len({model for model, _ in there}) > 1:
        models = dict.fromkeys(model or "unnamed" for model, _ in there)
        notes.append(f"samples of {len(models)} models: {', '.join(models)} (choose with --models)")
    notes.extend(_repeated(rows, taken))
    if choice.pooled:
        rows = [replace(row, samples=tuple(replace(each, way="", model="") for each in row.samples)) for row in rows]
    return list(rows), notes


def _taken(rows: Sequence[Row], there: Counter[Pool], choice: Choice, pools: bool) -> set[Pool]:
    """The chosen pools; `there`: the samples of each."""
    taken = set(there)
    if choice.models:
        taken = _fitting(choice.models, taken, lambda pool: (pool[0],), "model")
    if choice.ways:
        taken = _fitting(choice.ways, taken, lambda pool: (pool[1], _name(pool)), "way")
    if pools and not choice.models and not any("/" in each for each in choice.ways):
        by_model: Counter[str] = Counter()
        for pool in there:  # in the order of the file, so that the first one wins a tie
            if pool in taken and (choice.ways or "cot" in pool[1].casefold() or not _any_cot(taken)):
                by_model[pool[0]] += there[pool]
        largest = by_model.most_common(1)
        if largest and largest[0][1] > len(rows):  # one sample a model and question: the models are what is pooled
            taken = {each for each in taken if each[0] == largest[0][0]}
    return default_ways(rows, taken) if pools and not choice.ways else taken


def default_ways(rows: Sequence[Row], pools: Iterable[Pool]) -> set[Pool]:
    """Of the pools of a model, those that are replayed unless the user chooses.

    They are the ones with `cot` in their name (chain of thought), or all if there is none. Pools that begin with the
    same samples are one pool, recorded twice: of these, the longest is taken if there is no other, else the shortest,
    whose length is more like the others'.
    """
    taken = set(pools)
    if _any_cot(taken):
        taken = {each for each in taken if "cot" in each[1].casefold()}
    for short, long in _alike(rows, taken):
        others = {each for each in taken if each not in (short, long) and each[0] == short[0]}
        taken.discard(long if others else short)
    return taken


def _any_cot(pools: Iterable[Pool]) -> bool:
    return any("cot" in way.casefold() for _, way in pools)


def _alike(rows: Sequence[Row], pools: Iterable[Pool]) -> list[tuple[Pool, Pool]]:
    """Pairs of pools of which the first is, in every row, the beginning of the second."""
    names = sorted(pools)
    if len(names) < 2:
        return []
    by_pool: list[dict[Pool, list[Sample]]] = []
    for row in rows:
        found: dict[Pool, list[Sample]] = {name: [] for name in names}
        for each in row.samples:
            if (each.model, each.way) in found:
                found[each.model, each.way].append(each)
        by_pool.append(found)

    def begins(short: Pool, long: Pool) -> bool:
        pairs = [(each[short], each[long]) for each in by_pool]
        some = sum(len(a) for a, _ in pairs) > 3 and sum(map(len, (a for a, _ in pairs))) <= sum(
            len(b) for _, b in pairs
        )
        return some and all(
            [(x.key, x.tokens) for x in a] == [(x.key, x.tokens) for x in b[: len(a)]] for a, b in pairs
        )

    return [
        (a, b) for a in names for b in names if a != b and a[0] == b[0] and begins(a, b) and (a < b or not begins(b, a))
    ]


def _repeated(rows: Sequence[Row], pools: Iterable[Pool]) -> list[str]:
    return [
        f"the samples of {_name(a)} are also the first of {_name(b)}: they count twice" for a, b in _alike(rows, pools)
    ]


def _name(pool: Pool) -> str:
    return "/".join(each for each in pool if each) or "unnamed"


def _fitting(patterns: Sequence[str], things: Iterable[T], names: Callable[[T], tuple[str, ...]], what: str) -> set[T]:
    """What fits a pattern: by its whole name, else as a glob, else as a part of a name."""
    taken: set[T] = set()
    there = list(things)
    tests: tuple[Callable[[str, str], bool], ...] = (str.__eq__, fnmatch.fnmatchcase, str.__contains__)
    for pattern in patterns:
        folded = pattern.casefold()
        for fits in tests:
            found = {each for each in there if any(fits(name.casefold(), folded) for name in names(each))}
            if found:
                break
        else:
            known = ", ".join(sorted({names(each)[-1] or "unnamed" for each in there})) or "none"
            raise BadInput(f"no {what} fits {pattern!r}; there are: {known}")
        taken |= found
    return taken
