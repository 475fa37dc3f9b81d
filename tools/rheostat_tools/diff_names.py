"""Read the names of files in the headers of a diff, as git, diff and models write them."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet

__all__ = ["NOTHING", "git_name", "header_name", "name_of_both"]

NOTHING = "/dev/null"
"""The name of a file that isn't there."""

_MOST_NAME_CHARS = 1_000
_STAMP = re.compile(
    r"(?<!\s)\s+(?:\d{4}-\d\d-\d\d|\d\d?[:/]\d\d|(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b|\((?:revision|working|nonexist)).*$"
)
_GIT = re.compile(r"diff --git \"?(?:[^/\"]+/)?(.+?)\"? \"?(?:[^/\"]+/)?\1\"?\s*$")
_ESCAPE = re.compile(r"\\([0-7]{1,3}|.)")
_ESCAPED = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13}


def header_name(line: str, known: AbstractSet[str]) -> str:
    """The name in a line `--- …` or `+++ …`, without a time behind it."""
    said = line[4:].split("\t", maxsplit=1)[0].strip()[:_MOST_NAME_CHARS]
    if len(said) > 1 and said[0] == said[-1] == '"':
        return _unquoted(said[1:-1])
    return said if said in known or _without_side(said) in known else _STAMP.sub("", said)


def git_name(line: str) -> str:
    """The name of the file in a line `diff --git a/… b/…`; empty: there are two, or it can't be told."""
    found = _GIT.match(line) if len(line) <= 2 * _MOST_NAME_CHARS else None
    return "" if found is None else _unquoted(found[1]) if '"' in line else found[1]


def name_of_both(before: str, after: str, known: AbstractSet[str]) -> str:
    """The file of both sides of a diff, without `a/` and `b/`, or `original/` and `modified/`; empty: they are two."""
    if NOTHING in (before, after):
        return _without_side(before if after == NOTHING else after)
    if before == after and after in known:
        return after
    sides = [each.partition("/") for each in (before, after)]
    if sides[0][2] and sides[0][2] == sides[1][2] and sides[0][0] != sides[1][0]:
        return sides[1][2]
    paths = [_without_side(after), _without_side(before)]
    if before.startswith("a/") and after.startswith("b/") and paths[0] != paths[1]:
        return ""
    return next((path for path in paths if path in known), paths[0])


def _without_side(path: str) -> str:
    return path[2:] if path[:2] in ("a/", "b/") else path


def _unquoted(name: str) -> str:
    """A name that git wrote in quotes, with octal codes for the bytes of its UTF-8."""
    data, last = bytearray(), 0
    for escape in _ESCAPE.finditer(name):
        data += name[last : escape.start()].encode(errors="surrogatepass")
        code, last = escape[1], escape.end()
        data += bytes([int(code, 8) & 0xFF]) if code[0] in "01234567" else bytes([_ESCAPED.get(code, ord(code) & 0x7F)])
    return (data + name[last:].encode(errors="surrogatepass")).decode(errors="surrogateescape")
