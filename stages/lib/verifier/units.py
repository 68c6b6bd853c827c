r"""Units: one name for a unit's spellings, and what converts one unit into another (by the library pint).

    unit_name(["square", "inches"])           ->  "inch^2"
    unit_name(["duck", "eggs"])               ->  "duck*egg"               words that pint does not know are labels
    conversion("km", "m")                     ->  Conversion(Fraction(1000), Fraction(0))      1 km is 1000 m
    conversion("kg", "m")                     ->  None                     they contradict each other
    conversion("duck*egg", "egg")             ->  Conversion(1, 0)         a label may say more, not something else

pint is imported, and its registry built, where two different units meet for the first time in a process; two spellings
that are the same after `unit_name` need neither.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from typing import Any

from stages.lib.verifier.limits import Unparsed

_SPELLINGS = {  # what pint would not know, or would take for something else
    "cm": "cms 厘米 公分 см", "m": "米 м", "km": "kms 千米 公里 км", "mm": "毫米 мм", "kg": "kgs 千克 公斤 кг",
    "g": "gm gms 克", "mg": "毫克", "liter": "升 л", "ml": "毫升", "second": "秒 сек", "minute": "分钟 мин",
    "hour": "小时 时 hrs", "day": "天 日", "week": "周", "month": "月", "year": "年", "hectare": "公顷",
    "tonne": "吨", "kilometer/hour": "kmh kmph kph", "mile/hour": "mph", "foot^2": "sqft", "m^2": "平方米 sqm",
    "cm^2": "平方厘米", "km^2": "平方千米 平方公里", "m^3": "立方米", "cm^3": "立方厘米 cc", "m/second": "米每秒",
    "yuan": "元 块 rmb cny", "jiao": "角", "euro": "eur", "dollar": "usd buck", "quid": "gbp", "rupee": "rs inr",
    "ohm": "Ω \\Omega", "degC": "celsius 摄氏度", "degF": "fahrenheit", "degree": "deg 度", "person": "people 人",
    "child": "children", "man": "men", "woman": "women", "foot": "feet ft", "inch": "in", "arcminute": "arcmin",
    "arcsecond": "arcsec", "piece": "个 只 条 本 张 块 件 种", "lightyear": "lightyears ly", "vertex": "vertices",
    "maximum": "maxima", "minimum": "minima", "die": "dice", "mouse": "mice", "L": "l",
}  # fmt: skip
_NAMES = {word: name for name, others in _SPELLINGS.items() for word in others.split()}
_SILENT = frozenset(
    ("of", "the", "a", "an", "old", "unit", "units", "total", "each", "us", "in", "way", "ways", "单位")
)
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3, "平方": 2, "立方": 3}
_POWERS_BEHIND = {"squared": 2, "cubed": 3}
_LABELS = frozenset(  # words of their own right that pint would read: am is no attometer, are no area
    "am pm at are hand hands point points count page c k e a b p u d bar link chain face edge cat mat pat fat oat peak "
    "pair turn turns particle pixel dot head tail north south east west left right up down".split()
)
_MONEY = (
    "dollar = [dollar]", "cent = dollar / 100", "euro = [euro]", "quid = [quid]", "yen = [yen]", "rupee = [rupee]",
    "yuan = [yuan]", "jiao = yuan / 10", "lightyear = light_year",
)  # fmt: skip
_ANGLES = {"degree": Fraction(1), "arcminute": Fraction(1, 60), "arcsecond": Fraction(1, 3600)}
_TEMPERATURES = {"degC": "degC", "degF": "degF", "kelvin": "K", "K": "K"}
_PLURALS = (("ches", "ch"), ("shes", "sh"), ("xes", "x"), ("ies", "y"))


@dataclass(frozen=True, slots=True)
class Conversion:
    """A value v in the one unit is v * factor + offset in the other."""

    factor: Fraction
    offset: Fraction = Fraction(0)


def unit_name(parts: list[str]) -> str:
    """The unit's factors joined by *, as word or word^exponent; the empty string for words that name no unit.

    parts: words, "/", and exponents such as "^2" or "^{-1}".
    """
    factors: list[list[Any]] = []
    sign = power = 1
    for part in _joined_temperature(parts):
        low = part.lower()
        if part == "/" or low == "per":
            sign = -1
        elif part[0] == "^":
            _raise(factors, _exponent(part))
        elif low in _POWERS_BEHIND:
            _raise(factors, _POWERS_BEHIND[low])
        elif low in _POWERS:
            power = _POWERS[low]
        elif part == "A" or low not in _SILENT or (low == "in" and (not factors or sign < 0)):
            factors.extend([word, exponent * sign * power] for word, exponent in _factors(_singular(part)))
            power = 1
    return "*".join(word if exponent == 1 else f"{word}^{exponent}" for word, exponent in factors)


def _raise(factors: list[list[Any]], exponent: int) -> None:
    if factors:  # else the exponent of a word that names no unit: 5 units^2
        factors[-1][1] *= exponent


def _exponent(text: str) -> int:
    if match := re.fullmatch(r"\^\{?(-?\d)\}?", text):
        return int(match[1])
    raise Unparsed("no exponent of a unit")


def _joined_temperature(parts: list[str]) -> list[str]:
    """Degrees Celsius and Fahrenheit are units of their own, not degrees of something."""
    if len(parts) == 2 and parts[0].lower() in ("degree", "degrees", "deg"):
        if (scale := parts[1][0].upper()) in "CF" and parts[1].lower() in ("c", "f", "celsius", "fahrenheit"):
            return [f"deg{scale}"]
    return parts


def _factors(name: str) -> list[tuple[str, int]]:
    """`m/second` and `m^2` from the table of spellings, or the one word."""
    if "/" in name:
        above, below = name.split("/")
        return [(above, 1), (below, -1)]
    word, _, exponent = name.partition("^")
    return [(word, int(exponent or 1))]


def _singular(word: str) -> str:
    for form in (word, word.lower()):
        if form in _NAMES:
            return _NAMES[form]
    if len(word) <= 3 or not word.isalpha() or not word.isascii() or word[1:].lower() != word[1:]:
        return word
    word = word.lower()
    for ending, by in _PLURALS:
        if word.endswith(ending):
            return word.removesuffix(ending) + by
    single = (
        word[:-1] if word.endswith("s") and not word.endswith("ss") and word not in ("celsius", "siemens") else word
    )
    return _NAMES.get(single, single)


def product(left: str, right: str, sign: int = 1) -> str:
    """The unit of a product (or quotient: sign -1)."""
    exponents: dict[str, int] = {}
    for unit, by in ((left, 1), (right, sign)):
        for word, exponent in split(unit):
            exponents[word] = exponents.get(word, 0) + by * exponent
    return "*".join(word if e == 1 else f"{word}^{e}" for word, e in sorted(exponents.items()) if e)  # % comes first


def power(unit: str, exponent: int) -> str:
    """The unit of a power."""
    return "*".join(f"{word}^{e * exponent}" if e * exponent != 1 else word for word, e in split(unit))


def split(unit: str) -> list[tuple[str, int]]:
    """Words and exponents of a unit's name."""
    pairs = (factor.partition("^") for factor in unit.split("*") if factor)
    return [(word, int(exponent or 1)) for word, _, exponent in pairs]


def is_physical(unit: str) -> bool:
    """Whether pint knows every word of the unit."""
    return bool(unit) and not measure(unit).labels


@lru_cache(maxsize=4_096)
def conversion(unit: str, other: str) -> Conversion | None:
    """How values in `unit` become values in `other`; None where the two contradict each other."""
    if unit == other:
        return Conversion(Fraction(1))
    if unit in _TEMPERATURES and other in _TEMPERATURES:
        return _temperature(_TEMPERATURES[unit], _TEMPERATURES[other])
    left, right = measure(unit), measure(other)
    if left.dimensions != right.dimensions or not _compatible(left.labels, right.labels):
        return None
    return Conversion(left.factor / right.factor)


def _compatible(left: frozenset[str], right: frozenset[str]) -> bool:
    """Labels may say more (duck eggs, eggs), not something else (duck eggs, goose eggs)."""
    return left <= right or right <= left


@dataclass(frozen=True, slots=True)
class Measure:
    """A unit in terms of base units; words that pint does not know are labels."""

    factor: Fraction
    dimensions: tuple[tuple[str, int], ...]
    labels: frozenset[str]


@lru_cache(maxsize=4_096)
def measure(unit: str) -> Measure:
    """A unit's size and dimension."""
    factor, dimensions, labels = Fraction(1), dict[str, int](), set[str]()
    for word, exponent in split(unit):
        base = _base(word)
        if base is None:
            labels.add(word if exponent == 1 else f"{word}^{exponent}")
            continue
        factor *= base[0] ** exponent
        for name, count in base[1]:
            dimensions[name] = dimensions.get(name, 0) + count * exponent
    return Measure(factor, tuple(sorted((n, c) for n, c in dimensions.items() if c)), frozenset(labels))


def _base(word: str) -> tuple[Fraction, tuple[tuple[str, int], ...]] | None:
    """A word's factor and base units, None for a label."""
    if word in _ANGLES:
        return _ANGLES[word], (("degree", 1),)
    if word in _LABELS or not word.isalpha():
        return None
    for form in dict.fromkeys((word, word.lower()) if len(word) > 3 else (word,)):
        for prefix, unit, _ in registry().parse_unit_name(form):
            if not prefix or len(form) <= 3 or unit in form or not form.islower():
                factor, root = registry().get_root_units(prefix + unit, check_nonmult=False)
                names = root._units.items() if hasattr(root, "_units") else ()
                return Fraction(factor), tuple((name, int(count)) for name, count in names)
    return None


def _temperature(unit: str, other: str) -> Conversion:
    """Temperatures are points on a scale, not differences: 20 degC is 68 degF."""
    zero, one = (registry().convert(Fraction(value), unit, other) for value in (0, 1))
    return Conversion(Fraction(one - zero), Fraction(zero))


@cache
def registry() -> Any:
    """pint's units in exact fractions, with money."""
    import pint

    found: Any = pint.UnitRegistry(non_int_type=Fraction)
    for definition in _MONEY:
        found.define(definition)
    return found
