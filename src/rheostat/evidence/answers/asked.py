"""The form of answer that a question asks for, and the options that it offers."""

from __future__ import annotations

import functools
import re

from rheostat.evidence.answers.languages import HOW_MANY, HOW_MANY_UNSPACED
from rheostat.evidence.answers.text import ends_of, short_blanks
from rheostat.evidence.forms import AnswerForm

__all__ = ["asked_form", "options_of"]

_LETTER = re.compile(
    r"\b(?:answer|reply|respond)\s+(?:only\s+)?with\s+(?:only\s+)?(?:the|a|one|just the)\s+(?:single\s+)?"
    r"(?:correct\s+)?letter\b|\bwhich (?:option|letter)\b",
    re.I,
)
_WHEN = re.compile(
    r"""(?:^|(?<=[.!?:,\n])\s*)(?:(?:and|so|then)\s+)?(?:
          when\s+(?:does|do|did|will|is|was|were|are|should|would|can|could|has|have)\s+(?!(?:a|an|[a-z])\s+(?:number|[a-z]\s+equal))
        | (?:at\s+|by\s+)?what\s+time\b(?!\s+complexity) | (?:on\s+)?(?:what|which)\s+(?:date|day)\b
        | what\s+(?:is|was|will\s+be)\s+the\s+date\b )
    | \b(?:at\s+what\s+time|on\s+(?:what|which)\s+(?:date|day))\b""",
    re.X | re.I,
)
_COUNT = re.compile(
    rf"\bhow\s+(?:many|much|far|long|old|tall|fast|heavy|big|high|deep|wide)\b|(?<!\w)(?:{HOW_MANY})(?!\w)|{HOW_MANY_UNSPACED}",
    re.I,
)
_NUMBER = re.compile(
    r"\b(?:calculate|compute|evaluate|simplify|sum of|product of|what(?:'s| is| are) (?:the|its|his|her"
    r"|their)(?:\s+\w+){0,2}?\s+(?:value|probability|area|volume"
    r"|average|mean|median|total|number|percentage|remainder|result|difference|perimeter|length|speed|cost|price|age|profit|distance|sum|product))\b"
    r"|\bwhat (?:percent(?:age)?|fraction|year|number|is\s+-?[\d.]+\s*%?\s+(?:of|plus|minus|times|divided))\b"
    r"|\d\s*[-+*/×÷^]\s*\d|\bsolve\b.*=|=\s*\?|\b(?:find|value of) [a-z]\b",
    re.I,
)
_JSON = re.compile(
    r"\b(?:as|in|with|return|reply|respond|give|output|produce|valid)\b[^.?!\n]{0,30}\bjson\b"
    r"|\bjson (?:object|array)\b",
    re.I,
)
_CODE = re.compile(
    r"(?:^|[.!?\n:]\s*|\b(?:please|you|to|me|us|now)\s+)(?:write|implement|complete|fix|debug|refactor|create|code|define|develop)\b"
    r"\W+(?:[\w+#()=-]+(?:,|'s)?\s+){0,8}?(?:function|class|method|program|script|code|query|snippet"
    r"|module)\b|```\w*\n\s*def ",
    re.I,
)
_NOT_CODE = re.compile(
    r"\b(?:for|in|each|per|every|her|his|of)\s+(?:class|program|method)\b|\b(?:complete|write)\s+(?:a|one|\d+)\s+programs?\s+in\b",
    re.I,
)
_HAPPENS = re.compile(r"\b(?:which|who|whom|whose|what\s+happens|where|why)\b[^.?!]*\bwhen\b", re.I)


_MOST_CHARS = 4_000


def asked_form(question: str) -> AnswerForm | None:
    """The form that a question asks for; `None`: the question doesn't say."""
    return _form(short_blanks(ends_of(question, _MOST_CHARS)))


@functools.lru_cache(maxsize=1024)
def _form(question: str) -> AnswerForm | None:
    if options_of(question) or (_LETTER.search(question) and re.search(r"\b[A-D]\b", question)):
        return "choice"
    counts = _COUNT.search(question) is not None
    code = _CODE.search(question)
    if code is not None and not (counts and (_NOT_CODE.search(question) or not _imperative(code))):
        return "code"
    if counts:
        return "number"
    if _JSON.search(question):
        return "json"
    if _WHEN.search(question) and not _HAPPENS.search(question):
        return "date"
    return "number" if _NUMBER.search(question) else None


def _imperative(code: re.Match[str]) -> bool:
    return code[0].lstrip(" .!?:\n")[:1].isupper() or code[0].startswith("```")


_AT_LINE = re.compile(
    r"^[ \t>*_-]*(?:\(([A-Ja-j])\)|\[([A-Ja-j])\]|([A-Ja-j])(?:[).:]|\s-)(?=[\s*_]))[*_]*[ \t]*(?=\S)", re.M
)
_INLINE = re.compile(r"(?:(?<=\s)|(?<=^)|(?<=\())(?:\(([A-Ja-j])\)|\[([A-Ja-j])\]|([A-Ja-j])[).])\s+(?=\S)")
_CHOOSES = re.compile(r"\b(?:which|choose|letter|select|pick|correct|options?|choices?)\b", re.I)


def options_of(question: str) -> dict[str, str]:
    """The options that a question offers, by letter; empty if it offers none."""
    found = _run(list(_AT_LINE.finditer(question)))
    if not found:
        found = _run(list(_INLINE.finditer(question)))
        after = question[found[-1].end() :] if found else ""
        before = question[: found[0].start()].strip() if found else ""
        if not before or not (before.endswith(("?", ":")) or _CHOOSES.search(before)):
            return {}
        if "?" in after or re.search(r"\b(?:compute|calculate|find)\b", after, re.I):
            return {}
    elif "?" in (after := question[found[-1].end() :]) and not _CHOOSES.search(after):
        return {}
    if not found:
        return {}
    ends = [option.start() for option in found[1:]] + [len(question)]
    texts = [question[option.end() : end].strip(" \n,;.(*_") for option, end in zip(found, ends, strict=True)]
    return {_letter(option): text.split("\n")[0].strip(" *_") for option, text in zip(found, texts, strict=True)}


_MOST_OPTIONS = 200
"""The most candidates that are examined: a text with more single letters isn't a list of options."""


def _letter(option: re.Match[str]) -> str:
    return next(part for part in option.groups() if part).upper()


def _run(found: list[re.Match[str]]) -> list[re.Match[str]]:
    """The first run of two or more options that starts at A."""
    found = found[:_MOST_OPTIONS]
    for start, opening in enumerate(found):
        if _letter(opening) != "A":
            continue
        run = [opening]
        for option in found[start + 1 :]:
            if ord(_letter(option)) == ord(_letter(run[-1])) + 1:
                run.append(option)
        if len(run) > 1:
            return run
    return []
