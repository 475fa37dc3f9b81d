"""What hostile code leaves behind is removed, whatever it is, and nothing beside it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from rheostat.sandbox import Limits, Running, Sandbox, Show, remove, temporary_directory, why_not

APART: list[Sandbox] = [kind for kind in ("bubblewrap", "namespaces") if why_not(kind) is None]
_NESTED = "for n in range({depth}):\n    os.mkdir({name!r})\n    os.chdir({name!r})\n    open('file', 'w').close()\n"

LEFT = {
    "many nested folders": _NESTED.format(depth=1_500, name="a"),
    "a path longer than a path may be": _NESTED.format(depth=60, name="long" * 60),
    "folders that nobody may read": f"{_NESTED.format(depth=20, name='a')}"
    "for n in range(20):\n    os.chdir('..')\n    os.chmod('a', 0)\nos.chmod('.', 0)\n",
    "files that nobody may write": "open('f', 'w').close()\nos.chmod('f', 0)\nos.chmod('.', 0o500)\n",
    "links": "os.mkdir('d')\nfor at in ('l', 'd/l'):\n    os.symlink({outside!r}, at)\nos.symlink('.', 'd/self')\n"
    "os.symlink({outside!r} + '/kept', 'd/file')\n",
    "names like those of its removal": "for n in range(30): os.makedirs(f'{{n}}/{{n + 1}}/{{n + 2}}')\n",
    "names that are no text": "for n in (b'\\xff', b'new\\nline', b'-rf', b'\\\\', b' '): os.makedirs(n + b'/' + n)\n",
    "pipes and sockets": "import socket\nos.mkfifo('pipe')\nsocket.socket(socket.AF_UNIX).bind('socket')\n",
    "many files": "for n in range(3_000): open(str(n), 'w').close()\n",
}


def _left_in(place: str, code: str, kind: Sandbox) -> None:
    shows = [Show("/home/code", "write", place)]
    command = ["python", "-c", f"import os\n{code}print('done')"]
    with Running(command, shows, directory="/home/code", limits=Limits(seconds=20), sandbox=kind) as running:
        said: list[bytes] = []
        running.watch(said.append)
    assert b"".join(said) == b"done\n"


@pytest.mark.skipif(not APART, reason="no sandbox on this machine")
@pytest.mark.parametrize("kind", APART)
@pytest.mark.parametrize("what", LEFT)
def test_what_a_run_left_is_removed(what: str, kind: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside, scratch = tmp_path / "outside", tmp_path / "scratch"
    (outside / "folder").mkdir(parents=True)
    (outside / "kept").write_text("kept")
    scratch.mkdir()
    outside.chmod(0o750)
    mode = outside.stat().st_mode
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    code = LEFT[what].replace("{outside!r}", repr(str(outside))).replace("{{", "{").replace("}}", "}")
    with temporary_directory("rheostat-tree-") as place:
        _left_in(place, code, kind)
    assert os.listdir(scratch) == []
    assert (outside / "kept").read_text() == "kept"
    assert (outside / "folder").is_dir()
    assert outside.stat().st_mode == mode


def test_it_needs_no_rights_of_root() -> None:
    """Root reads folders that nobody may read: so a child does it that is another user."""
    base = tempfile.mkdtemp(dir="/tmp")
    child = os.fork()
    if child == 0:
        left = True
        try:
            if os.getuid() == 0:
                os.chown(base, 12345, 12345)
                os.setgid(12345)
                os.setuid(12345)
            os.mkdir(f"{base}/place")
            os.chdir(f"{base}/place")
            exec(LEFT["folders that nobody may read"], {"os": os})  # noqa: S102 - what stands above
            os.chdir("/")
            remove(f"{base}/place")
            left = os.listdir(base) != []
        finally:
            os._exit(left)
    assert os.waitpid(child, 0)[1] == 0
    os.rmdir(base)


def test_removing_what_is_not_there_or_no_folder_is_no_error(tmp_path: Path) -> None:
    remove(str(tmp_path / "none"))
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    remove(str(tmp_path / "link"))
    assert os.listdir(tmp_path) == ["kept"]


def test_it_is_removed_when_the_work_in_it_fails() -> None:
    with pytest.raises(ZeroDivisionError), temporary_directory("rheostat-tree-") as place:
        raise ZeroDivisionError
    assert not os.path.exists(place)


def test_elsewhere_it_is_removed_as_python_does_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "supports_dir_fd", frozenset())
    (tmp_path / "a" / "b").mkdir(parents=True)
    remove(str(tmp_path / "a"))
    assert os.listdir(tmp_path) == []
