"""The lock: what `make demo` and `make test` install, pinned with hashes, for pip alone.

`python tools/lock/lock.py update` renews it with the newest versions that pyproject.toml allows, `relock` keeps those
that still fit (after a change of pyproject.toml); both print what changed. `check` says where pyproject.toml and the
lock disagree, and exits with 1 if they do.

uv resolves once for all of `ENVIRONMENTS` (`uv pip compile --universal`); the files are requirements that pip reads
with `--require-hashes --no-deps`. PyTorch is apart, since its wheel for Linux on PyPI brings three gigabytes of CUDA:
the CPU wheels of `torch.txt` are named by hand (download.pytorch.org/whl/cpu), and `torch-cuda.txt` is what PyPI has,
for machines that reach nothing else.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["ENVIRONMENTS", "Pin", "disagreements", "pins", "read", "requirements"]

HERE = Path(__file__).parent
PYPROJECT = HERE.parents[1] / "pyproject.toml"
DEMO, DEV, TORCH, CUDA = (HERE / name for name in ("demo.txt", "dev.txt", "torch.txt", "torch-cuda.txt"))
_BY_CUDA = re.compile(r"(nvidia|cuda)-|(torch|triton)$")
_EDITABLE = "editables>=0.5"
"""What hatchling needs for `pip install -e` without a build environment of its own."""


def _environment(python: str, system: str, machine: str) -> dict[str, str]:
    return {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": system.lower(),
        "platform_system": system,
        "platform_machine": machine,
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }


ENVIRONMENTS: tuple[Mapping[str, str], ...] = tuple(
    _environment(python, system, machine)
    for python, (system, machine) in product(
        ("3.11", "3.12", "3.13"), (("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64"))
    )
)
"""Where the two commands must work, as the variables of environment markers (PEP 508)."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One pinned version, and where it holds."""

    name: str
    version: str
    marker: Marker | None
    hashes: int
    direct: bool
    """pyproject.toml asks for it itself."""

    def holds(self, environment: Mapping[str, str]) -> bool:
        """Whether this pin is the one for that machine."""
        return self.marker is None or self.marker.evaluate(dict(environment))


def _blocks(text: str) -> Iterator[str]:
    """A requirement with its hashes and its comments, each."""
    block: list[str] = []
    for line in text.splitlines():
        if re.match(r"[a-zA-Z0-9]", line):
            if block:
                yield "\n".join(block)
            block = [line]
        elif block:
            block.append(line)
    if block:
        yield "\n".join(block)


def pins(text: str) -> list[Pin]:
    """The pins of a requirements file that uv wrote."""
    found = []
    for block in _blocks(text):
        asked = Requirement(block.splitlines()[0].rstrip(" \\"))
        version = next(iter(asked.specifier)).version
        direct = "rheostat (" in block or "# via -r" in block or "#   -r" in block
        found.append(Pin(canonicalize_name(asked.name), version, asked.marker, block.count("--hash="), direct))
    return found


def requirements(pyproject: Mapping[str, Any], extra: str) -> list[Requirement]:
    """What the project asks for with one extra: the core's, the extra's, and those of the extras that it names."""
    project = pyproject["project"]
    found = [Requirement(line) for line in project["dependencies"]]
    todo, done = [extra], set[str]()
    while todo:
        name = todo.pop()
        if name in done:
            continue
        done.add(name)
        for asked in map(Requirement, project["optional-dependencies"][name]):
            if asked.name == project["name"]:
                todo.extend(asked.extras)
            else:
                found.append(asked)
    return found


def disagreements(asked: Iterable[Requirement], locked: Iterable[Pin]) -> list[str]:
    """Where the lock isn't what pyproject.toml asks for, in words; empty where they agree."""
    locked, asked, wrong = list(locked), list(asked), []
    for requirement in asked:
        name = canonicalize_name(requirement.name)
        for environment in ENVIRONMENTS:
            if requirement.marker is not None and not requirement.marker.evaluate(dict(environment)):
                continue
            system, machine, python = (
                environment[key] for key in ("platform_system", "platform_machine", "python_version")
            )
            where = f"{system} {machine}, Python {python}"
            held = [pin for pin in locked if pin.name == name and pin.holds(environment)]
            if len(held) != 1:
                wrong.append(f"{requirement}: {len(held)} pins on {where}; there must be one")
            elif not requirement.specifier.contains(held[0].version, prereleases=True):
                wrong.append(f"{requirement}: the lock has {held[0].version} ({where})")
            elif not held[0].hashes:
                wrong.append(f"{requirement}: the lock has no hash for {held[0].version}")
    names = {canonicalize_name(requirement.name) for requirement in asked}
    wrong += [
        f"{pin.name}: in the lock, no longer in pyproject.toml"
        for pin in locked
        if pin.direct and pin.name not in names
    ]
    return list(dict.fromkeys(wrong))


def read() -> dict[str, Any]:
    """pyproject.toml."""
    return tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))


def _build(pyproject: Mapping[str, Any]) -> list[str]:
    return [*pyproject["build-system"]["requires"], _EDITABLE]


def check() -> list[str]:
    """Where pyproject.toml and the files beside this one disagree."""
    pyproject, wrong = read(), []
    build = [Requirement(line) for line in _build(pyproject)]
    torch = [pin for pin in pins(TORCH.read_text()) if pin.name == "torch"]
    for extra, path in (("demo", DEMO), ("dev", DEV)):
        asked = [*requirements(pyproject, extra), *build]
        locked = pins(path.read_text()) + (torch if path == DEV else [])
        wrong += [f"{path.name}: {line}" for line in disagreements(asked, locked)]
    at = {pin.version for path in (TORCH, CUDA) for pin in pins(path.read_text()) if pin.name == "torch"}
    if len(at) != 1:
        wrong.append(f"torch.txt and torch-cuda.txt have different versions of torch: {sorted(at)}")
    return wrong


def _compile(pyproject: Mapping[str, Any], extra: str, target: Path, *, like: Path | None, upgrade: bool) -> str:
    with tempfile.TemporaryDirectory() as folder:
        build = Path(folder) / "build-system.in"
        build.write_text("\n".join(_build(pyproject)))
        out = Path(folder) / "out.txt"
        if target.exists() and not upgrade:
            out.write_text(target.read_text())
        command = [
            *(
                sys.executable,
                "-m",
                "uv",
                "pip",
                "compile",
                str(PYPROJECT),
                str(build),
                "--extra",
                extra,
                "--universal",
            ),
            *("--python-version", "3.11", "--generate-hashes", "--no-header", "--quiet", "--output-file", str(out)),
            *(("--constraint", str(like)) if like else ()),
            *(("--upgrade",) if upgrade else ()),
        ]
        subprocess.run(command, check=True, cwd=PYPROJECT.parent)
        return re.sub(r"-r \S*build-system.in", "-r build-system.requires", out.read_text())


_HEAD = """\
# {what}, pinned with hashes; made by `make update`, read by pip with --require-hashes --no-deps.
# For Python 3.11 to 3.13 on Linux and macOS; the library's own ranges stand in pyproject.toml.

"""


def update(*, upgrade: bool = True) -> None:
    """Renew the lock and print what changed."""
    pyproject = read()
    before = {
        (path, pin.name, pin.version) for path in (DEMO, DEV, CUDA) if path.exists() for pin in pins(path.read_text())
    }
    print("resolving (half a minute) ...", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.txt"
        whole.write_text(_compile(pyproject, "dev", DEV, like=None, upgrade=upgrade))
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("\n".join(block.splitlines()[0].rstrip(" \\") for block in _blocks(whole.read_text())))
        demo = _compile(pyproject, "demo", DEMO, like=constraints, upgrade=upgrade)
        blocks = list(_blocks(whole.read_text()))
    cuda = [block for block in blocks if _BY_CUDA.match(block.split("==")[0])]
    rest = [block for block in blocks if block not in cuda]
    demo = "\n".join(
        re.sub(r"\n +#   -c \S+constraints.txt|(?<=# via) -c \S+constraints.txt", "", b) for b in _blocks(demo)
    )
    DEMO.write_text(_HEAD.format(what="What `make demo` installs") + demo + "\n")
    DEV.write_text(_HEAD.format(what="What `make test` installs, but for PyTorch (torch.txt)") + "\n".join(rest) + "\n")
    CUDA.write_text(_HEAD.format(what="PyTorch as PyPI has it, with CUDA on Linux") + "\n".join(cuda) + "\n")
    after = {(path, pin.name, pin.version) for path in (DEMO, DEV, CUDA) for pin in pins(path.read_text())}
    for path, name, version in sorted(after ^ before):
        print(f"{'+' if (path, name, version) in after else '-'} {path.stem}: {name} {version}")
    if after == before:
        print("nothing changed")


def main(arguments: list[str]) -> int:
    """`update` or `check`."""
    match arguments:
        case ["update"]:
            update()
        case ["relock"]:
            update(upgrade=False)
        case ["check"]:
            pass
        case _:
            print(__doc__)
            return 2
    wrong = check()
    print("\n".join(wrong) or "pyproject.toml and the lock agree", file=sys.stderr if wrong else sys.stdout)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
