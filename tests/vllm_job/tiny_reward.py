"""Make tiny random reward models: their scores mean nothing, but they go the way of real ones.

Run by the interpreter that has vLLM: `python tiny_reward.py KIND FOLDER`, with a kind in `MAKERS`. `outcome` is of the
architecture of Skywork-Reward-V2-Qwen3, `process` of that of Qwen2.5-Math-PRM, `steps` a plain token classifier.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import (
    Qwen2Config,
    Qwen2Model,
    Qwen3Config,
    Qwen3ForSequenceClassification,
    Qwen3ForTokenClassification,
)

from tiny_model import make_tokenizer, sizes

MARK = "<extra_0>"
_SPREAD = 30.0
"""Random heads give numbers near zero: times this, scores differ visibly."""


def outcome(folder: str) -> None:
    torch.manual_seed(1)
    config = Qwen3Config(**sizes(make_tokenizer(folder)), num_labels=1)
    model = Qwen3ForSequenceClassification(config).to(torch.float32)
    model.score.weight.data *= _SPREAD
    model.save_pretrained(folder)


def steps(folder: str) -> None:
    torch.manual_seed(2)
    config = Qwen3Config(**sizes(make_tokenizer(folder, MARK)), num_labels=2)
    model = Qwen3ForTokenClassification(config).to(torch.float32)
    model.score.weight.data *= _SPREAD
    model.save_pretrained(folder)


class TinyProcess(torch.nn.Module):
    """The architecture of Qwen2.5-Math-PRM: Qwen2 and a head of two layers. transformers has none of its own."""

    def __init__(self, config: Qwen2Config) -> None:
        super().__init__()
        self.config = config
        self.model = Qwen2Model(config)
        size = config.hidden_size
        self.score = torch.nn.Sequential(torch.nn.Linear(size, size), torch.nn.ReLU(), torch.nn.Linear(size, 2))

    def forward(self, input_ids: Any, **more: Any) -> tuple[Any]:
        return (self.score(self.model(input_ids, **more)[0]),)


def process(folder: str) -> None:
    torch.manual_seed(3)
    plain = {name: value for name, value in sizes(make_tokenizer(folder, MARK)).items() if name != "head_dim"}
    config = Qwen2Config(**plain, num_labels=2)
    model = TinyProcess(config).to(torch.float32)
    model.score[2].weight.data *= _SPREAD
    save_file(model.state_dict(), Path(folder) / "model.safetensors", metadata={"format": "pt"})
    config.architectures = ["Qwen2ForProcessRewardModel"]
    config.dtype = torch.float32
    config.save_pretrained(folder)


def load_process(folder: str) -> TinyProcess:
    """The model that `process` made."""
    from safetensors.torch import load_file

    plain = json.loads((Path(folder) / "config.json").read_text())
    model = TinyProcess(Qwen2Config(**plain))
    model.load_state_dict(load_file(Path(folder) / "model.safetensors"))
    return model.eval()


MAKERS = {"outcome": outcome, "steps": steps, "process": process}

if __name__ == "__main__":
    MAKERS[sys.argv[1]](sys.argv[2])
