"""Find the marks of an answer in a reply: `\\boxed{…}`, `<answer>`, `####`, "the answer is …", a heading.

Marks come from last to first, because a model may correct itself.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from rheostat.evidence.answers.asides import SENTENCE_END, mistaken
from rheostat.evidence.answers.languages import ANSWER, ANSWER_UNSPACED, IS

__all__ = ["Marked", "correction", "marked"]


@dataclass(frozen=True, slots=True)
class Marked:
    """A mark and the text that it points at."""

    at: int
    text: str
    exact: bool
    """The mark has an end of its own, so the answer is all of `text`; else the answer is somewhere in that sentence."""
    rest: str = ""
    """The text after the mark, up to the end of the reply."""


_TAG = re.compile(r"<(answer|final_answer|final|result)>(.*?)(?:</\1>|\Z)", re.S | re.I)
_HASHES = re.compile(r"^[ \t]*####[ \t]*(\S[^\n]*)$", re.M)
_TITLE = re.compile(
    r"\**\s*(?:step\b|\d+[.)]\s+\D|part\b|case\b|solution\b|given\b|approach\b|method\b|explanation\b|calculation|total\s*:?\**$"
    r"|check|verif|note|analysis|understanding|[^:\n]*:\**$)",
    re.I,
)
_SAID = re.compile(
    rf"""(?<![A-Za-z0-9-])(?:\#{{1,6}}\s*)?\*{{0,3}}_{{0,2}}(?:(?:final|correct|right|numerical|short)\s+)?(?:{ANSWER})(?:\s+final[ea]?)?(?![A-Za-z])_{{0,2}}\*{{0,3}}
    (?:\s+(?:to|for|of)\s[^.:=\n!?]{{1,80}}?|\s+to\s+[^\n]{{0,80}}?\?["”]?)??
    \s*(?:
        (?P<verb>(?:is|are|was|equals|would\s+be|will\s+be|should\s+(?:actually\s+)?be|must\s+be|becomes|comes\s+to|comes\s+out\s+to\s+be|{IS})(?!\w)
          (?:\s+(?:thus|therefore|then|simply|just|indeed|now|actually|given\s+by|as\s+follows|(?:option|choice)(?!\s+\d)))*\s*[:：]?)
      | [:=：] | [–—-](?=\s)
    )[ \t]*
    |(?:{ANSWER_UNSPACED})\s*(?:是|为|は|은|는|:|：)+[ \t]*|(?:故|因此|所以|应)?选(?:项|择)?\s*(?=\(?[A-J])""",
    re.X | re.I,
)
_NO_ANSWER = re.compile(
    r"""\s*(?:\**)(?:(?:not|n't|correct|right|wrong|incorrect|reasonable|consistent|valid|verified|plausible|unique|based\s+on|found|
    obtained|in\s+the|in\s+terms|shown|explained|clear|here|straightforward|simple|rounded|that\s+simple|complete|also)\b(?!\s*[\d$:]))""",
    re.X | re.I,
)
_BUT = re.compile(
    r"\s*not\s(?:[^.\n]|\.(?=\d)){1,60}?\b(?:but|it\s+is|it's)\s+(?:rather\s+)?|\s*(?:simple|clear|straightforward)\s*:\s*",
    re.I,
)
_STEP = re.compile(
    r"\s*(?:first|let's|let us|let me|we\s+(?:need|have|must|can|first)|to\s+(?:find|solve|get|answer|determine))\b",
    re.I,
)
_HEADING = re.compile(
    rf"^[^\w\n]{{0,12}}(?:(?:the\s+)?(?:final|correct)\s+)?(?:{ANSWER}|result|conclusion)_?\**\s*:?\s*\**\s*$",
    re.I | re.M,
)
_WRONG = re.compile(
    r"""(?:^|(?<=[.!?*\n…}$)]))\s*\**(?:wait|hmm+|actually|hold\s+on|correction|oops|on\s+second\s+thought|no,|sorry,\s+(?:that|i\s+made)|i\s+(?:made|see)\s+(?:an?|my)\s+(?:error|mistake)
    |let\s+me\s+(?:correct|redo|recompute|recalculate|reconsider)|that(?:'s|\s+is)\s+(?:wrong|incorrect|not\s+right))\b""",
    re.X | re.I,
)
_CONFIRMS = re.compile(
    r"\b(?:yes|correct|right|confirmed?|indeed|same|still|stands|holds|checks\s+out|fine|as\s+before)\b[^.!?\n]{0,40}[.!?✓✔]*\s*\Z|[✓✔✅]\s*\Z",
    re.I,
)


def marked(text: str) -> Iterator[Marked]:
    """The marks of a reply that have a text, the last one first."""
    found = [*_boxed(text)]
    found += [Marked(m.start(), m[2].strip(), True, text[m.end() :]) for m in _TAG.finditer(text)]
    found += [
        Marked(m.start(), m[1].strip(), False, text[m.end() :])
        for m in deque(_HASHES.finditer(text), maxlen=_MOST_MARKS)
        if not _HEADING.match(m[0]) and not _TITLE.match(m[1])
    ]
    for said in deque(_SAID.finditer(text), maxlen=_MOST_MARKS):
        rest = text[said.end() : said.end() + _MOST_CHARS]
        but = _BUT.match(rest) if said["verb"] else None
        if but is not None:
            rest = rest[but.end() :]
        elif (said["verb"] and _NO_ANSWER.match(rest)) or _STEP.match(rest):
            continue
        if not mistaken(text[: said.start()], said[0]):
            found.append(Marked(said.start(), _sentence(rest), False, rest))
    found += [
        Marked(m.start(), _sentence(text[m.end() :]), False, text[m.end() :])
        for m in deque(_HEADING.finditer(text), maxlen=_MOST_MARKS)
    ]
    last = sorted(found, key=lambda each: -each.at)[:_MOST_MARKS]
    yield from (each for each in last if each.text)


def correction(rest: str) -> str | None:
    """The text after a reply withdraws its marked answer; `None`: it doesn't, or it confirms the answer."""
    wrong = _WRONG.search(rest[:_MOST_CHARS])
    if wrong is None or _CONFIRMS.search(rest):
        return None
    return rest[wrong.end() :]


def _boxed(text: str) -> Iterator[Marked]:
    """The boxes (`\\boxed{…}` with balanced braces); boxes joined by a comma, "and" or "or" are one list."""
    spans: list[tuple[int, int, str]] = []
    for match in deque(re.finditer(r"\\(?:boxed|fbox)\s*(?:\{|(?=\d)\d[\d.,]*)", text), maxlen=_MOST_MARKS):
        if not match[0].endswith("{"):
            spans.append((match.start(), match.end(), re.sub(r"^\\[a-z]+\s*", "", match[0])))  # \boxed7
            continue
        depth, at = 1, match.end()
        while at < min(len(text), match.end() + _MOST_CHARS) and depth:
            depth += (text[at] == "{" and text[at - 1] != "\\") - (text[at] == "}" and text[at - 1] != "\\")
            at += 1
        if not depth:
            spans.append((match.start(), at, text[match.end() : at - 1].strip()))
    while spans:
        start, ends, inner = spans.pop()
        parts = [inner]
        while spans and re.fullmatch(
            r"[$\\()\s]*(?:,|and|,\s*and|\\text\{\s*and\s*\}|or)[$\\()\s]*", text[spans[-1][1] : start]
        ):
            start, _, before = spans.pop()
            parts.insert(0, before)
        yield Marked(start, ", ".join(parts), True, text[ends:])


_MOST_MARKS, _MOST_CHARS = 40, 2_000
_CLOSED = re.compile(r"^(?:\*{1,3}|_{1,2})(?=\s|$)")
"""The end of bold type that began before the mark."""
_BULLET = re.compile(r"^(?:[-*•–—]|\d{1,2}[.)])\s+(?=\S)")


def _sentence(rest: str) -> str:
    """The text up to the end of its sentence or line; if the line is empty, the next line or block."""
    rest = _CLOSED.sub("", rest[:_MOST_CHARS].lstrip(" \t"), count=1).lstrip(" \t")
    line = rest.split("\n", 1)[0].strip()
    if not line or re.fullmatch(r"(?:as follows|below|the following|given below|this)?\s*:?\**", line, re.I):
        after = rest[len(rest.split("\n", 1)[0]) :].lstrip().removeprefix(">").lstrip()
        fence = re.match(r"(?:```|~~~|\$\$|\\\[)[^\n]*\n?\s*(.*?)(?:```|~~~|\$\$|\\\]|\Z)", after, re.S)
        return fence[1].strip() if fence else _cut(_BULLET.sub("", after))
    return _cut(rest)


def _cut(text: str) -> str:
    if text.startswith(("\\[", "$$")):
        return re.split(r"\\\]|(?<=.)\$\$", text[2:], maxsplit=1)[0].strip()
    end = SENTENCE_END.search(text)
    text = (text[: end.start()] if end else text).strip()
    for star in ("**", "__"):
        if text.count(star) == 1 and text.endswith(star):  # bold type that began before the mark
            text = text[: -len(star)].rstrip()
    return text
