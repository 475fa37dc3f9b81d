"""What the docs need to be both readable on GitHub and a site: MkDocs calls these hooks while it builds."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any

__all__ = ["on_page_markdown"]

ROOT = Path(__file__).parents[2]
_LINK = re.compile(r"(?<=\]\()(?!#|[a-z]+:)([^)#\s]+)(#[^)\s]*)?(?=\))")
_NO_RUN = re.compile(r"^(\s*```python) no-run$", re.MULTILINE)
_log = logging.getLogger("mkdocs.hooks.site")


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Links that leave `docs/` go to the repository; a fence that isn't run is shown like any other."""
    folder = Path(config.docs_dir, page.file.src_uri).parent

    def absolute(found: re.Match[str]) -> str:
        target = Path(os.path.normpath(folder / found[1]))
        if target.is_relative_to(config.docs_dir) and not target.is_dir():
            return found[0]
        if not target.exists():
            _log.warning("%s: a link to %s, which isn't in the repository", page.file.src_uri, found[1])
        kind = "tree" if target.is_dir() else "blob"
        return f"{config.repo_url}/{kind}/main/{target.relative_to(ROOT).as_posix()}{found[2] or ''}"

    return _LINK.sub(absolute, _NO_RUN.sub(r"\1", markdown))
