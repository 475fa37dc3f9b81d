"""Mathematical expressions: a key that equal ones share, by math-verify's parser and sympy, where that is bounded.

math-verify's own time limits need signals, which only the main thread has. So what could run for ever is told by its
look before it is parsed: sympy evaluates `9^{9^9}` while it reads it.
"""

from __future__ import annotations

import functools
import logging
import re

from rheostat.errors import MissingExtra

__all__ = ["expression_key", "looks_symbolic"]

_MOST_CHARS, _MOST_EXPONENT, _MOST_SYMBOLS = 200, 20, 6
_MOST_FACTORS, _MOST_TERMS = 6, 5_000
"""Of products, and of a power that is written out."""
_SYMBOLIC = re.compile(
    r"\\(?:d|t|c)?frac|\\sqrt|\\pi\b|\\cdot|\\times|\\left|\\pm|\\infty|√|π|∞|\^|\*|\\(?:log|ln|sin|cos|tan|exp)(?![a-z])|\bsqrt\b|\bpi\b|\d!$|\b[a-z]\s*[-+*/^]\s*[a-z]\b|[a-z]\s*[-+*/^]\s*\d|\d\s*[-+*/^]\s*[a-z(]|\d[a-z]\b|\)\s*\(|\d\s*\(|^\(?-?[\d.]+(?:\s+-\s|\s*[+*/×·])",
    re.I,
)
_NEVER = re.compile(
    r"\\(?:sum|prod|int|oint|lim|binom|dbinom|tbinom|choose|begin|mod|pmod|bmod|operatorname|forall|exists|cup|cap|in|subset|"
    r"le|ge|leq|geq|ne|neq|approx|sim|equiv|to|rightarrow|Rightarrow)(?![a-z])|[<>≤≥≠≈;:?@&|∑∫∏∪∩∈→]|=.*="
)
_KNOWN = {
    "frac", "dfrac", "tfrac", "cfrac", "sqrt", "pi", "cdot", "times", "left", "right", "sin", "cos", "tan", "log", "ln",
    "exp",     "infty", "pm", "div", "text", "mathrm", "quad", "e", "abs", "theta", "alpha", "beta", "gamma", "lambda",
}  # fmt: skip
_EXPONENT = re.compile(r"(?:\^|\*\*)\s*(\{[^{}]*\}|\([^()]*\)|-?[\w.]+|\\[a-z]+)")


def looks_symbolic(text: str) -> bool:
    """Worth a try: it has the signs of an expression."""
    return len(text) <= _MOST_CHARS and _SYMBOLIC.search(text) is not None


def _bounded(text: str) -> bool:
    if (
        len(text) > _MOST_CHARS
        or _NEVER.search(text)
        or text.count("{") != text.count("}")
        or text.count("(") != text.count(")")
    ):
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
    words = re.findall(r"[A-Za-z]{2,}", text)
    if any(word not in _KNOWN and len(word) > 3 for word in words) or re.search(r"\d{60}", text):
        return False
    if text.count("(") > _MOST_FACTORS or text.count("^") + text.count("**") > _MOST_FACTORS:
        return False
    symbols = set(re.findall(r"(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])", text))
    terms = max((len(re.findall(r"[-+]", inner)) + 1 for inner in re.findall(r"\(([^()]*)\)", text)), default=1)
    return len(symbols) <= _MOST_SYMBOLS and terms ** min(product, 20) <= _MOST_TERMS


@functools.lru_cache(maxsize=2048)
def expression_key(text: str) -> str | None:
    """A key that equal expressions share; `None`: not one, or not one that can be compared in bounded time."""
    text = (
        text.replace("√", "\\sqrt")
        .replace("π", "\\pi")
        .replace("−", "-")
        .replace("×", "*")
        .replace("·", "*")
        .strip("$ ")
    )
    text = re.sub(r"\\(?:left|right|displaystyle|,|;|!|quad)", "", text)
    text = re.sub(r"\\sqrt\s*(\d+(?:\.\d+)?|[a-z])(?![\w{])", r"\\sqrt{\1}", text)
    text = re.sub(r"(\^|\*\*)\s*(-\s*\d+)", r"\1{\2}", text)
    text = re.sub(r"(?<=[\d)])\s*(?=\()", "*", text)  # 2(3) is a product, and no mixed number
    if not _bounded(text):
        return None
    try:
        import math_verify
        import sympy
    except ImportError:
        raise MissingExtra("comparing expressions", "verifiers") from None
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    config = [math_verify.LatexExtractionConfig(), math_verify.ExprExtractionConfig()]
    try:
        parsed = math_verify.parse(f"${_as_latex(text)}$", extraction_config=config, parsing_timeout=None)
        found = next((each for each in parsed if isinstance(each, sympy.Expr)), None)
        if found is None or found.has(sympy.zoo, sympy.nan) or (found.has(sympy.oo) and "infty" not in text):
            return None
        exact = found.replace(lambda each: each.is_Float, lambda each: sympy.Rational(str(each)))
        simple = sympy.cancel(sympy.radsimp(sympy.expand(exact)))
        if simple.is_Rational:
            return f"number {simple.p}/{simple.q}" if simple.q != 1 else f"number {simple.p}"
        return f"expression {sympy.srepr(simple)}"
    except Exception:  # a parser of another's: whatever it raises, the text is compared as text
        return None


def _as_latex(text: str) -> str:
    """`sqrt(8)` and `2*x` as LaTeX."""
    text = re.sub(r"(?<!\\)\bsqrt\(([^()]*)\)", r"\\sqrt{\1}", text)
    text = re.sub(r"(?<!\\)\b(pi|sin|cos|tan|log|ln)\b", r"\\\1", text)
    text = re.sub(r"\*\*\s*(-?\w+)", r"^{\1}", text)
    return text.replace("*", "\\cdot ")
