"""Text from models, tools, files and account names, made harmless to look at."""

from __future__ import annotations

import json
import re

__all__ = ["one_line", "visible", "visible_json"]

_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b\u200e\u200f\u2028\u2029"
    "\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff\ud800-\udfff]"
)
"""C0 but tab and newline, DEL, C1, what turns text around, what hides in it (Unicode's Default_Ignorable_Code_Point,
but for the joiners and variation selectors of scripts and emoji), and lone surrogates, which no file can hold."""


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


def visible_json(text: str) -> str:
    """The same for a text that is JSON, which stays what it says: JSON has escapes of its own."""
    return _CONTROLS.sub(lambda found: json.dumps(found[0])[1:-1].replace("\x7f", "\\u007f"), text)
