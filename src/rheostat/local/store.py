"""Find model files, and check that they are complete."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rheostat.errors import BadInput, LocalModelError, ModelFileCorrupt
from rheostat.files import opened
from rheostat.local.catalogue import LocalModel

__all__ = ["check_gguf", "home", "model_path", "require_model", "sha256_of", "verified"]


def home() -> Path:
    """Our folder for models, logs and run files: `$RHEOSTAT_HOME`, else `rheostat` in the user's cache folder."""
    named = os.environ.get("RHEOSTAT_HOME")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rheostat"


def model_path(model: LocalModel) -> Path:
    """The path of a model's file, whether or not it exists."""
    return home() / "models" / model.file


def sha256_of(path: Path, tick: Callable[[int], None] | None = None) -> str:
    """The SHA-256 of a file in hexadecimal; `tick(bytes)` is called after each piece."""
    digest = hashlib.sha256()
    with opened(path, "model") as file:
        while piece := file.read(1 << 22):
            digest.update(piece)
            if tick:
                tick(len(piece))
    return digest.hexdigest()


def _stamp(path: Path) -> Path:
    return path.with_suffix(".verified")


def mark_verified(path: Path, sha256: str) -> None:
    """Record the hash of a file, so that it isn't hashed again at each start."""
    stat = path.stat()
    _stamp(path).write_text(json.dumps(_facts(stat, sha256)))


def _facts(stat: os.stat_result, sha256: str) -> dict[str, Any]:
    """The facts that change with a file's content; unlike its mtime, its ctime can't be set."""
    return {
        "sha256": sha256, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "ctime_ns": stat.st_ctime_ns,
        "inode": stat.st_ino,
    }  # fmt: skip


def verified(path: Path, model: LocalModel) -> bool:
    """Whether the right file is there and complete; it is hashed again if it has changed since the last check."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return False
    if stat.st_size != model.size_bytes:
        return False
    try:
        known = json.loads(_stamp(path).read_text())
    except (OSError, ValueError):
        known = {}
    if known == _facts(stat, model.sha256):
        return True
    if sha256_of(path) != model.sha256:
        return False
    mark_verified(path, model.sha256)
    return True


def require_model(model: LocalModel) -> Path:
    """The path of a model's file, after a check that it is complete.

    Raises:
        LocalModelError: The file isn't there; the message says how to get it.
        ModelFileCorrupt: The file is there but wrong.
    """
    path = model_path(model)
    if not path.exists():
        raise LocalModelError(f"{model.name} isn't here yet: run `rheostat models pull {model.name}`")
    if not verified(path, model):
        raise ModelFileCorrupt(
            f"{path} ({path.stat().st_size:,} bytes) is not {model.name} ({model.size_bytes:,} bytes, "
            f"SHA-256 {model.sha256[:12]}…). Run `rheostat models pull {model.name}` to replace it."
        )
    return path


def check_gguf(path: Path) -> Path:
    """The path itself, if it is a file that begins like a GGUF file.

    Raises:
        ModelFileCorrupt: There is no such file, or it doesn't begin like a GGUF file.
    """
    if not path.exists():
        raise ModelFileCorrupt(f"no file {path}")
    try:
        with opened(path, "model") as file:
            magic = file.read(4)
    except (BadInput, OSError) as error:
        raise ModelFileCorrupt(str(error)) from None
    if magic != b"GGUF":
        raise ModelFileCorrupt(f"{path} is not a GGUF file: it begins with {magic!r} instead of b'GGUF'")
    return path
