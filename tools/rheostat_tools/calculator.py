"""A tool for exact arithmetic."""

from __future__ import annotations

import ast
from fractions import Fraction

from langchain_core.tools import BaseTool, StructuredTool, ToolException

from rheostat_tools.arithmetic import FUNCTIONS, MOST_BITS, OPERATORS, Number, constant, number, show
from rheostat_tools.terms import terms

__all__ = ["calculator"]

MOST_CHARS = 1_000
"""The longest expression, in characters."""

MOST_DEPTH = 100
"""The deepest nesting of parentheses and calls."""

SECONDS = 1.0
"""The time limit of a call; no expression within the other limits takes as long."""


def calculator() -> BaseTool:
    """A tool for exact arithmetic: whole numbers and fractions of any form up to about 4,000 digits.

    Every operation is bounded before it is carried out, and so are time and memory.
    """

    def calculate(expression: str) -> str:
        """Work out an arithmetic expression exactly.

        Use it for every calculation whose digits matter. Decimals are exact (0.1 + 0.2 is 0.3), 1/3 stays a fraction
        and is shown with its decimal value. Operators: + - * / // % ** and parentheses. Functions: min, max, abs,
        round(x, digits) (half to even), sqrt, factorial, gcd, comb(n, k). Constants: pi, e. A result that can't be
        exact starts with ≈ and has 30 digits. Write 1000 and not 1,000; 2**10 and not 2^10.

        Args:
            expression: For example "(17.5 * 3 - 2**10) / 7" or "comb(52, 5)".
        """
        return _calculate(expression)

    return StructuredTool.from_function(
        calculate, parse_docstring=True, metadata=terms(seconds=SECONDS, idempotent=True)
    )


def _calculate(expression: str) -> str:
    text = " ".join(expression.split())
    if not text:
        raise ToolException('the expression is empty. Pass arithmetic such as "2 * (3 + 4)".')
    if len(text) > MOST_CHARS:
        raise ToolException(f"the expression has {len(text):,} characters, at most {MOST_CHARS:,}: do it in steps")
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        hint = " Write factorial(5) and not 5!." if "!" in text else ""
        raise ToolException(f"this is no arithmetic expression ({_short(error)}).{hint}") from None
    try:
        return show(_value(tree.body, text, depth=0))
    except ZeroDivisionError:
        raise ToolException("division by zero") from None
    except OverflowError as error:
        raise ToolException(
            f"out of range: {error}. Results are limited to {MOST_BITS:,} bits (about 4,200 digits)"
        ) from None
    except (ValueError, TypeError) as error:
        raise ToolException(str(error)) from None


def _value(node: ast.expr, text: str, *, depth: int) -> Number:
    if depth > MOST_DEPTH:
        raise ValueError(f"the expression nests deeper than {MOST_DEPTH}: do it in steps")
    match node:
        case ast.Constant(value=bool() | complex() | str() | bytes() | None):
            raise ValueError(f"{ast.get_source_segment(text, node)} is no number")
        case ast.Constant(value=int(whole)):
            return number(Fraction(whole))
        case ast.Constant(value=float()):
            return constant(ast.get_source_segment(text, node) or "")
        case ast.Name(id="pi" | "e" as name):
            return constant(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _value(operand, text, depth=depth + 1)
            return Number(-inner.value, inner.exact)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand, text, depth=depth + 1)
        case ast.BinOp(op=op) if type(op) in OPERATORS:
            return _chain(node, text, depth=depth)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in FUNCTIONS:
            fewest, most, function = FUNCTIONS[name]
            if not fewest <= len(args) <= most:
                takes = str(fewest) if fewest == most else f"{fewest} to {most}"
                raise ValueError(f"{name} takes {takes} numbers, got {len(args)}")
            return function(*(_value(arg, text, depth=depth + 1) for arg in args))
    raise ValueError(_refusal(node, text))


def _chain(node: ast.BinOp, text: str, *, depth: int) -> Number:
    """Evaluate a chain of operators in a loop, because its tree nests as deep to the left as the chain is long."""
    steps: list[ast.BinOp] = []
    first: ast.expr = node
    while isinstance(first, ast.BinOp) and type(first.op) in OPERATORS:
        steps.append(first)
        first = first.left
    result = _value(first, text, depth=depth + 1)
    for step in reversed(steps):
        result = OPERATORS[type(step.op)](result, _value(step.right, text, depth=depth + 1))
    return result


def _refusal(node: ast.expr, text: str) -> str:
    segment = (ast.get_source_segment(text, node) or "this")[:60]
    allowed = f"Numbers, + - * / // % **, parentheses, {', '.join(FUNCTIONS)}, pi and e are."
    match node:
        case ast.BinOp(op=ast.BitXor()):
            return "^ is no power here: write 2**10"
        case ast.Tuple():
            return f"{segment!r} has a comma: write 1000 and not 1,000, and one expression at a time"
    return f"{segment!r} is not allowed. {allowed}"


def _short(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:100]
