"""What of a repository says what is wanted: tests, what they import, and what they read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rheostat_tools.pristine import Pristine

FILES = {
    "m.py": "def square(x): return x * x\n",
    "store.py": "import json\nclass Store:\n    def __init__(self, n):\n        assert n > 0\n",
    "test_m.py": (
        "import json\nfrom pathlib import Path\nimport m, store\nfrom checkers import close\nfrom testutils import table\n"
        "from pkg import expectations\n"
        "CASES = sorted(Path('cases').glob('*.txt'))\n"
        "def load(name): return json.loads((Path('data') / f'{name}.json').read_text())\n"
        "def golden(name): return Path(f'golden/{name}.out').read_text()\n"
        "def old(n): return open('legacy/%d.csv' % n)\n"
        "def said(n): return open('words/{}.ini'.format(n))\n"
        "LIST = 'wanted.yaml'\nSQL = 'src/queries'\nURL = 'http://example.com/?a=*b.c'\n"
    ),
    "checkers.py": "def close(a, b):\n    assert abs(a - b) < 1e-6\n",
    "testutils.py": "def table(): return [(1, 1), (2, 4)]\n",
    "pkg/__init__.py": "",
    "pkg/core.py": "def root(x): return x ** 0.5\n",
    "pkg/expectations.py": "import pytest\nclass Expect: pass\n",
    "pkg/plugin.py": "import pytest\ndef pytest_configure(config): pass\n",
    "cases/1.txt": "1 1",
    "data/sq.json": "{}",
    "golden/a.out": "",
    "legacy/1.csv": "",
    "words/1.ini": "",
    "wanted.yaml": "",
    "src/queries/run.py": "",
    "src/queries/a.sql": "",
    "notes.txt": "",
    "samples/in.py": "x=1\n",
    "samples/out.py": "x = 1\n",
    "test_format.py": "from pathlib import Path\nHERE = Path(__file__).parent / 'samples'\nimport m\n",
    "unit_tests/test_pkg.py": "import helpers\nfrom pkg.core import root\n",
    "unit_tests/helpers.py": "def wanted(): return 2\n",
    "unit_tests/deep/expected.json": "{}",
    "testing/tools.py": "def go(): return 1\n",
    "integration/test_all.py": "",
    "integration/shared.py": "",
}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pristine]:
    root = tmp_path_factory.mktemp("repository")
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    found = Pristine(str(root))
    yield found
    found.drop()


@pytest.mark.parametrize(
    "path",
    [
        "test_m.py", "checkers.py", "testutils.py", "pkg/expectations.py", "unit_tests/helpers.py",
        "unit_tests/deep/expected.json", "unit_tests/new.py", "integration/shared.py",
        "samples/in.py", "samples/out.py", "samples/more.py",
        # data, there already or to be made
        "cases/1.txt", "cases/2.txt", "data/sq.json", "golden/a.out", "golden/b.out", "legacy/1.csv", "words/1.ini",
        "wanted.yaml", "CASES/1.TXT", "Data/sq.json",
        # new modules that would be found before a helper
        "helpers.py", "checkers/__init__.py", "src/testutils.py",
    ],
)  # fmt: skip
def test_what_says_what_is_wanted_stays(path: str, start: Pristine) -> None:
    assert start.why_protected(path) is not None


@pytest.mark.parametrize(
    "path",
    [
        "m.py", "store.py", "pkg/core.py", "pkg/plugin.py", "pkg/__init__.py", "notes.txt", "src/queries/a.sql",
        "src/queries/run.py", "testing/tools.py", "pkg/new.py", "new.py", "docs/new.txt", "README.md",
    ],
)  # fmt: skip
def test_sources_may_be_changed(path: str, start: Pristine) -> None:
    assert start.why_protected(path) is None


def test_folders_above_what_is_kept_are_mounted_first(start: Pristine, tmp_path: Path) -> None:
    shows = [show.at.removeprefix(f"{start.root}/") for show in start.lay_out(str(tmp_path), {}, bare=False)]
    assert shows.index("pkg") < shows.index("pkg/expectations.py")
    assert "unit_tests" in shows
    assert not any(at.startswith("unit_tests/") for at in shows)
