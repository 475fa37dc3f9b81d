"""Verdicts of tests whose code runs in another process: honest code passes, wrong code fails, forged verdicts don't."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from judged import APART, BARE, judge, judge_case
from rheostat.evidence.examining import examine, examine_source
from rheostat.sandbox import Limits, Sandbox, Show
from rheostat_tools import test_runner as run_tests_of

pytestmark = pytest.mark.skipif(not APART, reason="no sandbox on this machine")


HONEST = {
    "functions": ("def add(a, b): return a + b", "from m import add\ndef test(): assert add(1, 2) == 3"),
    "a verdict that is larger than a pipe": (
        "def twice(n): return 2 * n",
        "import pytest\nfrom m import twice\n@pytest.mark.parametrize('n', range(400), ids=[f'{n}' * 99 for n in range(400)])\n"
        "def test(n): assert twice(n) == n + n",
    ),
    "plain data of all kinds": (
        """
        import datetime, decimal, fractions, pathlib, uuid
        from collections import Counter, OrderedDict, deque, defaultdict
        def back(x): return x
        def make():
            d = defaultdict(list); d["a"].append(1)
            return [Counter("aab"), OrderedDict(a=1), deque([1, 2]), d, {1: {2}}, frozenset({3}), b"x", bytearray(b"y"),
                    1j, range(3), 10**40, float("inf"), None, True, (1, (2,)), datetime.date(2026, 1, 2),
                    datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc), datetime.timedelta(1),
                    decimal.Decimal("1.5"), fractions.Fraction(1, 3), pathlib.Path("a/b"), uuid.UUID(int=7), "é\\ud800"]
        """,
        """
        import datetime, decimal, fractions, pathlib, uuid
        from collections import Counter, OrderedDict, deque, defaultdict
        from m import back, make
        def test():
            found = make()
            wanted = [Counter("aab"), OrderedDict(a=1), deque([1, 2]), {"a": [1]}, {1: {2}}, frozenset({3}), b"x", b"y",
                    1j, range(3), 10**40, float("inf"), None, True, (1, (2,)), datetime.date(2026, 1, 2),
                    datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc), datetime.timedelta(1),
                    decimal.Decimal("1.5"), fractions.Fraction(1, 3), pathlib.Path("a/b"), uuid.UUID(int=7), "é\\ud800"]
            assert found == wanted
            assert back(wanted) == wanted
            assert [type(x) for x in found] == [type(x) for x in make()]
            assert isinstance(found[3], defaultdict) and found[3]["new"] == []
        """,
    ),
    "what is changed in place": (
        """
        def grow(items): items.append(4); items.sort(reverse=True)
        def fill(d): d["x"] = {"y": [1]}
        class Stack:
            def __init__(self): self.items = []
            def push(self, x): self.items.append(x)
        """,
        """
        from m import Stack, fill, grow
        def test():
            items = [1, 3, 2]; grow(items); assert items == [4, 3, 2, 1]
            d = {}; fill(d); assert d == {"x": {"y": [1]}}
            s = Stack(); held = s.items; s.push(1); s.push(2)
            assert held == [1, 2] and s.items is held
            held.append(3); assert s.items == [1, 2, 3]; s.push(4); assert held == [1, 2, 3, 4]
        """,
    ),
    "classes": (
        """
        class Account:
            rate = 2
            def __init__(self, owner, balance=0): self.owner, self._balance = owner, balance
            @property
            def balance(self): return self._balance
            def deposit(self, n):
                if n <= 0: raise ValueError(f"bad amount {n}")
                self._balance += n
                return self
            @classmethod
            def empty(cls): return cls("nobody")
            @staticmethod
            def kind(): return "account"
            def __len__(self): return self._balance
            def __contains__(self, x): return x in self.owner
            def __iter__(self): return iter(self.owner)
            def __getitem__(self, k): return self.owner[k]
            def __enter__(self): return self
            def __exit__(self, *a): self.closed = True
            def __call__(self, x): return x + self._balance
            def __repr__(self): return f"Account({self.owner})"
        class Savings(Account):
            def __bool__(self): return False
        """,
        """
        import pytest
        from m import Account, Savings
        @pytest.fixture
        def account(): return Account("ann", 5)
        def test(account):
            assert isinstance(account, Account) and not isinstance(account, Savings) and issubclass(Savings, Account)
            assert account.deposit(3) is account and account.balance == 8 and len(account) == 8
            assert Account.empty().owner == "nobody" and Account.kind() == "account" and Account.rate == 2
            assert "a" in account and list(account) == ["a", "n", "n"] and account[1:] == "nn" and account(2) == 10
            assert repr(account) == "Account(ann)" and f"{account}" == "Account(ann)" and not Savings("x")
            with account as same: assert same is account
            assert account.closed
            account.owner = "bob"; assert account.owner == "bob"
            with pytest.raises(ValueError, match="bad amount -1"): account.deposit(-1)
            with pytest.raises(AttributeError): account.nothing
        """,
    ),
    "objects that are equal": (
        """
        from dataclasses import dataclass, field
        from enum import Enum, IntEnum, StrEnum
        from typing import NamedTuple
        @dataclass
        class Point:
            x: int
            y: int = 0
            tags: list = field(default_factory=list)
            def moved(self, n): return Point(self.x + n, self.y, [*self.tags, "moved"])
        @dataclass(frozen=True, order=True)
        class Version: major: int; minor: int
        class Colour(Enum): RED = 1; BLUE = 2
        class Level(IntEnum): LOW = 1; HIGH = 3
        class Name(StrEnum): A = "a"
        class Pair(NamedTuple): a: int; b: Point
        def newest(versions): return max(versions)
        def colour(n): return Colour(n)
        """,
        """
        import pytest
        from m import Colour, Level, Name, Pair, Point, Version, colour, newest
        def test():
            assert Point(1).moved(2) == Point(3, 0, ["moved"]) and Point(1) != Point(2) and Point(1, 2).y == 2
            assert [Point(1), Point(2)] == [Point(1), Point(2)]
            assert newest([Version(1, 2), Version(2, 0)]) == Version(2, 0) and Version(1, 0) < Version(1, 1)
            assert {Version(1, 2): "a"}[Version(1, 2)] == "a"
            assert colour(1) is Colour.RED and colour(2) == Colour.BLUE and Colour["RED"].value == 1
            assert [c.name for c in Colour] == ["RED", "BLUE"] and Level.HIGH == 3 and Level.LOW < 2 and Name.A == "a"
            assert Pair(1, Point(2)).a == 1 and Pair(1, 2) == (1, 2) and Pair(1, Point(2)).b == Point(2)
        @pytest.mark.parametrize("colour,n", [(Colour.RED, 1), (Colour.BLUE, 2)])
        def test_more(colour, n): assert colour.value == n
        """,
    ),
    "exceptions": (
        """
        import json
        class Broken(ValueError):
            def __init__(self, code, why): super().__init__(why); self.code = code
        class Worse(Broken): pass
        def fail(kind):
            if kind == "json": json.loads("{")
            if kind == "key": return {}["x"]
            if kind == "exit": raise SystemExit(3)
            if kind == "chain":
                try: 1 / 0
                except ZeroDivisionError as e: raise Worse(7, "as it was zero") from e
            raise Broken(5, "no")
        """,
        """
        import json, pytest
        from m import Broken, Worse, fail
        def test():
            with pytest.raises(json.JSONDecodeError): fail("json")
            with pytest.raises(KeyError) as told: fail("key")
            assert told.value.args == ("x",)
            with pytest.raises(SystemExit) as told: fail("exit")
            assert told.value.code == 3
            with pytest.raises(Broken, match="zero") as told: fail("chain")
            assert isinstance(told.value, Worse) and told.value.code == 7
            with pytest.raises(ValueError) as told: fail("")
            assert str(told.value) == "no" and told.value.code == 5 and type(told.value) is Broken
        """,
    ),
    "functions of the tests called back": (
        """
        def apply(f, items): return [f(x) for x in items]
        def total(items): return sum(items)
        def guard(f):
            try: return f()
            except KeyError as e: return f"no {e.args[0]}"
        def save(store, key): store.put(key, 3); return store.size()
        def best(items, key=len): return max(items, key=key)
        def hooked(on): on("begin"); return on
        """,
        """
        import io, pytest
        from m import apply, best, guard, hooked, save, total
        class Store:
            def __init__(self): self.d = {}
            def put(self, k, v): self.d[k] = v
            def size(self): return len(self.d)
        def bad(): raise KeyError("here")
        def worse(): raise RuntimeError("mine")
        def test():
            assert apply(lambda x: x * 2, [1, 2]) == [2, 4] and total(x for x in range(4)) == 6
            assert guard(bad) == "no here"
            with pytest.raises(RuntimeError, match="mine"): guard(worse)
            store = Store(); assert save(store, "k") == 1 and store.d == {"k": 3}
            assert best(["a", "bbb"]) == "bbb" and best([1, -5], key=abs) == -5
            seen = []; assert hooked(seen.append) is not None; assert seen == ["begin"]
            assert apply(str.upper, ["a"]) == ["A"] and apply(int, ["3"]) == [3]
        """,
    ),
    "generators and iterators": (
        "def count(n):\n    for i in range(n): yield i * i\ndef pairs(d): return d.items()\n"
        "def chunks(x): return zip(x, x[1:])",
        "from m import chunks, count, pairs\nimport itertools\ndef test():\n    assert list(count(3)) == [0, 1, 4]\n"
        "    g = count(9); assert next(g) == 0 and list(itertools.islice(g, 2)) == [1, 4]\n"
        "    assert sorted(pairs({'a': 1})) == [('a', 1)] and list(chunks('abc')) == [('a', 'b'), ('b', 'c')]\n",
    ),
    "patches": (
        """
        import os, random, time, subprocess
        from datetime import datetime
        LIMIT = 3
        def slow(): time.sleep(100); return "done"
        def limit(): return LIMIT * 2
        def fetch(u): raise OSError("network")
        def load(u): return fetch(u).upper()
        def key(): return os.environ["MY_KEY"]
        def put(): os.environ["FROM_CODE"] = "1"
        def roll(): return random.randint(1, 6)
        def ask(): return int(input("n? ")) + 1
        def ran(): return subprocess.check_output(["x"])
        class Client:
            def get(self, x): return "real"
        def use(): return Client().get("q")
        """,
        """
        import os, random, time
        from unittest import mock
        import m
        def test(monkeypatch):
            naps = []; monkeypatch.setattr(time, "sleep", naps.append); assert m.slow() == "done" and naps == [100]
            monkeypatch.setattr(m, "LIMIT", 5); assert m.limit() == 10
            monkeypatch.setattr(m, "fetch", lambda u: u + "!"); assert m.load("a") == "A!"
            monkeypatch.setenv("MY_KEY", "k"); assert m.key() == "k"
            m.put(); assert os.environ.pop("FROM_CODE") == "1"
            monkeypatch.setattr("builtins.input", lambda p: "41"); assert m.ask() == 42
            monkeypatch.setattr(m.Client, "get", lambda self, x: f"fake {x}"); assert m.use() == "fake q"
            random.seed(4); a = m.roll(); random.seed(4); assert m.roll() == a == (random.seed(4) or random.randint(1, 6))
        def test_undone():
            assert m.limit() == 6 and m.use() == "real"
        @mock.patch("m.fetch", return_value="x")
        def test_mock(fetch):
            assert m.load("u") == "X"; fetch.assert_called_once_with("u")
            with mock.patch("subprocess.check_output", return_value=b"out") as run: assert m.ran() == b"out"
            assert run.call_args == mock.call(["x"])
            with mock.patch.object(m.Client, "get", return_value=7): assert m.use() == 7
            assert m.use() == "real"
        """,
    ),
    "what is printed, warned and logged": (
        """
        import logging, sys, warnings
        def shout(): print("hello"); print("oops", file=sys.stderr)
        def warn(): warnings.warn("old", DeprecationWarning); logging.getLogger("app").info("did %s", "it")
        def ask(): return sys.stdin.read()
        """,
        """
        import io, logging, pytest
        import m
        def test(capsys, caplog, monkeypatch):
            m.shout(); out = capsys.readouterr(); assert (out.out, out.err) == ("hello\\n", "oops\\n")
            with caplog.at_level(logging.INFO), pytest.warns(DeprecationWarning, match="old"): m.warn()
            assert "did it" in caplog.text
            monkeypatch.setattr("sys.stdin", io.StringIO("typed")); assert m.ask() == "typed"
        """,
    ),
    "files": (
        "import json, pathlib\ndef save(p, d): pathlib.Path(p).write_text(json.dumps(d))\n"
        "def load(p):\n    with open(p) as f: return json.load(f)\ndef here(): return pathlib.Path('x.txt').write_text('1')",
        "import json, m\ndef test(tmp_path, monkeypatch):\n    m.save(tmp_path / 'a', {'k': 1})\n"
        "    assert json.loads((tmp_path / 'a').read_text()) == {'k': 1}\n    (tmp_path / 'b').write_text('[2]')\n"
        "    assert m.load(str(tmp_path / 'b')) == [2]\n    monkeypatch.chdir(tmp_path); m.here()\n"
        "    assert (tmp_path / 'x.txt').read_text() == '1'\n",
    ),
    "async": (
        """
        import asyncio
        async def fetch(n): await asyncio.sleep(0); return n + 1
        async def numbers(n):
            for i in range(n): yield i
        class Session:
            async def __aenter__(self): self.open = True; return self
            async def __aexit__(self, *a): self.open = False
        """,
        """
        import asyncio, m
        def test():
            assert asyncio.run(m.fetch(1)) == 2
            async def many():
                async with m.Session() as s: assert s.open
                return await asyncio.gather(m.fetch(1), m.fetch(2)), [i async for i in m.numbers(3)]
            assert asyncio.run(many()) == ([2, 3], [0, 1, 2])
        """,
    ),
    "numbers that are near": (
        "import math\ndef root(x): return math.sqrt(x)\ndef stats(): return {'mean': 0.1 + 0.2, 'all': [0.1 + 0.2]}",
        "import math, pytest\nfrom m import root, stats\ndef test():\n    assert root(2) == pytest.approx(1.41421356)\n"
        "    assert abs(root(2) - 1.414) < 1e-3 and math.isclose(root(4), 2)\n"
        "    assert stats()['all'] == pytest.approx([0.3])\n",
    ),
    "everything imported": (
        "__all__ = ['a']\ndef a(): return 1\n_b = 2\nVALUES = [1, 2]",
        "from m import *\nimport m\nfrom m import _b\ndef test(): assert a() == 1 and _b == 2 and m.VALUES == [1, 2]\n"
        "def test_not(): assert 'VALUES' not in globals() and m.__name__ == 'm' and m.__file__.endswith('m.py')",
    ),
    "unittest": (
        "def half(x):\n    if x % 2: raise ValueError('odd')\n    return x // 2",
        "import unittest\nfrom m import half\nclass TestHalf(unittest.TestCase):\n"
        "    def test_even(self): self.assertEqual(half(4), 2)\n"
        "    def test_odd(self):\n        with self.assertRaises(ValueError): half(3)\n",
    ),
    "a cache": (
        "from functools import lru_cache, partial\n@lru_cache\ndef f(x): return x + 1\ng = partial(f, 4)",
        "from m import f, g\ndef test():\n    f(1); f(1)\n    assert f.cache_info().hits >= 1 and g() == 5\n    f.cache_clear()\n",
    ),
    "decorators, descriptors, copies and docstrings": (
        """
        import functools
        def twice(f):
            "Twice."
            @functools.wraps(f)
            def inner(*a, **k): return 2 * f(*a, **k)
            return inner
        class Cached:
            def __init__(self, f): self.f = f
            def __set_name__(self, owner, name): self.name = name
            def __get__(self, obj, owner): return self if obj is None else self.f(obj) + 1
        class Box:
            "A box."
            def __init__(self): self.items = [[1]]
        class Bag(dict):
            def __init__(self, *a): super().__init__(*a); self.me = self
            def first(self): return next(iter(self))
        """,
        """
        import copy
        from m import Bag, Box, Cached, twice
        @twice
        def three(): return 3
        class A:
            @twice
            def four(self): return 4
            @Cached
            def five(self): return 5
        def test():
            assert three() == 6 and A().four() == 8 and A().five == 6 and twice.__doc__ == "Twice." and Box.__doc__ == "A box."
            box = Box(); shallow, deep = copy.copy(box), copy.deepcopy(box); box.items[0].append(2)
            assert shallow.items == [[1, 2]] and deep.items == [[1]]
            bag = Bag({"a": 1}); assert bag == {"a": 1} == bag and bag == Bag({"a": 1}) and bag != Bag({"a": 2})
            assert bag.popitem() == ("a", 1) and not bag and bag.get("a", 7) == 7
            bag.update(b=2); assert bag.first() == "b" and list(bag.items()) == [("b", 2)]
        """,
    ),
    "classes of the tests that derive from the code's": (
        """
        from abc import ABC, abstractmethod
        class Shape(ABC):
            def __init__(self, name): self.name = name
            @abstractmethod
            def area(self): ...
            def told(self): return f"{self.name}: {self.area()}"
            def twice(self): return 2 * self.area()
        class Problem(Exception): pass
        def total(shapes): return sum(s.area() for s in shapes)
        def run(f):
            try: return f()
            except Problem as e: return f"caught {e}"
        """,
        """
        import pytest
        from m import Problem, Shape, run, total
        class Square(Shape):
            sides = 4
            def __init__(self, side): super().__init__("square"); self.side = side
            def area(self): return self.side ** 2
            def twice(self): return super().twice() + 1
            @property
            def half(self): return self.area() / 2
            @staticmethod
            def kind(): return "flat"
            @classmethod
            def unit(cls): return cls(1)
        class Mine(Problem): pass
        def bad(): raise Mine("it")
        def test():
            square = Square(3)
            assert isinstance(square, Shape) and square.name == "square" and square.told() == "square: 9"
            assert total([square, Square.unit()]) == 10 and square.twice() == 19 and square.half == 4.5
            assert Square.kind() == "flat" and Square.sides == 4 and square.sides == 4
            with pytest.raises(TypeError): Shape("x")
            assert run(bad) == "caught it"
            with pytest.raises(Problem, match="it"): bad()
        """,
    ),
    "subclasses of plain types": (
        "class D(dict):\n    def total(self): return sum(self.values())\nclass L(list):\n    def first(self): return self[0]\n"
        "class S(str):\n    def loud(self): return self.upper()\nclass I(int): pass",
        "from m import D, I, L, S\ndef test():\n    assert D(a=1, b=2) == {'a': 1, 'b': 2} and D(a=1).total() == 1\n"
        "    assert L([1, 2]) == [1, 2] and L([3]).first() == 3 and S('x') == 'x' and S('x').loud() == 'X' and I(3) + 1 == 4\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", HONEST)
def test_honest_code_passes(what: str, tmp_path: Path) -> None:
    code, tests = HONEST[what]
    found = judge(tmp_path, {"m.py": code, "test_m.py": tests})
    assert (found.passed, found.why) == (True, "")


SQUARE = "from m import square\ndef test():\n    assert square(3) == 9\n    assert square(-4) == 16\n"
LIAR = """
class Liar(*BASES):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    __le__ = __gt__ = __ge__ = __lt__
    def __hash__(self): return 9
    def __sub__(self, other): return 0
    __rsub__ = __add__ = __radd__ = __sub__
    def __abs__(self): return self
    def __contains__(self, x): return True
    def __bool__(self): return True
    def __getattr__(self, name): return self
    def __call__(self, *a, **k): return self
    def __iter__(self): return iter([self])
    def __len__(self): return 1
    def __repr__(self): return "9"
    def __index__(self): return 9
    def __float__(self): return 9.0
def square(x): return Liar()
"""
FORGER = """
import gc
subject = next(o for o in gc.get_objects() if type(o).__name__ == "Subject")
class Raw:
    def __init__(self, node): self.node = node
old = subject.encode
subject.encode = lambda v: v.node if isinstance(v, Raw) else old(v)
cls = lambda name: Raw({"t": "object", "h": 10**6, "class": {"h": 10**6 + 1, "module": "builtins", "name": name}})
"""
FORGED = {
    "nothing": ("def square(x): return None", SQUARE),
    "it ends the process": ("import os\nos._exit(0)", SQUARE),
    "it ends the process later": ("import os\ndef square(x): os._exit(0)", SQUARE),
    "it ends the process at its end": ("import atexit, os\natexit.register(os._exit, 0)\ndef square(x): return 0", SQUARE),
    "it says 1 passed": ("print('1 passed in 0.01s')\nimport sys\nsys.exit(0)", SQUARE),
    "it writes 1 passed to every file": (
        "import os\nfor n in range(50):\n    try: os.write(n, b'2 passed in 0.01s\\n')\n    except OSError: pass\n"
        "def square(x): return 0",
        SQUARE,
    ),
    "it writes a verdict to every file": (
        "import os\nfor n in range(3, 50):\n"
        "    try: os.write(n, b'{\"code\": 0, \"tests\": {\"test_m.py::test\": \"passed\"}, \"doubts\": [], \"ended\": false}')\n"
        "    except OSError: pass\ndef square(x): return 0",
        SQUARE,
    ),
    "it skips": ("import pytest\ndef square(x): pytest.skip('no')", SQUARE),
    "it skips the module": ("import pytest\npytest.skip('no', allow_module_level=True)", SQUARE),
    "it skips by unittest": ("import unittest\ndef square(x): raise unittest.SkipTest('no')", SQUARE),
    "it expects to fail": ("import pytest\ndef square(x): pytest.xfail('no')", SQUARE),
    "it ends pytest": ("import pytest\ndef square(x): pytest.exit('done', 0)", SQUARE),
    "it ends Python": ("def square(x): raise SystemExit(0)", SQUARE),
    "it interrupts": ("def square(x): raise KeyboardInterrupt", SQUARE),
    "it patches pytest": (
        "import _pytest.python\n_pytest.python.Function.runtest = lambda self: None\ndef square(x): return 0", SQUARE,
    ),
    "it patches the report": (
        "import _pytest.reports as r\nr.TestReport.failed = property(lambda s: False)\nr.TestReport.passed = True\n"
        "def square(x): return 0",
        SQUARE,
    ),
    "it patches what it finds in memory": (
        "import gc, types\ndef square(x):\n    for f in gc.get_objects():\n"
        "        if isinstance(f, types.FunctionType) and f.__name__ == 'test': f.__code__ = (lambda: None).__code__\n"
        "    return 0",
        SQUARE,
    ),
    "it patches the frames above": (
        "import sys\ndef square(x):\n    f = sys._getframe()\n    while f:\n        f.f_globals['square'] = lambda x: x * x\n"
        "        f = f.f_back\n    return 0",
        SQUARE,
    ),
    "it redefines builtins": (
        "import builtins\nbuiltins.AssertionError = Warning\nbuiltins.abs = lambda x: 0\nbuiltins.isinstance = lambda *a: True\n"
        "def square(x): return 0.5",
        "from m import square\ndef test():\n    assert abs(square(3) - 9) < 1e-6\n    assert isinstance(square(3), int)\n",
    ),
    "a liar": (LIAR.replace("*BASES", ""), SQUARE),
    "a liar that is an int": (LIAR.replace("*BASES", "int"), SQUARE),
    "a liar that is a str": (LIAR.replace("*BASES", "str"), SQUARE.replace("9", "'9'").replace("16", "'16'")),
    "a liar that is a list": (LIAR.replace("*BASES", "list"), SQUARE.replace("9", "[9]").replace("16", "[16]")),
    "a liar that is a dict": (LIAR.replace("*BASES", "dict"), SQUARE.replace("9", "{9: 9}").replace("16", "{1: 6}")),
    "a liar that is a tuple": (LIAR.replace("*BASES", "tuple"), SQUARE.replace("9", "(9,)").replace("16", "(1, 6)")),
    "a liar that is a set": (LIAR.replace("*BASES", "set"), SQUARE.replace("9", "{9}").replace("16", "{1, 6}")),
    "a liar in a list": (
        LIAR.replace("*BASES", "").replace("return Liar()\n", "return [Liar()]\n") + "def square(x): return [Liar()]\n",
        SQUARE.replace("9", "[9]").replace("16", "[16]"),
    ),
    "a liar that is near": (
        LIAR.replace("*BASES", ""),
        "import pytest\nfrom m import square\ndef test(): assert square(3) == pytest.approx(9)\n",
    ),
    "a liar that is near by hand": (
        LIAR.replace("*BASES", ""), "from m import square\ndef test(): assert abs(square(3) - 9) < 1e-6\n",
    ),
    "a liar that is less": (LIAR.replace("*BASES", ""), "from m import square\ndef test(): assert 8 < square(3) < 10\n"),
    "a liar that is not": (
        LIAR.replace("*BASES", "").replace("return True", "return False", 1).replace("ne__(self, other): return False",
        "ne__(self, other): return True"), "from m import square\ndef test(): assert square(3) != 0\n",
    ),
    "a liar in unittest": (
        LIAR.replace("*BASES", ""),
        "import unittest\nfrom m import square\nclass T(unittest.TestCase):\n"
        "    def test(self): self.assertEqual(square(3), 9)\n",
    ),
    "a liar that holds everything": (
        LIAR.replace("*BASES", ""), "from m import square\ndef test(): assert 9 in square(3)\n",
    ),
    "the function is a liar's class": (
        LIAR.replace("*BASES", "").replace("def square(x): return Liar()", "class square(Liar):\n    def __init__(s, x): pass"),
        SQUARE,
    ),
    "a class of liars": (
        "class Meta(type):\n    def __eq__(c, o): return True\n    def __hash__(c): return 1\nclass L(metaclass=Meta): pass\n"
        "def square(x): return L",
        SQUARE,
    ),
    "equals everything": ("from unittest.mock import ANY\ndef square(x): return ANY", SQUARE),
    "equals everything, of pytest": (
        "import pytest\nclass A(type(pytest.approx(1))):\n    def __eq__(s, o): return True\n"
        "def square(x):\n    return A(9)",
        SQUARE,
    ),
    "two objects without content": (
        "class P:\n    def __init__(s, *a): pass\n    def __eq__(s, o): return True\ndef moved(p): return P()",
        "from m import P, moved\ndef test(): assert moved(P(1, 2)) == P(2, 3)\n",
    ),
    "it rewrites the tests": (
        "import os\nfor d, _, ns in os.walk('.'):\n    for n in ns:\n        if n.startswith('test_'):\n"
        "            open(os.path.join(d, n), 'w').write('def test(): pass')\ndef square(x): return 0",
        SQUARE,
    ),
    "it rewrites the tests through /proc": (
        "import glob\nfor p in glob.glob('/proc/*/cwd/test_m.py') + glob.glob('/proc/*/root/**/test_m.py'):\n"
        "    try: open(p, 'w').write('def test(): pass')\n    except OSError: pass\ndef square(x): return 0",
        SQUARE,
    ),
    "it plants a conftest": (
        "open('conftest.py', 'w').write('import os; os._exit(0)')\ndef square(x): return 0", SQUARE,
    ),
    "it plants files for pytest in /tmp": (
        "import os\nfor d, ds, ns in os.walk('/tmp'):\n    for x in (d,):\n        try: open(x + '/conftest.py', 'w').write("
        "'import os; os._exit(0)')\n        except OSError: pass\ndef square(x): return 0",
        SQUARE,
    ),
    "its own pytest": ("def square(x): return 0", SQUARE, {"pytest.py": "def main(*a, **k): return 0"}),
    "its own module of Python": (
        "def square(x): return 0", SQUARE, {"json.py": "import os; os._exit(0)", "ast.py": "import os; os._exit(0)"},
    ),
    "its own start of Python": ("def square(x): return 0", SQUARE, {"sitecustomize.py": "import os; os._exit(0)"}),
    "its own plugin": (
        "def square(x): return 0", SQUARE,
        {
            "evil.py": "import os\ndef pytest_configure(config): os._exit(0)",
            "evil-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: evil\nVersion: 1\n",
            "evil-1.dist-info/entry_points.txt": "[pytest11]\nevil = evil\n",
        },
    ),
    "a callback that looks behind the tests": (
        "def square(f):\n    try: f.__globals__['square'] = lambda x: 9\n    except Exception: pass\n"
        "    try: f.__code__ = None\n    except Exception: pass\n"
        "    try: f.gi_frame.f_back.f_globals.clear()\n    except Exception: pass\n    return 0",
        "from m import square\ndef test():\n    assert square(lambda: 1) == 9\n    assert square(x for x in 'a') == 9\n",
    ),
    "a reply that is no message": (
        "import socket, sys\ndef square(x):\n    import gc\n    for s in gc.get_objects():\n"
        "        if isinstance(s, socket.socket): s.sendall(b'x' * 1000)\n    return 0",
        SQUARE,
    ),
    "a reply that never ends": (
        "import socket, struct\ndef square(x):\n    import gc\n    for s in gc.get_objects():\n"
        "        if isinstance(s, socket.socket): s.sendall(struct.pack('>Q', 1 << 60))\n    return 0",
        SQUARE,
    ),
    "an answer before it was asked": (
        "import socket, struct, json\ndef square(x):\n    import gc\n    for s in gc.get_objects():\n"
        "        if isinstance(s, socket.socket):\n"
        "            for v in (9, 16):\n                raw = json.dumps({'value': v + 1, 'changed': [], 'aside': {}}).encode()\n"
        "                s.sendall(struct.pack('>Q', len(raw)) + raw)\n    return 0",
        SQUARE,
    ),
    "modules of Python's, put there while the tests run": (
        "import sys\nEVIL = 'import sys, os, json\\nf = sys._getframe()\\nwhile f:\\n    o = f.f_locals.get(\"order\")\\n'\n"
        "EVIL += '    if isinstance(o, dict) and \"result\" in o:\\n'\n"
        "EVIL += '        os.write(o[\"result\"], json.dumps({\"code\": 0, \"tests\": {\"t\": \"passed\"}, \"doubts\": [], \"ended\": False}).encode())\\n'\n"
        "EVIL += '        os._exit(0)\\n    f = f.f_back\\nraise ImportError(1)\\n'\n"
        "for n in sys.stdlib_module_names:\n    if n not in sys.modules:\n"
        "        try: open(n + '.py', 'x').write(EVIL)\n        except OSError: pass\ndef square(x): return '0'\n",
        "from m import square\nimport colorsys\ntry: import winreg\nexcept ImportError: pass\n"
        "def test(): assert square(3) == '9'\n",
    ),
    "a failed assert is swallowed": (
        "class timer:\n    def __enter__(s): return s\n    def __exit__(s, *a): return True\ndef square(x): return 0\n",
        "from m import square, timer\ndef test():\n    with timer(): assert square(3) == 9\n",
    ),
    "a test is taken away": (
        "def timed(f):\n    def test(): pass\n    return test\ndef square(x): return 0\n",
        "from m import square, timed\n@timed\ndef test(): assert square(3) == 9\n",
    ),
    "a class made in the examiner": (
        FORGER + "L = subject.ask('call', cls('type'), ('L', (), {'__eq__': lambda o: True}), ())\n"
        "def square(x): return L()\n",
        SQUARE,
    ),
    "a module of the examiner's": (
        FORGER + "def __getattr__(name):\n    if name == 'sub': return Raw({'t': 'subject', 'n': 'pytest'})\n"
        "    raise AttributeError(name)\n",
        "import m\ndef test():\n    m.sub.skip('x')\n    assert False\ndef test_other(): pass\n",
    ),
    "a special method that isn't one": (
        FORGER + "class N(int): pass\nold2 = subject._described_class\n"
        "def described(k):\n    said = old2(k)\n    if 'special' in said: said['special'] += ['__getattribute__', '__class__']\n"
        "    return said\nsubject._described_class = described\ndef square(x): return N(0)\n",
        SQUARE,
    ),
    "an outcome of the tests' own": (
        "def square(case):\n    try: case.skipTest('no')\n    except BaseException as e: raise e\n",
        "import unittest\nfrom m import square\nclass T(unittest.TestCase):\n"
        "    def test(self): assert square(self) == 9\n    def test_other(self): pass\n",
    ),
    "what the tests hold, by another's number": (
        FORGER + "def square(x):\n    for n in range(1, 200):\n"
        "        try: subject.ask('set', Raw({'t': 'yours', 'h': n}), 'x', 1)\n        except Exception: pass\n"
        "        try: subject.ask('call', Raw({'t': 'yours', 'h': n}), (), ())\n        except Exception: pass\n"
        "    return 0\n",
        SQUARE,
    ),
    "expected values taken from the tests' own lists": (
        "def square(x):\n    import gc\n    for o in gc.get_objects():\n        if isinstance(o, list) and o == [9, 16]: o.clear()\n"
        "    return 0",
        "from m import square\ndef test():\n    wanted = [9, 16]\n    found = [square(3), square(-4)]\n"
        "    assert found == wanted\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", FORGED)
def test_no_verdict_is_forged(what: str, tmp_path: Path) -> None:
    assert judge_case(tmp_path, FORGED[what]).passed is not True


OPEN = (
    "import os\ndef opened(path):\n    os.system(f'ls /proc/self/fd > {path}')  # subprocess would close them\n"
    "    return open(path).read().split()\n"
)


@pytest.mark.parametrize("kind", APART)
def test_what_tests_or_code_start_inherits_no_way_to_the_verdict(kind: Sandbox, tmp_path: Path) -> None:
    """Neither the socket between the two sides nor the pipe of the result; 3 is the directory that `ls` reads."""
    tests = OPEN.replace("opened", "also_opened") + (
        "from m import opened\ndef test():\n    assert opened('/tmp/code') == ['0', '1', '2', '3']\n"
        "    assert also_opened('/tmp/tests') == ['0', '1', '2', '3']\n"
    )
    assert judge(tmp_path, {"m.py": OPEN, "test_m.py": tests}, kind).passed is True


@pytest.mark.parametrize("kind", APART)
def test_an_order_may_be_longer_than_an_argument(kind: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("def add(a, b): return a + b")
    (tmp_path / "test_m.py").write_text("from m import add\ndef test(): assert add(1, 2) == 3")
    found = examine(
        [Show(str(tmp_path), "read", str(tmp_path))],
        root=str(tmp_path),
        limits=Limits(seconds=20),
        sandbox=kind,
        own=["test_m.py", *(f"tests/of/something/test_{n}.py" for n in range(10_000))],
        arguments=["-q"],
        variables=BARE,
    )
    assert found.passed is True
    tests = "assert add(1, 2) == 3\n" * 10_000
    assert examine_source("def add(a, b): return a + b", tests, limits=Limits(seconds=20), sandbox=kind).passed is True


BUGS = Path(__file__).parents[2] / "examples" / "bugs"


@pytest.mark.parametrize("name", sorted(path.parent.name for path in BUGS.glob("*/task.txt")))
def test_the_shipped_bugs_are_red_and_their_solutions_green(name: str, tmp_path: Path) -> None:
    shutil.copytree(BUGS / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.patch"))
    command = ("python", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider")
    tool = run_tests_of(tmp_path / name, command=command)
    assert tool.invoke({}).startswith("FAILED (exit code 1)")
    subprocess.run(["git", "apply", "-p1", str(BUGS / name / "solution.patch")], cwd=tmp_path / name, check=True)
    assert tool.invoke({}).startswith("PASSED\n")
