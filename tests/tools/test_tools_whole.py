"""What takes the place of a file, and what is only a piece of it, its use, its output, or cut; where pieces go."""

from __future__ import annotations

from pathlib import Path

import pytest
from langchain_core.tools import ToolException

from rheostat_tools import Workspace
from rheostat_tools.edits import edits_of
from rheostat_tools.whole import left_out

T = "```"
SHOP = '''"""Shop."""

import math

RATE = 0.2
LIMIT = 5


class Cart:
    """A cart."""

    size: int = 0

    def __init__(self):
        self.items = []

    def add(self, item):
        self.items.append(item)
        return self

    def total(self):
        return sum(self.items)


def discount(total):
    if total > LIMIT:
        return total * (1 - RATE)
    return total


def price(cart):
    return discount(cart.total())


def unused(x):
    return math.floor(x)


if __name__ == "__main__":
    print(price(Cart()))
'''
TREE = {
    "shop.py": SHOP,
    "test_shop.py": "from shop import Cart, price, discount\n",
    "pkg/__init__.py": "from .core import f, g\n",
    "pkg/core.py": "def f():\n    return 1\n\n\ndef g():\n    return 2\n",
    "script.py": "import sys\n\nfor line in sys.stdin:\n    print(line)\nprint('a')\nprint('b')\nprint('c')\n",
    "config.json": '{"a": 1,\n "b": 2}\n',
    "README.md": "# T\n\n" + "".join(f"line {number}\n" for number in range(12)),
    "empty.py": "",
    "broken.py": "def f(:\n    return 1\n\n\ndef g(:\n    return 2\n",
    "alike.py": "class A:\n    def f(self):\n        return 1\n\n\nclass B:\n    def f(self):\n        return 1\n",
}
NEW = SHOP.replace("total > LIMIT", "total >= LIMIT")
OLD_LINE, NEW_LINE = "    if total > LIMIT:\n", "    if total >= LIMIT:\n"
OPEN_DIFF = f"--- a/shop.py\n+++ b/shop.py\n@@ -26 +26 @@\n-{OLD_LINE}+{NEW_LINE}"
USE = f"{T}python\nfrom shop import Cart\n\nprint(Cart().total())\n{T}\n"


def block(name: str, text: str, language: str = "python") -> str:
    end = "" if text.endswith("\n") else "\n"
    return f"{name}\n{T}{language}\n{text}{end}{T}\n"


def without(begin: str, end: str, text: str = NEW) -> str:
    return text[: text.index(begin)] + text[text.index(end) :]


def search(old: str = OLD_LINE, new: str = NEW_LINE, words: str = "SEARCH REPLACE") -> str:
    first, last = words.split()
    return f"<<<<<<< {first}\n{old}=======\n{new}>>>>>>> {last}\n"


def hunk(head: str, lines: str = f"@@ -25,3 +25,3 @@\n-{OLD_LINE}+{NEW_LINE}") -> str:
    return f"{T}diff\n{head}{lines}{T}\n"


def lined(lead: str) -> str:
    return "".join(f"{lead}{line}" for line in NEW.splitlines(keepends=True))


def tried(root: Path, answer: str) -> dict[str, str]:
    """What is different afterwards; a refusal leaves all as it was."""
    for name, text in TREE.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    workspace = Workspace(root)
    try:
        workspace.apply(edits_of(answer, [path for path, _ in workspace.files()]))
    except ToolException:
        assert workspace.changed == []
        raise
    return {path: (root / path).read_text() for path in workspace.changed}


RIGHT = {
    "all of it": block("file: shop.py", NEW),
    "in no language": block("shop.py", NEW, ""),
    "in Python 3": block("shop.py", NEW, "python3"),
    "then its use": f"{block('shop.py', NEW)}\nYou can use `shop.py`:\n{USE}",
    "after its use": f"You can use `shop.py`:\n{USE}\n{block('shop.py', NEW)}",
    "then what comes out": block("shop.py", NEW) + block("Running shop.py:", "0\n", ""),
    "then a command": block("shop.py", NEW) + block("Run `python shop.py`:", "0.5\n", ""),
    "then a traceback": block("shop.py", NEW) + block("shop.py said:", "Traceback (most recent call last):\n  x\n", ""),
    "then the line that changed": block("shop.py", NEW) + block("The change in `shop.py`:", NEW_LINE),
    "after a piece of the old one": block("In `shop.py`:", without("import", "def disc", SHOP)) + block("shop.py", NEW),
    "then a cut use": f"{block('shop.py', NEW)}Use `shop.py`:\n{T}python\nfrom shop import (",
    "then another language": block("shop.py", NEW) + block("Settings of shop.py:", '{"a": 1}\n', "json"),
    "before and after": block("In shop.py, before:", OLD_LINE) + block("After, shop.py:", NEW_LINE),
    "before and after, named once": block("In shop.py, change", OLD_LINE) + block("to:", NEW_LINE),
    "before and after, without blanks": block("shop.py, before:", OLD_LINE.strip() + "\n")
    + block("after:", NEW_LINE.strip() + "\n"),
    "a function before and after": block("In shop.py:", f"def discount(total):\n{OLD_LINE}")
    + block("shop.py becomes:", f"def discount(total):\n{NEW_LINE}"),
    "the last fence forgotten": f"shop.py\n{T}python\n{NEW}",
    "a thought before it": f"<think>\n{block('shop.py', 'x')}\n</think>\n{block('shop.py', NEW)}",
    "a thought with an open fence": f"<think>\nshop.py\n{T}python\nx\n</think>\n{block('shop.py', NEW)}",
    "a thought whose begin is in the prompt": f"{block('shop.py', 'x')}\n</think>\n\n{block('shop.py', NEW)}",
    "a tag": f'<file name="shop.py">\n{block("", NEW)[1:]}</file>\n',
    "another tag": f"<document index='1' path='shop.py'>\n\n{block('', NEW)}</document>\n",
    "from another root": block("/home/ann/repo/shop.py", NEW),
    "from Windows": block("C:\\work\\shop.py", NEW),
    "in a list": f"1. shop.py:\n\n   {T}python\n" + lined("   ") + f"   {T}\n",
    "in a list, not indented": f"- shop.py:\n   {T}python\n{NEW}   {T}\n",
    "quoted": f"> shop.py\n> {T}python\n" + lined("> ") + f"> {T}\n",
    "search": block("shop.py", search(), ""),
    "search without a name": search(),
    "search in an open fence": f"shop.py\n{T}python\n{search()}",
    "a conflict": block("shop.py", search(words="HEAD branch"), ""),
    "original and updated": block("shop.py", search(words="ORIGINAL UPDATED")),
    "a conflict with its base": block("shop.py", search(f"{OLD_LINE}||||||| base\n    if x:\n", words="ours theirs")),
    "search with blanks at the ends": block("shop.py", search(old="def discount(total):  \n    if total > LIMIT:\t\n",
                                                              new=f"def discount(total):  \n{NEW_LINE}")),
    "search without indentation": block("shop.py", search(old="if total > LIMIT:\n    return total * (1 - RATE)\n",
                                                          new="if total >= LIMIT:\n    return total * (1 - RATE)\n")),
    "search without its first indentation": block("shop.py", search(
        old="if total > LIMIT:\n        return total * (1 - RATE)\n",
        new="if total >= LIMIT:\n        return total * (1 - RATE)\n")),
    "search from another root": block("/home/me/shop.py", search()),
    "a diff": hunk("--- a/shop.py\n+++ b/shop.py\n"),
    "a diff without a name": hunk(""),
    "a diff with a date": hunk("--- shop.py 2024-01-01\n+++ shop.py 2024-01-01 10:00:00 +0100\n"),
    "a diff with a day": hunk("--- shop.py Mon Jan 1 10:00:00 2024\n+++ shop.py Mon Jan 1 10:00:00 2024\n"),
    "a diff of revisions": hunk("--- shop.py\t(revision 3)\n+++ shop.py (working copy)\n"),
    "a diff of directories": hunk("--- original/shop.py\n+++ modified/shop.py\n"),
    "a diff of a repository": hunk("--- repo/shop.py\n+++ repo/shop.py\n"),
    "a diff of a saved file": hunk("--- shop.py.orig\n+++ shop.py\n"),
    "a diff, then a list": f"{OPEN_DIFF}\n- at the limit\n- and above\n",
    "a diff, then a list at once": f"{OPEN_DIFF}- at the limit\n- and above\n",
    "a diff, then prose": f"{OPEN_DIFF}\nThat is all.\n",
}  # fmt: skip


@pytest.mark.parametrize("kind", RIGHT)
def test_it_becomes_the_new_file(kind: str, tmp_path: Path) -> None:
    assert tried(tmp_path, RIGHT[kind]) == {"shop.py": NEW}


TAKEN = {
    "a function deleted that nothing uses": ("shop.py", without("def unused", "if __name__")),
    "a function renamed that nothing uses": ("shop.py", NEW.replace("def unused", "def floor_of")),
    "a function that moved": (
        "shop.py",
        without("def discount", "def price").replace("\nRATE", "from a import discount\n\nRATE"),
    ),
    "a method deleted that nothing uses": ("shop.py", without("    def add", "    def total")),
    "without what runs": ("shop.py", NEW[: NEW.index("if __name__")]),
    "with more": ("shop.py", f"{NEW}\n\ndef more(): ...\n"),
    "its only import changed": ("script.py", TREE["script.py"].replace("import sys", "from sys import stdin")),
    "mended": ("broken.py", TREE["broken.py"].replace("(:", "():")),
    "mended in part": ("broken.py", TREE["broken.py"].replace("f(:", "f():")),
    "empty before": ("empty.py", "x = 1\n"),
    "new": ("new.py", "x = 1\n"),
    "a package with more": ("pkg/__init__.py", "from .core import f, g, h\n"),
    "JSON": ("config.json", '{"a": 2}\n'),
    "Markdown": ("README.md", TREE["README.md"].replace("3", "three")),
}


@pytest.mark.parametrize("kind", TAKEN)
def test_what_may_be_missing(kind: str, tmp_path: Path) -> None:
    name, text = TAKEN[kind]
    language = {".json": "json", ".md": "markdown"}.get(Path(name).suffix, "python")
    assert tried(tmp_path, block(f"file: {name}", text, language)) == {name: text}


REFUSED = {
    "its use": f"You can use `shop.py`:\n{USE}",
    "its use in a function": block("Use shop.py:", "import shop\n\n\ndef main():\n    shop.price(shop.Cart())\n"),
    "what comes out": block("Running shop.py:", "0\n", ""),
    "prose": block("shop.py", "The limit itself is left out.\n", ""),
    "a function": block("shop.py", "def discount(total):\n    return total\n"),
    "one of two functions": block("pkg/core.py", "def g():\n    return 3\n"),
    "a new function": block("Add this to shop.py:", "def more(x):\n    return x\n"),
    "a class": block("shop.py", without("import", "class Cart", SHOP[: SHOP.index("def discount")])),
    "a class without methods": block("shop.py", without("    def __init__", "    def total")),
    "a method": block("shop.py", "    def total(self):\n        return 1\n"),
    "no constants": block("shop.py", without("RATE", "class")),
    "without what others use": block("shop.py", without("def price", "def unused").replace("price(Cart())", "1")),
    "without what it uses": block("shop.py", without("LIMIT", "class")),
    "a body of dots": block("shop.py", NEW.replace("    return sum(self.items)", "    ...")),
    "a body of pass": block("shop.py", NEW[: NEW.index(NEW_LINE)] + "    pass\n\n" + NEW[NEW.index("\ndef price") :]),
    "a package's use": block("pkg/__init__.py", "from pkg import f\n\nprint(f())\n"),
    "a package with less": block("pkg/__init__.py", "from .core import f\n"),
    "a script's piece": block("script.py", "print('a')\n"),
    "a cut function": f"shop.py\n{T}python\n{NEW[: NEW.index('def price')]}",
    "a cut line": f"shop.py\n{T}python\n{NEW[:-5]}",
    "a cut end": f"shop.py\n{T}python\n{NEW[: NEW.index('if __name__')]}",
    "a cut text": f"README.md\n{T}markdown\n{TREE['README.md']}",
    "a piece of JSON": block("config.json", '"a": 2\n', "json"),
    "a piece of Markdown": block("README.md", "# T\n\nline 1\n", "markdown"),
    "a line left out of Markdown": block("README.md", f"{TREE['README.md']}<!-- the rest is unchanged -->\n", "md"),
    "a conflict that isn't there": block("shop.py", search(old="no such line\n", words="HEAD branch"), ""),
    "half a conflict": block("shop.py", f"<<<<<<< HEAD\n{OLD_LINE}=======\n", ""),
    "the end of a conflict": block("new.py", f"x = 1\n=======\n{NEW_LINE}>>>>>>> branch\n", ""),
    "a conflict in a text": block("shop.py", NEW.replace("Shop.", "\n<<<<<<< HEAD\na\n=======\nb\n>>>>>>> x\n")),
    "a conflict put in": block("shop.py", search(new="<<<<<<< HEAD\na\n=======\nb\n>>>>>>> x\n")),
    "a piece within a line": block("shop.py", search(old="total > LIMIT:\n", new="x:\n")),
    "the begin of a line": block("shop.py", search(old="    if total\n", new="    if x\n")),
    "two dividers": block("shop.py", search(old=f"{OLD_LINE}=======\n")),
    "an excerpt, then a use": block("shop.py has", "def price(cart):\n    return discount(cart.total())\n")
    + f"Use shop.py:\n{USE}",
    "lines behind the end": hunk("--- a/shop.py\n+++ b/shop.py\n", "@@ -900,0 +901,1 @@\n+x = 1\n"),
    "lines that don't fit there": hunk("--- a/shop.py\n+++ b/shop.py\n", "@@ -18,0 +19,1 @@\n+x = 1\n"),
    "lines without a place": hunk("--- a/shop.py\n+++ b/shop.py\n", "@@ @@\n+x = 1\n"),
    "an attribute": block("Call `shop.price`:", "shop.price(1)\n"),
    "two places": block("alike.py", search(old="        return 1\n", new="        return 2\n")),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_it_is_refused_and_says_what_to_do(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ToolException, match=r"[Ww]rite|show those|[Cc]opy|[Aa]dd lines|hold marks"):
        tried(tmp_path, REFUSED[kind])


NOTHING = {
    "another language": block("Read `config.json`:", "import json\n"),
    "settings": block("Settings of shop.py:", '{"a": 1}\n', "json"),
    "a text": block("The error in shop.py:", "AssertionError: 1 != 9\n", "text"),
    "a command": block("shop.py", "python shop.py\n", "bash"),
    "a traceback": block("shop.py fails:", 'Traceback (most recent call last):\n  File "shop.py", line 1\nE\n', ""),
    "a session": block("shop.py", ">>> 1 +\n", ""),
    "tests that ran": block("Tests of shop.py:", "===== 3 passed in 0.1s =====\n", ""),
    "a tree": block("`shop.py` lies here:", ".\n├── shop.py\n", ""),
    "a thought": f"<think>\n{block('shop.py', NEW)}",
    "an empty block": block("shop.py", "\n"),
}


@pytest.mark.parametrize("kind", NOTHING)
def test_it_is_no_edit(kind: str, tmp_path: Path) -> None:
    assert tried(tmp_path, NOTHING[kind]) == {}


IN_PLACE = {
    "lines at the start": ("pkg/core.py", "@@ -0,0 +1 @@\n+import os\n", lambda text: f"import os\n{text}"),
    "lines at the end": ("pkg/core.py", "@@ -6,0 +7,2 @@\n+\n+x = 1\n", lambda text: f"{text}\nx = 1\n"),
    "lines behind the end": ("pkg/core.py", "@@ -7,0 +8,1 @@\n+x = 1\n", lambda text: f"{text}x = 1\n"),
    "lines between": ("pkg/core.py", "@@ -1,0 +2,1 @@\n+    x\n", lambda text: text.replace(":\n", ":\n    x\n", 1)),
    "lines between, later ones by the old numbers": (
        "pkg/core.py",
        "@@ -1,0 +2,1 @@\n+    x = 1\n@@ -5,0 +7,1 @@\n+    x = 1\n",
        lambda text: text.replace(":\n", ":\n    x = 1\n"),
    ),
    "within a class": (
        "alike.py", "@@ class B:\n-        return 1\n+        return 2\n", lambda text: text[:-2] + "2\n",
    ),
    "within a method of it": (
        "alike.py", "@@ class A\n@@     def f(self):\n-        return 1\n+        return 2\n",
        lambda text: text.replace("1", "2", 1),
    ),
    "as git names the place": (
        "alike.py", "@@ -2,1 +2,1 @@ class B:\n-        return 1\n+        return 2\n", lambda text: text[:-2] + "2\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("last", ["\n", ""], ids=["newline at the end", "none"])
@pytest.mark.parametrize("kind", IN_PLACE)
def test_where_a_diff_puts_lines(kind: str, last: str, tmp_path: Path) -> None:
    name, lines, wanted = IN_PLACE[kind]
    (tmp_path / "pkg").mkdir()
    (tmp_path / name).write_text(TREE[name].removesuffix("\n") + last)
    Workspace(tmp_path).apply(edits_of(hunk(f"--- a/{name}\n+++ b/{name}\n", lines), [name]))
    assert (tmp_path / name).read_text() == wanted(TREE[name]).removesuffix("\n") + last


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Title\n=====\ntext\n", "Other\n=====\ntext\n"),
        ("Title\n=======\ntext\n", "Title\n=======\nmore\n"),
        ("<<<<<<< HEAD\na\n=======\nb\n>>>>>>> x\n", "b\n"),
    ],
    ids=["shorter", "as long", "a conflict to resolve"],
)
def test_what_looks_like_a_divider(old: str, new: str, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(f"first\n{old}last\n")
    Workspace(tmp_path).apply(edits_of(block("a.md", search(old, new), ""), ["a.md"]))
    assert (tmp_path / "a.md").read_text() == f"first\n{new}last\n"


def test_a_piece_without_a_name_in_two_files(tmp_path: Path) -> None:
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("x = 1\n")
    with pytest.raises(ToolException, match=r"a\.py, b\.py hold it"):
        Workspace(tmp_path).apply(edits_of(search("x = 1\n", "x = 2\n"), ["a.py", "b.py"]))


def test_a_file_with_conflicts_may_be_written_with_them(tmp_path: Path) -> None:
    text = 'EXAMPLE = """\n<<<<<<< HEAD\na\n=======\nb\n>>>>>>> x\n"""\nX = 1\n'
    (tmp_path / "a.py").write_text(text)
    Workspace(tmp_path).apply(edits_of(block("a.py", text.replace("X = 1", "X = 2")), ["a.py"]))
    assert (tmp_path / "a.py").read_text().endswith("X = 2\n")


STANDS_FOR_LINES = """# [existing code]
# existing code here
# discount and price stay as they are
# price() is unchanged
# unchanged
# (unchanged)
# (other functions remain the same)
# ...
# … unchanged
# rest of the code
# The rest of the file remains unchanged.
# --- existing methods ---
# same as before
# no changes here
# Existing code remains unchanged...
# your existing code here
# [rest of the implementation]
# remaining functions
# omitted for brevity
# all other code is unchanged
    # ... existing logic ...
# keep the rest of the code as it is
# Rest bleibt unverändert
    pass  # unchanged
    ...  # same as before
// everything else stays the same
<!-- rest of the file -->
/* unchanged */""".splitlines()
SAYS_SOMETHING = """# the order stays the same
# the list remains unchanged
# existing users keep their discount
# other methods of payment
# helper functions
# loading the data...
# same rate for all
# the rest of the items
# no discount here
# returns the total as before the discount
# remaining items
# TODO: more tests
# Other functions
    ...""".splitlines()


def test_blanks_in_empty_lines_stay(tmp_path: Path) -> None:
    text = "x = 1\n    \ny = 2  \n"
    Workspace(tmp_path).apply(edits_of(block("a.py", text)))
    assert (tmp_path / "a.py").read_text() == text


@pytest.mark.parametrize("line", STANDS_FOR_LINES)
def test_a_comment_that_stands_for_lines(line: str) -> None:
    assert left_out(f"{NEW}{line}\n", SHOP) == line.strip()
    assert left_out(f"{NEW}{line}\n", f"{SHOP}{line}\n") is None  # it was there


@pytest.mark.parametrize("line", SAYS_SOMETHING)
def test_a_comment_that_says_something(line: str) -> None:
    assert left_out(f"{NEW}{line}\n", SHOP) is None
