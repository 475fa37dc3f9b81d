"""The lock says what pyproject.toml says; where they disagree, it is told what and where."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement

import lock

DEMO = lock.pins(lock.DEMO.read_text())
ASKED = lock.requirements(lock.read(), "demo")


def test_pyproject_and_the_lock_agree() -> None:
    assert lock.check() == []


def test_every_pin_has_a_hash_and_both_files_the_same_versions() -> None:
    dev = lock.pins(lock.DEV.read_text())
    assert all(pin.hashes for pin in (*DEMO, *dev))
    assert {(pin.name, pin.version) for pin in DEMO} <= {(pin.name, pin.version) for pin in dev}


def test_torch_for_the_cpu_and_nothing_of_cuda_is_in_what_the_tests_install() -> None:
    names = {pin.name for pin in lock.pins(lock.DEV.read_text())}
    assert not [name for name in names if re.match(r"nvidia-|cuda-|triton$|torch$", name)]
    assert {"filelock", "sympy", "networkx", "jinja2", "fsspec", "setuptools"} <= names  # what torch itself needs
    (torch,) = lock.pins(lock.TORCH.read_text())
    assert torch.hashes == len(lock.ENVIRONMENTS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Requirement("langgraph>=99"), "langgraph>=99: the lock has"),
        (Requirement("not-there>=1"), "not-there>=1: 0 pins on Linux x86_64, Python 3.11"),
        (Requirement("colorama>=0.4; sys_platform == 'darwin'"), "0 pins on Darwin arm64"),
    ],
)
def test_a_requirement_that_the_lock_doesnt_meet_is_named(change: Requirement, said: str) -> None:
    wrong = lock.disagreements([*ASKED, change], DEMO)
    assert [line for line in wrong if said in line], wrong


def test_what_was_taken_out_of_pyproject_is_named() -> None:
    wrong = lock.disagreements([asked for asked in ASKED if asked.name != "typer"], DEMO)
    assert "typer: in the lock, no longer in pyproject.toml" in wrong
