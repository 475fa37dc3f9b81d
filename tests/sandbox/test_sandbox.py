"""What code in a sandbox can't see, write, reach or use up: with bubblewrap, and again with bare namespaces."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rheostat.cli.app import app
from rheostat.errors import BadInput, SandboxMissing
from rheostat.sandbox import (
    Ended,
    Limits,
    Running,
    Sandbox,
    Show,
    _calls,
    choose,
    kinds,
    why_not,
)

APART: list[Sandbox] = [kind for kind in ("bubblewrap", "namespaces") if why_not(kind) is None]
pytestmark = pytest.mark.skipif(not APART, reason="no sandbox on this machine: every run is refused")


@pytest.fixture(params=APART)
def kind(request: pytest.FixtureRequest) -> Sandbox:
    return request.param  # type: ignore[no-any-return]


def inside(
    source: str,
    place: Path,
    kind: Sandbox,
    *,
    seconds: float = 20,
    memory_bytes: int = 500_000_000,
    files: int = 5_000,
    shows: Sequence[Show] = (),
) -> tuple[str, Ended]:
    """What a script said in a sandbox whose workspace is `place`."""
    (place / "script.py").write_text(source)
    said: list[bytes] = []
    limits = Limits(seconds=seconds, memory_bytes=memory_bytes, files=files)
    everything = [Show(str(place), "write", str(place)), *shows]
    with Running(["python", "script.py"], everything, directory=str(place), limits=limits, sandbox=kind) as running:
        ended = running.watch(said.append)
    return b"".join(said).decode(errors="replace"), ended


SEEN = {
    "the home directory": "import os; print(os.path.exists({home!r}))",
    "another directory": "import os; print(os.path.exists({elsewhere!r}))",
    "this library": "import os; print(os.path.exists({library!r}))",
    "passwords of the system": "import os; print(os.path.exists('/etc/shadow'))",
    "the host's logs": "import os; print(os.path.exists('/var/log'))",
    "sockets of the system": "import os; print(os.path.exists('/run') or os.path.exists('/var/run'))",
    "a directory through a link": "import os; print(os.path.exists('link/secret'))",
    "processes": "import os; print(os.path.exists('/proc/{pid}'))",
    "rights of its own": "print(any(int(line.split()[1], 16) for line in open('/proc/self/status') if line[:6] in "
    "('CapInh', 'CapPrm', 'CapEff', 'CapAmb')))",
    "the environment of the first process": "print('KEY' in open('/proc/1/environ').read())",
    "its own environment": "import os; print(any('KEY' in name for name in os.environ))",
    "the memory of the first process": "open('/proc/1/mem', 'rb').read(0); print('open')",
    "its root": "import os; print(os.path.exists('/proc/1/root/etc'))",
    "the memory map of the first process": "open('/proc/1/smaps').read(); print('open')",
    "addresses of the kernel": "print(len(open('/proc/kallsyms').read()) > 0)",
    "how the host was started": "print(len(open('/proc/cmdline').read()) > 0)",
    "disks": "import os; print(any(n.startswith(('sd', 'vd', 'nvme', 'mem', 'kvm')) for n in os.listdir('/dev')))",
    "open files of ours": "import os; print([f for f in os.listdir('/proc/self/fd') if int(f) > 3] != [])",
    "temporary files": "import os; print([n for n in os.listdir('/tmp') if n not in {tops!r}] != [])",
    "files of the kernel": "import os; print(os.path.exists('/sys/kernel'))",
    "where it is": "import socket; print(socket.gethostname() == {host!r})",
}


@pytest.fixture(scope="module", params=APART)
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What came of each attempt to see something, all in one run."""
    base = tmp_path_factory.mktemp("seen")
    place, elsewhere = base / "tree", base / "elsewhere"
    place.mkdir()
    elsewhere.mkdir()
    (elsewhere / "secret").write_text("x")
    (place / "link").symlink_to(elsewhere)
    shown = (base, Path(sys.prefix), Path(sys.base_prefix))
    tops = [path.parts[2] for path in shown if path.parts[1] == "tmp"]
    values = {
        "home": str(Path.home() / ".bashrc"), "elsewhere": str(elsewhere), "library": kinds.__file__,
        "pid": os.getpid(), "host": socket.gethostname(), "tops": tops,
    }  # fmt: skip
    source = ""
    for what, code in SEEN.items():
        for name, value in values.items():
            code = code.replace(f"{{{name}!r}}", repr(value)).replace(f"{{{name}}}", str(value))  # noqa: PLW2901
        source += f"print(end={what + '='!r})\ntry:\n    {code}\nexcept OSError as error:\n    print(False)\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", "sk-secret")
        said, _ = inside(source, place, request.param)
    return dict(line.split("=", 1) for line in said.splitlines())


@pytest.mark.parametrize("what", SEEN)
def test_what_it_cannot_see(what: str, seen: dict[str, str]) -> None:
    assert seen[what] == "False"


WRITES = {
    "the system": "open('/usr/x', 'w')",
    "the root": "open('/x', 'w')",
    "settings": "open('/etc/x', 'w')",
    "the interpreter": "import sys; open(sys.prefix + '/x', 'w')",
    "a module of the interpreter": "import os; open(os.__file__, 'a')",
    "devices": "open('/dev/x', 'w')",
    "the host's handler of crashes": "open('/proc/sys/kernel/core_pattern', 'r+')",
    "the host's emergency keys": "open('/proc/sysrq-trigger', 'r+').write('-')",
    "the host's memory ranges": "open('/proc/mtrr', 'r+').write('-')",
    "its parent directory": "open('../x', 'w'); raise OSError",
    "a file through a link": "open('link', 'w'); raise OSError",
    "a file through a second name": "import os; os.link('link', 'second'); open('second', 'w'); raise OSError",
    "the owner of a file of the system": "import os; os.chmod('/usr/bin/env', 0o4777)",
    "a device of its own": "import os, stat; os.mknod('disk', 0o600 | stat.S_IFBLK, os.makedev(254, 0)); open('disk')",
    "a mount": "raise OSError(libc.mount(b'none', b'/tmp', b'tmpfs', 0, None))",
    "an unmount": "raise OSError(libc.umount2(b'/proc', 2))",
    "a mount made writable": "raise OSError(libc.mount(b'none', b'/usr', None, 32 | 4096, None))",
    "a new user namespace": "raise OSError(libc.unshare(0x10000000))",
    "a look into the first process": "raise OSError(libc.ptrace(16, 1, 0, 0))",
    "another user": "import os; os.setuid(12345)",
    "the name of the host": "import socket; socket.sethostname('x')",
    "the clock": "import time; time.clock_settime(0, 0)",
    "priority": "import os; os.nice(-20)",
    "a lease on a file of the host": "import fcntl; fcntl.fcntl(os.open('/usr/bin/env', 0), fcntl.F_SETLEASE, 1)",
    "a socket to the machine around it": "import socket; socket.socket(40)",
}


@pytest.fixture(scope="module", params=APART)
def changed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What came of each attempt to change something, all in one run, each in a process of its own."""
    base = tmp_path_factory.mktemp("changed")
    place = base / "tree"
    place.mkdir()
    (base / "kept").write_text("kept")
    (place / "link").symlink_to(base / "kept")
    source = "import ctypes, os\nlibc = ctypes.CDLL(None)\n"
    for what, code in WRITES.items():
        source += (
            f"if os.fork() == 0:\n    try:\n        {code}\n    except OSError as error:\n"
            f"        said = 'refused' if error.args != (0,) else 'done'\n    else:\n        said = 'done'\n"
            f"    print({what + '='!r} + said, flush=True)\n    os._exit(0)\nos.wait()\n"
        )
    said, _ = inside(source, place, request.param)
    assert (base / "kept").read_text() == "kept"
    assert sorted(os.listdir(base)) == ["kept", "tree"]
    return dict(line.split("=", 1) for line in said.splitlines())


@pytest.mark.parametrize("what", WRITES)
def test_what_it_cannot_change(what: str, changed: dict[str, str]) -> None:
    assert changed[what] == "refused"


def test_no_network_but_a_loopback_of_its_own(kind: Sandbox, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as ours, socket.socket(socket.AF_UNIX) as abstract:
        name = f"\0rheostat-{os.getpid()}-{kind}"
        abstract.bind(name)
        abstract.listen()
        said, _ = inside(
            "import socket\ndef tried(kind, address):\n    try:\n        with socket.socket(kind) as s:\n"
            "            s.settimeout(3)\n            s.connect(address)\n        print('reached')\n"
            "    except OSError as error:\n        print('refused')\n"
            f"tried(socket.AF_INET, {ours.getsockname()!r})\n"
            "tried(socket.AF_INET, ('192.0.2.1', 80))\n"
            f"tried(socket.AF_UNIX, {name!r})\n"
            "server = socket.create_server(('127.0.0.1', 0))\ntried(socket.AF_INET, server.getsockname())\n",
            tmp_path,
            kind,
        )
    assert said.split() == ["refused", "refused", "refused", "reached"]


SHARED = """
import ctypes, mmap, os, time
libc = ctypes.CDLL(None)
def shared(size):
    memory = mmap.mmap(-1, size)
    for at in range(0, size, 4096): memory[at] = 1
    return memory
"""
COUNTABLE = os.uname().machine in ("x86_64", "aarch64")

USES = {
    "memory of one": ("bytearray(2 * 10**9)", "MemoryError"),
    "memory of many": (
        "import os, time\nfor _ in range(8):\n    if os.fork() == 0:\n        x = bytearray(os.urandom(1)) * 10**8\n"
        "        time.sleep(60)\ntime.sleep(60)",
        "hold more than",
    ),
    "files in memory": (
        "for n in range(40):\n    with open(f'/tmp/{n}', 'wb') as f: f.write(bytes(10**7))",
        "No space left",
    ),
    "shared memory": ("f = open('/dev/shm/x', 'wb')\nfor _ in range(400): f.write(bytes(10**6))", "No space left"),
    "memory shared by many": (
        f"{SHARED}for _ in range(8):\n    if os.fork() == 0:\n        kept = shared(10**8)\n        time.sleep(60)\n"
        "time.sleep(60)",
        "hold more than",
    ),
    "memory shared by many that hide": (
        f"{SHARED}for _ in range(8):\n    if os.fork() == 0:\n        libc.prctl(4, 0, 0, 0, 0)\n"
        "        kept = shared(10**8)\n        time.sleep(60)\ntime.sleep(60)",
        "hold more than",
    ),
    "shared memory that shows in no process": (
        f"{SHARED}kept = []\nfor _ in range(15):\n    kept.append(shared(10**8))\n    kept[-1].resize(4096)\n"
        "time.sleep(60)",
        "hold more than",
    ),
    "shared memory under another name, dropped": (
        f"{SHARED}kept = []\nfor _ in range(15):\n    kept.append(memory := shared(10**8))\n"
        "    at = ctypes.addressof(ctypes.c_char.from_buffer(memory))\n"
        "    libc.prctl(0x53564d41, 0, ctypes.c_ulong(at), ctypes.c_ulong(10**8), b'x')\n"
        "    libc.munmap(ctypes.c_ulong(at), ctypes.c_ulong(99_000_320))\ntime.sleep(60)",
        "hold more than",
    ),
    "segments of System V": (
        f"{SHARED}libc.shmat.restype = ctypes.c_void_p\nfor _ in range(8):\n"
        "    number = libc.shmget(0, ctypes.c_ulong(10**8), 0o600)\n    at = libc.shmat(number, None, 0)\n"
        "    ctypes.memset(at, 1, 10**8)\n    libc.shmdt(ctypes.c_void_p(at))\ntime.sleep(60)",
        "hold more than",
    ),
    "buffers of sockets": (
        "import os, socket, time\nfor _ in range(20):\n    if os.fork() == 0:\n"
        "        kept = [socket.socketpair() for _ in range(400)]\n        time.sleep(60)\ntime.sleep(60)",
        "hold more than",
    ),
    "buffers of sockets that no process has open": (
        "import array, os, socket, time\ntop, far = socket.socketpair()\nfor _ in range(3_000):\n"
        "    a, b = socket.socketpair()\n    socket.send_fds(a, [b'x'], [top.fileno()])\n    top = b\ntime.sleep(60)",
        "hold more than|Too many references",
    ),
    "memory that takes long to count": (
        f"{SHARED}libc.mmap.restype = ctypes.c_void_p\n"
        "at = libc.mmap(None, ctypes.c_ulong(16 * 10**7), 3, 0x22, -1, 0)\n"
        "for n in range(19_000): libc.mprotect(ctypes.c_void_p(at + 8192 * n), ctypes.c_ulong(4096), 1)\n"
        "for _ in range(6):\n    if os.fork() == 0:\n        kept = shared(6 * 10**7)\n        time.sleep(60)\n"
        "time.sleep(60)",
        "hold more than",
    ),
    "attributes of files in memory": (
        "import os, time\nfor n in range(10**4):\n    open(f'/tmp/{n}', 'w').close()\n"
        "    for k in range(8): os.setxattr(f'/tmp/{n}', f'user.{k}', bytes(60_000))\n",
        "more than 5,000 files and folders|hold more than|not supported|No space",
    ),
    "threads": (
        "import ctypes, time\nlibc = ctypes.CDLL(None)\nstacks = ctypes.create_string_buffer(4096 * 20_000)\n"
        "top, pause = ctypes.addressof(stacks) + 4096 & ~15, ctypes.cast(libc.pause, ctypes.c_void_p)\n"
        "for n in range(19_000): assert libc.clone(pause, ctypes.c_void_p(top + 4096 * n), 0x50F00, None) > 0\n"
        "time.sleep(60)",
        "more than 1,024 threads|AssertionError",
    ),
    "files in the workspace": (
        "for n in range(10**6): open(f'f{n}', 'w').close()",
        "more than 5,000 files and folders",
    ),
    "folders in memory": (
        "import os\nfor n in range(10**6): os.mkdir(f'/tmp/{n}')",
        "more than 5,000 files and folders",
    ),
    "one large file": ("import os\nos.truncate(os.open('big', os.O_CREAT | os.O_RDWR), 10**9)", "File too large"),
    "open files": ("files = [open('/dev/null') for _ in range(3000)]", "Too many open files"),
    "processes": (
        "import os, time\nfor _ in range(300):\n    if os.fork() == 0: time.sleep(60)\ntime.sleep(60)",
        "more than 128 processes|Resource temporarily unavailable",
    ),
}


@pytest.mark.parametrize("what", USES)
def test_what_it_cannot_use_up(what: str, kind: Sandbox, tmp_path: Path) -> None:
    source, said_so = USES[what]
    memory = 3_000_000_000 if what == "processes" else 300_000_000  # else memory may be used up before processes are
    said, ended = inside(source, tmp_path, kind, memory_bytes=memory)
    assert re.search(said_so, said)
    assert ended.exit_code != 0


def test_files_that_others_make_do_not_count(kind: Sandbox, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()

    def make() -> None:
        for number in range(3_000):
            (tmp_path / f"another{number}").touch()

    others = threading.Thread(target=make)
    others.start()
    said, ended = inside("import time\ntime.sleep(1.5)\nprint('done')", place, kind, files=1_000)
    others.join()
    assert (said, ended.exit_code) == ("done\n", 0)


@pytest.mark.skipif(not COUNTABLE, reason="only where the numbers of these calls are known")
def test_memory_that_could_not_be_counted_is_refused(kind: Sandbox, tmp_path: Path) -> None:
    """Files without a place, queues of System V, pages that only a pipe knows: as if the kernel didn't have them."""
    numbers = {
        each[os.uname().machine == "aarch64"] for name, each in _calls._NUMBERS.items() if name in _calls._REFUSED
    }
    said, _ = inside(
        "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "for call, words in (('memfd_create', (b'x', 0)), ('msgget', (0, 0o600)), ('semget', (0, 1, 0o600)),\n"
        "                    ('vmsplice', (1, None, 0, 0))):\n"
        "    print(call, getattr(libc, call)(*words), os.strerror(ctypes.get_errno()))\n"
        f"for number in {sorted(numbers)}:\n"
        "    print(libc.syscall(number, 0), os.strerror(ctypes.get_errno()))\n",
        tmp_path,
        kind,
    )
    assert len(said.splitlines()) == 4 + len(numbers)
    assert all(line.endswith("-1 Function not implemented") for line in said.splitlines())


@pytest.mark.parametrize("hidden", [False, True])
def test_memory_that_several_share_counts_once(hidden: bool, kind: Sandbox, tmp_path: Path) -> None:
    said, ended = inside(
        f"{SHARED}memory = shared(3 * 10**8)\nfor _ in range(5):\n    if os.fork() == 0:\n"
        f"        if {hidden}: libc.prctl(4, 0, 0, 0, 0)\n"
        "        sum(memory[at] for at in range(0, 3 * 10**8, 4096))\n        time.sleep(0.5)\n        os._exit(0)\n"
        "for _ in range(5): os.wait()\nprint('done')\n",
        tmp_path,
        kind,
        memory_bytes=10**9,
    )
    assert (said, ended.exit_code) == ("done\n", 0)


def test_hundreds_of_shows_and_none_of_their_places_is_told(kind: Sandbox, tmp_path: Path) -> None:
    place, secret = tmp_path / "tree", tmp_path / "where-it-lies"
    for folder in (place, secret):
        folder.mkdir()
    shows = []
    for number in range(600):
        (secret / f"{number}.py").write_text(str(number))
        shows.append(Show(f"{place}/tests/{'long' * 20}/{number}.py", "read", f"{secret}/{number}.py"))
    said, ended = inside(
        "import glob, os\nprint(sum(int(open(path).read()) for path in glob.glob('tests/*/*.py')))\n"
        "try: open(glob.glob('tests/*/*.py')[0], 'w')\nexcept OSError as error: print('refused')\n"
        "told = ''\nfor path in (*glob.glob('/proc/*/cmdline'), *glob.glob('/proc/*/environ')):\n"
        "    try: told += open(path).read()\n    except PermissionError: pass\n"
        "print('python' in told, 'where-it-lies' in told, 'rheostat-run' in told)\n"
        "print(os.listdir('/proc/self/fd'))\n",
        place,
        kind,
        shows=shows,
    )
    assert said.splitlines() == [str(sum(range(600))), "refused", "True False False", "['0', '1', '2', '3']"]
    assert ended.exit_code == 0


def test_what_is_read_only_may_have_any_name(kind: Sandbox, tmp_path: Path) -> None:
    place = tmp_path / "tree"
    place.mkdir()
    names = ["jürgen", "with space", "back\\slash", "tab\t", "new\nline", "\udcff", "octal\\040"]
    for name in names:
        (tmp_path / name).mkdir()
    shows = [Show(str(tmp_path / name), "read", str(tmp_path / name)) for name in names]
    said, _ = inside(
        f"for name in {names!r}:\n    try: open('../' + name + '/x', 'w')\n"
        "    except OSError as error: print(error.strerror)\n",
        place,
        kind,
        shows=shows,
    )
    assert said.splitlines() == ["Read-only file system"] * len(names)


SLOW = {
    "a loop": "while True: pass",
    "a sleep": "import time\ntime.sleep(60)",
    "a sleeping loop of events": "import asyncio\nasyncio.run(asyncio.sleep(60))",
    "signals ignored": "import signal, time\nfor n in range(1, 65):\n"
    "    try: signal.signal(n, signal.SIG_IGN)\n"
    "    except (OSError, ValueError): pass\nwhile True: time.sleep(1)",
    "an orphan": "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
    "        time.sleep(60)\n    os._exit(0)\ntime.sleep(60)",
    "a stopped first process": "import os, signal, time\n"
    "os.kill(1, signal.SIGSTOP)\nos.kill(1, signal.SIGKILL)\ntime.sleep(60)",
}


@pytest.mark.parametrize("what", SLOW)
def test_the_time_limit_holds(what: str, kind: Sandbox, tmp_path: Path) -> None:
    began = time.monotonic()
    _, ended = inside(SLOW[what], tmp_path, kind, seconds=0.5)
    assert ended.exit_code is None
    assert time.monotonic() - began < 6
    shown = subprocess.run(["ps", "ax", "-o", "args"], capture_output=True, text=True, check=False).stdout
    assert str(tmp_path) not in shown


def test_nothing_outlives_a_run(kind: Sandbox, tmp_path: Path) -> None:
    """It leaves the session, closes its output, and is orphaned; the run ends before it."""
    inside(
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n"
        "    if os.fork() == 0:\n        os.closerange(0, 3)\n"
        "        while True:\n            open('alive', 'a').write('.')\n            time.sleep(0.02)\n"
        "    os._exit(0)\ntime.sleep(0.3)\n",
        tmp_path,
        kind,
    )
    size = (tmp_path / "alive").stat().st_size
    assert size > 0
    time.sleep(0.2)
    assert (tmp_path / "alive").stat().st_size == size


def test_nothing_outlives_a_run_that_is_stopped(kind: Sandbox, tmp_path: Path) -> None:
    """Else they would still write while what they left is read and removed."""
    source = (
        "import os, time\nfor _ in range(60):\n    if os.fork() == 0:\n        os.setsid()\n"
        "        kept = bytearray(4 * 10**6)\n        while True: pass\ntime.sleep(60)\n"
    )
    inside(source, tmp_path, kind, seconds=0.8)
    left = []
    for at in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            left += [at] * (os.readlink(at) == str(tmp_path))
    assert left == []


def test_sockets_and_larger_buffers_are_had_as_usual(kind: Sandbox, tmp_path: Path) -> None:
    said, ended = inside(
        "import asyncio, socket\npairs = [socket.socketpair() for _ in range(100)]\n"
        "for a, b in pairs: a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)\n"
        "a.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\nprint(socket.if_nameindex())\n"
        "async def main():\n    async def serve(r, w): w.write(await r.readline()); w.close()\n"
        "    server = await asyncio.start_server(serve, 'localhost', 0)\n"
        "    r, w = await asyncio.open_connection('localhost', server.sockets[0].getsockname()[1])\n"
        "    w.write(b'heard\\n'); print(await r.read())\nasyncio.run(main())\n",
        tmp_path,
        kind,
    )
    assert said.splitlines() == ["[(1, 'lo')]", "b'heard\\n'"]
    assert ended.exit_code == 0


def test_output_has_a_limit(kind: Sandbox, tmp_path: Path) -> None:
    limits = Limits(seconds=20, output_bytes=1_000_000)
    command = ["python", "-c", "import os\nwhile True: os.write(1, b'x' * 100_000)"]
    with Running(command, [], directory="/", limits=limits, sandbox=kind) as running:
        ended = running.watch(lambda output: None)
    assert (ended.exit_code, ended.too_much) == (None, True)


def test_without_any_sandbox_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "why_not", lambda kind: f"no {kind} here")
    with pytest.raises(SandboxMissing, match=r"no bubblewrap here.*no namespaces here.*bubblewrap") as told:
        choose()
    assert 'sandbox="none"' in str(told.value)
    assert choose("none") == "none"
    with pytest.raises(BadInput, match="not 'docker'"):
        choose("docker")  # type: ignore[arg-type]


def test_a_kind_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if not hasattr(why_not, "__wrapped__"):
        pytest.skip("RHEOSTAT_SECOND_BEST puts another in its place")
    assert "apt install bubblewrap" in str(why_not.__wrapped__("bubblewrap"))
    assert "isn't installed" in str(why_not.__wrapped__("namespaces"))


def test_a_program_of_another_virtual_environment_is_shown_with_it(kind: Sandbox, tmp_path: Path) -> None:
    other, place = tmp_path / "other", tmp_path / "tree"
    place.mkdir()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(other)], check=True)
    said: list[bytes] = []
    command = [str(other / "bin" / "python"), "-c", "import sys; print(sys.prefix)"]
    shows = [Show(str(place), "write", str(place))]
    with Running(command, shows, directory=str(place), limits=Limits(), sandbox=kind) as running:
        ended = running.watch(said.append)
    assert (b"".join(said).decode().strip(), ended.exit_code) == (str(other), 0)


def test_the_settings_of_an_environment_show_nothing_but_a_python(kind: Sandbox, tmp_path: Path) -> None:
    """A repository brings its own `pyvenv.cfg`, which may name any folder of the host."""
    place, secret = tmp_path / "tree", tmp_path / "secret"
    (place / ".venv" / "bin").mkdir(parents=True)
    (secret / "bin").mkdir(parents=True)
    for name in ("python", "python3"):
        (place / ".venv" / "bin" / name).symlink_to("/usr/bin/env")
        (secret / "bin" / name).symlink_to("/usr/bin/env")
    (place / ".venv" / "pyvenv.cfg").write_text(f"home = {secret}/bin\n")
    said: list[bytes] = []
    command = [str(place / ".venv" / "bin" / "python"), "ls", str(place), str(secret)]
    shows = [Show(str(place), "write", str(place))]
    with Running(command, shows, directory=str(place), limits=Limits(), sandbox=kind) as running:
        running.watch(said.append)
    assert "No such file" in b"".join(said).decode()
    assert f"{place}:" in b"".join(said).decode()


def test_a_sandbox_is_not_taken_from_the_current_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("bwrap", "unshare"):
        (tmp_path / name).write_text("#!/bin/sh\ntouch executed\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f".::{os.environ['PATH']}")
    for each in APART:
        inside("", tmp_path, each)
    assert not (tmp_path / "executed").exists()


def test_doctor_shows_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-of-the-test")
    shown = CliRunner().invoke(app, ["doctor"])
    assert shown.exit_code == 0
    assert f"{choose()} runs the code that a model wrote" in " ".join(shown.output.split())
    assert "sk-secret" not in shown.output
    rows = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).output)
    assert {row["what"] for row in rows} >= {"sandbox", "  bubblewrap", "  namespaces", "OPENAI_API_KEY"}
    monkeypatch.setattr(kinds, "why_not", lambda kind: f"no {kind} here")
    refused = CliRunner().invoke(app, ["doctor"])
    assert refused.exit_code == 1
    assert "isn't run here without a sandbox" in " ".join(refused.output.split())
