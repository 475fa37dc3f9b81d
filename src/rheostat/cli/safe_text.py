"""Makes text from models, tools, files and account names safe for a terminal and a spreadsheet."""

from __future__ import annotations

import re
from typing import Any

from rich.markup import escape as _without_markup

__all__ = ["escape", "for_csv", "visible"]

_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""C0 but tab and newline, DEL, C1, and what turns text around or hides it."""
_FORMULA = re.compile(r"^\s*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")


def visible(text: object) -> str:
    """Control characters as their codes: none reaches the terminal that could move, hide or colour other text."""
    return _CONTROLS.sub(
        lambda found: f"\\x{ord(found[0]):02x}" if ord(found[0]) < 256 else f"\\u{ord(found[0]):04x}", str(text)
    )


def escape(text: object) -> str:
    """As `visible`, and none of it is Rich markup."""
    return _without_markup(visible(text))


def for_csv(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula gets a quote in front (OWASP, "CSV Injection")."""
    if not isinstance(value, str):
        return value
    return f"'{visible(value)}" if _FORMULA.match(value) and not _is_number(value) else visible(value)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(?:\.\d+)?", text) is not None
