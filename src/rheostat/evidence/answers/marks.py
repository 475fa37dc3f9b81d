"""Where a reply says that its answer stands: `\\boxed{…}`, `<answer>`, `####`, "the answer is …", a heading.

Each mark gives the text after it, from the last mark to the first: a model may correct itself.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Marked", "last_sentence", "marked", "refuses"]


@dataclass(frozen=True, slots=True)
class Marked:
    """What a mark points at."""

    at: int
    text: str
    exact: bool
    """The mark has an end of its own: the answer is all of it. Else it is somewhere in this sentence."""


_TAG = re.compile(r"<(answer|final_answer|final|result)>(.*?)(?:</\1>|\Z)", re.S | re.I)
_HASHES = re.compile(r"^[ \t]*####[ \t]*(\S[^\n]*)$", re.M)
_WORD = r"answers?|réponse|respuesta|antwort|risposta|resposta|ответ"
_SAID = re.compile(
    rf"""(?<![A-Za-z0-9-])(?:\#{{1,6}}\s*)?\*{{0,3}}_{{0,2}}(?:(?:final|correct|right|numerical|short)\s+)?(?:{_WORD})(?![A-Za-z])_{{0,2}}\*{{0,3}}
    (?:\s+(?:to|for|of)\s[^.:=\n!?]{{1,80}}?)??
    \s*(?:
        (?P<verb>(?:is|are|was|equals|would\s+be|will\s+be|should\s+be|must\s+be|becomes|comes\s+to|comes\s+out\s+to\s+be|est|es|ist|è|é)\b
          (?:\s+(?:thus|therefore|then|simply|just|indeed|now|given\s+by|as\s+follows|option|choice))*\s*[:：]?)
      | [:=：]
    )[ \t]*
    |(?:答案|答え|答)\s*(?:是|为|は|:|：)+[ \t]*""",
    re.X | re.I,
)
_NO_ANSWER = re.compile(
    r"""\s*(?:\**)(?:(?:not|n't|correct|right|wrong|incorrect|reasonable|consistent|valid|verified|plausible|unique|based\s+on|found|
    obtained|in\s+the|in\s+terms|shown|explained|clear|here|straightforward|simple|rounded|that\s+simple|complete|also)\b(?!\s*[\d$:]))""",
    re.X | re.I,
)
_BUT = re.compile(r"\s*not\s[^.\n]{1,60}?\b(?:but|it\s+is|it's)\s+(?:rather\s+)?", re.I)
_STEP = re.compile(
    r"\s*(?:first|let's|let us|let me|we\s+(?:need|have|must|can|first)|to\s+(?:find|solve|get|answer|determine))\b",
    re.I,
)
_HEADING = re.compile(
    rf"^\s*(?:\#{{1,6}}\s*)?\**_?(?:(?:the\s+)?(?:final|correct)\s+)?(?:{_WORD}|result|conclusion)_?\**\s*:?\s*\**\s*$",
    re.I | re.M,
)
_CHECK = re.compile(
    r"""\(\s*(?:check|because|since|as|verify|verification|note|i\.e\.|e\.g\.|for|from|by|where|that\s+is)\b[^()]*\)
    |^[ \t>*_-]*(?:check|checking|verification|verify|proof|explanation|note|reasoning|justification
      |to\s+(?:check|verify|confirm)|let(?:'s|\s+me|\s+us)\s+(?:check|verify|double)|we\s+can\s+(?:check|verify)
      |double-check(?:ing)?)\b[\s\S]*\Z
    |(?<=[.!?])[ \t]+(?:check|verification|note|explanation|proof|to\s+(?:check|verify)
      |let(?:'s|\s+me)\s+(?:check|verify|double))\b[\s\S]*\Z""",
    re.X | re.I | re.M,
)
_REFUSES = re.compile(
    r"""\b(?:i\s+(?:do\s+not|don't|cannot|can't|am\s+(?:not\s+able|unable)|'m\s+(?:not\s+sure|sorry|unable)|am\s+sorry)|cannot\s+be\s+(?:determined|computed|calculated|answered|known|found)|can't\s+be\s+(?:determined|known|found)
    |not\s+enough\s+information|insufficient\s+information|no\s+(?:answer|solution)\s+(?:is|can|was)|impossible\s+to\s+(?:say|tell|know|determine)|unable\s+to\s+(?:determine|answer|solve|help|assist)
    |(?:need|missing)\s+more\s+information)\b""",
    re.X | re.I,
)


def marked(text: str) -> Iterator[Marked]:
    """What the marks of a reply point at, the last one first."""
    found = [*_boxed(text)]
    found += [Marked(m.start(), m[2].strip(), True) for m in _TAG.finditer(text)]
    found += [Marked(m.start(), m[1].strip(), False) for m in _HASHES.finditer(text) if not _HEADING.match(m[0])]
    for said in deque(_SAID.finditer(text), maxlen=_MOST_MARKS):
        rest = text[said.end() : said.end() + _MOST_CHARS]
        but = _BUT.match(rest) if said["verb"] else None
        if but is not None:
            rest = rest[but.end() :]
        elif (said["verb"] and _NO_ANSWER.match(rest)) or _STEP.match(rest):
            continue
        found.append(Marked(said.start(), _sentence(rest), False))
    found += [
        Marked(m.start(), _sentence(text[m.end() :]), False) for m in deque(_HEADING.finditer(text), maxlen=_MOST_MARKS)
    ]
    last = sorted(found, key=lambda each: -each.at)[:_MOST_MARKS]
    yield from (each for each in last if each.text)


def _boxed(text: str) -> Iterator[Marked]:
    """`\\boxed{…}` with balanced braces; several with only a comma or "and" between them are one list."""
    spans: list[tuple[int, int, str]] = []
    for match in deque(re.finditer(r"\\(?:boxed|fbox)\s*\{", text), maxlen=_MOST_MARKS):
        depth, at = 1, match.end()
        while at < min(len(text), match.end() + _MOST_CHARS) and depth:
            depth += (text[at] == "{" and text[at - 1] != "\\") - (text[at] == "}" and text[at - 1] != "\\")
            at += 1
        if not depth:
            spans.append((match.start(), at, text[match.end() : at - 1].strip()))
    while spans:
        start, _, inner = spans.pop()
        parts = [inner]
        while spans and re.fullmatch(
            r"[$\\()\s]*(?:,|and|,\s*and|\\text\{\s*and\s*\}|or)[$\\()\s]*", text[spans[-1][1] : start]
        ):
            start, _, before = spans.pop()
            parts.insert(0, before)
        yield Marked(start, ", ".join(parts), True)


_SHORTENED = "".join(
    rf"(?<!\b{word})"
    for word in ("Mr", "Mrs", "Ms", "Dr", "St", "Jr", "Sr", "vs", "Mt", "Prof", "approx", "ca", "e.g", "i.e", "No")
)
_END = re.compile(
    rf"\n|(?<=[^\W\d_]){_SHORTENED}(?<!\s[A-Z])(?<!\s[ap]\.m)[.!?](?=\s|$)|(?<=[\d)\]}}%$\"'*°²³`])[.!?](?=\s|\*|$)|[.!?](?=\*\*)|。"
)


_MOST_MARKS, _MOST_CHARS = 40, 2_000
_CLOSED = re.compile(r"^(?:\*{1,3}|_{1,2})(?=\s|$)")
"""The end of what was bold around the mark itself."""


def _sentence(rest: str) -> str:
    """To the end of the sentence or line; an empty line points at the next one, or at a block."""
    rest = _CLOSED.sub("", rest[:_MOST_CHARS].lstrip(" \t"), count=1).lstrip(" \t")
    line = rest.split("\n", 1)[0].strip()
    if not line or re.fullmatch(r"(?:as follows|below|the following|given below|this)?\s*:?\**", line, re.I):
        after = rest[len(rest.split("\n", 1)[0]) :].lstrip()
        fence = re.match(r"(?:```|~~~|\$\$|\\\[)[^\n]*\n?\s*(.*?)(?:```|~~~|\$\$|\\\]|\Z)", after, re.S)
        return fence[1].strip() if fence else _cut(after)
    return _cut(rest)


def _cut(text: str) -> str:
    if text.startswith(("\\[", "$$")):
        return re.split(r"\\\]|(?<=.)\$\$", text[2:], maxsplit=1)[0].strip()
    end = _END.search(text)
    text = (text[: end.start()] if end else text).strip()
    for star in ("**", "__"):
        if text.count(star) == 1 and text.endswith(star):  # its beginning is before the mark
            text = text[: -len(star)].rstrip()
    return text


def without_checks(text: str) -> str:
    """Without what only proves the answer again."""
    shorter = _CHECK.sub("", text)
    return shorter if shorter.strip() else text


def refuses(text: str) -> bool:
    """Its end says that there is no answer."""
    return _REFUSES.search(text[-400:].replace("’", "'")) is not None


def last_sentence(text: str) -> Iterator[str]:
    """Sentences from the last to the first: lines, and the sentences in them."""
    for line in reversed([line for line in text.splitlines() if line.strip()]):
        pieces, at = [], 0
        for end in _END.finditer(line):
            pieces.append(line[at : end.start()])
            at = end.end()
        pieces.append(line[at:])
        yield from (piece.strip()[-_MOST_CHARS:] for piece in reversed(pieces) if piece.strip(" *_#-"))
