"""Verdicts are made outside: code can't buy one, and honest code still gets it."""

from __future__ import annotations

import time

import pytest

from rheostat import PythonTests, VerifierInvalid
from rheostat.sandbox import kinds

LIES = "class L:\n    def "
FORGED = {
    "an equality by a name put together": (
        "assert f() == 5",
        "class L: pass\nsetattr(L, '__e' + 'q__', lambda s, o: True)\ndef f(): return L()",
    ),
    "a class made at run time": (
        "assert f() == 5",
        "L = type('L', (), {'__e' + 'q__': lambda s, o: True})\ndef f(): return L()",
    ),
    "a name of the tests": (
        "expected = 9\nassert f() == expected",
        "def f():\n    global expected\n    expected = 5\n    return 5",
    ),
    "an equality in a larger assert": (
        "assert f() == 5 or f() == 6",
        LIES + "__eq__(self, o): return True\ndef f(): return L()",
    ),
    "an inequality before an assert": (
        "if f() != 5:\n    assert False",
        LIES + "__ne__(self, o): return False\ndef f(): return L()",
    ),
    "an equality in other letters": ("assert f() == 5", LIES + "__ｅq__(self, o): return True\ndef f(): return L()"),
    "len, by a pattern": (
        "assert len(f()) == 3",
        "match (lambda x: 3):\n    case len:\n        pass\ndef f(): return []",
    ),
    "an equality that is always true": ("assert f() == 5", LIES + "__eq__(self, o): return True\ndef f(): return L()"),
    "an inequality that is never": ("assert f() != 5", LIES + "__ne__(self, o): return True\ndef f(): return L()"),
    "a truth of its own": ("assert f()", LIES + "__bool__(self): return True\ndef f(): return L()"),
    "an order of its own": ("assert f() < 3", LIES + "__lt__(self, o): return True\ndef f(): return L()"),
    "a membership of its own": ("assert 3 in f()", LIES + "__contains__(self, o): return True\ndef f(): return L()"),
    "an equality inside of a list": ("assert f() == [5]", LIES + "__eq__(self, o): return True\ndef f(): return [L()]"),
    "len": ("assert len(f()) == 3", "def len(x): return 3\ndef f(): return []"),
    "abs": ("assert abs(f() - 3) < 0.1", "def abs(x): return 0\ndef f(): return 100"),
    "isinstance": ("assert isinstance(f(), list)", "isinstance = lambda *a: True\ndef f(): return 1"),
    "sorted, through global": (
        "assert sorted(f()) == [1]",
        "def f():\n    global sorted\n    sorted = lambda x: [1]\n    return 3",
    ),
    "repr": ("assert f() == 5", "def repr(x): return '(5, 5)'\ndef f(): return 4"),
    "set, by import": ("assert set(f()) == {1}", "from math import floor as set\ndef f(): return 1"),
    "range as text": ("assert f() == range(3)", "def f(): return 'range(0, 3)'"),
    "a function as text": ("def g(): pass\nassert f() == g", "def f(): return \"<function 'g' at 0x8>\""),
    "an exit": ("assert f() == 5", "def f(): raise SystemExit(0)"),
    "a print": ("assert f() == 5", "print('1 passed')\ndef f(): print('1 passed')"),
    "an exception of an assert": ("assert f() == 5", "def f(): raise AssertionError('passed')"),
    "a swallowed failure": (
        "def check(x):\n    assert x == 5\nf(check)",
        "def f(check):\n    try:\n        check(4)\n    except AssertionError:\n        pass",
    ),
    "a guessed examiner": ("assert f() == 5", "def examiner(*a): return None\ndef f(): return examiner"),
    "a walrus in a default": ("assert abs(f() - 3) < 0.1", "def g(x=(abs := lambda a: 0)): pass\ndef f(): return 100"),
    "a walrus in an annotation": (
        "assert len(f(3)) == 3",
        "def g(x) -> (len := (lambda a: 3)):\n    return x\ndef f(n):\n    return []",
    ),
    "an attribute in place of text": (
        "assert f('a').startswith('b')",
        "def g(): pass\ng.startswith = lambda x: True\ndef f(x): return g",
    ),
    "a walrus in a decorator": (
        "assert len(f()) == 3",
        "def d(x): return lambda g: g\n@d(len := lambda a: 3)\ndef g(): pass\ndef f(): return []",
    ),
    "a helper of the tests, through global": (
        "def check(x, w):\n    assert f(x) == w\ncheck(1, 1)\ncheck(2, 4)",
        "def f(x):\n    global check\n    check = lambda *a: None\n    return 1",
    ),
    "what the tests import, through global": (
        "from math import isclose\nassert f(1) == 1\nassert isclose(f(2), 4.0)",
        "def f(x):\n    global isclose\n    isclose = lambda a, b: True\n    return 1",
    ),
    "a test, through global": (
        "def test_a():\n    assert f(1) == 1\ndef test_b():\n    for x in [2]:\n        assert f(x) == 4",
        "def f(x):\n    global test_b\n    test_b = lambda: None\n    return 1",
    ),
    "an operator from the other side": (
        "assert abs(3.14 - f()) < 0.01",
        "class A:\n    def __rsub__(self, o): return 0\ndef f(): return A()",
    ),
    "a remainder of its own": ("assert f() % 5 == 2", "class A:\n    def __mod__(s, o): return 2\ndef f(): return A()"),
    "a class made by another name": (
        "assert f() == 4",
        "t = type\nA = t('A', (), {'__e' + 'q__': lambda s, o: True})\ndef f(): return A()",
    ),
    "a dataclass without fields": (
        "assert parse('1,2') == Point(1, 2)",
        "from dataclasses import dataclass\n@dataclass\nclass Point:\n    def __init__(self, x, y):\n        self.x = x\n"
        "        self.y = y\ndef parse(s): return Point(0, 0)",
    ),
    "one object for all": (
        "assert parse('1,2') == Point(1, 2)\nassert parse('3,4') == Point(3, 4)",
        "class P:\n    pass\nP1 = P()\ndef Point(x, y): return P1\ndef parse(s): return P1",
    ),
    "in place of text": (
        "assert f('a').startswith('b')",
        "class A:\n    def startswith(s, o): return True\ndef f(x): return A()",
    ),
    "a format of its own": (
        "assert f'{f():.2f}' == '1.23'",
        "class L:\n    def __format__(s, sp): return '1.23'\ndef f(): return L()",
    ),
    "a context that swallows": (
        "with t():\n    assert f() == 1",
        "class t:\n    def __enter__(s): pass\n    def __exit__(s, *a): return True\ndef f(): return 0",
    ),
    "a decorator that drops the test": (
        "@d\ndef test_a():\n    assert f() == 1\n",
        "def d(g): return lambda: None\ndef f(): return 0",
    ),
    "asserts that nothing calls": ("def check(candidate):\n    assert candidate(1) == 2\n", "def f(x): return 77"),
    "asserts in a class": ("class TestA:\n    def test_a(self):\n        assert f(1) == 2", "def f(x): return 77"),
    "asserts in a loop over nothing": ("for a, b in zip(f(), [1, 2]):\n    assert a == b", "def f(): return []"),
    "asserts in a coroutine": ("async def test_a():\n    assert await f() == 2\n", "async def f(): return 77"),
    "fields as mirrors": (
        "from dataclasses import asdict\nassert asdict(moved(P(1))) == asdict(P(2))",
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\ndef moved(p): return P(77)",
    ),
    "its repr, evaluated": (
        "assert eval(repr(f())) == 5",
        'class A:\n    def __repr__(s): return \'setattr(__import__("builtins"), "abs", None) or 5\'\ndef f(): return A()',
    ),
    "a name of the tests, by text": ("assert abs(f() - 5) < 1", "exec('abs = lambda x: 0')\ndef f(): return 400"),
    "a length of its own": ("assert len(f()) == 3", LIES + "__len__(self): return 3\ndef f(): return L()"),
    "a length as truth": ("assert f()", LIES + "__len__(self): return 3\ndef f(): return L()"),
    "a length that its items haven't": (
        "assert len(f()) == 3",
        "class L:\n    def __len__(s): return 3\n    def __iter__(s): return iter([1])\ndef f(): return L()",
    ),
    "equal and not equal": (
        "assert P(1) == P(1) and P(1) != P(2)",
        "class P:\n    def __init__(s, x): pass\n    def __eq__(s, o): return True\n    def __ne__(s, o): return True",
    ),
    "another lone surrogate": ("assert f() == '\\ud800'", "def f(): return '\\ud801'"),
    "tests that it defines": ("def test_a():\n    assert f() == 5", "def test_a(): pass\ndef f(): return 4"),
}


@pytest.mark.parametrize(("tests", "code"), FORGED.values(), ids=FORGED)
def test_no_verdict_is_forged(tests: str, code: str) -> None:
    verdict = PythonTests(tests).check(code)
    assert verdict.passed is not True
    assert verdict.reason


@pytest.mark.parametrize(("tests", "code"), FORGED.values(), ids=FORGED)
def test_no_verdict_is_forged_in_a_real_interpreter(tests: str, code: str) -> None:
    verdict = PythonTests(tests).check(f"import heapq\n{code}")
    assert verdict.passed is not True
    assert verdict.reason


REAL = {
    "a heap": ("assert f([3, 1, 2]) == [1, 2, 3]",
        "import heapq\ndef f(x):\n    heapq.heapify(x)\n    return sorted(x)"),
    "fractions": ("from fractions import Fraction\nassert f() == Fraction(1, 3)",
        "from fractions import Fraction\ndef f(): return Fraction(2, 6)"),
    "a generator": ("assert list(f(3)) == [0, 1, 2]", "def f(n):\n    for i in range(n): yield i"),
    "inheritance": ("assert B().x() == 2 and isinstance(B(), A)", "class A:\n    def x(self): return 1\n"
        "class B(A):\n    def x(self): return super().x() + 1"),
    "a dataclass with methods": ("assert P(1, 2).far() == P(2, 4)", "import copy\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass P:\n    x: int\n    y: int\n    def far(self): return P(2 * self.x, 2 * self.y)"),
    "regular expressions": ("assert f('a1b22') == ['1', '22']",
        "import re, heapq\ndef f(s): return re.findall(r'\\d+', s)"),
    "an exception of its own": ("try:\n    f()\n    assert False\nexcept E as e:\n    assert e.code == 3",
        "class E(Exception):\n    def __init__(self, code): self.code = code\ndef f(): raise E(3)"),
    "functions that are passed": ("assert f(lambda x: x + 1, [1, 2]) == [2, 3]",
        "import heapq\ndef f(g, xs): return [g(x) for x in xs]"),
    "a cache": ("assert f(30) == 832040", "from functools import lru_cache\n@lru_cache(None)\n"
        "def f(n): return n if n < 2 else f(n - 1) + f(n - 2)"),
    "a context that gets an exception": ("with sup():\n    raise ValueError\nassert f() == 1",
        "import contextlib\n@contextlib.contextmanager\ndef sup():\n    try:\n        yield\n    except ValueError:\n"
        "        pass\ndef f(): return 1"),
    "the cause of an exception": ("try:\n    f()\n    assert False\nexcept A as e:\n    assert isinstance(e.__cause__, KeyError)",
        "import heapq\nclass A(Exception): pass\ndef f():\n    try: {}['x']\n    except KeyError as e: raise A('a') from e"),
    "a function named like a class": ("assert Diff([1, 2], [2]) == [1] and Diff([3], []) == [3]",
        "import heapq\ndef Diff(a, b): return [x for x in a if x not in b]"),
    "its signature": ("import inspect\nassert list(inspect.signature(f).parameters) == ['a', 'b']", "def f(a, b): return 1"),
    "a list that is long, in place": ("x = list(range(30000))[::-1]\nf(x)\nassert x == list(range(30000))",
        "import heapq\ndef f(x): x.sort()"),
    "a container of an unnamed class": ("x = f(3)\nassert len(x) == 3 and list(x) == [0, 1, 2] and bool(x)",
        "class L:\n    def __init__(s, n): s.n = n\n    def __len__(s): return s.n\n    def __iter__(s): return iter(range(s.n))\n"
        "def f(n): return L(n)"),
    "a text with a replacement character": ("assert f('a\\ufffd') == 'a\\ufffd!'", "def f(s): return s + '!'"),
    "a guard": ("def check():\n    assert f() == 4\nif __name__ == '__main__':\n    check()", "import heapq\ndef f(): return 4"),
    "what it prints": ("assert f() is None", "import heapq\ndef f(): print('x' * 100_000)"),
}  # fmt: skip


@pytest.mark.parametrize(("tests", "code"), REAL.values(), ids=REAL)
def test_honest_code_passes_in_a_real_interpreter(tests: str, code: str) -> None:
    verdict = PythonTests(tests).check(code)
    assert (verdict.passed, verdict.reason) == (True, "")


UNTOLD = {
    "a value that can't be passed on": ("assert f(3000) is not None",
        "import heapq\ndef f(n):\n    x = []\n    for _ in range(n): x = [x]\n    return x"),
    "a type error of the embedded interpreter's, and no sandbox": ("assert list(map(f, [1])) == [2]", "def f(x): raise TypeError(x)"),
}  # fmt: skip


def test_what_cannot_be_told_is_not_called_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    tests, code = UNTOLD["a value that can't be passed on"]
    assert PythonTests(tests).check(code).passed is None
    monkeypatch.setattr(kinds, "why_not", lambda kind: f"no {kind}")
    tests, code = UNTOLD["a type error of the embedded interpreter's, and no sandbox"]
    assert PythonTests(tests).check(code).passed is None


@pytest.mark.parametrize("code", ["dataclass " * 9_000, "class " * 15_000, ". " * 45_000, "def " + " " * 90_000])
def test_code_of_any_shape_is_looked_at_in_no_time(code: str) -> None:
    began = time.monotonic()
    PythonTests("assert f() == 1").check(f"def f(): return 1\n#{code}")
    assert time.monotonic() - began < 5


def test_tests_of_which_nothing_would_run_are_refused() -> None:
    with pytest.raises(VerifierInvalid, match="methods of a class and async functions don't"):
        PythonTests("import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(f(1), 2)")


@pytest.mark.parametrize(
    ("tests", "code"),
    [
        (tests, code.replace("return", "return None #"))
        for name, (tests, code) in REAL.items()
        if "return" in code and name not in ("a dataclass with methods", "its signature")
    ],
)
def test_wrong_code_fails_in_a_real_interpreter(tests: str, code: str) -> None:
    verdict = PythonTests(tests).check(code)
    assert verdict.passed is False
    assert verdict.reason


HONEST = {
    "plain": ("assert f(2) == 4", "def f(x): return x * x"),
    "floats": ("assert abs(f() - 0.3) < 1e-9", "def f(): return 0.1 + 0.2"),
    "sets": ("assert f() == {1, 2, 'a'}", "def f(): return {'a', 2, 1}"),
    "dicts in another order": ("assert f() == {'b': 1, 'a': 2}", "def f(): return {'a': 2, 'b': 1}"),
    "nested": ("assert f() == [(1, [2.5, None]), {'a': {1}}]", "def f(): return [(1, [2.5, None]), {'a': {1}}]"),
    "none": ("assert f() is None", "def f(): pass"),
    "a chain": ("assert 1 < f() < 3", "def f(): return 2"),
    "and": ("assert f() == [1] and f()[0] == 1", "def f(): return [1]"),
    "or": ("assert f() == 1 or f() == 2", "def f(): return 2"),
    "not": ("assert not f()", "def f(): return []"),
    "not in": ("assert 3 not in f()", "def f(): return [1]"),
    "a dataclass": (
        "assert f() == P(1)",
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\ndef f(): return P(1)"
    ),
    "an exception that is wanted": (
        "try:\n    f()\n    assert False\nexcept ValueError:\n    pass", "def f(): raise ValueError('no')"
    ),
    "a list that changes": ("x = f()\nassert x == [1]\nx.append(2)\nassert x == [1, 2]", "def f(): return [1]"),
    "a function": ("def test_a():\n    for i in range(2_000):\n        assert f(i) == i", "def f(x): return x"),
    "a message": ("assert f() == 1, 'it should be 1'", "def f(): return 1"),
    "a builtin that the tests don't use": ("assert f() == 3", "def sum(x): return 3\ndef f(): return sum([])"),
    "large numbers": ("assert f() == 10**300", "def f(): return 10**300"),
    "numbers too large to show": ("assert f() == 10**5_000", "def f(): return 10**5_000"),
    "a helper": ("def near(a, b):\n    return abs(a - b) < 0.1\nassert near(f(), 1)", "def f(): return 1.05"),
}  # fmt: skip


@pytest.mark.parametrize(("tests", "code"), HONEST.values(), ids=HONEST)
def test_honest_code_passes(tests: str, code: str) -> None:
    assert PythonTests(tests).check(code).passed is True


@pytest.mark.parametrize(
    ("tests", "code"),
    [
        (tests, code.replace("return", "return None #"))
        for name, (tests, code) in HONEST.items()
        if "return" in code and name not in ("none", "not", "a dataclass", "a builtin that the tests don't use")
    ],
)
def test_wrong_code_fails(tests: str, code: str) -> None:
    assert PythonTests(tests).check(code).passed is False


def test_a_reason_names_the_assert_and_both_sides() -> None:
    reason = PythonTests("assert f(3) == 9, 'squares'").check("def f(x): return x + x").reason
    assert "assert f(3) == 9" in reason
    assert "(6, 9)" in reason
    assert "squares" in reason
    assert "examiner" not in reason
    crash = PythonTests("assert f(3) == 9").check("def f(x): return x / 0").reason
    assert "ZeroDivisionError" in crash
    assert "examiner" not in crash
