"""`rheostat profile` as a person uses it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from profiles import two_models
from rheostat import cli
from rheostat.judgement.profile import Profile
from rheostat.judgement.shipped import OWN


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "deep" / "own.json"
    monkeypatch.setenv(OWN, str(path))
    return path


def profile(*arguments: str, capfd: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["rheostat", "profile", *arguments])
        patch.setenv("COLUMNS", "120")
        with pytest.raises(SystemExit) as ended:
            cli.main()
    out, err = capfd.readouterr()
    return int(ended.value.code or 0), out, err


def test_show_says_what_is_known_and_what_a_right_answer_costs(own: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _ = profile("show", "--kind", "maths", capfd=capfd)
    assert code == 0
    assert "qwen2.5-coder-1.5b · none · function" in out
    assert "94 of 120" in out
    code, out, _ = profile("show", "--json", capfd=capfd)
    assert Profile.from_text(out).kinds
    code, _, err = profile("show", "--kind", "poetry", capfd=capfd)
    assert code == 2
    assert "there are *, chat, code, maths" in err


def test_merge_adds_up_diff_says_by_how_much_and_reset_deletes(
    own: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "one.json"
    path.write_text(two_models().to_text())
    for _ in range(2):
        assert profile("merge", str(path), capfd=capfd)[0] == 0
    assert all(arm.tried == 200 for arm in Profile.read(own).kinds["maths"].arms.values())
    changed = path.read_text().replace('"right": 95', '"right": 40')
    other = tmp_path / "two.json"
    other.write_text(changed)
    _, out, _ = profile("diff", str(path), str(other), "--json", capfd=capfd)
    [row] = json.loads(out)
    assert row["arm"] == "large · low · steps"
    assert row["said"] == "-55 points: more than chance"
    assert "no difference" in profile("diff", str(path), str(path), capfd=capfd)[1]
    assert profile("reset", "--yes", capfd=capfd)[0] == 0
    assert not own.exists()
    assert "there is no profile of your own" in profile("reset", capfd=capfd)[1]
