"""The demand that `rheostat capacity plan` plans for, from what its source is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rheostat.capacity.demand import Demand
from rheostat.capacity.sources import from_bench, from_ledger, from_profile, from_text
from rheostat.cli.accounts import opened_ledger
from rheostat.errors import BadInput
from rheostat.files import read_text
from rheostat.judgement.profile import Profile

__all__ = ["demands_of"]

_MOST_BYTES = 1 << 30


def demands_of(
    source: str,
    assume: Sequence[str],
    only: Sequence[str],
    *,
    input_tokens: float,
    model: str,
    kind: str,
    of: str,
    tail: float,
    seed: int,
) -> dict[str, Demand]:
    """The policies to plan for, by name.

    Raises:
        BadInput: There is nothing to plan for, or it can't be read.
    """
    found = _recorded(source, model=model, kind=kind, of=of, tail=tail, seed=seed) if source else {}
    for text in assume:
        made = from_text(text, input_tokens=input_tokens, seed=seed)
        found[made.label] = made
    if not found:
        raise BadInput("give a ledger, a profile or a record; or assumed lengths: --assume high=8000:60000@0.8")
    kept = {name: each for name, each in found.items() if not only or name.startswith(tuple(only))}
    if not kept:
        raise BadInput(f"no policy begins with {' or '.join(only)}; there are {', '.join(found)}")
    return kept


def _recorded(source: str, *, model: str, kind: str, of: str, tail: float, seed: int) -> dict[str, Demand]:
    path = Path(source)
    if path.suffix == ".jsonl":
        rows = []
        for number, line in enumerate(read_text(path, "record", most_bytes=_MOST_BYTES).splitlines(), 1):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise BadInput(f"{path}, line {number}: not JSON ({error})") from None
            if not isinstance(row, dict) or not {"setting", "task", "right"} <= row.keys():
                raise BadInput(f"{path}, line {number}: not a row of a record of rheostat.bench.arms")
            rows.append(row)
        return from_bench(rows, of=of, model=model)
    if path.suffix == ".json":
        return from_profile(Profile.read(path), kind, model=model, tail=tail, seed=seed)
    with opened_ledger(source) as ledger:
        return from_ledger(ledger, model=model)
