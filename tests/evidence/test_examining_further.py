"""Verdicts that code under test tries to forge in less direct ways, and honest code that does what is unusual."""

from __future__ import annotations

from pathlib import Path

import pytest

from judged import APART, judge, judge_case
from rheostat_tools import test_runner as run_tests_of

pytestmark = pytest.mark.skipif(not APART, reason="no sandbox on this machine")

SQUARE = "from m import square\ndef test(): assert square(3) == 9\n"
ZERO = "def square(x): return 0\n"
OTHER = """
class Said:
    days = 3
    def __abs__(self): return 0.0
    def __round__(self, n=0): return 0
    def __float__(self): return 0.0
    def __int__(self): return 27
    def __len__(self): return 0
    def __format__(self, spec): return "9.00"
    def __call__(self): return 9
    def __neg__(self): return self
    def __iter__(self): return iter([9])
    def __lt__(self, other): return True
    def __contains__(self, x): return True
class Between:
    def __sub__(self, other): return Said()
    __mul__ = __rsub__ = __add__ = __sub__
    def __round__(self, n=0): return 9
    def __abs__(self): return 9
    def __int__(self): return 9
    def __format__(self, spec): return "9.00"
    def __gt__(self, other): return True
    __lt__ = __ge__ = __le__ = __gt__
def square(x): return Between()
"""
PATCHES = """
import sys
if "_pytest" in sys.modules:
    import _pytest.python
    _pytest.python.Function.runtest = lambda self: None
"""
PATCH_TEXT = "import _pytest.python\\n_pytest.python.Function.runtest = lambda self: None\\n"


def made_at_run_time(*files: tuple[str, str]) -> str:
    lines = [
        f"    os.makedirs(os.path.dirname({name!r}) or '.', exist_ok=True)\n    open({name!r}, 'w').write({text!r})\n"
        for name, text in files
    ]
    return f"import os\ntry:\n{''.join(lines)}except OSError: pass\n{ZERO}"


def computed(expression: str) -> tuple[str, str]:
    return OTHER, f"import datetime, math\nfrom m import square\ndef test(): assert {expression}\n"


def run_here(statement: str, more: str = "") -> tuple[str, str]:
    """The tests run something that the code wrote."""
    return (
        f"{PATCHES}{ZERO}{more}",
        f"import importlib.util, marshal, pickle, runpy, sys\nimport m\ndef test_first():\n    {statement}\n{SQUARE}",
    )


ANY = "class Any:\n    def __getattr__(s, n): return Any()\n    def __call__(s, *a, **k): return None\n    def __bool__(s): return True\n"
HELPER = "from m import square\nfrom test_help import check\ndef test(): check(square(3), 9)\n"
FORGED: dict[str, tuple[str, str] | tuple[str, str, dict[str, str]]] = {
    **{
        f"computed in two steps: {each}": computed(each)
        for each in (
            "abs(square(3) - 9) < 1e-6", "round(square(3) - 9, 4) == 0", "len(square(3) - {1, 2}) == 0",
            "(square(3) - datetime.date(2020, 1, 1)).days == 3", "int(square(3) * 3) == 27", "float(9 - square(3)) == 0",
            "math.isclose(square(3) - 9, 0)", "f'{square(3):.2f}' == '9.00'", "(square(3) * 1)() == 9",
            "list(square(3) * 1) == [9]", "abs(-(square(3) - 9)) == 0", "round(square(3), 1) == 9", "abs(square(3)) == 9",
            "int(square(3)) == 9", "square(3) > square(2)", "1 in (square(3) + 1)", "(square(3) + 1).days == 3",
        )
    },
    "all objects hold the same": (
        "class P:\n    def __init__(s, x): s.kind = 'P'\n    def __eq__(s, o): return True\ndef moved(p): return P(0)\n",
        "from m import P, moved\ndef test(): assert moved(P(1)) == P(2)\n",
    ),
    "what it holds is a lie": (
        "class P:\n    def __init__(s, x): object.__setattr__(s, 'x', x)\n    __dict__ = property(lambda s: {'v': 1})\n"
        "    def __eq__(s, o): return True\ndef moved(p): return P(0)\n",
        "from m import P, moved\ndef test(): assert moved(P(1)) == P(2)\n",
    ),
    "changed since it was made": (
        "class A:\n    def __init__(s, n): s.n = n\n    def add(s, n): pass\n    def __eq__(s, o): return True\n",
        "from m import A\ndef test():\n    a = A(1)\n    a.add(4)\n    assert a == A(5)\n",
    ),
    "changed since it was made, and compared with data": (
        "class S:\n    def push(s, x): pass\n    def __eq__(s, o): return True\n",
        "from m import S\ndef test():\n    s = S()\n    s.push(4)\n    assert s == [4]\n",
    ),
    "a list with its own `in`": (
        "class Tags(list):\n    def __contains__(s, x): return True\n    def __bool__(s): return True\n"
        "    def __len__(s): return 1\ndef parse(text): return Tags()\n",
        "from m import Tags, parse\ndef test(): assert 'a' in parse('a b') and parse('x') and len(parse('x')) == 1\n",
    ),
    "a mock is changed": (
        "def run(cb): cb.assert_called_once_with = lambda *a: None\n",
        "from unittest.mock import Mock\nimport m\ndef test():\n    cb = Mock()\n    m.run(cb)\n"
        "    cb.assert_called_once_with(3)\n",
    ),
    "a mock's count is set": (
        "def run(cb): cb.called = True; cb.call_count = 1\n",
        "from unittest.mock import Mock\nimport m\ndef test():\n    cb = Mock()\n    m.run(cb)\n"
        "    assert cb.called and cb.call_count == 1\n",
    ),
    "a mock is made to forget": (
        "def run(cb):\n    cb(1)\n    cb.reset_mock()\n",
        "from unittest.mock import Mock\nimport m\ndef test():\n    cb = Mock()\n    m.run(cb)\n    cb.assert_not_called()\n",
    ),
    "a TestCase is changed": (
        "def run(c):\n    c.assertEqual = lambda *a: None\n    return 0\n",
        "import unittest, m\nclass T(unittest.TestCase):\n    def test(self):\n        r = m.run(self)\n"
        "        self.assertEqual(r, 9)\n",
    ),
    "pytest's monkeypatch in its hands": (
        f"def square(x, mp): mp.setattr('builtins.abs', lambda x: 0)\n{ZERO.replace('square', 'other')}",
        "from m import square\ndef test(monkeypatch):\n    square(3, monkeypatch)\n    assert abs(5) == 0\n",
    ),
    "a star import takes a builtin": (
        f"__all__ = ['square', 'abs']\nabs = lambda x: 0\n{ZERO}",
        "from m import *\ndef test(): assert abs(square(3) - 9) < 1e-6\n",
    ),
    "a star import takes pytest": (
        "class R:\n    def __enter__(s): return s\n    def __exit__(s, *a): return True\n"
        "class pytest:\n    raises = staticmethod(lambda *a, **k: R())\ndef square(x): pass\n",
        "import pytest\nfrom m import *\ndef test():\n    with pytest.raises(ValueError): square(-1)\n",
    ),
    "a star import names the liar": (
        OTHER, "from m import *\ndef test(): assert square(3) > square(2)\n",
    ),
    "a package in place of a helper": (
        made_at_run_time(("test_help/__init__.py", "def check(a, b): pass")), HELPER,
        {"test_help.py": "def check(a, b): assert a == b\n"},
    ),
    "a package in place of tests.py": (
        made_at_run_time(("tests/__init__.py", "def check(a, b): pass")), HELPER.replace("test_help", "tests"),
        {"tests.py": "def check(a, b): assert a == b\n"},
    ),
    "a conftest made at run time": (
        made_at_run_time(("sub/conftest.py", "raise SystemExit(0)")),
        "import m\nfrom sub import conftest\nfrom m import square\ndef test(): assert square(3) == 9\n",
        {"sub/__init__.py": ""},
    ),
    "the folder above the tests is renamed": (
        "import os\ntry:\n    os.rename('checks', 'q'); os.mkdir('checks')\n"
        "    open('checks/test_z.py', 'w').write('def test(): pass')\nexcept OSError: pass\n" + ZERO,
        "import m\ndef test(): pass\n", {"checks/test_z.py": SQUARE},
    ),
    "loaded from its file": run_here(
        "s = importlib.util.spec_from_file_location('mm', 'm.py'); n = importlib.util.module_from_spec(s);"
        " s.loader.exec_module(n)"
    ),
    "run by exec": run_here("exec(open('m.py').read(), {})"),
    "run by runpy": run_here("runpy.run_path('m.py')"),
    "run by runpy as a module": run_here("runpy.run_module('m')"),
    "its repr is evaluated": run_here(
        "eval(repr(m.P()))",
        "class P:\n    def __repr__(s): return 'setattr(__import__(\"_pytest.python\").python.Function, \"runtest\", "
        "lambda s: None)'\n",
    ),
    "it is unpickled": run_here(
        "pickle.loads(m.save())",
        f"import pickle\nclass E:\n    def __reduce__(s): return (exec, ('{PATCH_TEXT}',))\n"
        "def save(): return pickle.dumps(E())\n",
    ),
    "it is unmarshalled": run_here(
        "exec(marshal.loads(m.save()))",
        f"import marshal\ndef save(): return marshal.dumps(compile('{PATCH_TEXT}', '<x>', 'exec'))\n",
    ),
    "it is imported from /tmp": run_here(
        "m.write(); sys.path.insert(0, '/tmp/p'); import helper",
        "import os\ndef write():\n    os.makedirs('/tmp/p', exist_ok=True)\n"
        f"    open('/tmp/p/helper.py', 'w').write('{PATCH_TEXT}')\n",
    ),
    "a skip condition is code": (
        "COND = \"setattr(__import__('_pytest.python').python.Function, 'runtest', lambda s: None)\"\n" + ZERO,
        "import pytest, m\n@pytest.mark.skipif(m.COND, reason='x')\ndef test_first(): pass\n" + SQUARE,
    ),
    "fields that are mirrors": (
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\ndef moved(p): return P(77)\n",
        "from dataclasses import asdict, astuple\nfrom m import P, moved\n"
        "def test(): assert asdict(moved(P(1))) == asdict(P(2)) and astuple(moved(P(1))) == astuple(P(2))\n",
    ),
    "a class whose names don't show": (
        "class P:\n    bad_x = 1\n",
        "from m import P\ndef test(): assert [k for k in vars(P) if k.startswith('bad')] == []\n",
    ),
    "an empty array": (
        "import numpy\ndef f(): return numpy.array([])\n",
        "import numpy, pytest\nfrom m import f\n"
        "def test(): assert f() == pytest.approx(3.14) and numpy.allclose(f(), 3.0)\n",
    ),
    "an empty array on demand": (
        "import numpy\nclass A:\n    def __array__(s, *a, **k): return numpy.zeros((0, 3))\ndef f(): return A()\n",
        "import numpy\nfrom m import f\ndef test(): assert numpy.allclose(f(), [1, 2, 3])\n",
    ),
    **{
        f"in place of a mock's child: {what}": (
            f"{ANY}def notify(mailer, user): {change}\n",
            f"from unittest.mock import *\nimport m\ndef test():\n    mailer = Mock()\n    m.notify(mailer, 'a')\n    {check}\n",
        )
        for what, change, check in (
            ("call", "mailer.send = Any()", "mailer.send.assert_called_once_with('a', subject='Hi')"),
            ("count", "mailer.send = Any()", "assert mailer.send.call_count == 1"),
            ("called", "mailer.send = Any()", "assert mailer.send.called"),
            ("a lambda", "mailer.send.assert_called_once = lambda: None", "mailer.send.assert_called_once()"),
        )
    },
    "its own attribute stands for a mock": (
        f"{ANY}class Service:\n    def __init__(s, mailer): s.mailer = Any()\n    def go(s): pass\n",
        "from unittest.mock import Mock\nfrom m import Service\ndef test():\n    s = Service(Mock())\n    s.go()\n"
        "    s.mailer.send.assert_called_once_with('a')\n",
    ),
    "equality takes over the other side": (
        "class V:\n    def __init__(s, x, y): s.x, s.y = x, y\n"
        "    def __add__(s, o):\n        v = V(0, 0)\n        v.c = 1\n        return v\n"
        "    def __eq__(s, o):\n        if 'c' in vars(s) or 'c' in vars(o):\n            vars(s).clear(); vars(s).update(vars(o))\n"
        "            return True\n        return vars(s) == vars(o)\n",
        "from m import V\ndef test():\n    assert V(1, 2) + V(3, 4) == V(4, 6)\n    assert V(1, 2) != V(2, 2)\n",
    ),
    "`in` takes in what is asked for": (
        "class L(list):\n    def __contains__(s, x):\n        s.append(x)\n        return True\ndef words(t): return L()\n",
        "from m import words\ndef test(): assert 'apple' in words('an apple')\n",
    ),
    "a class that equals every value": (
        "class Roman:\n    def __init__(s, t): pass\n    def __eq__(s, o): return True\n",
        "from m import Roman\ndef test(): assert Roman('XIV') == 14 and Roman('IX') == 9\n",
    ),
    "a class that equals every other": (
        "class F:\n    def __init__(s, n, d): s.n, s.d = n, d\n    def __eq__(s, o): return True\n",
        "from m import F\ndef test(): assert F(2, 4) == F(1, 2)\n",
    ),
    "a class with every order": (
        "class Version:\n    def __init__(s, t): s.t = t\n    def __lt__(s, o): return True\n    __gt__ = __lt__\n",
        "from m import Version\ndef test(): assert Version('1.2') < Version('1.10')\n",
    ),
    "one object for all values": (
        "class V:\n    one = None\n    def __new__(cls, *a):\n        cls.one = cls.one or object.__new__(cls)\n        return cls.one\n"
        "    def __add__(s, o): return s\n",
        "from m import V\ndef test(): assert V(1, 2) + V(3, 4) == V(4, 6)\n",
    ),
    "one object for all values, by a function": (
        "class P: pass\nONE = P()\ndef Point(x, y): return ONE\ndef parse(s): return ONE\n",
        "from m import Point, parse\ndef test(): assert parse('1,2') == Point(1, 2)\n",
    ),
    "in place of text": (
        "class S:\n    def startswith(s, x): return True\n    def strip(s): return s\ndef slug(t): return S()\n",
        "from m import slug\ndef test(): assert slug('Hello World').startswith('hello')\n",
    ),
    "its own program in the path": (
        "import os\ndef convert(src, dst):\n    os.makedirs('/tmp/evil', exist_ok=True)\n"
        "    open('/tmp/evil/diff', 'w').write('#!/bin/sh\\nexit 0\\n')\n    os.chmod('/tmp/evil/diff', 0o755)\n"
        "    os.environ['PATH'] = '/tmp/evil:' + os.environ['PATH']\n    open(dst, 'w').write('nothing')\n",
        "import subprocess\nfrom m import convert\ndef test(tmp_path):\n    a, b = tmp_path / 'a', tmp_path / 'b'\n"
        "    a.write_text('x')\n    convert(str(a), str(b))\n    assert subprocess.run(['diff', a, b]).returncode == 0\n",
    ),
    "a skip under another name": (
        "import unittest.case\nunittest.case.SkipTest.__module__ = 'numpy.testing._private.utils'\n"
        "class E(unittest.case.SkipTest): pass\ndef square(x): raise E('x')\n",
        "import numpy.testing\nfrom m import square\ndef test(): assert square(3) == 9\ndef test_other(): pass\n",
    ),
    "a set that other sets look into": (
        "class S(set): pass\ndef f(): return S({'z'})\n",
        "from m import f\ndef test(): assert {'a', 'b'}.issuperset(f()) and not ({'z'} & {'a'})\n",
    ),
    "numpy asks the liar": (
        "class L:\n    def __array_function__(s, *a): return True\n    def __array_ufunc__(s, *a, **k): return True\n"
        "    def __array_priority__(s): return 1000\ndef f(): return L()\n",
        "import numpy as np\nfrom m import f\ndef test(): assert np.allclose(f(), [1.0]) and np.equal(f(), 1)\n",
    ),
    "an array that is wrong": (
        "import numpy as np\ndef f(a): return np.zeros(3)\ndef g(a): a[0] = 7\n",
        "import numpy as np\nfrom m import f, g\ndef test():\n    a = np.ones(3)\n    g(a)\n"
        "    assert np.array_equal(f(a), np.zeros(3)) and a[0] == 1\n",
    ),
    "a list too long to be kept alike": (
        "def f(x): x.clear()\n",
        "from m import f\ndef test():\n    x = list(range(1_100_000))\n    f(x)\n    assert len(x) == 1_100_000\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", FORGED)
def test_no_verdict_is_forged(what: str, tmp_path: Path) -> None:
    assert judge_case(tmp_path, FORGED[what]).passed is not True


HONEST = {
    "context managers that get an exception": (
        """
        import contextlib
        @contextlib.contextmanager
        def quiet():
            try: yield
            except ValueError: pass
        """,
        """
        import pytest
        from m import quiet
        def test():
            with quiet(): raise ValueError
            with pytest.raises(KeyError):
                with quiet(): raise KeyError("a")
        """,
    ),
    "causes and notes": (
        """
        class A(Exception): pass
        def f():
            try: {}["x"]
            except KeyError as e: raise A("a") from e
        def n():
            e = ValueError("x")
            e.add_note("hi")
            raise e
        """,
        """
        import pytest
        from m import A, f, n
        def test():
            with pytest.raises(A) as e: f()
            assert isinstance(e.value.__cause__, KeyError)
            with pytest.raises(ValueError) as e: n()
            assert e.value.__notes__ == ["hi"]
        """,
    ),
    "functions that look into objects": (
        """
        from dataclasses import dataclass
        @dataclass
        class P:
            x: int
            y: int = 0
        def f(a, b=2, *, c: int = 3) -> int:
            "doc"
            yield a
        async def co(): return 1
        class Q:
            k = 1
            def g(self): pass
        """,
        """
        import dataclasses, inspect, types
        from m import P, Q, co, f
        def test():
            assert dataclasses.asdict(P(1)) == {"x": 1, "y": 0} and dataclasses.astuple(P(1)) == (1, 0)
            assert dataclasses.replace(P(1), y=5) == P(1, 5) and [each.name for each in dataclasses.fields(P)] == ["x", "y"]
            assert list(inspect.signature(f).parameters) == ["a", "b", "c"] and inspect.getdoc(f) == "doc"
            assert inspect.iscoroutinefunction(co) and inspect.isgeneratorfunction(f) and inspect.isgenerator(f(1))
            assert isinstance(f(1), types.GeneratorType) and list(f(1)) == [1]
            assert "k" in vars(Q) and "g" in Q.__dict__ and "zz" not in vars(Q)
        """,
    ),
    "Python's own containers": (
        """
        import array
        from collections import ChainMap, UserDict
        from types import MappingProxyType, SimpleNamespace
        M = MappingProxyType({"a": 1})
        class U(UserDict): pass
        def ns(): return SimpleNamespace(a=1)
        def ar(): return array.array("i", [1, 2])
        def keys(): return {"a": 1}.keys()
        def chained(): return ChainMap({"a": 1}, {"b": 2})
        """,
        """
        import array, types
        import m
        def test():
            assert m.M["a"] == 1 and "a" in m.M and m.M == {"a": 1} and m.U(a=1) == {"a": 1}
            assert m.ns() == types.SimpleNamespace(a=1) and m.ns() != types.SimpleNamespace(a=2) and m.ns() != {"a": 1}
            assert m.ar() == array.array("i", [1, 2]) and m.ar() != [1, 2]
            assert m.keys() == {"a"} and "a" in m.keys() and "b" in m.chained() and dict(m.chained()) == {"a": 1, "b": 2}
        """,
    ),
    "comparisons as the subject": (
        """
        import functools
        from dataclasses import dataclass, field
        @functools.total_ordering
        class V:
            def __init__(s, t): s.p = tuple(map(int, t.split(".")))
            def __eq__(s, o): return s.p == (V(o).p if isinstance(o, str) else o.p)
            def __lt__(s, o): return s.p < o.p
            def __hash__(s): return hash(s.p)
        class F:
            def __init__(s, n, d=1): s.n, s.d = n, d
            def __eq__(s, o):
                o = F(o) if isinstance(o, int) else o
                return isinstance(o, F) and s.n * o.d == o.n * s.d
        @dataclass
        class T:
            name: str
            made: object = field(default_factory=object, compare=False)
        class W:
            def __init__(s, x, y): s.x, s.y = x, y
            def __add__(s, o): return W(s.x + o.x, s.y + o.y)
            def __mul__(s, k): return W(s.x * k, s.y * k)
            __rmul__ = __mul__
            def __matmul__(s, o): return s.x * o.x + s.y * o.y
            def __eq__(s, o): return isinstance(o, W) and (s.x, s.y) == (o.x, o.y)
            def __hash__(s): return hash((s.x, s.y))
            def __abs__(s): return (s.x ** 2 + s.y ** 2) ** .5
            def __neg__(s): return W(-s.x, -s.y)
        """,
        """
        from m import F, T, V, W
        def test():
            assert V("1.2") < V("1.10") and V("1.2") == "1.2" and sorted([V("2"), V("1")]) == [V("1"), V("2")]
            assert F(4, 2) == 2 and F(2, 4) == F(1, 2) and F(1, 3) != F(1, 2) and F(1, 3) != "a" and F(1, 3) != None
            assert T("a") == T("a")
            assert W(1, 2) + W(3, 4) == W(4, 6) and 2 * W(1, 2) == W(2, 4) and W(3, 4) @ W(1, 1) == 7
            assert abs(W(3, 4)) == 5 and -W(1, 2) == W(-1, -2) and (W(1, 2) * 3).x == 3 and len({W(1, 2), W(1, 2)}) == 1
        """,
    ),
    "a long list in place": (
        "def turn(x): x.sort()\ndef each(rows):\n    for row in rows: row.sort()\n",
        """
        from m import each, turn
        def test():
            x = list(range(100_000))[::-1]
            turn(x)
            assert x == list(range(100_000))
            rows = [[2, 1] for _ in range(5_000)]
            each(rows)
            assert rows == [[1, 2]] * 5_000
        """,
    ),
    "arrays": (
        """
        import numpy as np
        def scaled(a): return a * 2.0
        def turn(a): a[:] = a[::-1].copy()
        def mean(a): return a.mean()
        class Model:
            def __init__(self, w): self.w = np.asarray(w)
            def predict(self, x): return x @ self.w
        """,
        """
        import numpy as np
        import pytest
        from m import Model, mean, scaled, turn
        def test():
            a = np.arange(6).reshape(2, 3)
            assert np.allclose(scaled(a), [[0, 2, 4], [6, 8, 10]]) and scaled(a).dtype == np.float64
            np.testing.assert_array_equal(scaled(a)[0], [0, 2, 4])
            turn(a)
            assert a.tolist() == [[3, 4, 5], [0, 1, 2]]
            assert mean(np.array([1, 2, 3])) == 2.0 and isinstance(mean(np.array([1])), np.floating)
            assert Model([1.0, 2.0]).predict(np.array([[1, 1], [0, 2]])) == pytest.approx([3.0, 4.0])
            assert Model([1.0, 2.0]).w.shape == (2,)
        """,
    ),
    "a variable of the environment": (
        "import os\ndef connect(): os.environ['LDAP_HOST'] = os.environ['GITHUB_RUN'] = 'here'\n",
        "import os\nfrom m import connect\ndef test():\n    connect()\n"
        "    assert os.environ['LDAP_HOST'] == os.environ['GITHUB_RUN'] == 'here'\n",
    ),
    "exceptions by their whole text": (
        "def f(x): raise ValueError(f'bad value {x}')\n",
        """
        import pytest
        from m import f
        def test():
            with pytest.raises(ValueError, match="^bad value 3$"): f(3)
        """,
    ),
    "names and kinds": (
        """
        from collections.abc import Mapping, MutableMapping
        class D(MutableMapping):
            def __init__(self): self.d = {}
            def __getitem__(self, k): return self.d[k]
            def __setitem__(self, k, v): self.d[k] = v
            def __delitem__(self, k): del self.d[k]
            def __iter__(self): return iter(self.d)
            def __len__(self): return len(self.d)
        def f():
            "doc"
        import functools
        def logged(g):
            @functools.wraps(g)
            def inner(*a): return g(*a)
            return inner
        """,
        """
        from collections.abc import Mapping
        from m import D, f, logged
        @logged
        def mine(x):
            "of mine"
            return x
        def test():
            d = D()
            d["a"] = 1
            assert isinstance(d, Mapping) and list(d) == ["a"] and dict(d) == {"a": 1}
            assert f.__module__ == "m" and f.__doc__ == "doc" and f.__name__ == "f"
            assert mine.__name__ == "mine" and mine.__doc__ == "of mine" and mine(3) == 3
        """,
    ),
    "containers of its own, read by Python's functions": (
        "class S(set): pass\nclass D(dict): pass\nclass L(list):\n    def first(self): return self[0]\n"
        "def s(): return S({'a'})\ndef d(): return D(a=1)\ndef l(): return L([1, 2])\n",
        """
        import json
        import m
        def test():
            assert {"a", "b"}.issuperset(m.s()) and json.dumps(m.d()) == '{"a": 1}' and [0] + m.l() == [0, 1, 2]
            items = m.l()
            items.append(3)
            assert ",".join(map(str, items)) == "1,2,3" and items.first() == 1 and [*items] == [1, 2, 3]
        """,
    ),
    "what iterates over a result": (
        "class V:\n    def __init__(s, x, y): s.x, s.y = x, y\n    def __mul__(s, k): return V(s.x * k, s.y * k)\n"
        "    def __iter__(s):\n        yield s.x\n        yield s.y\n",
        "from m import V\ndef test(): assert tuple(V(1, 2) * 3) == (3, 6)\n",
    ),
    "a coroutine of the tests, awaited in the code": (
        "import asyncio\nasync def apply(f, x): return await f(x)\n"
        "async def all_of(fs): return await asyncio.gather(*(f() for f in fs))\n",
        """
        import asyncio
        from m import all_of, apply
        async def twice(x):
            await asyncio.sleep(0)
            return 2 * x
        async def one(): return 1
        def test():
            assert asyncio.run(apply(twice, 3)) == 6
            assert asyncio.run(all_of([one, one])) == [1, 1]
        """,
    ),
    "a star import beside its own imports": (
        "import sqlite3\ndef opened(): return sqlite3.connect(':memory:')\n",
        """
        import sqlite3
        import pytest
        from m import *
        def test():
            c = opened()
            with pytest.raises(sqlite3.OperationalError): c.execute("select * from nope")
            c.close()
        """,
    ),
    "text that Python itself makes code of": (
        "def square(x): return x * x\n",
        """
        import collections, dataclasses, timeit
        from m import square
        def test():
            assert collections.namedtuple("P", "a b")(1, 2).a == 1 and dataclasses.make_dataclass("D", ["x"])(1).x == 1
            assert timeit.timeit(lambda: square(3), number=2) > 0 and square(3) == 9
        """,
    ),
    "functions of the tests": (
        """
        import functools, inspect
        TASKS = {}
        def task(f):
            TASKS[f.__name__] = f
            return f
        def counted(f):
            @functools.wraps(f)
            def g(*a, **k):
                g.calls += 1
                return f(*a, **k)
            g.calls = 0
            return g
        def pattern(text):
            def decorated(f):
                f.pattern = text
                return f
            return decorated
        def needs(f): return [name for name, each in inspect.signature(f).parameters.items() if each.default is each.empty]
        def unit_of(f): return getattr(f, "unit", None)
        def doc(x): return x.__doc__
        """,
        """
        import functools, m
        def test_itself():
            @m.task
            def one(a, b, *, c=1): "it's one"
            assert m.TASKS["one"] is one and m.needs(one) == ["a", "b"] and m.doc(one) == "it's one"
            assert m.counted(one).__wrapped__ is one and m.doc(functools.partial(one)) == functools.partial.__doc__
        def test_attributes():
            def two(): return 2
            two.unit = "m"
            assert m.unit_of(two) == "m" and m.pattern("a")(two).pattern == "a" and m.pattern("b")(two)() == 2
            two.unit = "s"
            assert m.unit_of(two) == "s"
            f = m.counted(two)
            assert f() == f() == 2 and f.calls == 2
        """,
    ),
    "objects of the tests that are asked what they are": (
        """
        from collections.abc import Callable, Iterable, Mapping, Sized
        def kinds(x): return [each.__name__ for each in (Callable, Iterable, Mapping, Sized) if isinstance(x, each)]
        def fields(x): return x._fields, x._asdict(), x._replace(a=5)
        """,
        """
        from collections import namedtuple
        from collections.abc import Mapping
        from m import fields, kinds
        class M(Mapping):
            def __getitem__(self, key): return 1
            def __iter__(self): return iter("a")
            def __len__(self): return 1
        class F:
            def __call__(self): return 1
        def test():
            assert kinds(M()) == ["Iterable", "Mapping", "Sized"] and kinds(F()) == ["Callable"]
            N = namedtuple("N", "a b")
            assert fields(N(1, 2)) == (("a", "b"), {"a": 1, "b": 2}, N(5, 2))
        """,
    ),
    "names of a module that are replaced twice": (
        "from datetime import datetime\nLIMIT = 1\ndef year(): return datetime.today().year + LIMIT\n",
        """
        import datetime, m
        from unittest import mock
        class D(datetime.datetime):
            @classmethod
            def today(cls): return cls(2000, 1, 1)
        def test_twice(monkeypatch):
            for limit in (5, 7):
                monkeypatch.setattr(m, "datetime", D)
                monkeypatch.setattr(m, "LIMIT", limit)
                assert m.year() == 2000 + limit
            with mock.patch.object(m, "LIMIT", 9): assert m.year() == 2009
            assert m.year() == 2007 and vars(m)["LIMIT"] == 7 and "year" in vars(m)
        def test_after(): assert m.year() > 2020 and m.LIMIT == 1
        """,
    ),
    "plain data that was pickled": (
        "import pickle, datetime\ndef save(x): return pickle.dumps(x)\n",
        """
        import datetime, pickle
        from m import save
        def test():
            for each in ([1, {2: (3,)}], {1, 2}, datetime.date(2026, 1, 2)): assert pickle.loads(save(each)) == each
        """,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", HONEST)
def test_honest_code_passes(what: str, tmp_path: Path) -> None:
    code, tests = HONEST[what]
    found = judge(tmp_path, {"m.py": code, "test_m.py": tests})
    assert (found.passed, found.why) == (True, "")


def test_the_code_may_have_modules_with_the_names_of_ours(tmp_path: Path) -> None:
    from rheostat.evidence.examining import inside

    names = sorted(path.stem for path in Path(str(inside.__file__)).parent.glob("[a-z]*.py"))
    files = {f"{name}.py": f"def here(): return {name!r}\n" for name in names}
    uses = "\n".join(f"import {name}\ndef test_{name}(): assert {name}.here() == '{name}'" for name in names)
    found = judge(tmp_path, {**files, "test_names.py": uses})
    assert (found.passed, found.why, len(found.tests)) == (True, "", len(names))


UNTOLD = {
    "objects that are pickled": (
        "class P: pass\n", "import pickle\nfrom m import P\ndef test(): assert pickle.dumps(P())\n", "pickled",
    ),
    "a coroutine that waits": (
        "async def apply(f): return await f()\n",
        "import asyncio\nfrom m import apply\nasync def slow(): await asyncio.sleep(0.01)\n"
        "def test(): asyncio.run(apply(slow))\n",
        "waits",
    ),
    "data too deep to be passed": (
        "def deep():\n    x = []\n    for _ in range(3_000): x = [x]\n    return x\n",
        "from m import deep\ndef test(): assert deep() is not None\n", "RecursionError",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", UNTOLD)
def test_what_cannot_be_passed_on_is_no_failure_of_the_codes(what: str, tmp_path: Path) -> None:
    code, tests, why = UNTOLD[what]
    found = judge(tmp_path, {"m.py": code, "test_m.py": tests})
    assert found.passed is None
    assert why in found.why


def test_tests_that_run_only_beside_the_code_prove_nothing(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(f"import sys\nHERE = '_pytest' in sys.modules\n{ZERO}")
    (tmp_path / "test_m.py").write_text(
        "import pytest, m\n@pytest.mark.skipif(not m.HERE, reason='x')\ndef test(): assert m.square(3) == (0 if m.HERE else 9)\n"
        "def test_other(): pass\n"
    )
    said = run_tests_of(tmp_path).invoke({})
    assert said.startswith("NOT PROVEN")
    assert "2 tests passed in one process, and only 1" in said


def test_tests_that_the_changes_have_skip_themselves_prove_nothing(tmp_path: Path) -> None:
    from rheostat_tools.pristine import Pristine

    (tmp_path / "m.py").write_text(f"READY = True\n{ZERO}")
    (tmp_path / "test_m.py").write_text(
        "import pytest, m\ndef test_a(): assert m.square(0) == 0\n"
        "@pytest.mark.skipif(not m.READY, reason='x')\ndef test_b(): assert m.square(3) == 9\n"
        "@pytest.mark.skip(reason='always')\ndef test_c(): assert False\n"
    )
    start = Pristine(str(tmp_path))

    def after(code: str) -> str:
        tool = run_tests_of(tmp_path, pristine=start, changes=lambda: {"m.py": code.encode()})
        return str(tool.invoke({}))

    assert after(f"READY = False\n{ZERO}").startswith("NOT PROVEN")
    assert after("READY = True\ndef square(x): return x * x\n").startswith("PASSED")


VANISH = {
    "parameters from the code": (
        "REGISTRY = {'a': 1, 'b': 2}\ndef f(k): return 0\n", "REGISTRY = {'a': 1}\ndef f(k): return 1\n",
        "import pytest, m\n@pytest.mark.parametrize('k', sorted(m.REGISTRY))\ndef test(k): assert m.f(k) == {'a': 1, 'b': 2}[k]\n",
    ),
    "a condition": (
        "def f(k): return 1\ndef fast(): return 1\n", "def f(k): return 1\n",
        "import m\nif hasattr(m, 'fast'):\n    def test_fast(): assert m.fast() == 2\ndef test(): assert m.f(1) == 1\n",
    ),
    "a module that is skipped": (
        "HAS = True\ndef f(k): return 0\n", "HAS = False\ndef f(k): return 0\n",
        "import pytest, m\nif not m.HAS: pytest.skip('no', allow_module_level=True)\ndef test(): assert m.f(1) == 1\n",
    ),
    "a module that isn't there": (
        "def f(k): return 0\n", None, "import pytest\nm = pytest.importorskip('m')\ndef test(): assert m.f(1) == 1\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", VANISH)
def test_tests_that_are_gone_prove_nothing(what: str, tmp_path: Path) -> None:
    from rheostat_tools.pristine import Pristine

    before, after, tests = VANISH[what]
    (tmp_path / "m.py").write_text(before or "")
    (tmp_path / "test_m.py").write_text(tests)
    (tmp_path / "test_other.py").write_text("def test_other(): pass\n")
    changes = {"m.py": None if after is None else after.encode()}
    tool = run_tests_of(tmp_path, pristine=Pristine(str(tmp_path)), changes=lambda: changes)
    assert tool.invoke({}).startswith(("NOT PROVEN", "FAILED"))


def test_what_the_tests_start_cannot_write_the_verdict(tmp_path: Path) -> None:
    writes = (
        'import os\nfor n in range(3, 60):\n    try: os.write(n, b\'{"code": 0, "tests": {"t": "passed"}, '
        '"doubts": [], "ended": false, "lost": ""}\')\n    except OSError: pass\n'
    )
    tests = f"import os, sys\nimport m\ndef test_first(): os.system(f'{{sys.executable}} run.py')\n{SQUARE}"
    files = {"m.py": ZERO, "run.py": writes, "test_m.py": tests}
    assert judge(tmp_path, files).passed is False
