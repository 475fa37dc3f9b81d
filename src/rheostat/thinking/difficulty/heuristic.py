"""Estimate difficulty from the words of a question: free, and with reasons.

The features and their weights are ours. They were set by hand on word problems of five levels, and are shown with the
result, so that a reader can disagree. They order tasks by difficulty, but aren't a probability.
"""

from __future__ import annotations

import re

from rheostat.errors import BadInput
from rheostat.task import Difficulty, Kind

__all__ = ["MAX_QUESTION_CHARS", "check_question", "heuristic"]

MAX_QUESTION_CHARS = 200_000
"""A longer question is refused, because it is a document, which needs retrieval rather than thinking."""

_KINDS: tuple[tuple[Kind, str], ...] = (
    (
        "code",
        r"```|\bdef \w+\(|\b(python|javascript|typescript|rust|sql|regex)\b"
        r"|\b(write|implement|fix|debug|refactor)\b.{0,40}\b(function|method|class|script|program|code|query|test)s?\b",
    ),
    (
        "creative",
        r"\b(write|compose|draft|invent|tell)\b.{0,40}"
        r"\b(poem|haiku|story|song|lyrics|slogan|joke|limerick|tale|letter|speech)\b",
    ),
    (
        "maths",
        r"\b(how (many|much|far|long|old|fast|tall)|calculate|compute|solve|prove|evaluate|simplify|integral"
        r"|derivative|equation|sum of|product of|probability|percent(age)?|average|remainder|divided|multipl\w+)\b"
        r"|\d\s*[-+*/^×÷=]\s*\d|\\frac|\$\\",
    ),
    (
        "science",
        r"\b(physics|chemistr\w*|biolog\w*|molecul\w*|atom\w*|electron\w*|velocity|acceleration|force|energy|reaction"
        r"|enzyme|protein|cell|genes?|planet|gravity|temperature|pressure|voltage|quantum)\b",
    ),
    (
        "facts",
        r"^\s*(who|when|where|which|what|name|list|define|is|are|was|were|did|does|do|in what)\b|\bcapital of\b",
    ),
)

_NUMBER = re.compile(
    r"\d[\d,]*\.?\d*%?|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen|twenty|thirty|forty|fifty"
    r"|hundred|thousand|half|third|quarter|twice|double|triple)\b",
    re.I,
)
_STEP = re.compile(
    r"\b(then|after|before|each|every|per|remaining|remainder|left|rest|more than|less than|fewer|times as|altogether"
    r"|total|first|next|finally|if|when|until|spends?|gives?|loses?|buys?|sells?|shares?|average)\b",
    re.I,
)
_CONSTRAINT = re.compile(
    r"\b(must|exactly|at most|at least|no more than|without|unless|except|only|distinct|unique|such that|optimal"
    r"|efficient\w*|prove|recursive\w*|in place|minimum|maximum|shortest|longest|worst case|nested|subsequence)\b",
    re.I,
)
_HARD = re.compile(
    r"\b(prove|theorem|lemma|np-hard|dynamic programming|integral|differential|combinatori\w*|modulo|eigen\w+"
    r"|concurren\w*|deadlock|distributed|asymptotic|counterexample)\b",
    re.I,
)

_BASE: dict[Kind, float] = {
    "maths": 0.10,
    "code": 0.20,
    "science": 0.30,
    "facts": 0.10,
    "creative": 0.10,
    "chat": 0.0,
}


def check_question(question: object) -> str:
    """Return the question if it is usable, so that a bad one fails before anything is spent.

    Raises:
        BadInput: It isn't text, is empty, is longer than `MAX_QUESTION_CHARS`, or contains NUL bytes.
    """
    if question is None:
        raise BadInput('there is no question: invoke({"question": "…"})')
    if not isinstance(question, str):
        raise BadInput(f"the question must be text, not {type(question).__name__}")
    if not question.strip():
        raise BadInput("the question is empty")
    if len(question) > MAX_QUESTION_CHARS:
        raise BadInput(
            f"the question has {len(question):,} characters; the most is {MAX_QUESTION_CHARS:,}. "
            "Send the part that matters, or summarise it first."
        )
    if "\x00" in question:
        raise BadInput("the question contains NUL bytes: it is binary data, not text")
    return question


def _kind(question: str) -> Kind:
    for kind, pattern in _KINDS:
        if re.search(pattern, question, re.I):
            return kind
    return "maths" if len(_NUMBER.findall(question)) >= 2 else "chat"


def heuristic(question: str) -> Difficulty:
    """Estimate difficulty from the kind of task, its quantities, steps, constraints and length.

    Returns:
        A difficulty with a score from 0 to 1, and the features as its reasons.
    """
    text = question[:20_000]
    kind = _kind(text)
    quantities = len(_NUMBER.findall(text))
    steps = len(_STEP.findall(text))
    constraints = len(_CONSTRAINT.findall(text))
    hard = len(_HARD.findall(text))
    words = len(text.split())

    score = _BASE[kind]
    reasons = [f"{kind}: starts at {score:.2f}"]
    counting = kind in ("maths", "science", "code")
    for name, count, weight, free, cap in (
        ("quantities", quantities, 0.06 if counting else 0.01, 2, 0.30),
        ("step words", steps, 0.04 if counting else 0.01, 1, 0.30),
        ("constraints", constraints, 0.05, 0, 0.25),
        ("hard words", hard, 0.20, 0, 0.40),
        ("words", words // 25, 0.02, 1, 0.20),
    ):
        add = min(max(count - free, 0) * weight, cap)
        if add:
            score += add
            shown = words if name == "words" else count
            reasons.append(f"{shown} {name}: +{add:.2f}")
    return Difficulty(score=round(min(score, 1.0), 3), kind=kind, reasons=tuple(reasons))
