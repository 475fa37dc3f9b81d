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


SOURCE, TESTED = "def square(x): return 0\n", "from shop import square\nfrom oracle import wanted\n"
OF_TESTS: dict[str, tuple[dict[str, str], str]] = {
    "constants": ({"test_a.py": "import shop\nfrom constants import EXPECTED\n", "constants.py": "EXPECTED = 9\n"}, "constants.py"),
    "a module named for what is wanted": ({"test_a.py": TESTED, "lib/oracle.py": "def wanted(x): return x * x\n"}, "lib/oracle.py"),
    "a module among tests": (
        {"checks/test_a.py": TESTED.replace("oracle", "other"), "checks/other.py": "def wanted(x): return 9\n"}, "checks/other.py",
    ),
    "tests by the settings": ({"pytest.ini": "[pytest]\npython_files = check_*.py\n", "check_a.py": TESTED}, "check_a.py"),
    "tests by the project's settings": (
        {"pyproject.toml": "[tool.pytest.ini_options]\npython_files = ['check_*.py']\n", "check_a.py": TESTED}, "check_a.py",
    ),
    "a plugin of a conftest": ({"conftest.py": "pytest_plugins = ['parts.fix']\n", "parts/fix.py": "A = 1\n"}, "parts/fix.py"),
    "where the link of a test leads": ({"tests/test_a.py": "-> ../shared/real.py", "shared/real.py": TESTED}, "shared/real.py"),
    "where the link of a conftest leads": ({"conftest.py": "-> shared/base.py", "shared/base.py": "A = 1\n"}, "shared/base.py"),
    "where the link of a folder leads": ({"tests": "-> stuff", "stuff/test_a.py": TESTED, "stuff/h.py": "A = 1\n"}, "stuff/h.py"),
}  # fmt: skip
OF_CODE: dict[str, tuple[dict[str, str], str]] = {
    "constants of the code": (
        {"test_a.py": "import shop, rates\n", "rates.py": "EXPECTED = 3\n", "shop.py": "from rates import EXPECTED\n"}, "rates.py",
    ),
    "constants that nothing calls wanted": ({"test_a.py": "import shop, version\n", "version.py": "VERSION = '1'\n"}, "version.py"),
    "a module with its own test": ({"test_oracle.py": TESTED, "oracle.py": "def wanted(x): return 9\n"}, "oracle.py"),
    "the only module": ({"checks/test_a.py": "import oracle\n", "checks/oracle.py": "def wanted(x): return 9\n"}, "checks/oracle.py"),
    "a module beside its tests": (
        {"pkg/test_a.py": "from pkg.core import one\nfrom shop import square\n", "pkg/core.py": "from shop import square\n"}, "pkg/core.py",
    ),
    "any module by the settings": ({"pytest.ini": "[pytest]\npython_files = *.py\n", "test_a.py": TESTED}, "shop.py"),
    "a source that tests have a link to": ({"tests/shop.py": "-> ../shop.py"}, "shop.py"),
    "a folder of sources that tests have a link to": (
        {"tests/src": "-> ../src", "src/a.py": SOURCE, "tests/test_a.py": "import shop, a\n"}, "src/a.py",
    ),
    "beside the link of a test": ({"tests/test_a.py": "-> ../shared/real.py", "shared/real.py": "", "shared/b.py": ""}, "shared/b.py"),
}  # fmt: skip


@pytest.mark.parametrize(("what", "kept"), [*((each, True) for each in OF_TESTS), *((each, False) for each in OF_CODE)])
def test_what_belongs_to_tests_is_told_from_sources(what: str, kept: bool, tmp_path: Path) -> None:
    files, path = {**OF_TESTS, **OF_CODE}[what]
    for name, text in ({"shop.py": SOURCE} | files).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if text.startswith("-> "):
            (tmp_path / name).symlink_to(text.removeprefix("-> "))
        else:
            (tmp_path / name).write_text(text)
    start = Pristine(str(tmp_path))
    assert (start.why_protected(path) is not None) is kept
    start.drop()


def test_a_module_of_an_environment_in_the_tree_is_not_replaced(tmp_path: Path) -> None:
    for name in (".venv/pyvenv.cfg", ".venv/lib/python3.11/site-packages/parcel/__init__.py", "shop.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    start = Pristine(str(tmp_path))
    assert start.why_protected("parcel.py") == "it would be imported instead of the installed parcel"
    assert start.why_protected("parcels.py") is None
    start.drop()
