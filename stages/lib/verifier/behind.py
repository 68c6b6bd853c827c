r"""What belongs to a number although it stands behind its box or formula.

belonging("5", r"\boxed{5}\text{ cm}.", 9)      ->  r"\text{ cm}"
belonging("5", r"\boxed{5}\sqrt{2}", 9)         ->  r"\sqrt{2}"
belonging("5", r"\boxed{5} because", 9)         ->  ""
"""

import re

_PREFIXED = r"(?:kilo|centi|milli|micro|nano)?(?:met(?:er|re)|gram|lit(?:er|re)|second|watt|volt)s?"
_NAMED = (
    rf"{_PREFIXED}|inch(?:es)?|feet|foot|yards?|miles?|pounds?|ounces?|gallons?|minutes?|hours?|days?|weeks?|months?"
    "|years?|dollars?|cents?|euros?|degrees?|cm|mm|km|kg|mg|ml|mL|mph"
)
_SPACE = r"(?:[\s$~*]|\\[,;! )\]]|\\q?quad(?![a-z])){0,8}"
_UPRIGHT = r"(?:\\(?:text|mathrm|rm|mbox|textrm)\s?\{\s{0,2}(?P<short>[mgshLNJW](?=\s?\}))?)?"
_BEHIND = re.compile(
    rf"{_SPACE}{_UPRIGHT}(?P<words>(?:million|billion|trillion|thousand|hundred|dozen)\b"
    rf"|(?:(?:square|cubic)\s{{1,3}})?(?:{_NAMED})(?:\s?(?:/|\bper\b)\s?(?:{_NAMED}))?(?![A-Za-z]))?"
    r"(?P<power>\s?\}?\s?\^\s?\{?[23](?!\d)\}?)?"
)
_CLOSE_BEHIND = re.compile(
    r"\\pi(?![a-z])|i(?![A-Za-z])|\\sqrt(?:\[\d\])?(?:\{[^{}]{1,40}\}|\d)|\^(?:\{[^{}]{1,40}\}|\d|[a-z](?![a-z])|\\circ(?![a-z]))"
)
_NUMERIC = re.compile(r"(?:[-+−\d.,/(){}\s^!]|\\[td]?frac|\\sqrt|\\pi|\\,)+")


def belonging(value: str, text: str, at: int) -> str:
    r"""What belongs to a number and stands behind its box or formula, which ends at `at`: a factor (\pi, an exponent, a
    degree sign), "million", a unit. Empty where there is nothing of the kind."""
    if not _NUMERIC.fullmatch(value):
        return ""
    if close := _CLOSE_BEHIND.match(text, at):
        return close[0]
    match = _BEHIND.match(text, at)
    words = (match["words"] or match["short"]) if match else None
    if match is None or not words:
        return ""
    power = re.sub(r"[\s{}]", "", match["power"] or "")
    return rf"\text{{ {' '.join(words.split())}{power}}}"
