"""Make a tiny random model of the Qwen3 architecture: it babbles, but a server treats it as a reasoning model.

Run by the interpreter that has vLLM: `python tiny_model.py FOLDER`.
"""

import glob
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

TEMPLATE = (
    "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}"
    "{%- else %}{{- '<think>\n' }}{%- endif %}{%- endif %}"
)


def make_tokenizer(folder: str, *marks: str) -> PreTrainedTokenizerFast:
    """A tokenizer of about 1,000 tokens with a chat template, and `marks` as one token each; saved in the folder."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    texts = glob.glob(str(Path(transformers.__file__).parent / "generation" / "*.py"))[:10]
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train(texts, trainers.BpeTrainer(vocab_size=1000, special_tokens=special, initial_alphabet=alphabet))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    more = ["<think>", "</think>", "<tool_call>", "</tool_call>", *marks]
    tokenizer.add_tokens([AddedToken(mark, special=False, normalized=False) for mark in more])
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return tokenizer


def sizes(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """The settings of a tiny model with this tokenizer."""
    return dict(
        vocab_size=((len(tokenizer) + 63) // 64) * 64,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id,
    )


def main(folder: str) -> None:
    tokenizer = make_tokenizer(folder)
    torch.manual_seed(0)
    config = Qwen3Config(**sizes(tokenizer))
    Qwen3ForCausalLM(config).to(torch.float32).save_pretrained(folder)


if __name__ == "__main__":
    main(sys.argv[1])
