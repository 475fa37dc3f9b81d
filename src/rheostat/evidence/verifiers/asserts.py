"""Rewrite asserts so that the sandbox sends both sides out as data, and compare them here.

In: the source of tests. Out: the same tests with each assert turned into a call of a host function, under a name that
the code can't know. Code that redefines `len`, or has an `__eq__` that lies, can't cheat this comparison.
"""

from __future__ import annotations

import ast
import builtins
import datetime
import operator
import re
import secrets
import unicodedata
from collections.abc import Callable
from typing import Any

__all__ = ["Asserts", "Examiner"]

_OPERATORS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b,
}  # fmt: skip
_PLAIN = (bool, int, float, complex, str, bytes, type(None), datetime.date, datetime.time, datetime.timedelta)
_ANSWERS = re.compile(
    r"__(?!(?:init|repr|str|name|main|doc|post_init|future|all|file|annotations)__)\w+__"
    r"|\b(?:setattr|vars|type|exec|eval|compile|globals|locals|builtins)\b"
)
"""Signs of a class that answers by itself where a test may mean plain data, including names set dynamically."""
_METHODS = r"(?:startswith|endswith|find|index|count|issubset|issuperset|isdisjoint|equals|is[a-z]{5,})"
_CLASS = re.compile(r"\bclass\b")
_OF_CLASS = re.compile(rf"\bdef\s{{1,100}}{_METHODS}\b|\b{_METHODS}\s{{0,100}}=[^=]")
"""Methods of strings and sets that a class of the code defines."""
_OF_OBJECT = re.compile(rf"\.\s{{0,100}}{_METHODS}\s{{0,100}}=[^=]")


class Unjudged(Exception):
    """The sides of an assert can't be compared safely; the message says why."""


_MOST_SHOWN = 1_000_000
"""The longest `repr` of values that leave the embedded interpreter; its memory limit doesn't count our copy of them."""
_MARK = "examiner_"
"""A placeholder in the rewritten tests, which each run replaces by a secret name."""


class Asserts:
    """Tests, rewritten once for all runs.

    Args:
        tests: Python source that parses.
    """

    def __init__(self, tests: str) -> None:
        tree = ast.parse(tests)
        names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
        self.builtins = {name.id for name in names if hasattr(builtins, name.id)} | {"repr"}
        """The builtins that the tests or the rewritten asserts use."""
        self.names = {name.id for name in names} | set().union(*map(_bound, tree.body))
        """All names that the tests use or bind."""
        self.nodes: list[ast.Assert] = []
        self.always: set[int] = set()
        """Numbers of the asserts that run if the tests run to their end."""
        self.caught: set[int] = set()
        """Numbers of the asserts whose failure the tests may catch."""
        self.held: set[int] = set()
        """Numbers of the asserts in a `with`, whose failure an object of the code may swallow."""
        written = [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
        self.written = {id(node): number for number, node in enumerate(written)}
        """Numbers of the asserts as written, by `id` of their node; `assert a and b` is one here and two in `nodes`."""
        self.meant = {number for number, node in enumerate(written) if not isinstance(node.test, ast.Constant)}
        """Numbers of the asserts in `written` that assert something, unlike `assert False` after an expected error."""
        self.must_run: dict[int, str] = {}
        """The source of the asserts in `written` that run if the tests run to their end."""
        self.source = ast.unparse(ast.fix_missing_locations(_Rewriter(self).visit(tree)))

    def register(self, node: ast.Assert, *, always: bool, caught: bool, held: bool) -> int:
        """Register a rewritten assert, and return its number."""
        number = len(self.nodes)
        self.nodes.append(node)
        for numbers, belongs in ((self.always, always), (self.caught, caught), (self.held, held)):
            if belongs:
                numbers.add(number)
        return number


class Examiner:
    """One run of tests against code, and its results.

    Args:
        asserts: The tests.
        code: The code under test.
    """

    def __init__(self, asserts: Asserts, code: str) -> None:
        self.name = f"{_MARK}{secrets.token_hex(16)}"
        """The start of the names in this run, such as that of the host function; the code can't know it."""
        self._asserts = asserts
        self._reached: set[int] = set()
        self._wrong: list[tuple[int, str]] = []
        self.unjudged: str | None = _redefined(asserts, code)
        """Why nothing can be judged; `None`: it can."""
        if self.unjudged is None and _answers_for_itself(unicodedata.normalize("NFKC", code)):
            self.unjudged = "a class of the code's answers operators or comparisons for itself"
        self.reordered = False
        """A failed comparison had the same items in another order, as a set has in another interpreter."""
        self.source = asserts.source.replace(_MARK, f"{self.name}_")
        """The source of the tests as run."""

    def judge(self, number: int, values: Any, shown: str, inside: Any) -> None:
        """Judge one assert; called from the sandbox with both sides as data.

        Args:
            values: The sides of the comparison, or the one value of another test; `None`: too large.
            shown: The beginning of `repr(values)` inside the sandbox.
            inside: The result inside the sandbox, which is used for `is` and `is not` alone.

        Raises:
            AssertionError: The assert doesn't hold.
            Unjudged: It can't be judged.
        """
        self._reached.add(number)
        node = self._asserts.nodes[number]
        comparison = node.test if isinstance(node.test, ast.Compare) and len(node.test.ops) == 1 else None
        compare = _OPERATORS.get(type(comparison.ops[0])) if comparison is not None else None
        if values is not None and _plain(values) and sorted(repr(values)) == sorted(shown):
            if comparison is None:
                holds = bool(values[0])
            elif compare is None:
                holds = inside is True
            else:
                holds = bool(compare(*values))
        else:
            self.unjudged = f"{ast.unparse(node)}: objects that aren't plain data"
            raise Unjudged(self.unjudged)
        if not holds:
            self.reordered = self.reordered or _reordered(values)
            said = self._said(node, shown)
            self._wrong.append((number, said))
            if number in self._asserts.held:
                self.unjudged = f"an assert failed within a with: {said}"
            raise AssertionError(said)

    def _said(self, node: ast.Assert, shown: str) -> str:
        message = f" ({ast.unparse(node.msg)[:100]})" if node.msg is not None else ""
        sides = f"the sides are {shown[:300]}" if isinstance(node.test, ast.Compare) else f"it is {shown[1:-2][:300]}"
        return f"{ast.unparse(node)[:300]}: {sides}{message}"

    @property
    def failure(self) -> str | None:
        """The message of the first failed assert that the tests themselves don't catch."""
        return next((said for number, said in self._wrong if number not in self._asserts.caught), None)

    @property
    def missed(self) -> str | None:
        """The source of the first assert that should have run and didn't, although the tests ran to their end."""
        left = sorted(self._asserts.always - self._reached)
        return ast.unparse(self._asserts.nodes[left[0]])[:300] if left else None

    @property
    def vacuous(self) -> bool:
        """Whether there are asserts, and none of them was reached."""
        meant = {number for number, node in enumerate(self._asserts.nodes) if not isinstance(node.test, ast.Constant)}
        return bool(meant) and not meant & self._reached

    def explained(self, why: str) -> str:
        """A traceback with the original asserts instead of the names of this run."""

        def original(line: re.Match[str]) -> str:
            return f"    {ast.unparse(self._asserts.nodes[int(line[1])])}"[:200]

        why = re.sub(r"^\s*~+\s*$\n?", "", why, flags=re.M)
        return re.sub(rf"^.*{self.name}_(\d+).*$", original, why, flags=re.M).replace(self.name, "assert")


class _Rewriter(ast.NodeTransformer):
    def __init__(self, asserts: Asserts) -> None:
        self._asserts = asserts
        self._branches = self._tries = self._withs = 0

    def visit_Assert(self, node: ast.Assert) -> Any:
        if not self._branches and (written := self._asserts.written.get(id(node))) is not None:
            self._asserts.must_run[written] = ast.unparse(node)[:300]
        if isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.And):
            parts = [self.visit_Assert(ast.Assert(test=part, msg=node.msg)) for part in node.test.values]
            return [statement for part in parts for statement in part]
        number = self._asserts.register(node, always=not self._branches, caught=self._tries > 0, held=self._withs > 0)
        values, name = f"{_MARK}{number}", f"{_MARK}call"
        test = node.test
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            sides: list[ast.expr] = [test.left, test.comparators[0]]
            inside: ast.expr = ast.Compare(_item(values, 0), test.ops, [_item(values, 1)])
        else:
            sides, inside = [test], ast.UnaryOp(ast.Not(), ast.UnaryOp(ast.Not(), _item(values, 0)))
        shown = f"{values}_shown"
        keep = ast.Assign([ast.Name(values, ast.Store())], ast.Tuple(sides, ast.Load()))
        show = ast.parse(f"{shown} = repr({values})[:{_MOST_SHOWN + 1}]").body[0]
        small = ast.IfExp(_part(shown, _MOST_SHOWN), ast.Constant(None), _load(values))
        call = ast.Call(_load(name), [ast.Constant(number), small, _load(shown), inside], [])
        return [keep, show, ast.Expr(call)]

    def _within(self, node: ast.AST, *, tries: bool = False) -> ast.AST:
        self._branches, self._tries = self._branches + 1, self._tries + tries
        visited = self.generic_visit(node)
        self._branches, self._tries = self._branches - 1, self._tries - tries
        return visited

    def visit_If(self, node: ast.If) -> Any:
        return self._within(node)

    def visit_For(self, node: ast.For) -> Any:
        return self._within(node)

    def visit_While(self, node: ast.While) -> Any:
        return self._within(node)

    def visit_With(self, node: ast.With) -> Any:
        self._withs += 1
        visited = self._within(node, tries=True)
        self._withs -= 1
        return visited

    def visit_Try(self, node: ast.Try) -> Any:
        return self._within(node, tries=bool(node.handlers))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        if node.name.startswith("test_"):
            ends_early = any(isinstance(each, ast.Return) for each in ast.walk(node))
            return self._within(node) if ends_early else self.generic_visit(node)
        return self._within(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        return self._within(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> Any:
        return self._within(node)


def _load(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _part(name: str, start: int) -> ast.Subscript:
    return ast.Subscript(_load(name), ast.Slice(ast.Constant(start)), ast.Load())


def _item(name: str, number: int) -> ast.Subscript:
    return ast.Subscript(_load(name), ast.Constant(number), ast.Load())


def _reordered(values: Any) -> bool:
    if not isinstance(values, tuple) or len(values) != 2:
        return False
    one, other = values
    if not isinstance(one, list | tuple | str) or type(one) is not type(other) or len(one) != len(other):
        return False
    return sorted(map(repr, one)) == sorted(map(repr, other))


def _plain(value: Any, depth: int = 0) -> bool:
    if depth > 100:
        return False
    if isinstance(value, list | tuple | set | frozenset):
        return all(_plain(each, depth + 1) for each in value)
    if isinstance(value, dict):
        return all(_plain(name, depth + 1) and _plain(each, depth + 1) for name, each in value.items())
    if isinstance(value, str):
        return "\ufffd" not in value  # in the embedded interpreter, all lone surrogates are this one character
    return isinstance(value, _PLAIN)


def _answers_for_itself(code: str) -> bool:
    """Whether an object of the code may answer by itself where a test means plain data."""
    if _ANSWERS.search(code) or _OF_OBJECT.search(code) or ("dataclass" in code and "__init__" in code):
        return True
    return _CLASS.search(code) is not None and _OF_CLASS.search(code) is not None


def _redefined(asserts: Asserts, code: str) -> str | None:
    """The reason if the code rebinds a name of the tests, before they run or from a function while they run."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    later = {name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names}
    bound = {name for node in tree.body for name in _bound(node)} | later
    lost = sorted((asserts.builtins & bound) | (asserts.names & later))
    return f"the code redefines {lost[0]}, which the tests use" if lost else None


def _bound(statement: ast.stmt) -> set[str]:
    """Names that a top-level statement may bind; names that are local to a function don't count."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        outside: list[ast.AST] = [*statement.decorator_list]
        outside += [statement.args] if not isinstance(statement, ast.ClassDef) else statement.bases
        if isinstance(statement, ast.ClassDef):
            outside += statement.keywords
        elif statement.returns is not None:
            outside.append(statement.returns)
        named = [each for part in outside for each in ast.walk(part) if isinstance(each, ast.NamedExpr)]
        return {statement.name, *(each.target.id for each in named)}
    names: set[str] = set()
    for node in ast.walk(statement):
        match node:
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
            case (
                ast.FunctionDef()
                | ast.AsyncFunctionDef()
                | ast.ClassDef()
                | ast.ExceptHandler()
                | ast.MatchAs()
                | ast.MatchStar()
            ):
                names.add(node.name or "")
            case ast.MatchMapping(rest=str(name)):
                names.add(name)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                names |= {(alias.asname or alias.name).split(".")[0] for alias in aliases}
    return names
