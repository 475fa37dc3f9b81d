"""Split a reply into blocks of Markdown, and remove the wrapping around an answer."""

from __future__ import annotations

import re
from dataclasses import dataclass

from markdown_it import MarkdownIt

__all__ = ["Block", "blocks", "ends_of", "short_blanks", "unwrapped"]


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code."""

    info: str
    """The language in lower case; empty if none is named."""
    source: str
    fenced: bool
    lines: tuple[int, int]
    """Its lines in the text: the number of the opening fence, and of the line after the closing one."""


def blocks(text: str) -> list[Block]:
    """All blocks of code by the rules of CommonMark, including those in lists and quotes."""
    found = []
    for token in MarkdownIt("commonmark").disable("inline").parse(text):
        if token.type in ("fence", "code_block") and token.map:
            words = re.split(r"[\s:,]+", token.info.strip())  # the info may be "python:add.py"
            info = words[0].lower().strip("{}.")
            found.append(Block(info, token.content, token.type == "fence", (token.map[0], token.map[1])))
    return found


def ends_of(text: str, most_chars: int) -> str:
    """The text; if it is longer, its beginning and its end."""
    half = most_chars // 2
    return text if len(text) <= most_chars else f"{text[:half]}\n{text[-half:]}"


_BLANKS = re.compile(r"\s{10,}")


def short_blanks(text: str) -> str:
    """The text with two blanks in place of ten or more, because patterns with several `\\s*` take long over them."""
    return _BLANKS.sub(lambda blanks: "\n\n" if "\n" in blanks[0] else "  ", text)


_MOST_WRAPS = 12
_WRAPS = (
    ("**", "**"), ("__", "__"), ("*", "*"), ("`", "`"), ("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]"),
    ('"', '"'), ("“", "”"), ("'", "'"), ("‘", "’"), ("«", "»"), ("\\boxed{", "}"), ("\\text{", "}"), ("\\mathrm{", "}"),
    ("\\textbf{", "}"), ("\\mathbf{", "}"), ("{", "}"),
)  # fmt: skip


def unwrapped(text: str) -> str:
    """The text without the Markdown, dollar signs and quotes around it and the full stop after it."""
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
                if left != right and right in inner and inner.find(right) < inner.find(left):
                    continue
                if left == "{" and ("," in inner or ":" in inner):
                    continue  # the braces are those of a set or an object
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
