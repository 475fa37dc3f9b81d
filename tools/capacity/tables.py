"""The shipped step tables, made of NVIDIA's measured kernels: `python tools/capacity/tables.py FOLDER`.

Needs `aiconfigurator-core==0.12.0` (Apache-2.0, NVIDIA Corporation; runs on a CPU, offline) in an environment of its
own (`pip install aiconfigurator-core==0.12.0`): it is deprecated, and 500 MB, so that the library doesn't depend on it.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

_MODELS = {"qwen3-32b-fp8": "Qwen/Qwen3-32B-FP8", "qwen3-30b-a3b": "Qwen/Qwen3-30B-A3B"}
_GPUS = {"h100": "h100_sxm", "h200": "h200_sxm"}
_KV = {"": "bfloat16", "-kv-fp8": "fp8"}
_ENGINE, _VERSION, _DATE = "vllm", "0.24.0", "2026-11-29"
_SEQUENCES, _BATCHED, _CONTEXT, _MEMORY = 256, 8192, 131_072, 0.9
_BATCH = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
_TOKENS = (128, 512, 1024, 2048, 4096, 8192, 12_288, 16_384, 24_576, 32_768, 49_152, 65_536, 98_304, 131_072)
_PROMPT = (1, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072)
_SOURCE = (
    "aiconfigurator-core 0.12.0, kernels measured by NVIDIA, composed into steps by its model of vLLM; "
    "tools/capacity/tables.py; not measured on a server"
)
_LICENCE = "Apache-2.0; Copyright (c) NVIDIA CORPORATION & AFFILIATES"


def _table(name: str, model: str, system: str, kv: str, gpu: str) -> dict[str, Any]:
    from aiconfigurator_core.sdk.engine import EngineHandle
    from aiconfigurator_core.sdk.memory import estimate_kv_cache

    engine = EngineHandle.compile(model, system, _ENGINE, backend_version=_VERSION, tp_size=1, kvcache_quant_mode=kv)
    memory = estimate_kv_cache(
        model_path=model, system=system, backend=_ENGINE, backend_version=_VERSION, max_num_tokens=_BATCHED,
        max_batch_size=_SEQUENCES, memory_fraction_kind="of_total", memory_fraction_value=_MEMORY,
        kvcache_quant_mode=kv,
    )  # fmt: skip
    tokens = int(memory["total_kv_size_tokens"])
    return {
        "format": "rheostat-steps-1",
        "name": name,
        "model": model,
        "engine": f"{_ENGINE} {_VERSION}",
        "gpu": gpu,
        "gpus": 1,
        "kv_dtype": kv,
        "kv_tokens": tokens,
        "max_sequences": _SEQUENCES,
        "max_batched_tokens": _BATCHED,
        "max_context_tokens": min(_CONTEXT, tokens),
        "batch": _BATCH,
        "context_tokens": _TOKENS,
        "decode_seconds": [
            [_seconds(engine.decode_step_latency(batch, context, 2)) for context in _TOKENS] for batch in _BATCH
        ],
        "prefill_tokens": _PROMPT,
        "prefill_seconds": [_seconds(engine.predict_prefill_latency(1, each)) for each in _PROMPT],
        "source": _SOURCE,
        "date": _DATE,
        "licence": _LICENCE,
    }  # fmt: skip


def _seconds(milliseconds: float) -> float:
    return float(f"{milliseconds / 1000:.5g}")


def _text(table: dict[str, Any]) -> str:
    rows = ",\n  ".join(map(json.dumps, table["decode_seconds"]))
    lines = [
        f'"{key}": [\n  {rows}]' if key == "decode_seconds" else f'"{key}": {json.dumps(value)}'
        for key, value in table.items()
    ]
    return "{" + ",\n ".join(lines) + "}\n"


def main(folder: str) -> None:
    """Write a table for each model, GPU and type of the KV cache."""
    for (model, path), (gpu, system), (suffix, kv) in itertools.product(_MODELS.items(), _GPUS.items(), _KV.items()):
        name = f"{gpu}-{model}{suffix}"
        Path(folder, f"{name}.json").write_text(_text(_table(name, path, system, kv, gpu.upper())), encoding="utf-8")
        print(name)


if __name__ == "__main__":
    main(*sys.argv[1:])
