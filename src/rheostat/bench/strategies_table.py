"""The tables of `make bench-strategies`, and the check of its ledgers against the servers' own counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["table", "violations"]

Row = Mapping[str, Any]


def violations(rows: Sequence[Row]) -> list[str]:
    """Each task where the ledger and the server differ, and each whose budget was passed or wound down.

    Where all calls were complete, both counts must be equal for each model. Where calls were cancelled, the server's
    count must lie between what the ledger settled and that with what it charged for the cancelled calls: the charge is
    a high estimate, because a closed request reports nothing.
    """
    said = []
    for row in rows:
        name = f"{row['set']} {row['id']} {row['cell']}"
        for model in row["settled"].keys() | row["server"].keys():
            for place, kind in enumerate(("input", "output")):
                settled = row["settled"].get(model, (0, 0))[place]
                counted = row["server"].get(model, (0, 0))[place]
                most = settled + row["unknown"][kind]
                if not settled <= counted <= most:
                    said.append(f"{name}: {model} {kind}: ledger {settled} to {most}, server {counted}")
        if row["bound"]:
            said.append(f"{name}: the budget bound: {row['stopped']}")
    return said


def table(rows: Sequence[Row], order: Mapping[str, Sequence[str]]) -> str:
    """Markdown tables, one a set; `order` has the cells of each set, the control first."""
    lines: list[str] = []
    for set_name, cells in order.items():
        own = [row for row in rows if row["set"] == set_name]
        if own:
            lines += ["", f"**{set_name}, {own[0]['model']}**", "", *_HEAD, *_lines(own, cells)]
    return "\n".join([*lines, "", _truth(rows)])


_HEAD = (
    "| cell | right | won · lost | a sample is right | samples (cancelled) | input | output | judge's share "
    "| $ / 1,000 tasks | s |",
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
)


def _lines(rows: Sequence[Row], cells: Sequence[str]) -> Iterator[str]:
    control = {row["id"]: row["right"] for row in rows if row["cell"] == cells[0]}
    for cell in cells:
        own = [row for row in rows if row["cell"] == cell]
        if not own:
            continue
        count = len(own)
        right = sum(row["right"] for row in own)
        some = sum(any(each["right"] for each in row["drawn"]) for row in own)
        paired = [(row["right"], control[row["id"]]) for row in own if row["id"] in control]
        won, lost = (sum(pair == wanted for pair in paired) for wanted in ((True, False), (False, True)))
        total = sum(row["input_tokens"] + row["output_tokens"] for row in own)
        judged, dollars = sum(row["judge_tokens"] for row in own), sum(row["usd_nanos"] for row in own)
        paid = sum(row["judge_usd_nanos"] for row in own)
        share = f"{judged / total:.0%} of tokens, {paid / dollars:.0%} of $" if judged else "–"
        cancelled = sum(row["cancelled"] for row in own)
        samples = f"{sum(row['samples'] for row in own) / count:.1f}"
        yield (
            f"| {cell} | {right}/{count} = {right / count:.0%} | {'–' if cell == cells[0] else f'{won} · {lost}'} "
            f"| {some}/{count} | {samples}{f' ({cancelled / count:.1f})' if cancelled else ''} "
            f"| {_mean(own, 'input_tokens'):.0f} | {_mean(own, 'output_tokens'):.0f} | {share} "
            f"| {dollars / count / 1e6:.3f} | {_mean(own, 'seconds'):.1f} |"
        )


def _mean(rows: Sequence[Row], name: str) -> float:
    return sum(float(row[name]) for row in rows) / len(rows)


def _truth(rows: Sequence[Row]) -> str:
    """One sentence on the ledger beside the servers."""
    complete = [row for row in rows if not row["unknown"]["calls"]]
    cut = [row for row in rows if row["unknown"]["calls"]]

    def total(some: Sequence[Row], side: str, place: int) -> int:
        return sum(int(counts[place]) for row in some for counts in row[side].values())

    def both(some: Sequence[Row]) -> str:
        return (
            f"the servers counted {total(some, 'server', 0):,} prompt tokens processed and "
            f"{total(some, 'server', 1):,} generated, the ledgers settled {total(some, 'settled', 0):,} and "
            f"{total(some, 'settled', 1):,}"
        )

    said = [f"{len(complete)} tasks with complete calls only: {both(complete)}."]
    if cut:
        more = sum(int(row["unknown"]["output"]) for row in cut)
        said.append(f"{len(cut)} tasks with cancelled calls: {both(cut)}, and {more:,} generated for the cancelled.")
    return " ".join(said)
