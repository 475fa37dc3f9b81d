"""The test runner: what it says, what the tests can't do, and that nothing outlives a run."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import ToolException

from rheostat.errors import BadInput, SandboxMissing
from rheostat.sandbox import Sandbox, kinds, why_not
from rheostat_tools import test_runner
from rheostat_tools.report import Report

PYTEST = ("python", "-m", "pytest", "-q", "-x", "--disable-plugin-autoload")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


KINDS: list[Sandbox] = [*(kind for kind in ("bubblewrap", "namespaces") if why_not(kind) is None), "none"]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Sandbox:
    return request.param  # type: ignore[no-any-return]


def script(
    root: Path, source: str, kind: Sandbox = "auto", *, seconds: float = 5, memory_bytes: int = 500_000_000
) -> tuple[str, Any]:
    """Run the source as the fixed command."""
    (root / "script.py").write_text(source)
    tool = test_runner(root, command=("python", "script.py"), seconds=seconds, memory_bytes=memory_bytes, sandbox=kind)
    return message(tool.invoke(CALL))


OWN_WORD = "NOT PROVEN (exit code 0): only the command says that it passed"
CALL = {"type": "tool_call", "id": "1", "name": "run_tests", "args": {}}


def message(reply: ToolMessage) -> tuple[str, Any]:
    return str(reply.content), reply.artifact


def test_pytest_that_fails_and_passes(tmp_path: Path) -> None:
    tests = tmp_path / "test_sum.py"
    tests.write_text(
        "def add(a, b):\n    return a - b\n\n\ndef test_ok():\n    pass\n\n\ndef test_add():\n"
        "    print('noise\\n' * 1000)\n    assert add(1, 2) == 3\n"
    )
    tool = test_runner(tmp_path, command=PYTEST)
    said, artifact = message(tool.invoke(CALL))
    lines = said.splitlines()
    assert lines[0] == "FAILED (exit code 1)"
    assert "E       assert -1 == 3" in lines
    assert "test_sum.py:11: AssertionError" in lines
    assert "FAILED test_sum.py::test_add - assert -1 == 3" in lines
    assert lines[-1].startswith("1 failed, 1 passed in ")
    assert "noise" not in said
    assert artifact["exit_code"] == 1

    passed = tool.invoke({"target": "test_sum.py::test_ok"})
    assert passed.startswith("PASSED\n1 passed in ")
    assert asyncio.run(tool.ainvoke({"target": "test_sum.py::test_ok"})).startswith("PASSED\n1 passed in ")
    tests.write_text("import os\nos._exit(0)\n")
    cheated = tool.invoke({})
    assert cheated.startswith("FAILED (exit code 0)\npytest did not come to its end")
    assert sorted(os.listdir(tmp_path)) == ["test_sum.py"]


@pytest.mark.parametrize(
    "target",
    [
        "-x",
        "--pdb",
        " -p evil",
        "@args",
        "../other",
        "/etc/passwd",
        "link/x",
        "a\n-p",
        "nope.py",
        ".git/x",
        "::test",
        "a\0",
    ],
)
def test_the_argument_is_no_option_and_stays_inside(tmp_path: Path, target: str) -> None:
    (tmp_path / "link").symlink_to("/etc")
    (tmp_path / "@args").write_text("--version")
    tool = test_runner(tmp_path, command=("python", "-c", "raise SystemExit('ran')"))
    with pytest.raises(ToolException):
        tool.invoke({"target": target})


def test_terms_and_bad_input(tmp_path: Path) -> None:
    tool = test_runner(tmp_path, seconds=7)
    metadata = tool.metadata or {}
    assert metadata["rheostat"] == {"usd": "0", "seconds": 14, "idempotent": False}
    assert metadata["sandbox"] in KINDS
    assert "no network" in tool.description
    for options in ({"seconds": 0}, {"memory_bytes": 0}, {"command": ()}, {"command": "pytest"}, {"command": ("",)}):
        with pytest.raises(BadInput):
            test_runner(tmp_path, **options)
    with pytest.raises(BadInput, match="is not a directory"):
        test_runner(tmp_path / "nope")
    missing = test_runner(tmp_path, command=("no-such-command",)).invoke({})
    assert missing.startswith("FAILED (exit code 127)\nrheostat: no-such-command can't be started")


def test_the_environment_is_bare(tmp_path: Path, kind: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    said, _ = script(
        tmp_path,
        "import os, sys\nprint(sorted(os.environ))\nprint(os.getcwd(), sys.stdin.read() == '')\n"
        "print(os.listdir(os.environ['HOME']), os.environ['HOME'])",
        kind,
    )
    shown = said.splitlines()
    assert shown[0].startswith(OWN_WORD)
    assert shown[0].endswith('[sandbox="none"]') is (kind == "none")
    names = set(eval(shown[1])) - {"LC_CTYPE", "PWD"}  # noqa: S307 - a list that this test printed
    assert names == {"HOME", "LANG", "MALLOC_ARENA_MAX", "PATH", "PYTHONDONTWRITEBYTECODE", "TMPDIR"}
    assert shown[2].endswith(" True")
    if kind != "none":
        assert shown[2] == f"{tmp_path} True"
    home = shown[3].removeprefix("[] ")
    assert home != os.environ.get("HOME")
    assert not Path(home).exists()


def test_without_a_sandbox_it_is_refused_and_none_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "why_not", lambda kind: f"no {kind}")
    with pytest.raises(SandboxMissing, match="no bubblewrap"):
        test_runner(tmp_path)
    said, artifact = script(tmp_path, "print('ran')", "none")
    assert said.startswith(OWN_WORD)
    assert said.endswith('[sandbox="none"]\nran')
    assert (artifact["sandbox"], artifact["passed"]) == ("none", None)
    tool = test_runner(tmp_path, sandbox="none")
    assert "with all your rights" in tool.description


def test_an_endless_loop(tmp_path: Path, kind: Sandbox) -> None:
    began = time.monotonic()
    said, artifact = script(tmp_path, "print('begun', flush=True)\nwhile True: pass", kind, seconds=0.5)
    assert said.replace(' [sandbox="none"]', "") == "TIMED OUT after 0.5 s\nbegun"
    assert artifact["exit_code"] is None
    assert time.monotonic() - began < 15


def test_100_megabytes_of_output(tmp_path: Path, kind: Sandbox) -> None:
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    source = "import sys\nfor _ in range(500): sys.stdout.write('x' * 100_000 + '\\n')\n"
    said, artifact = script(tmp_path, source + source.replace("\\n", "") + "print('\\nend')")
    assert artifact["output_bytes"] > 10**8
    assert said.startswith(OWN_WORD)
    assert said.endswith("\nend")
    assert len(said) < 4_300
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


@LINUX
@pytest.mark.parametrize("ends", ["print('parent ends')", "time.sleep(60)"])
def test_a_fork_does_not_outlive_a_run_without_a_sandbox(tmp_path: Path, ends: str) -> None:
    """It leaves the session, closes its output, and is orphaned."""
    source = (
        "import os, sys, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        os.closerange(0, 3)\n        while True:\n"
        f"            open({str(tmp_path / 'alive')!r}, 'a').write('.')\n"
        f"            time.sleep(0.02)\n    os._exit(0)\ntime.sleep(0.2)\n{ends}\n"
    )
    root = tmp_path / "tree"
    root.mkdir()
    script(root, source, "none", seconds=1)
    size = (tmp_path / "alive").stat().st_size
    assert size > 0
    time.sleep(0.2)
    assert (tmp_path / "alive").stat().st_size == size


def test_memory_files_and_processes_are_limited(tmp_path: Path, kind: Sandbox) -> None:
    said, _ = script(tmp_path, "bytearray(10**10)")
    assert said.endswith("MemoryError")
    said, _ = script(tmp_path, "import os\nos.truncate(os.open('big', os.O_CREAT | os.O_RDWR), 10**9)")
    assert "File too large" in said or "SIGXFSZ" in said
    said, _ = script(tmp_path, "import os\nos.kill(os.getpid(), 9)")
    assert said.startswith("FAILED (exit code 137)\nended by SIGKILL")
    said, _ = script(
        tmp_path, "import os, time\nfor _ in range(200):\n    if os.fork() == 0: time.sleep(60)\ntime.sleep(60)"
    )
    assert "more than 128 processes" in said or "Resource temporarily unavailable" in said


def test_sixty_threads_are_no_attack(tmp_path: Path, kind: Sandbox) -> None:
    source = (
        "import threading\ngate = threading.Event()\n"
        "def work():\n    bytearray(10_000)\n    gate.wait()\n"
        "threads = [threading.Thread(target=work) for _ in range(60)]\n"
        "for each in threads: each.start()\ngate.set()\nfor each in threads: each.join()\nprint('all of them')\n"
    )
    assert "all of them" in script(tmp_path, source, kind, memory_bytes=1_000_000_000)[0]


def test_the_report_is_bounded_however_long_the_lines() -> None:
    report = Report(pytest=True)
    for _ in range(2_000):
        report.add(b"E   " + b"x" * 10_000)
        report.add(b"\nE   y\n\x1b[31mpartial")
    report.add(b"\n1 failed in 0.10s")
    report.end()
    assert report.summary == "1 failed in 0.10s"
    text = report.text(passed=False, most_chars=500)
    assert len(text) < 600
    assert text.startswith("E   xxx")
    assert text.endswith("1 failed in 0.10s")
