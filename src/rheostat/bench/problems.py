"""Problems with checkers. The gold answer is for scoring only; no solver sees it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib.resources import files

from rheostat.evidence.equality import compatible
from rheostat.evidence.forms import AnswerForm
from rheostat.evidence.verifiers import PythonTests

__all__ = ["Problem", "ask_problems", "demo_problems", "live_problems"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One task with its scorer."""

    id: str
    level: str
    """`1` … `5` for the demo's word problems, `code` for its functions; else the name of the data set."""
    question: str
    gold: str = ""
    """The right number, for scoring only."""
    tests: str = ""
    """Python tests: the user's own check, which the adaptive solver may run, and the scorer."""
    matches: str = ""
    """A regular expression that is found in a right answer in words."""

    @property
    def form(self) -> AnswerForm:
        """The form of its answer."""
        return "code" if self.tests else "text" if self.matches else "number"

    def correct(self, answer: str | None) -> bool | None:
        """Score an answer; `None`: the tests can't tell, which counts as not right and is listed separately."""
        if answer is None:
            return False
        if self.tests:
            return PythonTests(self.tests).check(answer).passed
        if self.matches:
            return re.search(self.matches, answer) is not None
        return compatible(answer, self.gold) is True


_WORDS = (
    ("1", "Tom has 8 apples and buys 5 more. How many apples does he have?", "13"),
    ("1", "A bus has 30 seats and 18 are taken. How many seats are free?", "12"),
    ("1", "One pen costs 3 dollars. How many dollars do 6 pens cost?", "18"),
    ("2", "A box holds 12 eggs. Mia buys 4 boxes and uses 9 eggs. How many eggs are left?", "39"),
    ("2", "Sam has 45 stickers. He gives 12 to Ann and then buys 20 more. How many stickers does he have?", "53"),
    ("2", "A train has 7 cars with 20 seats each. 95 seats are taken. How many seats are free?", "45"),
    ("3", "A baker makes 5 trays of 24 rolls. She sells 70 rolls in the morning and half of the rest in the afternoon. "
          "How many rolls are left?", "25"),
    ("3", "Lea earns 15 dollars an hour. She works 6 hours on Monday and half as long on Tuesday. "
          "How many dollars does she earn in total?", "135"),
    ("3", "A school has 4 classes of 28 pupils. 16 pupils are ill and 3 are away. How many pupils are present?", "93"),
    ("4", "A shop sells a coat for 80 dollars. The price falls by 25 percent, and Eve has a coupon for another "
          "10 dollars. How many dollars does Eve pay?", "50"),
    ("4", "A tank holds 240 litres. A pump fills 18 litres a minute and a leak loses 3 litres a minute. "
          "How many minutes does it take to fill the empty tank?", "16"),
    ("4", "Ben reads 20 pages a day for 6 days, then 35 pages a day for 4 days. The book has 300 pages. "
          "How many pages are left?", "40"),
    ("5", "A farmer has twice as many hens as ducks and 6 more geese than ducks. Altogether there are 86 birds. "
          "How many hens are there?", "40"),
    ("5", "A car drives 3 hours at 60 km per hour and then 2 hours at 90 km per hour. "
          "What is its average speed in km per hour?", "72"),
)  # fmt: skip

_FUNCTIONS = (
    ("is_leap", "is_leap(year: int) -> bool", "whether a year is a leap year in the Gregorian calendar",
     "assert is_leap(2000) and not is_leap(1900)\nassert is_leap(2024) and not is_leap(2023)"),
    ("count_vowels", "count_vowels(text: str) -> int", "how many vowels (a, e, i, o, u, in any case) a text has",
     "assert count_vowels('Hello World') == 3\nassert count_vowels('xyz') == 0\nassert count_vowels('AEIOU') == 5"),
    ("second_largest", "second_largest(numbers: list[int]) -> int",
     "the second largest of the distinct values in a list",
     "assert second_largest([3, 1, 4, 4]) == 3\nassert second_largest([-1, -5, -1, -3]) == -3"),
    ("run_length", "run_length(text: str) -> str",
     "the run-length code of a text, each letter followed by its count: 'aab' gives 'a2b1'",
     "assert run_length('aab') == 'a2b1'\nassert run_length('') == ''\nassert run_length('abccc') == 'a1b1c3'"),
    ("roman", "roman(number: int) -> str", "the Roman numeral of a number between 1 and 3999",
     "assert roman(4) == 'IV'\nassert roman(1994) == 'MCMXCIV'\nassert roman(58) == 'LVIII'"),
    ("merge", "merge(intervals: list[list[int]]) -> list[list[int]]",
     "the given closed intervals with overlapping ones merged, sorted by start",
     "assert merge([[1, 3], [2, 6], [8, 10]]) == [[1, 6], [8, 10]]\nassert merge([[1, 4], [4, 5]]) == [[1, 5]]"),
)  # fmt: skip


def demo_problems() -> list[Problem]:
    """14 word problems of five levels and 6 functions with tests, interleaved so that any prefix is a fair mix."""
    words = [
        Problem(id=f"word-{number}", level=level, question=question, gold=gold)
        for number, (level, question, gold) in enumerate(_WORDS, 1)
    ]
    words = sorted(words, key=lambda p: (int(p.id.split("-")[1]) - 1) % 3)
    code = [
        Problem(
            id=f"code-{name}",
            level="code",
            tests=tests,
            question=f"Write a Python function `{signature}` that returns {what}.",
        )
        for name, signature, what, tests in _FUNCTIONS
    ]
    mixed: list[Problem] = []
    for number, problem in enumerate(words):
        mixed.append(problem)
        if number % 2 == 1 and code:
            mixed.append(code.pop(0))
    return mixed + code


def _lines(name: str) -> list[dict[str, str]]:
    text = (files("rheostat.bench") / "data" / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def _words(level: str, name: str) -> list[Problem]:
    return [
        Problem(id=f"{level}-{n}", level=level, question=row["question"], gold=row["answer"].split("####")[1].strip())
        for n, row in enumerate(_lines(name))
    ]


def _functions() -> list[Problem]:
    return [
        Problem(
            id=row["name"].replace("mbpp_", "mbpp-", 1),
            level="mbpp",
            tests=row["test"],
            question=f"Complete this Python function.\n```python\n{row['prompt'].rstrip()}\n```",
        )
        for row in _lines("mbpp-50.jsonl")
    ]


def ask_problems(level: str) -> list[Problem]:
    """The tasks of `make bench-ask`: `multiarith` (60, MIT), `gsm8k` (100), `mbpp` (50), `chat` (30)."""
    if level == "mbpp":
        return _functions()
    if level == "chat":
        rows = enumerate(_lines("chat-30.jsonl"))
        return [Problem(id=f"chat-{n}", level="chat", **row) for n, row in rows]
    return _words(level, {"multiarith": "multiarith-60.jsonl", "gsm8k": "gsm8k-test-100.jsonl"}[level])


def live_problems() -> list[Problem]:
    """The first 100 problems of GSM8K's test set and 50 of MBPP's (as functions with tests); both MIT."""
    words, code = ask_problems("gsm8k"), _functions()
    mixed: list[Problem] = []
    for number, problem in enumerate(words):
        mixed.append(problem)
        if number % 2 == 1:
            mixed.append(code[number // 2])
    return mixed
