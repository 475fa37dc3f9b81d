"""A reward model in this process, by transformers: one text at a time, on the model's own device.

It needs torch and transformers (`pip install 'rheostat[gpu]'`), which are imported when the first answer is scored.
"""

from __future__ import annotations

import importlib.util
import threading
from os import PathLike
from typing import Any, Literal, TypeAlias

from rheostat.errors import BadInput, MissingExtra
from rheostat.evidence.scorers.reward_formats import RewardFormat, StepFormat

__all__ = ["Local", "check_local", "outcome_rows", "step_rows"]

Local: TypeAlias = "str | PathLike[str] | tuple[Any, Any]"
"""The folder of a model, or a model and its tokenizer."""

_loaded: dict[tuple[str, str], tuple[Any, Any]] = {}
_turn = threading.Lock()
"""One text at a time: a model is loaded once, and two long texts don't fill a GPU together."""


def check_local(local: Local, name: str) -> None:
    """Check what can be checked without loading anything.

    Raises:
        BadInput: It is neither a path nor a pair.
        MissingExtra: torch or transformers isn't installed.
    """
    if not isinstance(local, str | PathLike) and not (isinstance(local, tuple) and len(local) == 2):
        raise BadInput(f"local is a folder, or a model and its tokenizer, not {type(local).__name__}")
    if not all(map(importlib.util.find_spec, ("torch", "transformers"))):
        raise MissingExtra(f"{name}(local=…)", "gpu")


def outcome_rows(local: Local, how: RewardFormat, question: str, answer: str) -> list[list[float]]:
    """The model's numbers for an answer: one row of `how.labels`.

    The text is never cut: a model that can't read all of it fails.
    """
    with _turn:
        model, tokenizer = _load(local, "sequence")
        return _rows(model, _ids(tokenizer, how, question, answer))


def step_rows(local: Local, how: StepFormat, question: str, answer: str) -> list[list[float]]:
    """The model's numbers at each mark of the format: one row of `how.labels` for each.

    Raises:
        BadInput: The tokenizer doesn't know the mark as one token.
    """
    with _turn:
        model, tokenizer = _load(local, "token")
        mark = _mark(tokenizer, how.mark)
        inputs = _ids(tokenizer, how, question, answer)
        rows = _rows(model, inputs)
        return [row for row, token in zip(rows, inputs["input_ids"][0].tolist(), strict=True) if token == mark]


def _mark(tokenizer: Any, text: str) -> int:
    token = tokenizer.convert_tokens_to_ids(text)
    if isinstance(token, int) and token != tokenizer.unk_token_id:
        return token
    read = tokenizer(text, add_special_tokens=False)["input_ids"]
    if len(read) != 1:
        raise BadInput(f"the tokenizer reads {text!r} as {len(read)} tokens; a step is marked by one")
    return int(read[0])


def _load(local: Local, kind: Literal["sequence", "token"]) -> tuple[Any, Any]:
    if isinstance(local, tuple):
        return local
    known = (str(local), kind)
    if known not in _loaded:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer

        maker = AutoModelForSequenceClassification if kind == "sequence" else AutoModelForTokenClassification
        model = maker.from_pretrained(known[0], dtype="auto").eval()
        model = model.to("cuda" if torch.cuda.is_available() else "cpu")
        _loaded[known] = model, AutoTokenizer.from_pretrained(known[0])
    return _loaded[known]


def _ids(tokenizer: Any, how: RewardFormat, question: str, answer: str) -> Any:
    """The text as tokens, a batch of one; as vLLM does it, a chat template brings its own special tokens."""
    if how.text == "pair":
        return tokenizer(question, answer, return_tensors="pt")
    if how.text == "messages":
        chat = how.messages(question, answer)
        text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=False)
        return tokenizer(text, return_tensors="pt", add_special_tokens=False)
    return tokenizer(how.written(question, answer), return_tensors="pt")


def _rows(model: Any, inputs: Any) -> list[list[float]]:
    """The logits, [1, labels] or [1, tokens, labels], as rows."""
    import torch

    device = getattr(model, "device", "cpu")
    with torch.inference_mode():
        output = model(**{name: value.to(device) for name, value in inputs.items()})
    logits = output["logits"] if hasattr(output, "keys") and "logits" in output else output[0]
    rows: list[list[float]] = logits.float().reshape(-1, logits.shape[-1]).tolist()
    return rows
