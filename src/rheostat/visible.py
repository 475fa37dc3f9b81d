"""Text from models, tools, files and account names, made harmless to look at."""

from __future__ import annotations

import re

__all__ = ["one_line", "visible"]

_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)
"""C0 but tab and newline, DEL, C1, what turns text around or hides it, and lone surrogates, which no file can hold."""


def visible(text: object) -> str:
    """Control characters as their codes: none is left that could move, hide, turn or colour other text."""
    said = str(text)
    if said.isprintable():  # none of them is, and it is quicker
        return said
    return _CONTROLS.sub(
        lambda found: f"\\x{ord(found[0]):02x}" if ord(found[0]) < 256 else f"\\u{ord(found[0]):04x}", said
    )


def one_line(text: object) -> str:
    """The same for a name, a cell or a record of a log: line ends and tabs are codes too, so that none is forged."""
    return visible(text).replace("\n", "\\x0a").replace("\t", "\\x09")
