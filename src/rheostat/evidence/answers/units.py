"""Read and convert units: our own currencies and percent, and physical units by pint."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from rheostat.errors import MissingExtra

__all__ = ["CURRENCIES", "UNIT_AFTER", "Quantity", "implied_unit", "scaled"]

CURRENCIES = {
    "$": "USD", "US$": "USD", "USD": "USD", "DOLLAR": "USD", "BUCK": "USD", "€": "EUR", "EUR": "EUR", "EURO": "EUR",
    "£": "GBP", "GBP": "GBP", "¥": "JPY", "JPY": "JPY", "YEN": "JPY", "₹": "INR", "INR": "INR", "RUPEE": "INR",
    "₩": "KRW", "CNY": "CNY", "YUAN": "CNY", "CHF": "CHF", "FRANC": "CHF", "A$": "AUD", "C$": "CAD", "NZ$": "NZD",
    "HK$": "HKD", "S$": "SGD",
}  # fmt: skip
"""Currency codes by sign and word; a dollar without a country is the US dollar."""

_WORDS = {
    "meter": r"met(?:er|re)s?|m", "kilometer": r"kilomet(?:er|re)s?|km", "centimeter": r"centimet(?:er|re)s?|cm",
    "millimeter": r"millimet(?:er|re)s?|mm", "micrometer": r"micromet(?:er|re)s?|µm|μm",
    "nanometer": r"nanomet(?:er|re)s?|nm", "inch": r"inch(?:es)?", "foot": r"feet|foot|ft", "yard": r"yards?|yd",
    "mile": r"miles?|mi", "gram": r"grams?|g", "kilogram": r"kilograms?|kilos?|kg", "milligram": r"milligrams?|mg",
    "pound": r"pounds?|lbs?", "ounce": r"ounces?|oz", "metric_ton": r"tonnes?", "ton": r"tons?",
    "millisecond": r"milliseconds?|ms", "second": r"seconds?|secs?|s", "minute": r"minutes?|mins?",
    "hour": r"hours?|hrs?|h", "day": r"days?", "week": r"weeks?", "month": r"months?", "year": r"years?|yrs?",
    "degC": r"°\s?C|degrees?\s+(?:Celsius|C)|℃", "degF": r"°\s?F|degrees?\s+(?:Fahrenheit|F)|℉",
    "kelvin": r"kelvins?|K", "degree": r"°|degrees?|\^\\circ|\^\{\\circ\}", "radian": r"radians?|rad",
    "acre": r"acres?", "hectare": r"hectares?", "liter": r"lit(?:er|re)s?|L",
    "milliliter": r"millilit(?:er|re)s?|m[lL]", "gallon": r"gallons?", "quart": r"quarts?", "mph": r"mph",
    "kph": r"kph|kmh", "knot": r"knots?", "joule": r"joules?|J", "kilojoule": r"kilojoules?|kJ",
    "newton": r"newtons?|N", "watt": r"watts?|W", "milliwatt": r"mW", "megawatt": r"MW", "gigawatt": r"GW",
    "megajoule": r"MJ", "millijoule": r"mJ", "kilonewton": r"kN", "milliampere": r"mA", "kilovolt": r"kV",
    "millivolt": r"mV", "kilowatt": r"kilowatts?|kW", "kilowatt_hour": r"kWh|kilowatt[- ]hours?",
    "pascal": r"pascals?|Pa", "kilopascal": r"kPa", "volt": r"volts?|V", "ampere": r"amp(?:ere)?s?",
    "hertz": r"hertz|Hz", "kilohertz": r"kHz", "megahertz": r"MHz", "gigahertz": r"GHz", "mole": r"mol(?:es?)?",
    "kilocalorie": r"kcal|kilocalories?", "byte": r"bytes?|B", "kilobyte": r"kilobytes?|[kK]B",
    "megabyte": r"megabytes?|MB", "gigabyte": r"gigabytes?|GB", "terabyte": r"terabytes?|TB", "bit": r"bits?",
}  # fmt: skip
"""pint's name → a pattern of its spellings. Words with other common meanings (points, bars, cups) are left out."""
_COMPOUND = {
    "meter",
    "kilometer",
    "centimeter",
    "kilogram",
    "liter",
    "hour",
    "minute",
    "second",
    "day",
    "week",
    "foot",
    "inch",
    "pound",
    "ounce",
    "year",
    "month",
}
_MONEY_WORDS = r"dollars?|bucks?|euros?|rupees?|yen|yuan|francs?|USD|EUR|GBP|JPY|INR|CNY|CHF|€|£"

_ANY = "|".join(sorted((pattern for pattern in _WORDS.values()), key=len, reverse=True))
UNIT_AFTER = re.compile(
    rf"""\s?(?P<percent>\\?%|per\ ?cent\b|percentage\ points?\b|pct\b)
    |(?:\s|\\[,\ ;]|~|-)*(?:\\(?:text|mathrm|mbox|textrm)\s*\{{\s*)?(?:
        (?P<money>{_MONEY_WORDS})(?![A-Za-z])(?:\s+and\s+(?P<and_cents>\d{{1,2}})\s+cents?)?
      | (?P<cents>cents?(?![A-Za-z])|¢)
      | (?P<unit>(?:(?:square|sq\.?|cubic)\s+)?(?:{_ANY})(?![A-Za-z])(?:\s?(?:\^|\*\*)\s?\{{?[23]\}}?|[²³])?
        (?:\s?(?:/|\bper\b)\s?(?:{_ANY})(?![A-Za-z])(?:\s?\^\s?[23]|[²³])?)?)
    )(?:\s?\}})?(?!\s+of\b|\}}?\s?\^)""",
    re.X,
)
"""A unit after a number; one that "of" follows (3 cups of flour) is not a unit."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number and its unit."""

    value: Fraction
    """The number in the unit that was written (cents are hundredths of a dollar)."""
    unit: str
    """Empty, `percent`, the code of a currency, or a unit in pint's spelling."""

    @property
    def compound(self) -> bool:
        """Whether a quantity in a smaller unit may follow it (1 hour 35 minutes)."""
        return self.unit in _COMPOUND

    @property
    def key(self) -> str:
        """A key that equal quantities share."""
        if not self.unit:
            return f"number {self.value}"
        if self.unit == "percent":
            return f"number {self.value / 100}"
        if self.unit in CURRENCIES.values():
            return f"{self.value} {self.unit}"
        value, base = _in_base(self.value, self.unit)
        return f"{value} {base}"

    def plus(self, other: Quantity) -> Quantity | None:
        """The sum in this quantity's unit; `None` if the other unit is of another kind or isn't smaller."""
        ours, theirs = _in_base(Fraction(1), self.unit), _in_base(Fraction(1), other.unit)
        if ours[1] != theirs[1] or theirs[0] >= ours[0]:
            return None
        more = other.value * theirs[0] / ours[0]
        return Quantity(self.value + (more if self.value >= 0 else -more), self.unit)


def scaled(value: Fraction, after: re.Match[str]) -> Quantity:
    """The quantity of a number and a match of `UNIT_AFTER`."""
    if after["percent"]:
        return Quantity(value, "percent")
    if after["cents"]:
        return Quantity(value / 100, "USD")
    if after["money"]:
        word = after["money"]
        code = CURRENCIES.get(word.upper()) or CURRENCIES.get(word.upper().rstrip("S"), "USD")
        return Quantity(value + Fraction(int(after["and_cents"] or 0), 100), code)
    return Quantity(value, _name(after["unit"]))


@functools.lru_cache(maxsize=512)
def _name(written: str) -> str:
    """pint's own spelling of a unit."""
    first, _, second = re.sub(r"\s+per\s+|\s?/\s?", "/", written).partition("/")
    named = _single(first)
    return f"{named}/{_single(second)}" if second else named


def _single(written: str) -> str:
    written = written.strip()
    power = 1
    if prefix := re.match(r"(square|sq\.?|cubic)\s+", written):
        power = 3 if prefix[1] == "cubic" else 2
        written = written[prefix.end() :]
    if suffix := re.search(r"\s?(?:(?:\^|\*\*)\s?\{?([23])\}?|([²³]))$", written):
        power = int(suffix[1] or {"²": 2, "³": 3}[suffix[2]])
        written = written[: suffix.start()]
    name = next(name for name, pattern in _WORDS.items() if re.fullmatch(pattern, written))
    return name if power == 1 else f"{name}**{power}"


@functools.cache
def _registry() -> Any:
    try:
        import pint
    except ImportError:
        raise MissingExtra("answers with units", "verifiers") from None
    return pint.UnitRegistry(non_int_type=Fraction, cache_folder=None)


@functools.lru_cache(maxsize=1024)
def _in_base(value: Fraction, unit: str) -> tuple[Fraction, str]:
    if unit == "degree":
        return value, "degree"  # in radians, its base unit, it wouldn't be a fraction
    registry = _registry()
    base = registry.Quantity(value, registry.parse_units(unit)).to_base_units()
    powers = sorted((name, Fraction(power)) for name, power in base.unit_items())
    return Fraction(base.magnitude), " ".join(name if power == 1 else f"{name}^{power}" for name, power in powers)


_ASKED = re.compile(
    rf"how\s+(?:many|much)\s+(?:(?:more|fewer|less|total|full|whole|US|american)\s+)*"
    rf"(?:(?P<money>{_MONEY_WORDS})|(?P<cents>cents)|(?P<unit>{_ANY}))(?![A-Za-z])"
    rf"|\b(?:answer|speed|length|distance|time|weight|area|volume)[^.?!]{{0,40}}\bin\s+(?P<in>(?:square\s+|cubic\s+)?(?:{_ANY})(?![A-Za-z])(?:\s?(?:/|per)\s?(?:{_ANY})(?![A-Za-z]))?)"
    rf"|\b(?P<percent>what\s+percent(?:age)?\b|how\s+many\s+percent)",
    re.I,
)


def implied_unit(question: str) -> tuple[Fraction, str]:
    """(factor, unit) of a bare number that answers a question: it counts `factor` units; `""`: none is asked for."""
    asked = _ASKED.search(question[-2_000:])
    if asked is None:
        signs = {CURRENCIES[sign] for sign in re.findall(r"[$€£¥₹₩]", question)}
        money = re.search(
            r"how much\b[^?]*\b(?:cost|pay|spend|earn|owe|make|save|charge|money|price|profit|change)", question, re.I
        )
        return (Fraction(1), signs.pop()) if money and len(signs) == 1 else (Fraction(1), "")
    if asked["percent"]:
        return Fraction(1), "percent"
    if asked["cents"]:
        return Fraction(1, 100), "USD"
    if asked["money"]:
        word = asked["money"].upper()
        return Fraction(1), CURRENCIES.get(word) or CURRENCIES.get(word.rstrip("S"), "USD")
    written = asked["unit"] or asked["in"]
    try:
        return Fraction(1), _name(written)
    except StopIteration:
        return Fraction(1), ""
