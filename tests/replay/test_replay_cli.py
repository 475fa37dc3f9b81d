"""`rheostat replay` as a person uses it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import matplotlib as mpl
import pytest

from recordings import write
from rheostat import cli

LINE = {
    "id", "name", "accuracy", "accuracy_low", "accuracy_high", "samples", "tokens", "usd", "difference",
    "difference_low", "difference_high", "matched",
}  # fmt: skip


def rheostat(*arguments: str, capfd: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """The command in this process: exit code, output, errors."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["rheostat", "replay", *arguments])
        patch.setenv("COLUMNS", "100")
        with pytest.raises(SystemExit) as ended:
            cli.main()
    out, err = capfd.readouterr()
    return int(ended.value.code or 0), out, err


@pytest.fixture
def recording(tmp_path: Path) -> str:
    samples = [{"answer": letter, "tokens": 10, "score": 0.5, "usd": "0.001"} for letter in "aabab"]
    rows = [{"id": number, "gold": "a", "samples": samples} for number in range(4)]
    return str(write(tmp_path / "r.jsonl", rows))


@pytest.mark.parametrize(
    ("command", "name", "controls"),
    [
        ("votes", "Vote", ["single", "majority-3", "majority-5", "majority-all", "beta-0.95", "oracle"]),
        ("best-of-n", "BestOfN", ["single", "best-3", "best-5", "best-all", "majority-all", "oracle"]),
        ("tree", "TreeSearch", ["single", "first-root", "best-roots", "best-all", "oracle"]),
    ],
)
def test_json(command: str, name: str, controls: list[str], recording: str, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = rheostat(command, recording, "--json", "--orders", "5", capfd=capfd)
    assert code == 0
    made = json.loads(out)
    assert set(made) == {"file", "strategy", "samples", "format", "kind", "rows", "orders", "seed", "notes", "lines"}
    assert (made["strategy"]["name"], made["kind"], made["rows"], made["orders"]) == (name, command, 4, 5)
    assert [line["id"] for line in made["lines"]] == ["strategy", *controls]
    assert all(set(line) == LINE for line in made["lines"])
    assert made["lines"][0]["difference"] is None
    assert made["lines"][1]["usd"] == pytest.approx(0.001)
    assert rheostat(command, recording, "--json", "--orders", "5", capfd=capfd)[1] == out


def test_a_plot_starts_no_program(
    recording: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a `matplotlibrc` of the current directory would have it."""
    latex = tmp_path / "latex"
    latex.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    latex.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with mpl.rc_context({"text.usetex": True}):
        code, _, _ = rheostat("votes", recording, "--plot", str(tmp_path / "p.png"), capfd=capfd)
        assert mpl.rcParams["text.usetex"]
    assert code == 0
    assert not (tmp_path / "started").exists()


def test_the_table_and_the_plot(recording: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    png = tmp_path / "p.png"
    code, out, _ = rheostat("votes", recording, "--lead", "2", "--plot", str(png), capfd=capfd)
    assert code == 0
    assert "lead 2.0" in out
    assert "majority of all" in out
    assert png.read_bytes().startswith(b"\x89PNG")


def test_without_tokens_there_is_a_dash(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "r.jsonl", [{"gold": 1, "samples": [{"answer": 1}, {"answer": 1, "tokens": 3}]}])
    code, out, _ = rheostat("votes", str(path), capfd=capfd)
    assert code == 0
    assert "1 of 2 samples have no tokens" in out
    assert "–" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["votes", "/nothing.jsonl"], "can't read the recording file"),
        (["votes", "FILE", "--lead", "0"], "lead must be above 0"),
        (["best-of-n", "FILE", "--samples", "0"], "samples must be at least 1"),
        (["best-of-n", "FILE", "--worth", "much"], "not an amount"),
        (["votes", "FILE", "--ways", "cot"], "no way fits 'cot'"),
        (["votes", "FILE", "--plot", "/nothing/p.png"], "can't write the plot"),
        (["votes", "FILE", "--orders", "0"], "orders"),
    ],
)
def test_bad_input(arguments: list[str], says: str, recording: str, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, err = rheostat(*(recording if each == "FILE" else each for each in arguments), capfd=capfd)
    assert code == 2
    assert says in " ".join((out + err).split())
    assert "Traceback" not in err


def test_verdicts_alone_cannot_vote(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = str(write(tmp_path / "v.jsonl", [{"cot_correct": [0, 1, 0], "cot_chars": [8, 8, 8]}]))
    code, _, err = rheostat("votes", path, capfd=capfd)
    assert (code, "Try best-of-n" in " ".join(err.split())) == (2, True)
    code, out, _ = rheostat("best-of-n", path, "--verified", "--json", capfd=capfd)
    assert code == 0
    assert json.loads(out)["lines"][0]["accuracy"] == 1.0


def test_help_teaches(capfd: pytest.CaptureFixture[str]) -> None:
    for command in ("votes", "best-of-n", "tree"):
        code, out, _ = rheostat(command, "--help", capfd=capfd)
        assert code == 0
        assert "Examples" in out


def test_arms_as_a_table_as_json_and_as_a_picture(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"task": task, "arm": arm, "correct": int(task % 10 < most), "usd": usd}
        for task in range(60)
        for arm, most, usd in (("weak", 6, 0.01), ("strong", 9, 0.2))
    ]
    path = str(write(tmp_path / "t.jsonl", rows))
    code, out, _ = rheostat("arms", path, "--plot", str(tmp_path / "p.png"), capfd=capfd)
    assert code == 0
    assert "as accurate as the best fixed arm, strong (90.00 %)" in " ".join(out.split())
    assert (tmp_path / "p.png").stat().st_size > 1_000
    code, out, _ = rheostat("arms", path, "--json", "--worth", "0.05,1", "--no-verifier", capfd=capfd)
    made = json.loads(out)
    assert code == 0
    assert [each["worth"] for each in made["policy"]] == [0.05, 1]
    assert [each["cost"] for each in made["policy"]] == pytest.approx([0.01, 0.2])
    code, _, err = rheostat("arms", path, "--worth", "no", capfd=capfd)
    assert code == 2
    assert "--worth is dollars above zero, not 'no'" in " ".join(err.split())


def test_route(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"question": f"{'prove' if n % 2 else 'add'} {n}", "small": int(n % 2 == 0), "large": int(n % 7 > 0)}
        for n in range(80)
    ]
    path = str(write(tmp_path / "t.jsonl", rows))
    code, out, _ = rheostat("route", path, "--columns", "weak=small,strong=large", capfd=capfd)
    assert code == 0
    assert "P(strong)" in out
    assert "APGR" in out
    code, out, _ = rheostat("route", path, "--columns", "weak=small,strong=large", "--json", capfd=capfd)
    assert {each["name"] for each in json.loads(out)["lines"]} >= {"length", "random", "oracle"}
