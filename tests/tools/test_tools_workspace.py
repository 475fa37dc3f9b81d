"""The workspace: every change can be taken back, every error says what to do. Attacks: test_tools_confine.py."""

from __future__ import annotations

import asyncio
import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.tools import BaseTool, ToolException

from rheostat.errors import BadInput
from rheostat_tools import Workspace
from rheostat_tools.changes import Whole
from rheostat_tools.difference import difference
from rheostat_tools.encodings import FileText
from rheostat_tools.journal import Journal


@pytest.fixture
def root(tmp_path: Path) -> Path:
    inside = tmp_path / "inside"
    (inside / "src").mkdir(parents=True)
    (inside / "src" / "main.py").write_text("def add(a, b):\n    return a - b\n\n\nprint(add(1, 2))\n")
    (inside / "README.md").write_text("# Demo\n")
    return inside


@functools.cache
def toolbox(workspace: Workspace) -> dict[str, BaseTool]:
    return {tool.name: tool for tool in workspace.tools()}


def use(workspace: Workspace, name: str, **args: Any) -> str:
    return str(toolbox(workspace)[name].invoke(args))


def refused(workspace: Workspace, name: str, **args: Any) -> str:
    with pytest.raises(ToolException) as refusal:
        use(workspace, name, **args)
    return str(refusal.value)


def test_every_tool_declares_its_terms_and_explains_its_arguments(root: Path) -> None:
    tools = {tool.name: tool for tool in Workspace(root).tools()}
    assert list(tools) == ["list_files", "read_file", "search", "write_file", "edit_file", "undo"]
    for name, tool in tools.items():
        declared = (tool.metadata or {})["rheostat"]
        assert declared == {"usd": "0", "seconds": 5.0, "idempotent": name in ("list_files", "read_file", "search")}
        assert tool.description
        assert all(field["description"] for field in tool.args.values())


def test_reads(root: Path) -> None:
    workspace = Workspace(root)
    assert use(workspace, "list_files") == "README.md (7 bytes)\nsrc/main.py (51 bytes)"
    assert use(workspace, "list_files", path="src") == "src/main.py (51 bytes)"
    assert use(workspace, "read_file", path="src/main.py", first_line=2, lines=1) == (
        "src/main.py, 5 lines\n   2 |     return a - b\n… 3 more lines: go on with first_line=3"
    )
    assert use(workspace, "read_file", path=str(root / "README.md")) == "README.md, 1 lines\n   1 | # Demo"
    assert use(workspace, "search", text="add(") == "src/main.py:1: def add(a, b):\nsrc/main.py:5: print(add(1, 2))"
    assert use(workspace, "search", text="ADD(").startswith("not found in 2 files. 2 places differ in upper")
    assert use(workspace, "search", text="Demo", path="README.md") == "README.md:1: # Demo"


def test_async_forms(root: Path) -> None:
    async def run(tools: dict[str, BaseTool]) -> tuple[str, str]:
        wrote = await tools["write_file"].ainvoke({"path": "new.txt", "content": "a\n"})
        return wrote, await tools["read_file"].ainvoke({"path": "new.txt"})

    wrote, read = asyncio.run(run({tool.name: tool for tool in Workspace(root).tools()}))
    assert wrote == "created new.txt: 1 lines"
    assert read == "new.txt, 1 lines\n   1 | a"


def test_edit_and_diff_and_undo(root: Path) -> None:
    (root / "run.sh").write_text("echo a")
    (root / "run.sh").chmod(0o755)
    workspace = Workspace(root)
    before = tree(root)
    edited = use(workspace, "edit_file", path="src/main.py", old="a - b", new="a + b")
    assert edited == (
        "edited src/main.py at line 2. It now reads:\n   1 | def add(a, b):\n   2 |     return a + b\n"
        "   3 | \n   4 | \n   5 | print(add(1, 2))"
    )
    use(workspace, "edit_file", path="run.sh", old="a", new="b")
    use(workspace, "write_file", path="docs/deep/new.md", content="x\n")
    use(workspace, "write_file", path="empty", content="")
    assert (root / "run.sh").stat().st_mode & 0o777 == 0o755
    assert workspace.changed == ["docs/deep/new.md", "empty", "run.sh", "src/main.py"]

    again = root.parent / "again"
    again.mkdir()
    for name, (content, _) in before.items():
        (again / name).parent.mkdir(exist_ok=True)
        (again / name).write_bytes(content)
    subprocess.run(["git", "apply", "-"], input=workspace.diff().encode(), cwd=again, check=True)
    assert {name: content for name, (content, _) in tree(again).items()} == {
        name: content for name, (content, _) in tree(root).items()
    }

    for _ in range(4):
        use(workspace, "undo")
    assert tree(root) == before
    assert not (root / "docs").exists()
    assert (workspace.changed, workspace.diff()) == ([], "")
    assert refused(workspace, "undo") == "there is no change to take back"


@pytest.mark.parametrize("kind", ["long", "repeated", "every other line", "few kinds"])
def test_no_diff_takes_long(root: Path, kind: str) -> None:
    lines = {
        "long": ([n % 100 for n in range(40_000)], [*(n * 7 % 100 for n in range(40_000)), -1]),
        "repeated": ([n % 101 for n in range(9_900)], [n * 7 % 101 for n in range(9_900)]),
        "every other line": ([n for n in range(20_000)], [n if n % 2 else -n for n in range(20_000)]),
        "few kinds": (
            [n % 2 or n // 199 for n in range(9_900)],
            [n // 2 % 2 or n // 199 for n in range(9_900)],
        ),
    }[kind]
    before, after = ("".join(f"{line}\n" for line in side) for side in lines)
    (root / "long").write_text(before)
    workspace = Workspace(root)
    use(workspace, "write_file", path="long", content=after)
    began = time.process_time()
    difference = workspace.diff()
    assert time.process_time() - began < 4
    (root / "long").write_text(before)
    subprocess.run(["git", "apply", "-"], input=difference.encode(), cwd=root, check=True)
    assert (root / "long").read_text() == after


@given(st.lists(st.sampled_from("abcd"), max_size=14), st.lists(st.sampled_from("abcd"), max_size=14), st.booleans())
@settings(max_examples=20, deadline=None)
def test_git_applies_every_diff(before: list[str], after: list[str], last: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        old, new = ("\n".join(lines) + "\n" * last for lines in (before, after))
        (Path(folder) / "a b").write_text(old)
        if said := difference("a b", old.encode(), new.encode()).partition("\n")[2]:
            subprocess.run(["git", "apply", "-"], input=said.encode(), cwd=folder, check=True)
        assert (Path(folder) / "a b").read_text() == new


@pytest.mark.parametrize("way", ["edit_file", "write_file", "apply"])
def test_what_something_else_wrote_in_the_meantime_stays(way: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(root)
    replaced, whole = FileText.replaced, FileText.whole

    def late(change: Any) -> Any:
        def run(file: FileText, *args: Any) -> bytes:
            (root / "README.md").write_text("a formatter's\n")
            return bytes(change(file, *args))

        return run

    monkeypatch.setattr(FileText, "replaced", late(replaced))
    monkeypatch.setattr(FileText, "whole", late(whole))
    change: Callable[[], object] = {
        "edit_file": lambda: use(workspace, way, path="README.md", old="Demo", new="x"),
        "write_file": lambda: use(workspace, way, path="README.md", content="x\n"),
        "apply": lambda: workspace.apply([Whole("README.md", "x\n")]),
    }[way]
    with pytest.raises(ToolException, match="changed by something else in the meantime"):
        change()
    assert (root / "README.md").read_text() == "a formatter's\n"


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() != 0, reason="only root gives files away")
def test_a_file_keeps_its_owner(root: Path) -> None:
    os.chown(root / "README.md", 1234, 1235)
    use(Workspace(root), "write_file", path="README.md", content="x\n")
    found = (root / "README.md").stat()
    assert (found.st_uid, found.st_gid) == (1234, 1235)


def test_a_journal_takes_every_name_inside(tmp_path: Path) -> None:
    Journal(tmp_path / "j").keep("a..b.py", b"x")
    assert Journal(tmp_path / "j").originals == {"a..b.py": b"x"}
    Journal(tmp_path / "k").keep("a/../../b.py", b"x")
    with pytest.raises(BadInput, match="lies outside"):
        Journal(tmp_path / "k")


@pytest.mark.parametrize(
    "content", [b"\n" * 20_000_000, b"\r\n" * 10_000_000, b"a" * 20_000_000], ids=["LF", "CRLF", "one line"]
)
def test_a_huge_file_is_read_in_part_without_its_lines_in_memory(content: bytes, root: Path) -> None:
    (root / "huge").write_bytes(content)
    workspace = Workspace(root)
    began = time.process_time()
    assert len(use(workspace, "read_file", path="huge", lines=10**9)) < 10_000
    assert time.process_time() - began < 3
    assert "smaller first_line" in refused(workspace, "read_file", path="huge", first_line=10**9)


def test_undo_does_not_run_over_what_something_else_did(root: Path) -> None:
    workspace = Workspace(root)
    use(workspace, "write_file", path="README.md", content="mine\n")
    (root / "README.md").write_text("a formatter's\n")
    assert "changed since by something else" in refused(workspace, "undo")
    assert (root / "README.md").read_text() == "a formatter's\n"


def test_an_edit_must_fit_once(root: Path) -> None:
    workspace = Workspace(root)
    where = refused(workspace, "edit_file", path="src/main.py", old="add(", new="sum(")
    assert "occurs 2 times in src/main.py, at lines 1, 5" in where
    near = refused(workspace, "edit_file", path="src/main.py", old="\treturn a - b\n", new="x")
    assert "   2 |     return a - b" in near
    near = refused(workspace, "edit_file", path="src/main.py", old="    return a  + b", new="x")
    assert "   2 |     return a - b" in near
    assert "nothing would change" in refused(workspace, "edit_file", path="src/main.py", old="add", new="add")
    assert "old is empty" in refused(workspace, "edit_file", path="src/main.py", old="", new="add")
    (root / "a").write_text("aaa")
    assert "occurs 2 times" in refused(workspace, "edit_file", path="a", old="aa", new="b")
    assert workspace.changed == []


def test_windows_line_ends_stay(root: Path) -> None:
    (root / "dos.txt").write_bytes(b"one\r\ntwo\r\nthree\r\n")
    workspace = Workspace(root)
    assert use(workspace, "read_file", path="dos.txt").endswith("   1 | one\n   2 | two\n   3 | three")
    use(workspace, "edit_file", path="dos.txt", old="one\ntwo", new="1\n2")
    assert (root / "dos.txt").read_bytes() == b"1\r\n2\r\nthree\r\n"


def test_a_failed_write_leaves_the_file_as_it_was(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(root)
    before = tree(root)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert "No space left" in refused(workspace, "write_file", path="a/b/README.md", content="x")
    assert "No space left" in refused(workspace, "write_file", path="README.md", content="x")
    assert tree(root) == before
    assert not (root / "a").exists()
    assert "no change" in refused(workspace, "undo")


def test_output_stays_short(root: Path) -> None:
    for number in range(300):
        (root / "src" / f"module_{number}.py").write_text("word\n" * 20)
    (root / "long.txt").write_text("word " * 10_000 + "\n" + "line\n" * 5_000)
    workspace = Workspace(root, most_output_chars=2_000)
    listing = use(workspace, "list_files")
    assert "src/ (301 files: .py)" in listing
    assert "README.md (" in listing
    for said in (
        listing,
        use(workspace, "list_files", path="src"),
        use(workspace, "search", text="word"),
        use(workspace, "read_file", path="long.txt", lines=10_000),
        use(workspace, "edit_file", path="long.txt", old="line\nline\n" * 2_500, new="x\n" * 3_000),
    ):
        assert len(said) < 2_200
    assert "go on with first_line=" in use(workspace, "read_file", path="long.txt", lines=10_000)


def test_what_is_wrong_and_what_to_do(root: Path) -> None:
    workspace = Workspace(root)
    assert "list_files shows" in refused(workspace, "read_file", path="nope.py")
    assert "no file or directory 'nope'" in refused(workspace, "list_files", path="nope")
    assert "has only 5 lines" in refused(workspace, "read_file", path="src/main.py", first_line=6)
    assert "start at 1" in refused(workspace, "read_file", path="src/main.py", first_line=0)
    assert "one line" in refused(workspace, "search", text="a\nb")
    assert "not a directory" in refused(workspace, "list_files", path="README.md")
    for options in ({"most_file_bytes": 0}, {"most_output_chars": -1}, {"most_file_bytes": True}):
        with pytest.raises(BadInput):
            Workspace(root, **options)
    with pytest.raises(BadInput, match="is not a directory"):
        Workspace(root / "README.md")


PATHS = st.sampled_from(["README.md", "src/main.py", "new.txt", "a/b/c.txt", "a/d.txt", "src/link.py", "a", "../x"])
TEXTS = st.text(alphabet="ab\n", max_size=8)
STEPS = st.one_of(
    st.tuples(st.just("write_file"), PATHS, TEXTS, TEXTS), st.tuples(st.just("edit_file"), PATHS, TEXTS, TEXTS)
)


@settings(max_examples=60)
@given(steps=st.lists(STEPS, max_size=12))
def test_undo_gives_back_the_tree(steps: list[tuple[str, str, str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "src").mkdir()
        (root / "src" / "main.py").write_text("a\nb\nab\n")
        (root / "src" / "link.py").symlink_to("main.py")
        (root / "README.md").write_text("abc")
        (root / "README.md").chmod(0o640)
        before = tree(root)
        workspace = Workspace(root)
        done = 0
        for name, path, first, second in steps:
            args = {"content": first} if name == "write_file" else {"old": first, "new": second}
            try:
                use(workspace, name, path=path, **args)
                done += 1
            except ToolException:
                continue
        for _ in range(done):
            use(workspace, "undo")
        assert tree(root) == before
        assert workspace.changed == []
        refused(workspace, "undo")


def tree(root: Path) -> dict[str, tuple[bytes, int]]:
    """Everything below, with content and rights; links by their targets."""
    found: dict[str, tuple[bytes, int]] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = (os.readlink(path).encode(), 0)
        elif path.is_file():
            found[name] = (path.read_bytes(), path.stat().st_mode)
    return found
