"""Find the option that a sentence names, by its letter or by its words."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rheostat.evidence.answers.text import unwrapped
from rheostat.evidence.answers.values import Answer, answer_of

__all__ = ["choice_in", "judged_option"]

_LEAD = re.compile(r"^(?:definitely|clearly|simply|just|only|that|it is|it's)\s+", re.I)
_RIGHT = re.compile(r"(?<!in)(?<!not )\b(?:correct|true|yes|right)\b|[✓✔✅]", re.I)
_WRONG = re.compile(r"\b(?:incorrect|not|no|false|wrong)\b|n't\b|[✗✘❌]", re.I)
_CLAUSE = re.compile(r"(?:,\s+|\s)(?:because|since|as|while|whereas|although|than|not|unlike|rather)\b|;", re.I)


def choice_in(text: str, options: dict[str, str], *, first: bool) -> Answer | None:
    """The option that a sentence names, by letter or by words; `None`: it names none, or more than one by words.

    Args:
        options: The options of the question by letter; empty: any letter from A to J.
        first: Take the first letter in the sentence instead of the last.
    """
    bare = unwrapped(_LEAD.sub("", unwrapped(text)))
    letters: Sequence[str] = list(options) or [chr(code) for code in range(ord("A"), ord("K"))]
    any_of = "".join(letters)
    whole = answer_of(bare, "choice")
    if whole is not None and all(letter in letters for letter in whole.value.split(", ")):
        return whole
    if re.search(rf"(?<!\w)\(?[{any_of}]\)?\s+or\s+\(?[{any_of}]\b", bare):
        return None
    named = [letter for letter, said in options.items() if said and unwrapped(said).casefold() == bare.casefold()]
    if len(named) == 1:
        return _named(bare, named[0])
    if (both := _several(text, any_of)) is not None:
        return both
    bare = _main_clause(bare)
    leading = re.match(
        rf"(?:option|choice|answer)?\s*[(\[]?\**([{any_of}])\**\s*(?:[).\]:,–—-]|\bbecause\b|\bsince\b|$)", bare, re.I
    )
    if leading and (leading[1].isupper() or re.match(rf"\(?\s*{leading[1]}\s*[).:]", bare)):
        return answer_of(leading[1], "choice")
    standing = re.findall(
        rf"[(\[]([{any_of}])[)\]]|\*\*([{any_of}])[).:*]|\b(?:option|choice|选项)\s*\(?([{any_of}])(?![A-Za-z])|\b([{any_of}])\)",
        bare if options else text,
        re.I if options else 0,
    )
    flat = [next(part for part in groups if part).upper() for groups in standing]
    if not flat and (said := _by_words(bare, options)) is not None:
        return _named(bare, said)
    if not flat:
        flat = [
            letter
            for letter in re.findall(rf"(?<![A-Za-z0-9_'-])([{any_of}])(?![A-Za-z0-9_'-])", bare)
            if letter not in ("A", "I")
        ]
    return answer_of(flat[0] if first else flat[-1], "choice") if flat else None


def _named(text: str, letter: str) -> Answer:
    return Answer(text, "choice", letter, f"choice {letter}")


def _main_clause(text: str) -> str:
    cut = _CLAUSE.search(text)
    return text[: cut.start()] if cut is not None and len(text[: cut.start()].strip()) > 0 else text


def _several(text: str, any_of: str) -> Answer | None:
    """The answer of a text that names several options in bold, as in `**A. 2** and **C. 5**`."""
    bold = re.findall(rf"\*\*\(?([{any_of}])\)?[.):]?(?:\s[^*\n]*)?\*\*", text)
    joined = re.fullmatch(rf"[^*]*(?:\*\*\(?[{any_of}][^*\n]*\*\*(?:\s*,\s*|\s*,?\s*and\s+|[.\s]*)){{2,}}", text)
    return answer_of(", ".join(bold), "choice") if joined and len(bold) > 1 else None


def _by_words(text: str, options: dict[str, str]) -> str | None:
    """The one option that a sentence names by its words; the words after a verb are searched before the whole."""
    shown = re.sub(r"[$*_`]", "", text)
    places = [shown[place.end() :] for place in re.finditer(r"\b(?:is|are|was|were|be)\b\s*:?\s*", shown)]
    for part in [*reversed(places), shown]:
        if _WRONG.search(part):
            continue
        said = [
            letter
            for letter, words in options.items()
            if words and re.search(rf"(?<!\w){re.escape(unwrapped(words))}(?!\w)", part, re.I)
        ]
        longest = max((len(options[letter]) for letter in said), default=0)
        said = [letter for letter in said if len(options[letter]) == longest or not _within(options, letter, said)]
        if len(said) == 1:
            return said[0]
    return None


def _within(options: dict[str, str], letter: str, others: list[str]) -> bool:
    return any(other != letter and options[letter].lower() in options[other].lower() for other in others)


def judged_option(text: str, options: dict[str, str]) -> Answer | None:
    """The only option that a reply calls right when it discusses the options one by one; else `None`."""
    lines = re.findall(r"^[ \t>*_-]*(?:option\s+)?\(?([A-Ja-j])\)?[).:]?\**[:.]?\s+([^\n]+)$", text, re.M | re.I)
    if len(lines) < 2 or len({letter.upper() for letter, _ in lines} & set(options)) < 2:
        return None
    right = {letter.upper() for letter, said in lines if _RIGHT.search(said) and not _WRONG.search(said)}
    return answer_of(right.pop(), "choice") if len(right) == 1 else None
