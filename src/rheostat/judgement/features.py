"""A text as numbers, for models that learn which tasks are hard: a few counts, and hashed words and letter groups.

Words are hashed, so that what is learned keeps no text: a bucket can't be turned back into the words that fall into it,
but whether a known word is among them can be guessed. Digits count as digits only.
"""

from __future__ import annotations

import math
import re
import zlib
from typing import Final

__all__ = ["BUCKETS", "COUNTS", "counts", "hashed"]

BUCKETS: Final = 1 << 13
_MOST_CHARS: Final = 20_000
_WORD = re.compile(r"[^\W\d_]+|\d+|[^\w\s]")
_LETTERS = re.compile(r"[^\W\d_]+")
_DIGITS = re.compile(r"\d[\d,.]*")
_STEPS: Final = frozenset((
    "if", "then", "when", "after", "before", "each", "every", "per", "twice", "half", "third", "quarter", "times",
    "more", "less", "fewer", "than", "total", "remaining", "left", "rest", "average", "first", "next", "finally",
    "until", "altogether", "percent",
))  # fmt: skip
_NEGATIONS: Final = frozenset(("not", "except", "least", "without", "never", "unless", "only", "must"))
COUNTS: Final = (
    "characters", "log of characters", "words", "sentences", "numbers", "different numbers", "digits", "step words",
    "negations", "signs of maths", "question marks", "lines", "letters of a word", "long words", "different words",
)  # fmt: skip
"""The names of the counts, in order."""


def counts(text: str) -> list[float]:
    """Counts of a text, of about the size 1 each; see `COUNTS`."""
    text = text[:_MOST_CHARS]
    words = _LETTERS.findall(text.lower())
    numbers = _DIGITS.findall(text)
    several = max(len(words), 1)
    return [
        len(text) / 400,
        math.log1p(len(text)),
        len(words) / 60,
        len(re.findall(r"[.?!]\s", text + " ")) / 4,
        len(numbers) / 6,
        len(set(numbers)) / 6,
        sum(char.isdigit() for char in text) / 20,
        sum(word in _STEPS for word in words) / 5,
        sum(word in _NEGATIONS for word in words) / 3,
        sum(char in "+-*/=^<>(){}\\%$" for char in text) / 10,
        text.count("?") / 2,
        text.count("\n") / 4,
        sum(map(len, words)) / several,
        sum(len(word) > 8 for word in words) / 6,
        len(set(words)) / several,
    ]


def hashed(text: str) -> dict[int, float]:
    """Buckets of words and of groups of 3 to 5 letters, with 1 + log of how often each occurs."""
    found: dict[str, int] = {}
    for word in _WORD.findall(text[:_MOST_CHARS].lower()):
        found[f"w {word}"] = found.get(f"w {word}", 0) + 1
        marked = f" {word[:40]} "
        for length in (3, 4, 5):
            for start in range(len(marked) - length + 1):
                group = f"c {marked[start : start + length]}"
                found[group] = found.get(group, 0) + 1
    buckets: dict[int, float] = {}
    for each, times in found.items():
        bucket = zlib.crc32(each.encode(errors="surrogatepass")) % BUCKETS
        buckets[bucket] = buckets.get(bucket, 0.0) + 1 + math.log(times)
    return buckets
