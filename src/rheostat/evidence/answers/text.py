"""A reply as text: without its thoughts, without what a model runs on into, and by blocks of Markdown."""

from __future__ import annotations

import re
from dataclasses import dataclass

from markdown_it import MarkdownIt

__all__ = ["Block", "blocks", "said", "unwrapped"]

_THOUGHT = r"think|thinking|thought|reasoning|reflection|scratchpad"
_OPEN = re.compile(rf"<({_THOUGHT})>|\[(THINK)\]|<\|(?:begin_of_thought)\|>|◁think▷", re.I)
_RUNS_ON = re.compile(
    r"""<\|(?:im_start|im_end|eot_id|endoftext|end_of_text|start_header_id|end)\|>|</s>|\[/?INST\]
    |^\s{0,3}(?:\#{2,4}\s*)?(?:\*\*)?(?:Question|Q|Problem|Human|User|Student|Instruction|Input|Exercise|Example\s+\d+)(?:\s+\d+)?\s*(?:\*\*)?\s*:(?:\*\*)?
    |^\s{0,3}\#{2,4}\s*(?:Instruction|Input|Question|Human|User)s?\b""",
    re.X | re.M,
)


def said(reply: str) -> str:
    """The reply without its thoughts; what a thought that never ended holds isn't said."""
    text, rest = "", reply
    while (opened := _OPEN.search(rest)) is not None:
        before, after = rest[: opened.start()], rest[opened.end() :]
        name = opened[1] or opened[2]
        close = rf"</{name}>|\[/{name}\]" if name else r"<\|end_of_thought\|>|◁/think▷"
        closed = re.search(close, after, re.I)
        text += before
        if closed is None:
            return _after_close(text)
        rest = after[closed.end() :]
    return _after_close(text + rest)


def _after_close(text: str) -> str:
    """A template may open the thought itself: then only its end is in the reply."""
    closes = list(re.finditer(rf"</(?:{_THOUGHT})>|\[/THINK\]", text, re.I))
    return text[closes[-1].end() :] if closes else text


def before_run_on(text: str) -> str:
    """Up to where the model goes on with a next question of its own."""
    for runs_on in _RUNS_ON.finditer(text):
        if text[: runs_on.start()].strip():
            return text[: runs_on.start()]
    return text


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code."""

    info: str
    """The language, in lower case; empty: none was named."""
    source: str
    fenced: bool
    lines: tuple[int, int]
    """In the text: from the opening fence to the line after the closing one."""


def blocks(text: str) -> list[Block]:
    """All blocks of code, also those in lists and quotes, by the rules of CommonMark."""
    found = []
    for token in MarkdownIt("commonmark").parse(text):
        if token.type in ("fence", "code_block") and token.map:
            words = token.info.strip().split()
            info = words[0].lower().strip("{}.") if words else ""
            found.append(Block(info, token.content, token.type == "fence", (token.map[0], token.map[1])))
    return found


_MOST_WRAPS = 12
_WRAPS = (
    ("**", "**"), ("__", "__"), ("*", "*"), ("`", "`"), ("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"),
    ('"', '"'), ("“", "”"), ("'", "'"), ("‘", "’"), ("«", "»"), ("\\boxed{", "}"), ("\\text{", "}"), ("\\mathrm{", "}"),
    ("\\textbf{", "}"), ("\\mathbf{", "}"), ("{", "}"),
)  # fmt: skip


def unwrapped(text: str) -> str:
    """Without the Markdown, dollars and quotes around it, and the full stop after it."""
    text = text.strip()
    for _ in range(_MOST_WRAPS):
        before = text
        if text[-1:] in ".;,。" and text[-2:] != "..":
            text = text[:-1].rstrip()
        for left, right in _WRAPS:
            inner = text[len(left) : len(text) - len(right)]
            if len(text) > len(left) + len(right) and text.startswith(left) and text.endswith(right):
                if left == right and left in inner and left not in ("'", '"'):
                    continue
                if right == "}" and not _balanced(inner):
                    continue
                if left == "{" and ("," in inner or ":" in inner):
                    continue  # a set, or an object
                text = inner.strip()
                break
        if text == before:
            break
    return text


def _balanced(text: str) -> bool:
    depth = 0
    for char in text:
        depth += (char == "{") - (char == "}")
        if depth < 0:
            return False
    return depth == 0
