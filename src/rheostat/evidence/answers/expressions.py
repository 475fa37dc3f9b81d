"""Give equal mathematical expressions the same key, with math-verify's parser and sympy, in bounded time and memory.

math-verify's own time limits need signals, which only the main thread receives. So an expression that could run for
ever is rejected by its form before it is parsed (sympy evaluates `9^{9^9}` while reading it), and the others are
evaluated in a worker process with limits of time and memory.
"""

from __future__ import annotations

import functools
import importlib.util
import re

from rheostat.errors import MissingExtra
from rheostat.sandbox.worker import TooMuch, Worker

__all__ = ["expression_key", "looks_symbolic"]

_MOST_CHARS, _MOST_EXPONENT, _MOST_SYMBOLS = 200, 20, 6
_MOST_FACTORS, _MOST_TERMS = 6, 5_000
"""The most factors of a product, and the most terms of a power when it is expanded."""
_SYMBOLIC = re.compile(
    r"\\(?:d|t|c)?frac|\\sqrt|\\pi\b|\\cdot|\\times|\\left|\\pm|\\infty|√|π|∞|\^|\*|\\(?:log|ln|sin|cos|tan|exp)(?![a-z])|\bsqrt\b|\bpi\b|\d!$|\d[⁰¹²³⁴⁵⁶⁷⁸⁹]|^\(\s*-?[\d.]+\s*\)$|-\(\s*-?\d|\|-?\d[\d.]*\||\b[a-z]\s*[-+*/^]\s*[a-z]\b|[a-z]\s*[-+*/^]\s*\d|\d\s*[-+*/^]\s*[a-z(]|\d[a-z]\b|\)\s*\(|\d\s*\(|^\(?-?[\d.]+(?:\s+-\s|\s*[+*/×·])",
    re.I,
)
_EXPONENT = re.compile(r"(?:\^|\*\*)\s*(\{[^{}]*\}|\([^()]*\)|-?[\w.]+|\\[a-z]+)")


def looks_symbolic(text: str) -> bool:
    """Whether a text has the signs of an expression, so that parsing is worth a try."""
    return len(text) <= _MOST_CHARS and not re.match(_DATED, text) and _SYMBOLIC.search(text) is not None


def _bounded(text: str) -> bool:
    if len(text) > _MOST_CHARS or text.count("{") != text.count("}") or text.count("(") != text.count(")"):
        return False
    if "!" in text and not re.fullmatch(r"[^!]*(?<!\d)\d!|[^!]*(?<!\d)1\d![^!]*|[^!]*(?<!\d)\d![^!]*", text):
        return False
    if re.search(r"[-+*/^]\s*$|\d-\d+$", text) and not re.search(r"[a-z\\(]", text):
        return False
    product = 1
    for exponent in _EXPONENT.findall(text):
        inner = exponent.strip("{}() ")
        if number := re.fullmatch(r"-?(\d{1,3})", inner):
            product *= max(1, int(number[1]))
        elif not re.fullmatch(
            r"-?[a-z]|-?\d{1,2}\s*/\s*\d{1,2}|-?\d{0,2}[a-z]|-?\\frac\{\d{1,2}\}\{\d{1,2}\}|\\circ|-?0?\.\d{1,2}", inner
        ):
            return False
    if product > _MOST_EXPONENT or len(re.findall(r"\^|\*\*", text)) != len(_EXPONENT.findall(text)):
        return False
    if re.search(r"\d{60}", text):
        return False
    if text.count("(") > _MOST_FACTORS or text.count("^") + text.count("**") > _MOST_FACTORS:
        return False
    symbols = set(re.findall(r"(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])", text))
    terms = max((len(re.findall(r"[-+]", inner)) + 1 for inner in re.findall(r"\(([^()]*)\)", text)), default=1)
    return len(symbols) <= _MOST_SYMBOLS and terms ** min(product, 20) <= _MOST_TERMS


_TOKEN = re.compile(
    r"""\s+|\d+(?:\.\d+)?|\.\d+
    |\\(?:frac|sqrt|pi|cdot|times|div|theta|alpha|beta|gamma|lambda|ln|log(?:_\d|_\{\d+\})?|exp|sin|cos|tan)(?![A-Za-z])
    |\\[,;! ]|[A-Za-z](?:_(?:\w|\{\w+\}))?|[-+*/^(){}|!]|\[(?=\d\])|(?<=\[\d)\]""",
    re.X,
)
"""The tokens that are understood; a text with any other token isn't parsed."""
_WORD = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{2,}")
_DATED = r"^\s*\d+\s*([-/])\s*\d+\s*\1\s*\d+\s*$"
_NOT_MATHS = re.compile(
    rf"""[A-Za-z]\d | \d\s+\d | ^\s*\d+\s*-\s*\d+\s*$ | \^\s*(?:\{{[^{{}}]*\}}|\w)\s*\^ | [-+*/]\s*[-+*/](?!\s*\()
    | [A-Za-z]{{3,}}
    | ^[A-Z\s/+-]*$ | /\s*\d+\s*[A-Za-z(] | !\s*! | {_DATED} """,
    re.X,
)
"""Texts that look like an expression: a chemical formula, a score, a span of years, a label in capitals."""


@functools.lru_cache(maxsize=2048)
def expression_key(text: str) -> str | None:
    """A key that equal expressions share; `None`: no expression, or none that can be compared in bounded time.

    Raises:
        MissingExtra: The extra `verifiers` isn't installed.
    """
    if infinite := re.fullmatch(r"\s*([-+]?)\s*(?:∞|\\infty)\s*", text):
        return f"expression {infinite[1].strip('+')}oo"
    text = _as_latex(text)
    if not _understood(text) or not _bounded(text):
        return None
    if importlib.util.find_spec("sympy") is None or importlib.util.find_spec("latex2sympy2_extended") is None:
        raise MissingExtra("comparing expressions", "verifiers")
    try:
        return _WORKER.ask(text)
    except TooMuch:
        return None


_WORKER = Worker(__name__, "evaluated", seconds=2.0, memory_bytes=4_000_000_000, first="\\frac{x}{2}")


def evaluated(text: str) -> str | None:
    """The key of an expression that is understood and looks bounded, or `None`. Runs in the worker process."""
    import latex2sympy2_extended
    import sympy

    try:
        # no normalization: it would drop units, currencies and words
        found = latex2sympy2_extended.latex2sympy(_cased(text), normalization_config=None)
        if not isinstance(found, sympy.Expr) or found.has(sympy.zoo, sympy.nan, sympy.oo):
            return None
        exact = found.replace(lambda each: each.is_Float, lambda each: sympy.Rational(str(each)))
        simple = sympy.cancel(sympy.radsimp(sympy.expand(exact)))
        if simple.is_Rational:
            return f"number {simple.p}/{simple.q}" if simple.q != 1 else f"number {simple.p}"
        return f"expression {sympy.srepr(simple)}"
    except MemoryError:
        raise
    except Exception:  # a third-party parser: after any error, the text is compared as text
        return None


def _understood(text: str) -> bool:
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            return False
        at = token.end()
    bare = re.sub(r"\\[A-Za-z]+(?:_\d|_\{\d+\})?", "@", text)
    return _NOT_MATHS.search(bare) is None and not any(word.lower() in _SHORT_WORDS for word in _WORD.findall(bare))


_SHORT_WORDS = {
    "am", "an", "as", "at", "be", "by", "cm", "do", "ft", "gb", "go", "he", "hr", "hz", "if", "in", "is", "it",
    "kb", "kg", "km", "kw", "lb", "mb", "me", "mg", "mi", "ml", "mm", "my", "no", "of", "on", "or", "oz", "pm",
    "so", "tb", "to", "up", "us", "we", "yd",
}  # fmt: skip
"""Short words, which aren't products of two letters."""
_NAMES = "sin|cos|tan|log|ln|exp"
_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")


def _cased(text: str) -> str:
    """Replace each capital by its small letter with an index, because the parser takes `X` for `x`."""
    return re.sub(r"(?<![A-Za-z\\])([A-Z])(?![A-Za-z_])", lambda found: f"{found[1].lower()}_{{9}}", text)


def _as_latex(text: str) -> str:
    """`sqrt(8)`, `√16`, `2*x`, `2(3)` and `x²` as LaTeX."""
    text = (
        re.sub(r"^\$(.*)\$$", r"\1", text.strip())
        .replace("π", "\\pi ")
        .replace("−", "-")
        .replace("×", "*")
        .replace("·", "*")
        .replace("÷", "/")
    )
    text = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+", lambda found: f"^{{{found[0].translate(_SUPERSCRIPT)}}}", text)
    text = re.sub(r"√\s*(?=[\d({a-z\\])", r"\\sqrt ", text).replace("°", "^{\\circ}")
    text = re.sub(r"\\(?:left|right|displaystyle|,|;|!|quad)(?![A-Za-z])", "", text)
    text = re.sub(r"\\(?:d|t|c)frac(?![A-Za-z])", r"\\frac", text)
    text = re.sub(r"\\frac\s*(\d)\s*(\d)(?!\d)", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\frac\s*\{([^{}]*)\}\s*(\d)(?!\d)", r"\\frac{\1}{\2}", text)
    text = re.sub(r"(?<!\\)\bsqrt\s*\(([^()]*)\)", r"\\sqrt{\1}", text)
    text = re.sub(r"\\sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}", text)
    text = re.sub(r"\\sqrt\s*(\d+(?:\.\d+)?|[a-z])(?![\w{])", r"\\sqrt{\1}", text)
    text = re.sub(rf"(?<![\\A-Za-z])(pi|{_NAMES})(?![A-Za-z])", r"\\\1 ", text)
    text = re.sub(r"(\^|\*\*)\s*(-\s*\d+)", r"\1{\2}", text)
    text = re.sub(r"\*\*\s*(-?\w+)", r"^{\1}", text)
    text = re.sub(r"(?<=[\d)])\s*(?=\()", "*", text)  # 2(3) is a product, not a mixed number
    text = re.sub(r"\|([^|]+)\|", r"|{\1}|", text)
    return text.replace("*", "\\cdot ").strip()
