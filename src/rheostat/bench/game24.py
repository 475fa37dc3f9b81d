"""Game of 24: puzzles, an exact checker that says what is wrong, and a reader of replies.

A puzzle has four numbers; an expression that uses each of them once must give 24. The checker parses the expression
and computes with fractions; it evaluates no code.
"""

from __future__ import annotations

import ast
import itertools
import operator
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from rheostat.bench.problems import Problem
from rheostat.evidence.forms import Form
from rheostat.evidence.verifiers import Verdict

__all__ = ["EXPRESSION", "Puzzle", "check", "puzzles", "read_expression", "solvable"]

_GOAL = 24
_LARGEST = 13
_MOST_CHARS = 200
_SEED = 24
_OPERATORS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip
_SIGNS = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "[": "(", "]": ")"})
_FOUND = re.compile(r"[\d(][\d\s()+*/-]*[\d)]")


class _Wrong(Exception):
    """The expression breaks a rule; the message says which."""


def check(numbers: Sequence[int], expression: str) -> Verdict:
    """Judge an expression: does it use each number exactly once, and give 24?

    Returns:
        A verdict that passes, or fails with a reason that helps: "uses 5 twice", "gives 23, not 24".
    """
    try:
        if len(expression) > _MOST_CHARS:
            raise _Wrong(f"the expression is longer than {_MOST_CHARS} characters")
        try:
            body = ast.parse(expression.strip(), mode="eval").body
        except (SyntaxError, ValueError):
            raise _Wrong(f"{expression.strip()[:60]!r} is not an arithmetic expression") from None
        _check_numbers(numbers, _numbers_in(body))
        value = _value(body)
    except _Wrong as wrong:
        return Verdict(False, str(wrong))
    return Verdict(True) if value == _GOAL else Verdict(False, f"it gives {value}, not {_GOAL}")


def _numbers_in(node: ast.expr) -> list[int]:
    """The numbers of an expression that has nothing but numbers and the four operators."""
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _numbers_in(node.left) + _numbers_in(node.right)
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return [node.value]
    raise _Wrong(f"only numbers, + - * / and parentheses are allowed, not {ast.unparse(node)[:60]!r}")


def _check_numbers(wanted: Sequence[int], used: Sequence[int]) -> None:
    have, want = Counter(used), Counter(wanted)
    said = [f"uses {number}, which isn't given" for number in have if number not in want]
    for number, times in want.items():
        if have[number] == 0:
            said.append(f"doesn't use {number}" + (f", which is given {_times(times)}" if times > 1 else ""))
        elif have[number] != times:
            said.append(f"uses {number} {_times(have[number])}, not {_times(times)}")
    if said:
        raise _Wrong(f"it {' and '.join(said)}; use each of {', '.join(map(str, wanted))} exactly once")


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _value(node: ast.expr) -> Fraction:
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left), _value(node.right)
        try:
            return _OPERATORS[type(node.op)](left, right)
        except ZeroDivisionError:
            raise _Wrong(f"{ast.unparse(node)[:60]} divides by zero") from None
    assert isinstance(node, ast.Constant)  # noqa: S101 - _numbers_in() let nothing else pass
    return Fraction(str(node.value))


def solvable(numbers: Sequence[Fraction | int]) -> bool:
    """Whether some expression of these numbers gives 24; exact, by trying every pair and operator."""
    if len(numbers) == 1:
        return numbers[0] == _GOAL
    for first, second in itertools.permutations(range(len(numbers)), 2):
        rest = [Fraction(each) for place, each in enumerate(numbers) if place not in (first, second)]
        left, right = Fraction(numbers[first]), Fraction(numbers[second])
        for apply in _OPERATORS.values():
            if (apply is not operator.truediv or right) and solvable([*rest, apply(left, right)]):
                return True
    return False


def read_expression(reply: str) -> str | None:
    """The expression in a reply: the last one after "Answer:", else the last one; without "= 24". `None`: none."""
    text = reply.translate(_SIGNS)
    for part in (text.rpartition("Answer:")[2], text):
        lines = [re.split(r"=", line)[0] for line in part.splitlines()]
        found = [each for line in lines for each in _FOUND.findall(line) if re.search(r"\d[\s()]*[-+*/]", each)]
        if found:
            return str(found[-1]).strip()
    return None


EXPRESSION = Form(
    "expression",
    read_expression,
    lambda a, b: a.replace(" ", "") == b.replace(" ", ""),
    'Reply with one line: "Answer: " and the expression.',
)
"""The form of an answer: an arithmetic expression. The line has no example: the 0.5B copied it in 61 of 85 replies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Puzzle(Problem):
    """One puzzle; its checker is the verifier and the scorer."""

    numbers: tuple[int, ...]

    def check(self, answer: str) -> Verdict:
        """Judge an expression."""
        return check(self.numbers, answer)

    def correct(self, answer: str | None) -> bool | None:
        """Score an answer by the same exact check."""
        return answer is not None and check(self.numbers, answer).passed is True


def puzzles(count: int, seed: int = _SEED) -> list[Puzzle]:
    """Different solvable puzzles of numbers from 1 to 13; the same seed gives the same ones."""
    dice = random.Random(seed)  # noqa: S311 - repeatable
    made: dict[tuple[int, ...], Puzzle] = {}
    while len(made) < count:
        numbers = tuple(sorted(dice.randint(1, _LARGEST) for _ in range(4)))
        if numbers in made or not solvable(numbers):
            continue
        *others, last = numbers
        asked = f"Use each of the numbers {', '.join(map(str, others))} and {last} exactly once"
        made[numbers] = Puzzle(
            id=f"game24-{len(made)}",
            level="game24",
            question=f"{asked}, with +, -, *, / and parentheses, in an arithmetic expression that gives {_GOAL}.",
            numbers=numbers,
        )
    return list(made.values())
