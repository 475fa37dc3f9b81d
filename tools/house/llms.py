"""Write docs/llms.txt (llmstxt.org): the pages of the site for a language model, from the nav of mkdocs.yml.

`python tools/house/llms.py` writes it. The links go to the pages' Markdown in the repository.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

__all__ = ["PAGE", "page"]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "llms.txt"
_NOT_PROSE = re.compile(r"```.*?```|^:::.*$|<!--.*?-->", re.DOTALL | re.MULTILINE)


def _pages(nav: Any, title: str = "") -> Iterator[tuple[str, str]]:
    """(title or nothing, path) of each page, in the order of the nav."""
    if isinstance(nav, str):
        yield title, nav
    elif isinstance(nav, dict):
        for name, below in nav.items():
            yield from _pages(below, name)
    else:
        for each in nav:
            yield from _pages(each)


def _line(title: str, path: str, base: str) -> str:
    """A link to the page, and its first sentence."""
    text = _NOT_PROSE.sub("", (ROOT / "docs" / path).read_text(encoding="utf-8"))
    heading, *paragraphs = (each.strip() for each in re.split(r"\n{2,}", text.strip()))
    prose = next((each for each in paragraphs if re.match(r"[A-Z\"*`]", each) and "How to:" not in each), "")
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)|\*+", r"\1", " ".join(prose.split()))
    first = re.split(r"(?<=\w\.)\s", plain, maxsplit=1)[0].rstrip(".:")
    name = title or heading.removeprefix("# ")
    return f"- [{name}]({base}/docs/{path})" + (f": {first}" if first else "")


def page() -> str:
    """The file's text."""
    text = re.sub(r"!!python/name:\S+", "", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))  # names code of MkDocs
    site: dict[str, Any] = yaml.safe_load(text)
    base = site["repo_url"].replace("github.com", "raw.githubusercontent.com") + "/main"
    parts = [f"# {site['site_name']}\n\n> {site['site_description']}"]
    for section in site["nav"]:
        name, below = next(iter(section.items()))
        lines = [_line(title, path, base) for title, path in _pages(below)]
        parts.append(f"## {'Optional' if name == 'Decisions' else name}\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
