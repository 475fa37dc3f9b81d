"""The morning's summary, as Markdown."""

from __future__ import annotations

from typing import Any

from rheostat import Reading, read, usd

HEADINGS = {
    "done": "The task is done",
    "stopped": "The task was stopped",
    "cap": "Tonight's budget is used up; the task goes on tomorrow night",
    "": "The night was cut short; run it again to go on",
}


def summary(state: Any, account: Reading) -> str:
    """What was done, what is left, and what it cost.

    Args:
        state: The graph's state.
        account: The reading of the account of all nights.
    """
    values = state.values
    heading = "A question for you" if state.interrupts else HEADINGS[values.get("status") or ""]
    lines = [f"# {heading}", ""]
    if state.interrupts:
        lines += ["Answer with `nightly.py answer HOME …`: `go on`, `stop`, or an instruction.", ""]
    if values.get("report"):
        lines += [plain(values["report"]), ""]
    for each in values.get("done") or []:
        mark = "x" if each["finished"] else " "
        lines.append(f"- [{mark}] {plain(each['step'])} ({usd(each['spend'].get('usd_nanos', 0))})")
    lines += [f"- [ ] {plain(step)}" for step in values.get("steps") or []]
    run = read(values)["run"]
    lines += ["", f"This run: {usd(run.get('usd_nanos', 0))} in {run.get('calls', 0)} calls."]
    lines.append(f"All nights: {usd(account['usd_nanos'])} in {account['calls']} calls.")
    if account["unknown_calls"]:
        lines.append(
            f"{account['unknown_calls']} calls were cut, and are charged at the most that they can have cost "
            f"({usd(account['unknown_usd_nanos'])}): `rheostat ledger reconcile` settles them with the provider's bill."
        )
    return "\n".join(lines) + "\n"


def plain(text: str) -> str:
    """A model's words, without control characters that a terminal would obey."""
    return "".join(char if char.isprintable() or char == "\n" else "�" for char in text)
