"""Find what isn't the answer in a reply: checks, explanations, chat, hypotheticals, refusals, placeholders."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rheostat.evidence.answers.languages import MONTHS
from rheostat.evidence.answers.numbers import numbers_in, plain

__all__ = [
    "SENTENCE_END", "breaks_off", "explained_at", "hypothetical", "is_placeholder", "last_sentences", "mistaken",
    "refuses", "without_asides",
]  # fmt: skip

_OPENS = r"(?:^|(?<=[.!?)✓✔🎉🦆]))[ \t>*_#•–—\u2600-\u27bf\U0001f300-\U0001faff-]{0,12}"
"""The start of a line or a sentence, with its bullet, heading mark or emoji."""
_TAIL = re.compile(
    rf"""{_OPENS}(?:
        (?:step\s+\d+\s*[:.]\s*)?(?:check(?:ing)?|double-check(?:ing)?|verif(?:y|ying|ication)|proof|sanity\s+check|substituting\b[^.\n]*\bback)\b
      | to\s+(?:check|verify|confirm)\b | let(?:'s|\s+me|\s+us)\s+(?:check|verify|double|confirm)\b
      | (?:we|you)\s+can\s+(?:also\s+|now\s+|easily\s+)?(?:check|verify|confirm|double)\b
      | would\s+you\s+like | let\s+me\s+know | do\s+you\s+(?:want|need|have) | (?:just\s+)?feel\s+free | want\s+me\s+to
      | if\s+you(?:'d|\s+would|\s+have|\s+need|\s+want|\s+like)\b | i\s+hope\b | hope\s+(?:this|that)\b
      | please\s+(?:let|rate|feel) | is\s+there\s+anything | rate\s+this | happy\s+to\s+help
      | (?:i'm\s+)?sorry,?\s+(?:but\s+)?i\s+(?:can't|cannot|couldn't)\s+(?:draw|show|display|render|attach|include)
      | confidence\b | (?:sources?|references?|citations?|footnotes?|disclaimer|p\.?\s?s\.?)\s*\**\s*:
      | \(?word\s+count | \[\^\w+\]:
    )[\s\S]*\Z""",
    re.X | re.I | re.M,
)
_BRACKETED = re.compile(
    r"\(\s*(?:check|because|since|as|verify|verification|note|i\.e\.|e\.g\.|for|from|by|where|that\s+is|assuming|about|approx"
    r"|roughly|or)\b[^()]*\)",
    re.I,
)
_EXPLAINS = re.compile(
    rf"""{_OPENS}(?:
        explanation|breakdown|details?\s*\**:|working\b|calculations?\s*\**:|justification|reason(?:ing)?\s*\**:|why\?|here(?:'s|\s+is|\s+are)\s+(?:why|how|the|my|a)
      | step[- ]by[- ]step|this\s+is\s+because|because\b|the\s+reason|notes?\b|in\s+detail
    )""",
    re.X | re.I | re.M,
)
_HYPOTHETICAL = re.compile(
    r"""^\W*(?:(?:however|but|note\s+that|and|for\s+comparison|bonus)\W+)?(?:
        (?:if|had|suppose|without|for|even\s+if|assuming)\b.*\b(?:would|could)\b
      | (?:a|one|the\s+most)\s+common\s+(?:wrong|mistake|error|incorrect|misconception)
      | (?:many|some|most|a\s+lot\s+of)\s+(?:people|students|sources) | (?:you|one)\s+(?:might|may
      |could)\s+(?:think|say|believe|assume)
      | it\s+(?:might|may|would)\s+seem | (?:fun|side)\s+(?:fact|note) | bonus\b | p\.?s\b )""",
    re.X | re.I | re.S,
)
_MISTAKE = re.compile(
    r"\b(?:mistake|error|wrong|incorrect(?:ly)?|misconception|tempting|might|may|could|(?:many|some|most)\s+(?:people|students))\b"
    r"[^.!?\n]{0,40}\b(?:think|say|believe|assume|conclude)\b[^.!?\n]{0,25}$",
    re.I,
)
_REFUSES = re.compile(
    r"""\b(?:i\s+(?:do\s+not|don't)\s+(?:know|have|understand|think\s+(?:i|there|it)|see\s+(?:any|how)|recall|remember|believe\s+there)
    | i\s+(?:cannot|can't|could\s+not|couldn't|am\s+(?:not\s+able|unable)|'m\s+(?:not\s+(?:sure|able|certain)
    |unable))\b(?!\s+(?:draw|show|display|count))
    | i\s+(?:am|'m)\s+(?:sorry|afraid)\W+(?:but\s+)?(?:i|that|there|this|we)\b(?!\s+for)
    |i\s+have\s+no\s+(?:information|data|idea|knowledge|way)
    | (?:cannot|can't|could\s+not|couldn't|can\s+not)\s+be\s+(?:determined|computed|calculated|answered|known
    |found|solved|established)
    | (?:not|n't|isn't|is\s+no|no)\s+(?:enough|sufficient)\s+(?:information|data|details|context|facts)
    |insufficient\s+(?:information|data|details|context)
    | (?:question|problem|text|passage|prompt|statement|story|it|information|data)\s+(?:doesn't|does\s+not
    |don't|do\s+not)\s+(?:provide|give|contain|include|specify|say|state|mention)\b
    |no\s+(?:answer|solution)\s+(?:is|can|was|exists)
    | (?:impossible|not\s+possible)\s+to\s+(?:say|tell|know|determine|calculate|answer)
    |unable\s+to\s+(?:determine|answer|solve|help|assist|find|calculate)
    | (?:need|missing|require|provide|have)\s+more\s+(?:information|context|details)|(?:is|are|isn't
    |not)\s+(?:unknown|known\b(?!\s+(?:as|for|to))|undetermined|not\s+(?:known|given|specified|stated))
    | (?:could|can|would)\s+you\s+(?:please\s+)?(?:clarify|specify|provide|tell|give)|please\s+(?:clarify
    |specify|provide)\b)""",
    re.X | re.I,
)
_AFTER_ALL = re.compile(r"\bbut\s+it\b[^.!?]*\d|=\s*\**-?[$\d]|\b(?:so|therefore|thus|hence|total)\b[^.!?]*\d", re.I)
"""A conclusion after a phrase that looked like a refusal."""
_PLACEHOLDER = re.compile(
    r"""[?_.…\s-]+ | n/?a | tbd | todo | x{2,} | none\ given | unknown
    | [\[<{(]*\s*(?:(?:your|the|an?|final|insert|numerical|enter|some)\s+)*(?:answer|number|value|result
    |solution|here|letter|option|text)s?(?:\s+here|\s+goes\s+here)?\s*[\]>})]*""",
    re.X | re.I,
)
_BREAKS_OFF = re.compile(r"(?:\w+[ ,]+){4,}\w+\s*\Z", re.I)
"""An end that may be in the middle of a sentence."""
_OPEN_END = re.compile(
    r"^\W*step\s+\d+\s*[:.]?\W*\Z|(?:\b(?:by|of|the|a|an|and|to|is|are|for|with|in|that|which|equals|from|as)|\s[-+*/=×])\s*\Z",
    re.I | re.M,
)
"""An end that is in the middle of a sentence."""

_SHORTENED = "".join(
    rf"(?<!\b{word})"
    for word in ("Mr", "Mrs", "Ms", "Dr", "St", "Jr", "Sr", "vs", "Mt", "Prof", "approx", "ca", "e.g", "i.e", "No")
)
SENTENCE_END = re.compile(
    rf"\n|(?<=[^\W\d_]){_SHORTENED}(?<!\s[A-Z])(?<!\s[ap]\.m)[.!?](?=\s|$)|(?<=[\d)\]}}%$\"'*°²³`…])[.!?](?=\s|\*|$)|[.!?](?=\*\*)"
    r"|[.!?](?=\s*[\u2600-\u27bf\U0001f300-\U0001faff])|[。！？]"
)
_MONTH_NEXT = re.compile(rf"\s+(?:{'|'.join(MONTHS)})(?!\w)", re.I)
_MOST_CHARS = 2_000


def without_asides(text: str) -> str:
    """The text without checks, chat, sources and reasons in brackets; the text itself if nothing else is left."""
    text = _BRACKETED.sub("", text) if _BRACKETED.sub("", text).strip(" .*") else text
    shorter = _TAIL.sub("", text)
    return shorter if shorter.strip(" *_#-\n") else text


def explained_at(text: str) -> int | None:
    """The position of the first explanation that has text before it, or `None`."""
    for opened in _EXPLAINS.finditer(text):
        if text[: opened.start()].strip(" *_#-\n"):
            return opened.start()
    return None


def hypothetical(sentence: str) -> bool:
    """Whether a sentence is a hypothesis or a report of what others think."""
    return _HYPOTHETICAL.match(sentence) is not None


def mistaken(before: str, mark: str) -> bool:
    """Whether a mark stands in a sentence about a hypothesis, the opinion of others, or a mistake."""
    sentence = SENTENCE_END.split(before[-400:])[-1]
    return _MISTAKE.search(before[-120:]) is not None or hypothetical(f"{sentence}{mark}")


def refuses(text: str) -> bool:
    """Whether the end of a text says that there is no answer."""
    end = text[-400:].replace("’", "'").replace("i'm", "i 'm").replace("I'm", "I 'm")
    refused = _REFUSES.search(end)
    return refused is not None and _AFTER_ALL.search(end[refused.end() :]) is None


def is_placeholder(bare: str) -> bool:
    """Whether an answer is a placeholder that was never filled in."""
    return (
        re.match(r"\W*(?:unknown|n/a)\b", bare, re.I) is not None
        or bare.strip() in ("N", "X")
        or (len(bare) < 60 and _PLACEHOLDER.fullmatch(bare.strip()) is not None)
    )


def breaks_off(text: str) -> bool:
    """Whether a text ends in the middle of a sentence, before a number."""
    if _OPEN_END.search(text[-200:]):
        return True
    last = next(last_sentences(text), "")
    return _BREAKS_OFF.search(text[-200:]) is not None and next(numbers_in(plain(last)), None) is None


def last_sentences(text: str) -> Iterator[str]:
    """The sentences of a text from last to first; a line break ends a sentence."""
    for line in reversed([line for line in text.splitlines() if line.strip()]):
        pieces, at = [], 0
        for end in SENTENCE_END.finditer(line):
            if line[: end.start()].strip(" *_").isdigit() and line[end.end() :].strip():  # the number of a list item
                continue
            if _MONTH_NEXT.match(line, end.end()) and line[end.start() - 1 : end.start()].isdigit():  # 20. Juli
                continue
            pieces.append(line[at : end.start()])
            at = end.end()
        pieces.append(line[at:])
        yield from (piece.strip()[-_MOST_CHARS:] for piece in reversed(pieces) if piece.strip(" *_#-"))
