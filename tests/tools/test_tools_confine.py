"""Nothing outside of a workspace is reached, and nothing that is no text."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import threading
import unicodedata
from pathlib import Path

import pytest
from langchain_core.tools import ToolException

from rheostat_tools import Workspace
from rheostat_tools.confine import ConfinedDirectory
from test_tools_workspace import refused, tree, use


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace, and a secret beside it."""
    inside = tmp_path / "inside"
    (inside / "src").mkdir(parents=True)
    (inside / "src" / "main.py").write_text("def add(a, b):\n    return a - b\n\n\nprint(add(1, 2))\n")
    (inside / "README.md").write_text("# Demo\n")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.txt").write_text("sk-secret")
    return inside


@pytest.mark.parametrize(
    "path",
    [
        "../outside/secret.txt",
        "src/../../outside/secret.txt",
        "{outside}/secret.txt",
        "/etc/passwd",
        "../inside2",
        "..",
        "link",
        "folder/secret.txt",
        "folder/new/deep.txt",
        "folder/../secret.txt",
        "src/chain/secret.txt",
        "dangling",
        "a\0b",
        ".git/hooks/pre-commit",
        "src/.GIT/config",
        "to_git/config",
        "__pycache__/main.pyc",
        "/".join("d" * 50),
        "\ud800",
        "n" * 5_000,
        "/".join(["d" * 200] * 6),
        "../" * 2_000 + "etc/passwd",
    ],
)
def test_no_way_out(root: Path, path: str) -> None:
    workspace = Workspace(root)
    outside = root.parent / "outside"
    (root / ".git").mkdir()
    (root / "link").symlink_to(outside / "secret.txt")  # made after construction
    (root / "folder").symlink_to(outside, target_is_directory=True)
    (root / "src" / "chain").symlink_to("../folder", target_is_directory=True)
    (root / "dangling").symlink_to(outside / "not yet")
    (root / "to_git").symlink_to(".git", target_is_directory=True)
    path = path.format(outside=outside)
    before = tree(root.parent)
    for name, args in {
        "read_file": {},
        "list_files": {},
        "search": {"text": "sk-"},
        "write_file": {"content": "x"},
        "edit_file": {"old": "sk-secret", "new": "x"},
    }.items():
        said = refused(workspace, name, path=path, **args)
        assert "sk-secret" not in said
        assert len(said) < 1_500
    assert tree(root.parent) == before


def test_links_inside_work_and_those_that_lead_out_are_not_listed(root: Path) -> None:
    (root / "short").symlink_to("src", target_is_directory=True)
    (root / "out").symlink_to(root.parent / "outside", target_is_directory=True)
    (root / "loop").symlink_to("loop")
    workspace = Workspace(root)
    use(workspace, "edit_file", path="short/main.py", old="a - b", new="a + b")
    assert workspace.changed == ["src/main.py"]
    assert (root / "short").is_symlink()
    assert use(workspace, "list_files") == "README.md (7 bytes)\nsrc/main.py (51 bytes)"
    assert use(workspace, "search", text="sk-secret").startswith("not found")
    refused(workspace, "read_file", path="loop")


@pytest.mark.parametrize(
    "path",
    [
        "new.py ", " new.py", "new.py.", "a\nb.py", "a\tb.py", "\x1b[2J.py", "a\u202eb.py", "a\u200cb.py",
        "a\u00a0b.py", "src\\new.py", "C:\\new.py", ".git./config", ".git /config", ".g\u200cit/config",
        "\udcff.py", "x /new.py",
        ".mypy_cache/x", ".tox/x", ".eggs/x", "deep/.hypothesis/x", "node_modules/x", "Node_Modules/x", ".VENV/x",
        ".HG/hgrc", "src/pyvenv.cfg", "src/PyVenv.cfg",
    ],
)  # fmt: skip
def test_names_that_mislead_and_places_of_others_are_not_written(root: Path, path: str) -> None:
    before = tree(root)
    workspace = Workspace(root)
    said = refused(workspace, "write_file", path=path, content="x\n")
    assert said.isprintable()
    assert tree(root) == before


@pytest.mark.parametrize(
    "name",
    [
        "new.py",
        "a b.py",
        "é.py",
        "日本.py",
        "a(1)[2].py",
        "a'b.py",
        'a"b.py',
        "~a.py",
        "%2e.py",
        "🙂.py",
        ".env.sample",
    ],
)
def test_honest_names_are_written(root: Path, name: str) -> None:
    workspace = Workspace(root)
    use(workspace, "write_file", path=f"src/{name}", content="x = 1\n")
    assert workspace.changed == [f"src/{name}"]
    assert f"src/{name} (6 bytes)" in use(workspace, "list_files")


@pytest.mark.parametrize("name", ["a\nREADME.md", "\x1b[2J", "\u202e.py", "\udcff.py", "a\u00a0b"])
def test_odd_names_that_are_there_are_shown_in_one_line_and_can_be_read(root: Path, name: str) -> None:
    (root / name).write_text("needle\n")
    workspace = Workspace(root)
    for said in (use(workspace, "list_files"), use(workspace, "search", text="needle")):
        odd = [line for line in said.split("\n") if line.startswith('"')]
        assert len(odd) == 1
        assert said.replace("\n", "").isprintable()
        assert use(workspace, "read_file", path=json.loads(odd[0][: odd[0].rindex('"') + 1])).endswith("needle")
    use(workspace, "edit_file", path=name, old="needle", new="other")
    assert (
        subprocess.run(["git", "apply", "-R", "-"], input=workspace.diff().encode(), cwd=root, check=False).returncode
        == 0
    )
    assert (root / name).read_text() == "needle\n"


def test_the_other_way_to_write_an_accent_is_the_same_file(root: Path) -> None:
    (root / unicodedata.normalize("NFD", "é")).mkdir()
    (root / unicodedata.normalize("NFD", "é/ü.py")).write_text("x = 1\n")
    workspace = Workspace(root)
    assert "x = 1" in use(workspace, "read_file", path="é/ü.py")
    use(workspace, "write_file", path="é/ü.py", content="x = 2\n")
    assert workspace.changed == [unicodedata.normalize("NFD", "é/ü.py")]
    assert len(list(root.rglob("*.py"))) == 2


def test_a_link_that_appears_between_check_and_access(root: Path) -> None:
    files = ConfinedDirectory(root, most_file_bytes=100)
    name = files.locate("src/main.py")
    shutil.move(root / "src", root / "was")
    (root / "src").symlink_to(root.parent / "outside", target_is_directory=True)
    (root.parent / "outside" / "main.py").write_text("sk-secret")
    with pytest.raises(ToolException, match="not a directory"):
        files.read(name)
    with pytest.raises(ToolException, match="not a directory"):
        files.write({name: b"x"})
    (root / "last").symlink_to(root.parent / "outside" / "secret.txt")
    with pytest.raises(ToolException, match="became a link"):
        files.read("last")
    with pytest.raises(ToolException, match="became a link"):
        files.write({"last": b"x"})
    assert (root.parent / "outside" / "main.py").read_text() == "sk-secret"


def test_a_race_of_links_never_gets_out(root: Path) -> None:
    workspace = Workspace(root)
    (root / "real").mkdir()
    (root / "real" / "secret.txt").write_text("harmless")
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            for target in (root.parent / "outside", root / "real"):
                (root / "next").symlink_to(target, target_is_directory=True)
                os.replace(root / "next", root / "swapped")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(300):
            try:
                assert "sk-secret" not in use(workspace, "read_file", path="swapped/secret.txt")
            except ToolException as error:
                assert "sk-secret" not in str(error)
            try:
                use(workspace, "write_file", path="swapped/secret.txt", content="harmless")
            except ToolException:
                continue
    finally:
        over.set()
        thread.join()
    assert (root.parent / "outside" / "secret.txt").read_text() == "sk-secret"


def test_binary_huge_and_special_files(root: Path) -> None:
    (root / "image.png").write_bytes(b"\x89PNG\0\1")
    (root / "odd.txt").write_bytes(b"\xff\x01\x02")
    with (root / "huge.log").open("wb") as file:
        file.truncate(10**10)
    os.mkfifo(root / "pipe")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(os.path.relpath(root / "socket"))
    listening.close()
    workspace = Workspace(root, most_file_bytes=1_000)
    for path in ("image.png", "odd.txt"):
        assert "only text" in refused(workspace, "read_file", path=path)
        assert "only text" in refused(workspace, "edit_file", path=path, old="a", new="b")
    assert "above the limit of 100,000,000" in refused(workspace, "read_file", path="huge.log")
    assert "above the limit" in refused(workspace, "write_file", path="huge.log", content="x")
    for special in ("pipe", "socket"):
        assert "no regular file" in refused(workspace, "read_file", path=special)
        assert "no regular file" in refused(workspace, "write_file", path=special, content="x")
    assert "is a directory" in refused(workspace, "read_file", path="src")
    assert "is a directory" in refused(workspace, "write_file", path="src", content="")
    assert "not a directory" in refused(workspace, "write_file", path="README.md/x", content="")
    assert "Split it" in refused(workspace, "write_file", path="new", content="é" * 501)
    assert "NUL" in refused(workspace, "write_file", path="new", content="a\0")
    assert "UTF-8" in refused(workspace, "write_file", path="new", content="\ud800")
    assert "File name too long" in refused(workspace, "write_file", path="deep/" + "n" * 300, content="")
    assert use(workspace, "search", text="PNG") == "not found in 2 files. 1 files were skipped: too large, or no text."
    assert not (root / "deep").exists()
    assert not [name for name in os.listdir(root) if name.endswith(".tmp")]
    assert workspace.changed == []
