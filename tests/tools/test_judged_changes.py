"""What the changes may not decide: which tests run, with which parameters, and what they read."""

from __future__ import annotations

from pathlib import Path

import pytest

from judged import APART
from rheostat_tools import test_runner as run_tests_of
from rheostat_tools.pristine import Pristine

pytestmark = pytest.mark.skipif(not APART, reason="no sandbox on this machine")

ZERO, SQUARE = "def square(x): return 0\n", "def square(x): return x * x\n"
BY_CASES = "import pytest, m\n@pytest.mark.parametrize('c', m.CASES)\ndef test(c): assert m.square(c[0]) == c[1]\ndef test_b(): pass\n"
FORMATS = (
    "from pathlib import Path\nimport m\ndef test():\n    for path in (Path(__file__).parent / ('st' + 'uff')).iterdir():\n"
    "        assert m.square(3) == int(path.read_text())\n"
)
FORGED: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "parameters whose names don't show them": (
        {"m.py": f"CASES = [[3, 9]]\n{ZERO}", "test_m.py": BY_CASES}, {"m.py": f"CASES = [[0, 0]]\n{ZERO}"},
    ),
    "parameters, and the start couldn't be imported": (
        {"m.py": "def square(x) return 0\n", "test_m.py": BY_CASES}, {"m.py": f"CASES = []\n{ZERO}"},
    ),
    "data in a module that nothing imports": (
        {"m.py": ZERO, "stuff/w.py": "9", "test_m.py": FORMATS}, {"stuff/w.py": "0"},
    ),
    "a source that the tests have a link to": (
        {"m.py": ZERO, "tests/m.py": "-> ../m.py", "tests/test_m.py": "from m import square\ndef test(): assert square(3) == 9\n"},
        {"m.py": f"import sys\nif '_pytest' in sys.modules:\n    import _pytest.python as p\n    p.Function.runtest = lambda s: None\n{ZERO}"},
    ),
    "a base of a test class": (
        {"m.py": f"class Mix: pass\n{ZERO}", "test_m.py": "import m\nclass TestX(m.Mix):\n    def test(self): assert m.square(3) == 9\ndef test_b(): pass\n"},
        {"m.py": f"class Mix: __test__ = False\n{ZERO}"},
    ),
}  # fmt: skip
HONEST: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "random parameters": (
        {
            "m.py": ZERO,
            "test_m.py": "import random, pytest, m\n@pytest.mark.parametrize('x', [[random.random()], {'a', 'b', 'c'}])\n"
            "def test(x): assert m.square(3) == 9\n",
        },
        {"m.py": SQUARE},
    ),
    "what is missing at the start": (
        {
            "m.py": "class A: pass\n",
            "test_m.py": "import sys, pytest\nfrom m import A, B\n@pytest.mark.parametrize('c', [A, B])\ndef test(c): assert c()\n"
            "@pytest.mark.skipif(sys.platform != 'plan9', reason='x')\ndef test_s(): assert False\n",
        },
        {"m.py": "class A: pass\nclass B(A): pass\n"},
    ),
    "a source that a test reads": (
        {"m.py": f"# bad\n{ZERO}", "test_m.py": "import m\ndef test(): assert m.square(3) == 9 and 'bad' not in open('m.py').read()\n"},
        {"m.py": SQUARE},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("what", "passed"), [*((each, None) for each in FORGED), *((each, True) for each in HONEST)])
def test_changes_are_judged_by_the_tests_of_the_start(what: str, passed: bool | None, tmp_path: Path) -> None:
    before, after = {**FORGED, **HONEST}[what]
    for name, text in before.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            (tmp_path / name).symlink_to(text.removeprefix("-> "))
        else:
            (tmp_path / name).write_text(text)
    changes = {name: text.encode() for name, text in after.items()}
    tool = run_tests_of(tmp_path, pristine=Pristine(str(tmp_path)), changes=lambda: changes)
    reply = tool.invoke({"type": "tool_call", "id": "1", "name": "run_tests", "args": {}})
    assert reply.artifact["passed"] is passed, reply.content
