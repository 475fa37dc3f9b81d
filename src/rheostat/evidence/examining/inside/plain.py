"""The examiner's process for tests that are plain asserts: runs them here, and the code in the other process.

Runs inside the sandbox: standard library only.
"""

from __future__ import annotations

import ast
import builtins
import operator
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or __package__:
    from rheostat.evidence.examining.inside.delegated import delegate
    from rheostat.evidence.examining.inside.examiner import Examiner, keep_apart
    from rheostat.evidence.examining.inside.guards import guard
else:
    from delegated import delegate
    from examiner import Examiner, keep_apart
    from guards import guard

_HOLDS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.Is: operator.is_, ast.IsNot: operator.is_not, ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}  # fmt: skip
_CHECK, _HELD = "examiner_check", "examiner_held"
_IN_CODE = re.compile(r'\s*File ".*/answer\.py", line (\d+)')


class _Sides(ast.NodeTransformer):
    """Replaces asserts of one comparison by calls that can report both sides, and adds a call after each assert."""

    def __init__(self, tree: ast.Module) -> None:
        self.asserts = [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
        self._numbers = {id(node): number for number, node in enumerate(self.asserts)}

    def visit_Assert(self, node: ast.Assert) -> Any:
        number = ast.Constant(self._numbers[id(node)])
        held = ast.Expr(ast.Call(ast.Name(_HELD, ast.Load()), [number], []))
        if not isinstance(node.test, ast.Compare) or len(node.test.ops) != 1:
            return [node, ast.copy_location(held, node)]
        sides = [node.test.left, node.test.comparators[0]]
        check = ast.Expr(ast.Call(ast.Name(_CHECK, ast.Load()), [number, *sides], []))
        return [ast.copy_location(each, node) for each in (check, held)]


def main(order: dict[str, Any]) -> None:
    keep_apart()
    os.chdir(order["root"])
    examiner = Examiner(order)
    try:
        found = examiner.ask("module", "answer", [order["root"]], False)
    except BaseException as error:
        examiner.tell(status="failed", why=f"the code failed: {_said(error)}")
    names = {name for name in found["names"] if not name.startswith("__")}
    delegate(examiner.ask)
    try:
        reached = _run(order["tests"], examiner, names)
    except BaseException as error:
        examiner.tell(status="failed", why=f"the tests failed: {_said(error)}")
    examiner.tell(status="passed", why="", reached=sorted(reached))


def _run(source: str, examiner: Examiner, names: set[str]) -> set[int]:
    """Run the tests, and return the numbers of the asserts that held; exceptions of the tests pass through."""
    tree = ast.parse(source)
    wanted = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & names
    redefined = sorted(name for name in wanted if hasattr(builtins, name))
    if redefined and len(wanted) > 1:  # a single name is the one under test: some functions are called sum
        examiner.doubt(f"the code redefines {redefined[0]}, which the tests use")
        return set()
    sides = _Sides(tree)
    tree = ast.fix_missing_locations(sides.visit(tree))

    def check(number: int, left: Any, right: Any) -> None:
        node = sides.asserts[number]
        test = node.test
        assert isinstance(test, ast.Compare)  # noqa: S101 - no other is registered
        if not _HOLDS[type(test.ops[0])](left, right):
            message = f" ({ast.unparse(node.msg)[:100]})" if node.msg is not None else ""
            shown = f"({left!r}, {right!r})"
            raise AssertionError(f"{ast.unparse(node)[:300]}: the sides are {shown[:300]}{message}")

    reached: set[int] = set()
    space: dict[str, Any] = {"__name__": "__main__", _CHECK: check, _HELD: reached.add}
    for name in sorted(wanted):
        space[name] = examiner.named(examiner.ask("global", "answer", name), name)
    guard(examiner.root, {os.path.realpath("tests")}, examiner.unsupported)
    exec(compile(tree, "tests", "exec"), space)  # noqa: S102 - the user's own tests, in a sandbox
    return reached


def _said(error: BaseException) -> str:
    """The message of an error, with the line of the code that raised it."""
    try:
        lines = str(object.__getattribute__(error, "_peer_trace")).splitlines()
    except AttributeError:
        lines = []
    text = f"{type(error).__name__}: {error}"[:600]
    places = [number for number, line in enumerate(lines) if _IN_CODE.match(line)]
    if not places:
        return text
    found = _IN_CODE.match(lines[places[-1]])
    source = lines[places[-1] + 1].strip() if places[-1] + 1 < len(lines) else ""
    return f"{text}\nline {found[1] if found else '?'}: {source[:200]}"
