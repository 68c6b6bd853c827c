"""Units, percent and number words: what stands behind a number without changing it, and what does change it.

unit_name(["square", "inches"])  ->  "inch^2"
unit_name(["apples"])            ->  "apple"
MULTIPLIERS["million"]           ->  1000000
"""

import re
from fractions import Fraction

MULTIPLIERS = {
    "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12,
}  # fmt: skip
_TO_TWENTY = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
_TENS = "thirty forty fifty sixty seventy eighty ninety"
NUMBER_WORDS = {word: Fraction(value) for value, word in enumerate(_TO_TWENTY.split())}
NUMBER_WORDS |= {word: Fraction(10 * tens) for tens, word in enumerate(_TENS.split(), 3)}
_NOT_UNITS = (
    "squared cubed factorial plus minus times over divided mod point half halves third thirds quarter quarters more "
    "less not negative if when where for otherwise but except without root choose upwards or and to is are"
)
# After a number these words make another number, or a statement that is no number: such an answer is not read.
NOT_UNITS = frozenset(_NOT_UNITS.split())
PERCENT = frozenset(("percent", "percentage", "pct", "percents"))
CURRENCIES = frozenset(("dollar", "euro", "pound", "yen", "rupee", "cent", "rs", "usd", "eur", "gbp"))
APPROXIMATELY = frozenset(("approximately", "about", "approx", "roughly"))

_SAME = {
    "cm": "centimeter centimeters centimetre centimetres cms",
    "m": "meter meters metre metres",
    "km": "kilometer kilometers kilometre kilometres kms",
    "mm": "millimeter millimeters millimetre millimetres",
    "inch": "in inches",
    "ft": "foot feet",
    "yd": "yard yards yds",
    "mile": "miles mi",
    "h": "hour hours hr hrs",
    "min": "minute minutes mins",
    "s": "second seconds sec secs",
    "degree": "degrees deg",
    "dollar": "dollars usd buck bucks",
    "cent": "cents",
    "kg": "kilogram kilograms kgs",
    "g": "gram grams gm",
    "lb": "pound pounds lbs",
    "liter": "liters litre litres l",
    "ml": "milliliter milliliters millilitre millilitres",
    "mph": "milesperhour mileperhour",
    "square": "sq",
    "cubic": "cu",
    "person": "people persons",
    "unit": "units",
}
_CANONICAL = {word: name for name, others in _SAME.items() for word in others.split()}
_KNOWN = frozenset(_SAME) - {"unit", "person"} | {
    "am", "pm", "j", "kj", "w", "kw", "v", "n", "k", "ev", "hz", "nm", "mg", "day", "week", "month", "year", "ton",
    "euro", "yen", "rupee", "degreecelsius", "degreefahrenheit", "degreec", "degreef", "celsius", "fahrenheit",
    "gallon", "%", "angstrom", "radian",
}  # fmt: skip
_PLURALS = (("ches", "ch"), ("shes", "sh"), ("xes", "x"), ("ies", "y"))


def unit_name(parts: list[str]) -> str:
    """One name for a unit's spellings; unknown words are units too (apples), singular and in lower case."""
    names = [_singular(part.lower()) for part in parts if part.lower() not in ("of", "the", "a", "an", "old")]
    for power, exponent in (("square", "^2"), ("cubic", "^3")):
        if names[:1] == [power] and len(names) == 2:
            names = [names[1], exponent]
    return "".join("/" if name == "per" else name for name in names).replace("mile/h", "mph").replace("kph", "km/h")


def conflict(unit: str, other: str) -> bool:
    """Whether two units contradict each other; words that are no known units (eggs, duck eggs) do not."""
    return unit != other and _known(unit) and _known(other)


def _known(unit: str) -> bool:
    base = re.sub(r"\^\{?-?\d\}?|\\mu", "", unit)
    return base[:4] == "mod " or all(part in _KNOWN for part in base.split("/"))


def _singular(word: str) -> str:
    if word in _CANONICAL:
        return _CANONICAL[word]
    for ending, by in _PLURALS:
        if word.endswith(ending):
            return word.removesuffix(ending) + by
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
