"""Write a tiny classifier of transformers as a GGUF file, for a real llama.cpp. Format: ggml-org/ggml, docs/gguf.md."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

_ALIGNED = 32
_NAMES = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip
_WHOLE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "score": "cls.output"}
_NORMAL, _CONTROL, _USER, _UNUSED = 1, 3, 4, 5


def write_qwen3_classifier(folder: str, path: Path) -> None:
    """The `Qwen3ForSequenceClassification` in the folder, with its tokenizer, as a model for `--pooling rank`."""
    config = json.loads((Path(folder) / "config.json").read_text())
    weights = {_named(name): value.float() for name, value in load_file(Path(folder) / "model.safetensors").items()}
    labels = [f"LABEL_{number}" for number in range(weights["cls.output.weight"].shape[0])]
    rope = config.get("rope_parameters") or config
    facts: dict[str, Any] = {
        "general.architecture": "qwen3",
        "qwen3.block_count": config["num_hidden_layers"],
        "qwen3.context_length": config["max_position_embeddings"],
        "qwen3.embedding_length": config["hidden_size"],
        "qwen3.feed_forward_length": config["intermediate_size"],
        "qwen3.attention.head_count": config["num_attention_heads"],
        "qwen3.attention.head_count_kv": config["num_key_value_heads"],
        "qwen3.attention.key_length": config["head_dim"],
        "qwen3.attention.value_length": config["head_dim"],
        "qwen3.attention.layer_norm_rms_epsilon": float(config["rms_norm_eps"]),
        "qwen3.rope.freq_base": float(rope["rope_theta"]),
        "qwen3.pooling_type": 4,  # rank
        "qwen3.classifier.output_labels": labels,
        **_tokens(folder, config),
    }
    infos, blobs, offset = b"", b"", 0
    for name, value in weights.items():
        blob = value.contiguous().numpy().astype("<f4").tobytes()
        sizes = value.shape[::-1]
        infos += _text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, 0, offset)
        blob += b"\0" * (-len(blob) % _ALIGNED)
        blobs, offset = blobs + blob, offset + len(blob)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(weights), len(facts))
    head += b"".join(_text(name) + _value(value) for name, value in facts.items()) + infos
    path.write_bytes(head + b"\0" * (-len(head) % _ALIGNED) + blobs)


def _tokens(folder: str, config: dict[str, Any]) -> dict[str, Any]:
    saved = json.loads((Path(folder) / "tokenizer.json").read_text())
    texts = [f"[PAD{number}]" for number in range(config["vocab_size"])]
    kinds = [_UNUSED] * len(texts)
    for text, number in saved["model"]["vocab"].items():
        texts[number], kinds[number] = text, _NORMAL
    for added in saved["added_tokens"]:
        texts[added["id"]], kinds[added["id"]] = added["content"], _CONTROL if added["special"] else _USER
    merges = [each if isinstance(each, str) else " ".join(each) for each in saved["model"]["merges"]]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": texts,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.eos_token_id": config["eos_token_id"],
        "tokenizer.ggml.padding_token_id": config["pad_token_id"],
        "tokenizer.ggml.add_bos_token": False,
    }


def _named(name: str) -> str:
    stem = name.removesuffix(".weight")
    layer = re.fullmatch(r"model\.layers\.(\d+)\.(.+)", stem)
    return f"blk.{layer[1]}.{_NAMES[layer[2]]}.weight" if layer else f"{_WHOLE[stem]}.weight"


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _value(value: Any) -> bytes:
    """A value with its type before it."""
    kind, raw = _typed(value)
    return struct.pack("<I", kind) + raw


def _typed(value: Any) -> tuple[int, bytes]:
    if isinstance(value, bool):
        return 7, struct.pack("<?", value)
    if isinstance(value, int):
        return 4, struct.pack("<I", value)
    if isinstance(value, float):
        return 6, struct.pack("<f", value)
    if isinstance(value, str):
        return 8, _text(value)
    kind = 5 if isinstance(value[0], int) else 8
    items = b"".join(struct.pack("<i", each) if kind == 5 else _text(each) for each in value)
    return 9, struct.pack("<IQ", kind, len(value)) + items


def two_labels(folder: str) -> None:
    """Give the one-label classifier in the folder a second label, with the opposite logit."""
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(folder)
    weight = model.score.weight.data
    model.score = torch.nn.Linear(weight.shape[1], 2, bias=False)
    model.score.weight.data = torch.cat([weight, -weight])
    model.config.num_labels = 2
    model.save_pretrained(folder)
