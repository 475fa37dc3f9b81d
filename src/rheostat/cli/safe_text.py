"""Makes text from models, tools, files and account names safe for a terminal and a spreadsheet."""

from __future__ import annotations

import re
from typing import Any

from rich.markup import escape as _without_markup

from rheostat.visible import one_line, visible

__all__ = ["escape", "for_csv", "one_line", "visible"]

_FORMULA = re.compile(r"^\s*[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]")


def escape(text: object) -> str:
    """As `visible`, for a console of rich that reads markup; ours don't (`rheostat.cli.screen`)."""
    return _without_markup(visible(text))


def for_csv(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula gets a quote in front (OWASP, "CSV Injection")."""
    if not isinstance(value, str):
        return value
    shown = one_line(value)
    return f"'{shown}" if _FORMULA.match(value) and not _is_number(value) else shown


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(?:\.\d+)?", text) is not None
