"""The corpus of answers through other readers: `make compare-readers` prints the table of docs/reference/answers.md.

Only rows whose answer is a plain number, or that have none. lm-evaluation-harness's GSM8K filters are its two regular
expressions (`strict-match`, `flexible-extract`) with what its metric ignores; math-verify reads the whole reply.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import math_verify

from rheostat import read_answer, same
from rheostat.evidence.equality import compatible

DATA = Path(__file__).parent / "data" / "answers.jsonl"
NUMBER = re.compile(r"-?\d+(?:/\d+)?")


def rows() -> list[dict[str, Any]]:
    every = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
    return [
        row
        for row in every
        if row["form"] in (None, "number")
        and (NUMBER.fullmatch(str(row.get("value"))) or ("text" in row and row["text"] is None))
    ]


def _plain(text: str) -> str:
    for ignored in (",", r"\$", r"(?s).*#### ", r"\.$"):
        text = re.sub(ignored, "", text)
    return text.lower()


def strict(row: dict[str, Any]) -> str | None:
    found = re.findall(r"#### (\-?[0-9\.\,]+)", row["reply"])
    return found[0].strip() if found else None


def flexible(row: dict[str, Any]) -> str | None:
    found = re.findall(r"(-?[$0-9.,]{2,})|(-?[0-9]+)", row["reply"])
    return next(part for part in found[-1] if part).strip() if found else None


def by_harness(reader: Callable[[dict[str, Any]], str | None]) -> Callable[[dict[str, Any]], str]:
    def judge(row: dict[str, Any]) -> str:
        got = reader(row)
        if got is None:
            return "none"
        return "right" if row.get("value") is not None and _same_number(_plain(got), row["value"]) else "wrong"

    return judge


def _same_number(text: str, value: str) -> bool:
    try:
        return Fraction(text) == Fraction(value)  # kinder than its comparison of texts
    except (ValueError, ZeroDivisionError):
        return False


def by_math_verify(row: dict[str, Any]) -> str:
    got = math_verify.parse(row["reply"])
    if not got:
        return "none"
    gold = math_verify.parse(f"${row['value']}$") if row.get("value") is not None else []
    return "right" if gold and math_verify.verify(gold, got) else "wrong"


def by_us(row: dict[str, Any]) -> str:
    got = read_answer(row["reply"], row["form"], question=row.get("question", ""), hint="number")
    if got is None:
        return "none"
    if row.get("value") is None:
        return "wrong"
    return "right" if compatible(got.text, row["value"]) or got.value == Fraction(row["value"]) else "wrong"


READERS: dict[str, Callable[[dict[str, Any]], str]] = {
    "lm-evaluation-harness, strict": by_harness(strict), "lm-evaluation-harness, flexible": by_harness(flexible),
    "math-verify": by_math_verify, "`read_answer`": by_us,
}  # fmt: skip


def main() -> None:
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    asked = rows()
    without = [row for row in asked if row.get("value") is None]
    print(f"{len(asked) - len(without)} replies with a number as answer, {len(without)} without one\n")
    print(
        "| reader | right | wrong | none, though there is one | none, and there is none "
        "| a number, though there is none |"
    )
    print("|---|--:|--:|--:|--:|--:|")
    for name, judge in READERS.items():
        said = [(judge(row), row.get("value") is None) for row in asked]
        counts = [
            said.count(pair)
            for pair in (("right", False), ("wrong", False), ("none", False), ("none", True), ("wrong", True))
        ]
        print(f"| {name} | {' | '.join(map(str, counts))} |")
    assert same("1 1/2", "1.5")


if __name__ == "__main__":
    main()
