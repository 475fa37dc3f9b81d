"""Whatever a file is written in, an edit changes what it is to change and not a byte more."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.tools import ToolException

from rheostat_tools import Workspace
from rheostat_tools.encodings import FileText
from rheostat_tools.ours import Ours, overview

ENCODINGS = {
    "utf-8": ("utf-8", b"", "é"), "utf-8 with mark": ("utf-8", b"\xef\xbb\xbf", "é"), "ascii": ("ascii", b"", "e"),
    "utf-16 le": ("utf-16-le", b"\xff\xfe", "é"), "utf-16 be": ("utf-16-be", b"\xfe\xff", "é"),
    "utf-16 without mark": ("utf-16-le", b"", "é"), "utf-32": ("utf-32-le", b"\xff\xfe\x00\x00", "é"),
    "latin-1": ("latin-1", b"", "é"), "windows": ("cp1252", b"", "€é"), "cookie": ("koi8-r", b"", "жук"),
}  # fmt: skip


def use(workspace: Workspace, name: str, **arguments: Any) -> str:
    return str({tool.name: tool for tool in workspace.tools()}[name].invoke(arguments))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("last", [True, False], ids=["newline at the end", "none"])
@pytest.mark.parametrize("kind", ENCODINGS)
@pytest.mark.parametrize("way", ["edit_file", "write_file"])
def test_a_file_keeps_what_it_is(kind: str, end: str, last: bool, way: str, tmp_path: Path) -> None:
    encoding, mark, letter = ENCODINGS[kind]
    cookie = "# -*- coding: koi8-r -*-\n" if kind == "cookie" else ""

    def written(text: str) -> bytes:
        return mark + (cookie + text + "\n" * last).replace("\n", end).encode(encoding)

    file = tmp_path / "a file.py"
    file.write_bytes(written(f"def f():\n\treturn '{letter}'  \nlast = 1"))
    file.chmod(0o750)
    workspace = Workspace(tmp_path)
    if way == "edit_file":
        use(workspace, way, path="a file.py", old=f"\treturn '{letter}'  \n", new=f"\tx = 2\n\treturn '{letter}'\n")
    else:
        text = f"{cookie}def f():\n\tx = 2\n\treturn '{letter}'\nlast = 1"
        use(workspace, way, path="a file.py", content=text + "\n" * (not last))
    assert file.read_bytes() == written(f"def f():\n\tx = 2\n\treturn '{letter}'\nlast = 1")
    assert file.stat().st_mode & 0o777 == 0o750
    assert letter in use(workspace, "read_file", path="a file.py")
    use(workspace, "undo")
    assert file.read_bytes() == written(f"def f():\n\treturn '{letter}'  \nlast = 1")


LINES = st.lists(st.tuples(st.text("ab é\t", max_size=4), st.sampled_from(["\n", "\r\n"])), max_size=8)


@given(LINES, st.data())
@settings(max_examples=300)
def test_lines_with_mixed_ends_that_stay_are_left_alone(lines: list[tuple[str, str]], data: st.DataObject) -> None:
    raw = "".join(line + end for line, end in lines)
    file = FileText.of("x", raw.encode())
    assert file.text == raw.replace("\r\n", "\n")
    assert file.whole(file.text) == raw.encode()
    start = data.draw(st.integers(0, len(file.text)))
    stop = data.draw(st.integers(start, len(file.text)))
    new = data.draw(st.text("xy\n", max_size=4))
    changed = file.replaced(start, stop, new).decode()
    assert changed.replace("\r\n", "\n") == file.text[:start] + new + file.text[stop:]
    kept = raw.encode().decode()
    begin = next(
        (n for n, (a, b) in enumerate(zip(kept, changed, strict=False)) if a != b), min(len(kept), len(changed))
    )
    assert len(kept[:begin].replace("\r\n", "\n").removesuffix("\r")) >= min(start, len(file.text))


def test_what_cannot_be_written_in_the_files_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("é\n".encode("latin-1"))
    with pytest.raises(ToolException, match="'好' can't be written in the file's encoding, cp1252"):
        use(Workspace(tmp_path), "edit_file", path="latin.txt", old="é", new="好")


@pytest.mark.parametrize(
    ("there", "old", "told"),
    [
        ("\tx = 1\n", "    x = 1", "old:  ····x·=·1\nfile: →x·=·1"),
        ("x = 1   \ny = 2\n", "x = 1\ny = 2", "old:  x·=·1\nfile: x·=·1···"),
        ("x\u00a0= 1\n", "x = 1", "file: x⍽=·1"),
        ("  x = 1\n", "x = 1\n  y", ""),
    ],
)
def test_differences_that_do_not_show_are_made_visible(there: str, old: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(there)
    with pytest.raises(ToolException) as refused:
        use(Workspace(tmp_path), "edit_file", path="a.py", old=old, new="z")
    assert told in str(refused.value)


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    """A repository with an environment of 200 packages, 400 fixtures, and three sources."""
    root = tmp_path / "repository"
    files = {
        "src/app/main.py": "def main(): ...\n", "src/app/util.py": "def util(): ...\n", "tests/test_main.py": "x = 1\n",
        ".gitignore": "*.log\n/out/\n!kept.log\n", "out/result.py": "x\n", "run.log": "x\n", "kept.log": "util\n",
        "sub/.gitignore": "secret.py\n", "sub/secret.py": "util\n", "node_modules/left/index.js": "util\n",
    }  # fmt: skip
    files |= {f"tests/fixtures/case_{number}.json": '{"name": "util"}\n' for number in range(400)}
    for number in range(200):
        package = f".venv/lib/python3.11/site-packages/package_{number}"
        files |= {f"{package}/__init__.py": "def util(): ...\n", f"{package}/core.py": "x = 1\n"}
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / ".venv" / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (root / "picture.png").write_bytes(b"\x89PNG")
    (root / "large.csv").write_text("util\n" * 300_000)
    return root


def test_a_crowded_repository_shows_its_sources(crowded: Path) -> None:
    workspace = Workspace(crowded)
    listing = use(workspace, "list_files").splitlines()
    assert [line.split(" (")[0] for line in listing] == [
        ".gitignore",
        "kept.log",
        "src/app/main.py",
        "src/app/util.py",
        "sub/.gitignore",
        "tests/fixtures/",
        "tests/test_main.py",
    ]
    assert "tests/fixtures/ (400 files: .json)" in listing
    found = use(workspace, "search", text="def util")
    assert found == "src/app/util.py:1: def util(): ..."
    inside = use(workspace, "list_files", path=".venv/lib/python3.11/site-packages/package_7")
    assert "package_7/core.py (6 bytes)" in inside
    assert "x = 1" in use(workspace, "read_file", path=".venv/lib/python3.11/site-packages/package_7/core.py")
    assert "util" in use(workspace, "read_file", path="sub/secret.py")
    assert "util" in use(workspace, "read_file", path="large.csv", first_line=299_990)
    assert "case_17" in use(workspace, "search", text="util", path="tests/fixtures/case_17.json")
    with pytest.raises(ToolException, match=r"\.venv is a cache or an installation"):
        use(workspace, "write_file", path=".venv/lib/python3.11/site-packages/pytest.py", content="x")


def test_ignored_as_git_does(tmp_path: Path) -> None:
    rules = {
        ".gitignore": "*.tmp\n/only_here\nbuild/\n!build/kept\ndocs/**/draft.md\n\\#odd\nspace \n[ab].py\n",
        "deep/.gitignore": "!*.tmp\n/own\n",
    }
    paths = [
        "a.tmp", "only_here", "deep/only_here", "build/x", "build/kept", "docs/a/b/draft.md", "docs/draft.md", "#odd",
        "space", "a.py", "c.py", "deep/a.tmp", "deep/own", "deep/er/own", "deep/build/x", "é.tmp", "new\tline.tmp",
    ]  # fmt: skip
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    for path, text in (rules | dict.fromkeys(paths, "")).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--others", "--exclude-standard"], cwd=tmp_path, capture_output=True, check=True
    )
    wanted = set(listed.stdout.decode().split("\0")) - {""}
    ours = Ours(str(tmp_path))
    assert {path for path in [*rules, *paths] if ours.file(path, 0)} == wanted


GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
RULES = [
    "*.log", "!keep.log", "build/", "/build", "a/*", "!a/d", "a/**", "**/b", "a/**/f.py", "[az].py",
    "\\[z\\].py", "[!a].py", "x ", "x\\ ", "x\\", "\\#h", "\\!b", "#h", "*", "!*/", "!*.py", "*/", "/*", "é.py",
    "[[:alpha:]]", "[^a]",
    "**", "***", "[", "\ufeff*.log", "*.log\r", "f.py\x0c", "f.py\x85", "f.py\u2028", "a b", " a", "!",
    "/", "a//d", "../a", "*.PY", "d/",
]  # fmt: skip
FILES = ["f.py", "z.py", "[z].py", "é.py", "b", "x", "x ", "#h", "!b", "keep.log", "t.log", "a b"]
FOLDERS = ["", "a", "a/d", "build", "x y"]


@given(st.lists(st.tuples(st.sampled_from([*FOLDERS, ".git/info"]), st.sampled_from(RULES)), max_size=6))
@settings(max_examples=15, deadline=None)
def test_what_is_ours_is_what_git_lists(rules: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        subprocess.run([*GIT, "init", "-q"], cwd=root, check=True)
        for folder in FOLDERS:
            (root / folder).mkdir(exist_ok=True)
            for name in FILES:
                (root / folder / name).touch()
        for folder, rule in rules:
            (root / folder).mkdir(exist_ok=True)
            with (root / folder / ("exclude" if "info" in folder else ".gitignore")).open("ab") as file:
                file.write(f"{rule}\n".encode())
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--others", "--cached", "--exclude-standard"],
            cwd=root,
            capture_output=True,
            check=True,
        )
        assert {path for path, _ in Workspace(root).files()} == set(listed.stdout.decode().split("\0")) - {""}


def test_ours_in_all_kinds_of_repositories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def names(root: Path) -> list[str]:
        return [path for path, _ in Workspace(root).files()]

    repository, tree = tmp_path / "repository", tmp_path / "tree"
    for path in ("part/a.py", "part/a.log", "part/kept.log", "part/out/x.py", "part/inner/y.py", "part/inner/y.tmp"):
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).touch()
    (repository / ".gitignore").write_text("*.log\nout/\n")
    for root in (repository, repository / "part" / "inner"):
        subprocess.run([*GIT, "init", "-q"], cwd=root, check=True)
    (repository / "part" / "inner" / ".gitignore").write_text("*.tmp\n")
    subprocess.run([*GIT, "add", "-f", ".gitignore", "part/kept.log"], cwd=repository, check=True)
    subprocess.run([*GIT, "commit", "-qm", "x"], cwd=repository, check=True)
    subprocess.run([*GIT, "worktree", "add", "-q", str(tree)], cwd=repository, check=True, capture_output=True)
    (tree / "new.log").touch()
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as in a hook
    inner = ["inner/.gitignore", "inner/y.py"]
    assert names(repository / "part") == ["a.py", "kept.log", *inner]  # the rules lie above; a tracked file is ours
    assert names(repository / "part" / "out") == ["x.py"]  # all of it is ignored: then git is not asked
    assert names(tree) == [".gitignore", "part/kept.log"]
    for command in ("core.fsmonitor", "core.pager", "alias.ls-files", "core.sshCommand"):
        subprocess.run(
            ["git", "config", command, f"!touch {tmp_path}/ran"], cwd=tree, check=True, env={"PATH": os.environ["PATH"]}
        )
    assert names(tree) == [".gitignore", "part/kept.log"]
    (tree / "git").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (tree / "git").chmod(0o755)
    with monkeypatch.context() as here:
        here.setenv("PATH", f".:{os.environ['PATH']}")
        assert names(tree) == [".gitignore", "git", "part/kept.log"]
    assert not (tmp_path / "ran").exists()
    with monkeypatch.context() as here:  # a git that says what it was given
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "git").write_text(f"#!/bin/sh\n/usr/bin/env > {tmp_path}/given\n")
        (tmp_path / "bin" / "git").chmod(0o755)
        here.setenv("OPENAI_API_KEY", "sk-of-nobody")
        here.setenv("PATH", str(tmp_path / "bin"))
        names(tree)
        assert "sk-of-nobody" not in (tmp_path / "given").read_text()
    monkeypatch.setenv("PATH", str(tmp_path))  # no git: the rules that can be seen
    assert names(repository / "part") == ["a.log", "a.py", "kept.log", *inner, "out/x.py"]
    assert names(repository) == [".gitignore", "part/a.py", *(f"part/{path}" for path in inner)]


@pytest.mark.parametrize("name", [".venv", "venv", "env", ".tox/py", "tools/unusual"])
def test_an_environment_is_known_by_what_it_is(name: str, tmp_path: Path) -> None:
    (tmp_path / name / "lib").mkdir(parents=True)
    (tmp_path / name / "pyvenv.cfg").touch()
    (tmp_path / name / "lib" / "x.py").write_text("needle\n")
    (tmp_path / "main.py").write_text("needle\n")
    workspace = Workspace(tmp_path)
    assert use(workspace, "list_files") == "main.py (7 bytes)"
    assert use(workspace, "search", text="needle") == "main.py:1: needle"
    assert "needle" in use(workspace, "read_file", path=f"{name}/lib/x.py")
    assert "x.py" in use(workspace, "list_files", path=name)
    with pytest.raises(ToolException, match="an installation"):
        use(workspace, "write_file", path=f"{name}/lib/x.py", content="")


@pytest.mark.parametrize("content", [b"# coding: utf-7\n+2AA-\n", b"\xff\xfe\x00\xd8a\0"], ids=["utf-7", "utf-16"])
def test_half_characters_are_no_text(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(content)
    said = ""
    try:
        said = use(Workspace(tmp_path), "read_file", path="a.py")
    except ToolException as refused:
        said = str(refused)
    assert said.encode()


@given(st.lists(st.sampled_from(["a/b", "a", "c/d/e", ""]), max_size=60), st.integers(50, 800))
@settings(max_examples=100)
def test_an_overview_leaves_nothing_out(folders: list[str], most: int) -> None:
    files = [(f"{folder}/{number}.py".lstrip("/"), number) for number, folder in enumerate(folders)]
    shown = overview(files, most_chars=most).splitlines()
    counted = sum(int(line.split("(")[1].split()[0]) if "/ (" in line else 1 for line in shown)
    assert counted == len(files)


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() == 0, reason="root may read everything")
def test_a_directory_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    assert use(Workspace(tmp_path), "list_files") == ". holds no files"
