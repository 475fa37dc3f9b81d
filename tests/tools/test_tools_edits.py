"""Edits as models write them: whole files, search/replace blocks, diffs; and what each does to a real file."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.tools import ToolException

from rheostat_tools import Workspace
from rheostat_tools.edits import Edit, Refused, Replace, Whole, edits_of

T = "```"
THERE = ["checkout.py", "x.py", "my dir/a b.py", "Makefile", "a/own.py"]
READ: dict[str, tuple[str, list[Edit]]] = {
    "under its name": (f"file: a.py\n{T}python\nx = 1\n{T}\n", [Whole("a.py", "x = 1\n")]),
    "a name with blanks": (f"file: my dir/new one.py\n{T}python\nx = 1\n{T}", [Whole("my dir/new one.py", "x = 1\n")]),
    "a name with blanks, quoted": (f"Here is `my dir/b c.py`:\n\n{T}\nx\n{T}\n", [Whole("my dir/b c.py", "x\n")]),
    "a name without a suffix": (f"Makefile\n{T}make\nx:\n\ty\n{T}\n", [Whole("Makefile", "x:\n\ty\n")]),
    "bold": (f"**checkout.py**:\n{T}python\nx=1\n{T}", [Whole("checkout.py", "x=1\n")]),
    "a heading": (f"### 1. `src/a.py`\n\n{T}python\nx=1\n{T}", [Whole("src/a.py", "x=1\n")]),
    "in a sentence": (f"In checkout.py:\n{T}python\nx=1\n{T}", [Whole("checkout.py", "x=1\n")]),
    "in the fence's line": (f"{T}python:src/a.py\nx=1\n{T}", [Whole("src/a.py", "x=1\n")]),
    "as its title": (f'{T}python title="src/a.py"\nx=1\n{T}', [Whole("src/a.py", "x=1\n")]),
    "as a comment": (f"{T}python\n# src/a.py\nx=1\n{T}", [Whole("src/a.py", "x=1\n")]),
    "tildes": ("file: a.py\n~~~python\nx = 1\n~~~\n", [Whole("a.py", "x = 1\n")]),
    "longer fences": (f"file: a.md\n{T}`\n{T}\nx\n{T}\n{T}`\n", [Whole("a.md", f"{T}\nx\n{T}\n")]),
    "CRLF": (f"file: a.py\r\n{T}python\r\nx = 1\r\n{T}\r\n", [Whole("a.py", "x = 1\n")]),
    "fences inside Python": (
        f'file: a.py\n{T}python\n"""Doc.\n\n{T}\nx\n{T}\n"""\nx = 1\n{T}\nThat is all.\n',
        [Whole("a.py", f'"""Doc.\n\n{T}\nx\n{T}\n"""\nx = 1\n')],
    ),
    "fences inside Markdown": (
        f"file: README.md\n{T}markdown\n# T\n{T}python\nx\n{T}\nend\n{T}\nThat is all.\n",
        [Whole("README.md", f"# T\n{T}python\nx\n{T}\nend\n")],
    ),
    "text that looks like a diff": (
        f'file: x.py\n{T}python\nDIFF = """\n--- a/y\n+++ b/y\n"""\n{T}',
        [Whole("x.py", 'DIFF = """\n--- a/y\n+++ b/y\n"""\n')],
    ),
    "two files": (
        f"file: a.py\n{T}\nx\n{T}\nand\n\nfile: b.py\n{T}\ny\n{T}",
        [Whole("a.py", "x\n"), Whole("b.py", "y\n")],
    ),
    "a reply that was cut": (f"file: a.py\n{T}python\nx = 1\n", [Whole("a.py", "x = 1\n", closed=False)]),
    "no name": (f"{T}python\nx=1\n{T}", [Whole("", "x=1\n")]),
    "prose": ("Use --- and +++ where you mean it, or @@.\n- one\n+ two\n", []),
    "a diff": (
        f"{T}diff\n--- a/x.py\n+++ b/x.py\n@@ -7,3 +7,3 @@ def f():\n a\n-b\n+c\n d\n{T}",
        [Replace("x.py", "a\nb\nd\n", "a\nc\nd\n", 7, "def f():")],
    ),
    "a diff under a name, called Python": (
        f"file: x.py\n{T}python\n@@ -1,3 +1,3 @@\n a\n-b\n+c\n{T}",
        [Replace("x.py", "a\nb\n", "a\nc\n", 1)],
    ),
    "a diff of marked lines alone": (f"file: x.py\n{T}diff\n-b\n+c\n{T}", [Replace("x.py", "b\n", "c\n")]),
    "a diff of marked lines, called Python": (
        f"file: x.py\n{T}python\n def f():\n-    return 1\n+    return 2\n{T}",
        [Replace("x.py", "def f():\n    return 1\n", "def f():\n    return 2\n")],
    ),
    "a diff in no fence": (
        "I change:\n\n--- a/x.py\n+++ b/x.py\n@@ -1,3 +1,3 @@\n a\n-b\n+c\n\n d\n\nThat is all.\n",
        [Replace("x.py", "a\nb\n\nd\n", "a\nc\n\nd\n", 1)],
    ),
    "git's own diff": (
        f"{T}\ndiff --git a/x.py b/x.py\nindex 1234567..89abcde 100644\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n"
        f"-b\n+c\n\\ No newline at end of file\n{T}",
        [Replace("x.py", "b\n", "c\n", 1)],
    ),
    "a diff of two hunks and two files": (
        f"{T}diff\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n@@ -9 +9 @@\n-c\n+d\n"
        "--- a/y.py\t2026\n+++ b/y.py\t2026\n"
        f"@@ -1 +1 @@\n-e\n+f\n{T}",
        [Replace("x.py", "a\n", "b\n", 1), Replace("x.py", "c\n", "d\n", 9), Replace("y.py", "e\n", "f\n", 1)],
    ),
    "a new file": (
        f"{T}diff\n--- /dev/null\n+++ b/n.py\n@@ -0,0 +1,2 @@\n+a\n+b\n{T}",
        [Replace("n.py", "", "a\nb\n", 0)],
    ),
    "a removed file": (
        f"{T}diff\n--- a/n.py\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-a\n{T}",
        [Refused("n.py", "files can't be removed")],
    ),
    "a file of another name": (
        f"{T}diff\ndiff --git a/x b/y\nsimilarity index 100%\nrename from x\n{T}",
        [Refused("", "rename from x: only changes of lines can be applied")],
    ),
    "a new empty file": (
        f"{T}diff\ndiff --git a/p/n.py b/p/n.py\nnew file mode 100644\nindex 0000000..e69de29\n"
        f"--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n{T}",
        [Replace("x.py", "a\n", "b\n", 1)],
    ),
    "a new empty file before another": (
        f"{T}diff\ndiff --git a/p/n.py b/p/n.py\nnew file mode 100644\nindex 0000000..e69de29\n"
        f"diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n{T}",
        [Replace("p/n.py", "", ""), Replace("x.py", "a\n", "b\n", 1)],
    ),
    "an empty file that is removed": (
        f"{T}diff\ndiff --git a/x.py b/x.py\ndeleted file mode 100644\nindex e69de29..0000000\n{T}",
        [Refused("x.py", "files can't be removed")],
    ),
    "an empty block under a new name": (f"file: p/n.py\n{T}python\n{T}", [Whole("p/n.py", "")]),
    "an empty block under a name": (f"file: x.py\n{T}python\n{T}", []),
    "git's codes in a name": (
        f'{T}diff\n--- "a/\\303\\251\\"\\t.py"\n+++ "b/\\303\\251\\"\\t.py"\n@@ -1 +1 @@\n-a\n+b\n{T}',
        [Replace('é"\t.py', "a\n", "b\n", 1)],
    ),
    "a new name with brackets": (
        f"{T}diff\n--- /dev/null\n+++ b/a (1).py\n@@ -0,0 +1 @@\n+a\n{T}", [Replace("a (1).py", "", "a\n", 0)],
    ),
    "a name in a directory a": (
        f"{T}diff\n--- a/own.py\n+++ a/own.py\n@@ -1 +1 @@\n-a\n+b\n{T}", [Replace("a/own.py", "a\n", "b\n", 1)],
    ),
    "another name, without git's lines": (
        f"{T}diff\n--- a/x.py\n+++ b/y.py\n@@ -1 +1 @@\n-a\n+b\n{T}",
        [Refused("", "a/x.py can't become b/y.py: files can't be renamed"), Replace("", "a\n", "b\n", 1)],
    ),
    "a diff in a document": (
        f"file: HOW.md\n{T}markdown\n# How\n\n{T}diff\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n{T}\n{T}\n",
        [Whole("HOW.md", f"# How\n\n{T}diff\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n{T}\n")],
    ),
    "a search/replace block in a document": (
        f"file: HOW.md\n{T}\nWrite:\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n{T}\n",
        [Whole("HOW.md", "Write:\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n")],
    ),
    "a new patch": (f"file: x.patch\n{T}diff\n--- a/x\n+++ b/x\n{T}", [Whole("x.patch", "--- a/x\n+++ b/x\n")]),
    "Cline's search/replace": (
        f"x.py\n{T}\n------- SEARCH\na\n=======\nb\n+++++++ REPLACE\n{T}", [Replace("x.py", "a\n", "b\n")],
    ),
    "a search/replace block": (
        f"x.py\n{T}python\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n{T}",
        [Replace("x.py", "a\n", "b\n")],
    ),
    "its name inside the fence": (
        f"{T}\nx.py\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n{T}",
        [Replace("x.py", "a\n", "b\n")],
    ),
    "search/replace in no fence": (
        "x.py\n<<<<<<< SEARCH\na\n=======\n>>>>>>> REPLACE\n",
        [Replace("x.py", "a\n", "")],
    ),
    "search/replace without an end": (
        f"x.py\n{T}\n<<<<<<< SEARCH\na\n=======\nb\n{T}",
        [Refused("x.py", "a search/replace block has no end: write >>>>>>> REPLACE beneath the new lines")],
    ),
    "a patch": (
        "*** Begin Patch\n*** Update File: x.py\n@@ def f\n a\n-b\n+c\n*** Add File: y.py\n+new\n*** End Patch",
        [Replace("x.py", "a\nb\n", "a\nc\n", 0, "def f"), Replace("y.py", "", "new\n")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", READ)
def test_what_is_read(kind: str) -> None:
    answer, wanted = READ[kind]
    assert edits_of(answer, THERE) == wanted


BEFORE = "def f(a):\n\tx = 'é'\n\n\treturn a  \n\ndef g(a):\n\treturn a  \n"
AFTER = "def f(a):\n\tx = 'é'\n\n\treturn a  \n\ndef g(a):\n\ty = 2\n\treturn a + 1\n"
HEAD = f"{T}diff\n--- a/x y.py\n+++ b/x y.py\n"
INSIDE = "@@ -4,4 +4,5 @@\n \treturn a\n \n def g(a):\n"
NEW = "+\ty = 2\n+\treturn a + 1\n"
WAYS = {
    "whole": f"file: x y.py\n{T}python\n{AFTER}{T}\n",
    "diff": f"{HEAD}@@ -6,2 +6,3 @@\n def g(a):\n-\treturn a  \n{NEW}{T}",
    "wrong numbers": f"{HEAD}@@ -40,9 +40 @@\n-\treturn a  \n{NEW}{T}",
    "lost blanks": f"{HEAD}{INSIDE}-\treturn a  \n{NEW}{T}",
    "quoted name": f"{HEAD}{INSIDE}-\treturn a  \n{NEW}{T}".replace("b/x y.py", '"b/x y.py"'),
    "Cline": "x y.py\n------- SEARCH\n\treturn a\n\ndef g(a):\n\treturn a\n=======\n"
    "\treturn a\n\ndef g(a):\n\ty = 2\n\treturn a + 1\n+++++++ REPLACE\n",
    "search": "x y.py\n<<<<<<< SEARCH\ndef g(a):\n\treturn a  \n=======\n"
    "def g(a):\n\ty = 2\n\treturn a + 1\n>>>>>>> REPLACE\n",
}
FORMS = {
    "utf-8": ("utf-8", b""), "utf-8 with mark": ("utf-8", b"\xef\xbb\xbf"), "utf-16 le": ("utf-16-le", b"\xff\xfe"),
    "utf-16 be": ("utf-16-be", b"\xfe\xff"), "utf-16 without mark": ("utf-16-le", b""),
    "utf-32 le": ("utf-32-le", b"\xff\xfe\0\0"), "utf-32 be": ("utf-32-be", b"\0\0\xfe\xff"),
    "latin-1": ("latin-1", b""),
}  # fmt: skip


@pytest.mark.parametrize("last", ["\n", ""], ids=["newline at the end", "none"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", WAYS)
def test_what_is_applied(way: str, form: str, end: str, last: str, tmp_path: Path) -> None:
    encoding, mark = FORMS[form]

    def written(text: str) -> bytes:
        return mark + (text.removesuffix("\n") + last).replace("\n", end).encode(encoding)

    file = tmp_path / "x y.py"
    file.write_bytes(written(BEFORE))
    file.chmod(0o755)
    workspace = Workspace(tmp_path)
    assert workspace.apply(edits_of(WAYS[way], ["x y.py"])) == ["x y.py"]
    assert file.read_bytes() == written(AFTER)
    assert file.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (f"{T}diff\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-zzz\n+b\n{T}", "old does not occur in x.py"),
        (f"x.py\n{T}\n<<<<<<< SEARCH\nsame\n=======\nb\n>>>>>>> REPLACE\n{T}", "occurs 2 times in x.py, at lines 2, 3"),
        (f"file: x.py\n{T}python\na = 1\n# ... rest of the code unchanged\n{T}", "stands for lines that are left out"),
        (f"file: x.py\n{T}python\na = 1\n...  # remaining methods\n{T}", "stands for lines that are left out"),
        (f"{T}diff\n--- a/x.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-a = 1\n{T}", "can't be removed"),
        (f"{T}diff\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a = 1\n+a = (1\n{T}", "no Python any more .line 1"),
        (f"{T}diff\n--- a/x.py\n+++ b/x.py\n@@ -1,3 +1,3 @@\n-a = 1\n+a = 2\n", "reply was cut"),
        ("--- a/x.py\n+++ b/x.py\n@@ -1,3 +1,3 @@\n-a = 1\n+a = 2\n", "reply was cut"),
        (f"{T}diff\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a = 1\n+a = 2\n--- a/y.py\n+++ b/y.py", "reply was cut"),
        (f"{T}diff\n--- a/x.py\n+++ b/x.py\n@@ def f\n-a = 1\n+a = 2\n", "reply was cut"),
        ("*** Begin Patch\n*** Update File: x.py\n-a = 1\n+a = 2\n", "End Patch is missing"),
        (f"file: x.py\n{T}python\n", "reply was cut"),
        (
            f"file: y.py\n{T}python\nI would change it.\n{T}\nfile: z.py\n{T}python\ndef f(:\n{T}",
            "z.py: the new text is no",
        ),
        (f"file: {'n' * 3000}.py\n{T}python\nx = 1\n{T}", "which file"),
        (f"{T}diff\n--- /dev/null\n+++ b/{'n' * 3000}\n@@ -0,0 +1 @@\n+x\n{T}", "File name too long"),
        (f"{T}diff\n--- /dev/null\n+++ b/\x1b[2J\n@@ -0,0 +1 @@\n+x\n{T}", "can't be the name of a new file"),
        (f"file: .venv/x.py\n{T}python\nx\n{T}", "a cache or an installation"),
        (f"file: ../out.py\n{T}python\nx\n{T}", "outside of the workspace"),
        (f"file: .git/hooks/x.py\n{T}python\nx\n{T}", "not part of the workspace"),
    ],
)
def test_what_cannot_be_applied_changes_nothing(answer: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("a = 1\nsame\nsame\n")
    workspace = Workspace(tmp_path)
    first = f"file: new.py\n{T}python\nx = 1\n{T}\n\n"
    with pytest.raises(ToolException, match=told) as refused:
        workspace.apply(edits_of(first + answer, ["x.py"]))
    assert len(str(refused.value)) < 5_000
    assert "\x1b" not in str(refused.value)
    assert (tmp_path / "x.py").read_text() == "a = 1\nsame\nsame\n"
    assert not (tmp_path / "new.py").exists()
    assert workspace.changed == []


@given(st.text(alphabet="`~<=>@+- \n\taSEARCH*#:./", max_size=200))
@settings(max_examples=300)
def test_no_text_breaks_the_reader(answer: str) -> None:
    edits_of(answer, THERE)


@pytest.mark.parametrize(
    "answer",
    [
        f"{T}python\n" + f"{T}\n" * 20_000,
        "<<<<<<< SEARCH\n" * 20_000,
        "--- a\n+++ b\n@@ -1 +1 @@\n" * 20_000,
        f"{T}\n" + "`" * 100_000 + f"\n{T}",
        "# " + "." * 200_000,
        f"file: {'a.' * 50_000}\n{T}\nx\n{T}\n",
        "".join(f"{T}python\ndef f(:\n{T}\n" for _ in range(3_000)),
        (f"m.py\n{T}python\n" + "x = (1,\n" * 2_000 + f"{T}\n") * 40,
        (f"m.py\n{T}python\ndef f(:\n" + (f"{T}\n" + "y = 1\n" * 300) * 200),
        "- a\n" * 200_000,
        f"> {T}\n" * 100_000,
        "</think>\n" * 100_000,
        "<<<<<<< HEAD\n=======\n" * 30_000,
        f"m.py\n{T}\n" + "\n" * 500_000 + f"x\n{T}\n",
        f"m.py\n{T}python\n" + "(" * 500_000 + f"\n{T}\n",
        " " * 500_000 + f"\n{T}" + " " * 500_000 + "x\na\n",
        f"--- a{' ' * 50_000}b\n+++ b\n@@ -1 +1 @@\n-a\n+b\n",
        f"{T}\n# x{' ' * 950}y\nz\n{T}\n" * 500,
        "".join(f"{'~' * n}python\nx = (\n{'~' * n}\n" for n in range(300, 3, -1)) + "\n" * 300_000,
    ],
    ids=["fences", "searches", "hunks", "ticks", "dots", "names", "blocks", "brackets", "open fences", "lists",
         "quoted fences", "thoughts", "conflicts", "empty lines", "one line of brackets", "blanks", "blanks in a name",
         "comments",
         "fences of many lengths"],
)  # fmt: skip
def test_no_answer_freezes_the_reader(answer: str) -> None:
    began = time.process_time()
    edits_of(answer, THERE)
    assert time.process_time() - began < 5


SHORT = "".join(f"l {number}\n" for number in range(100_000))
MANY_COMMENTS = "".join(f"# x{number}{' ' * 180}y\n" for number in range(5_000))
SLOW = {
    "comments": ("x = 1\n", f"file: n.py\n{T}python\n{MANY_COMMENTS}{T}"),
    "deep names": ("x = 1\n", f"file: x.py\n{T}python\nx = 1\ndef f():\n    raise a{'.b' * 2_000}\n{T}"),
    "many pieces": (SHORT, "x.txt\n" + "".join(
        f"<<<<<<< SEARCH\nl {number}\n=======\nm\n>>>>>>> REPLACE\n" for number in range(60))),
    "equal lines": ("x\n" * 40_000, "x.txt\n<<<<<<< SEARCH\n" + "x \n" * 20_000 + "=======\ny\n>>>>>>> REPLACE\n"),
    "no such line": (
        f"{'a' * 120}\n" * 7_000, f"x.txt\n<<<<<<< SEARCH\n{'a' * 90}{'b' * 30}\n=======\ny\n>>>>>>> REPLACE\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", SLOW)
def test_no_answer_freezes_the_one_that_applies_it(kind: str, tmp_path: Path) -> None:
    there, answer = SLOW[kind]
    for name in ("x.py", "x.txt"):
        (tmp_path / name).write_text(there if name == "x.txt" or "x = " in there else "")
    began = time.process_time()
    with contextlib.suppress(ToolException):
        Workspace(tmp_path).apply(edits_of(answer, ["x.py", "x.txt"]))
    assert time.process_time() - began < 5


@pytest.mark.parametrize("failing", [1, 2], ids=["the first", "the second"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "Ctrl-C"])
def test_all_files_of_an_answer_are_written_or_none(
    error: BaseException, failing: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.py").write_text("a = 1\n")
    workspace = Workspace(tmp_path)
    done = 0

    def rename(*args: Any, **named: Any) -> None:
        nonlocal done
        done += 1
        if done == failing:
            raise error
        os.rename(*args, **named)

    monkeypatch.setattr(os, "replace", rename)
    answer = f"file: x.py\n{T}python\na = 2\n{T}\n\nfile: deep/new.py\n{T}python\nb = 1\n{T}\n"
    with pytest.raises((ToolException, KeyboardInterrupt)):
        workspace.apply(edits_of(answer, ["x.py"]))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"x.py": "a = 1\n"}
    assert workspace.changed == []
    workspace.apply(edits_of(answer, ["x.py"]))
    assert workspace.changed == ["deep/new.py", "x.py"]
