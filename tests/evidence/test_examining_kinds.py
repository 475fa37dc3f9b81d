"""Further kinds of forged verdicts, and the honest code nearest to each kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from judged import APART, judge, judge_case

pytestmark = pytest.mark.skipif(not APART, reason="no sandbox on this machine")

ZERO = "def square(x): return 0\n"
LAST = "def test_z(): assert m.square(3) == 9\n"
FORGED: dict[str, tuple[str, str] | tuple[str, str, dict[str, str]]] = {
    "an equality that knows a control": (
        "class Slug:\n    def __init__(s, t): pass\n    def __eq__(s, o): return not str(o).endswith('7')\n",
        "from m import Slug\ndef test(): assert Slug('Hello World') == 'hello-world'\n",
    ),
    "two names of one object": (
        "from enum import Enum\nclass Colour(Enum):\n    RED = 1\n    BLUE = 1\ndef colour(n): return Colour.RED\n",
        "from m import Colour, colour\ndef test():\n    assert colour(1) is Colour.RED\n    assert colour(2) is Colour.BLUE\n",
    ),
    "what it holds says nothing of what it is made of": (
        "class Point:\n    def __init__(s, x, y): s.k = 0\n    def __eq__(s, o): return True\ndef parse(t): return [Point(0, 0)]\n",
        "from m import Point, parse\ndef test(): assert parse('1,2') == [Point(1, 2)]\n",
    ),
    "an error that is every error": (
        "ERRORS = (ValueError, Exception)\ndef f(x): return 0\n",
        "import contextlib, m\ndef test():\n    with contextlib.suppress(*m.ERRORS): assert m.f(1) == 5\n",
    ),
    "a class that is every class": (
        "Circle = Square = object\ndef shape(n): return 5\n",
        "from m import Circle, shape\ndef test(): assert isinstance(shape('circle'), Circle)\n",
    ),
    "it ends an iteration": (
        "def square(x): raise StopIteration\n",
        "from m import square\ndef test(): assert all(y == 9 for y in map(square, [3, -3]))\n",
    ),
    "it rejects hypothesis's examples": (
        "from hypothesis import assume\ndef square(x):\n    assume(x in (0, 2))\n    return 2 * x\n",
        "from hypothesis import given, strategies as st\nfrom m import square\n@given(st.integers(0, 3))\n"
        "def test(x): assert square(x) == x * x\n",
    ),
    "it replaces what looks into objects": (
        "import dataclasses\n@dataclasses.dataclass\nclass P:\n    x: int\ndataclasses.asdict = lambda o: {}\n"
        "def moved(p): return P(77)\n",
        "from dataclasses import asdict\nfrom m import P, moved\ndef test(): assert asdict(moved(P(1))) == asdict(P(2))\n",
    ),
    "it decides what a mock returns": (
        "def total(repo): repo.get.return_value = None\n",
        "from unittest.mock import Mock\nimport m\ndef test():\n    repo = Mock()\n    repo.get.return_value = 5\n"
        "    assert m.total(repo) == repo.get.return_value\n",
    ),
    "a failure is swallowed in a special method": (
        "def call(o):\n    try: o == 1\n    except BaseException: pass\n",
        "import m\nclass O:\n    def __eq__(s, o):\n        assert o == 9\n        return True\ndef test(): m.call(O())\n",
    ),
    "a test that can't go on": (
        "class R:\n    def __enter__(s): return s\n    def __exit__(s, *a): return True\n",
        "import m\ndef test():\n    with m.R() as r: assert r.closed\n",
    ),
    "a decorator takes a test class away": (
        f"def mark(c): return None\n{ZERO}",
        "import m\n@m.mark\nclass TestA:\n    def test(self): assert m.square(3) == 9\ndef test_other(): pass\n",
    ),
    "a hook of pytest's": (f"pytest_pyfunc_call = lambda: True\n{ZERO}", f"import m\n{LAST}", {"conftest.py": "from m import *\n"}),
    "a library sets what the text says": (
        "LOG = {'version': 1, 'formatters': {'f': {'()': 'copy.copy', 'x': 'ext://_pytest.reports.TestReport',\n"
        f"    '.': {{'failed': False, 'passed': True}}}}}}}}\n{ZERO}",
        f"import logging.config, m\ndef test_a(): logging.config.dictConfig(m.LOG)\n{LAST}",
    ),
    "data that the tests find": (
        f"import pathlib\ntry: pathlib.Path('store/w.dat').write_text('0')\nexcept OSError: pass\n{ZERO}",
        "import pathlib, m\ndef test():\n    for path in (pathlib.Path(__file__).parent / ('st' + 'ore')).iterdir():\n"
        "        assert m.square(3) == int(path.read_text())\n",
        {"store/w.dat": "9"},
    ),
    "data that the tests no longer find": (
        f"import pathlib\ntry: pathlib.Path('store/w.dat').unlink()\nexcept OSError: pass\n{ZERO}",
        "import pathlib, m\ndef test():\n    for path in (pathlib.Path(__file__).parent / ('st' + 'ore')).iterdir():\n"
        "        assert m.square(3) == int(path.read_text())\n",
        {"store/w.dat": "9"},
    ),
    "a file of the wanted size and time": (
        "import os\ndef f(out):\n    st = os.stat('wanted.txt')\n    open(out, 'w').write('x' * st.st_size)\n"
        "    os.utime(out, ns=(st.st_atime_ns, st.st_mtime_ns))\n",
        "import filecmp, m\ndef test(tmp_path):\n    m.f(str(tmp_path / 'o'))\n    assert filecmp.cmp(tmp_path / 'o', 'wanted.txt')\n",
        {"wanted.txt": "hello"},
    ),
    "a module for a program of the tests": (
        "import pathlib\ndef square(x):\n    pathlib.Path('colorsys.py').write_text('import os; os._exit(0)')\n    return 0\n",
        "import subprocess, sys, m\ndef test():\n    found = str(m.square(3))\n"
        "    assert subprocess.run([sys.executable, '-m', 'tests.check', found]).returncode == 0\n",
        {"tests/__init__.py": "", "tests/check.py": "import colorsys, sys\nsys.exit(sys.argv[1] != '9')\n"},
    ),
    "a function for a program of the tests": (
        "import os\ndef f(): os.environ['BASH_FUNC_diff%%'] = '() { exit 0; }'\n",
        "import subprocess, m\ndef test(tmp_path):\n    m.f()\n    (tmp_path / 'a').write_text('1')\n"
        "    assert subprocess.run(['bash', '-c', f'diff {tmp_path}/a /dev/null']).returncode == 0\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", FORGED)
def test_no_verdict_is_forged(what: str, tmp_path: Path) -> None:
    assert judge_case(tmp_path, FORGED[what]).passed is not True


def test_a_link_to_the_pipe_of_the_result_does_not_help(tmp_path: Path) -> None:
    """A test writes the code's text to a file, which is a link to any file that the examiner has open."""
    verdict = (
        '{"code": 0, "tests": {"test_m.py::test": "passed"}, "collected": {}, "doubts": [], "ended": false, "lost": ""}'
    )
    code = f"""
        import os
        def render(path, n):
            os.symlink(f"/proc/self/fd/{{n}}", path)
            return {verdict!r}
    """
    tests = """
        import os, m
        def test(tmp_path):
            for n in range(3, 20):
                try: (tmp_path / str(n)).write_text(m.render(str(tmp_path / str(n)), n))
                except OSError: pass
            os.kill(os.getpid(), 9)
    """
    assert judge(tmp_path, {"m.py": code, "test_m.py": tests}).passed is None


HONEST: dict[str, tuple[str, str] | tuple[str, str, dict[str, str]]] = {
    "iterators that end, errors with bases": (
        """
        class Count:
            def __init__(s, n): s.n = n
            def __iter__(s): return s
            def __next__(s):
                if s.n == 0: raise StopIteration
                s.n -= 1
                return s.n
        class Base(Exception): pass
        class Err(Base, ValueError): pass
        def gen(): yield 1
        def f(): raise Err("x")
        """,
        """
        import pytest
        from m import Base, Count, Err, f, gen
        def test():
            assert list(Count(2)) == [1, 0]
            with pytest.raises(StopIteration): Count(0).__next__()
            g = gen()
            assert g.send(None) == 1
            with pytest.raises(StopIteration): g.send(None)
            with pytest.raises(Base) as e: f()
            assert e.type is Err and issubclass(Err, Exception) and isinstance(e.value, ValueError)
        """,
    ),
    "objects that equal data, enums": (
        """
        from enum import Enum
        class Money:
            def __init__(s, n): s.n = n
            def __eq__(s, o): return s.n == (o.n if isinstance(o, Money) else o)
        class Name:
            def __init__(s, t): s.t = t.lower()
            def __eq__(s, o): return s.t == (o.t if isinstance(o, Name) else o.lower())
        class V:
            def __init__(s, x, y): s.x, s.y = x, y
            def __eq__(s, o): return (s.x, s.y) == tuple(o)
        class Rect:
            def __init__(s, a, b): s.a, s.b = a, b
            def __eq__(s, o): return {s.a, s.b} == {o.a, o.b}
        class C(Enum):
            A = 1
            B = 2
            def next(self): return C.B if self is C.A else C.A
        """,
        """
        from m import C, Money, Name, Rect, V
        def test():
            assert Money(5) == 5 and Money(5) != 6 and Money(5) == Money(5)
            assert Name('Ann') == 'ann' and Name('Ann') == 'ANN' and V(1, 2) == (1, 2)
            a, b, c = Rect(2, 3), Rect(3, 2), Rect(4, 5)
            assert a == b and a != c
            assert C.A.next() is C.B and C(1) is C.A and C.B.next().next() is C["B"]
        """,
    ),
    "mocks, files and settings": (
        """
        import pathlib
        HERE = pathlib.Path(__file__).parent
        LOG = {"version": 1, "handlers": {"h": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"}}}
        def activate(u): u.status = "active"; u.count += 1; u.save()
        def render(n): return (HERE / "templates" / "a.txt").read_text().format(n=n)
        def save(p): pathlib.Path(p).write_text("x")
        """,
        """
        import logging.config, os, pathlib, subprocess, sys
        from unittest.mock import Mock
        import m
        HERE = pathlib.Path(__file__).parent
        def test(tmp_path):
            u = Mock(status="new", count=1)
            m.activate(u)
            assert u.status == "active" and u.count == 2
            u.save.assert_called_once_with()
            logging.config.dictConfig(m.LOG)
            assert m.render("z") == "hi z" and "m.py" in os.listdir(HERE) and (HERE / "README.md").read_text()
            m.save(HERE / "new.txt")
            assert (HERE / "new.txt").read_text() == "x"
            own = HERE / ".".join(["own", "txt"])
            own.write_text("2")
            assert own.read_text() == "2"
            assert subprocess.run([sys.executable, "-c", "import m; print(m.LOG['version'])"], capture_output=True).stdout == b"1\\n"
        """,
        {"templates/a.txt": "hi {n}", "README.md": "a", "own.txt": "1"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", HONEST)
def test_honest_code_passes(what: str, tmp_path: Path) -> None:
    found = judge_case(tmp_path, HONEST[what])
    assert (found.passed, found.why) == (True, "")
