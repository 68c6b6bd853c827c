r"""What a question says about the form of its answer: percent, a unit, rounding, which letters.

    read("By what percent did it fall?")                          ->  Hints(given=True, percent=True)
    read("How many square inches is that?")                       ->  Hints(given=True, unit="inch^2")
    read("Round your answer to the nearest tenth.")               ->  Hints(given=True, step=Fraction(1, 10))
    read("Give two significant figures.")                         ->  Hints(given=True, figures=2)
    read("What is the area in terms of $r$?")                     ->  Hints(given=True, letters=frozenset("r"))
    read("Solve for $y$.")                                        ->  Hints(given=True, solved=frozenset("y"))

`asked.py` says what a hint changes. A question is text that nobody has checked: only its end is looked at, every
expression is bounded, and what is not one of these phrases says nothing.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from stages.lib.verifier.limits import Unparsed
from stages.lib.verifier.units import unit_name

_MAX_QUESTION = 4_000  # characters, counted from the end: what is asked for stands there


@dataclass(frozen=True, slots=True)
class Hints:
    """given: there was a question; step: the place that it asks to round to; figures: how many significant ones;
    about: it asks for an approximate value; letters: those that the answer is to be written in; solved: the unknown
    that an equation is to be solved for; ordered: it asks for an order; monotonic: for intervals of monotonicity;
    words: all its words, where it asks who or which."""

    given: bool = False
    percent: bool = False
    unit: str | None = None
    step: Fraction | None = None
    figures: int | None = None
    about: bool = False
    letters: frozenset[str] = frozenset()
    solved: frozenset[str] = frozenset()
    ordered: bool = False
    monotonic: bool = False
    words: frozenset[str] = frozenset()


NONE = Hints()

_PERCENT = re.compile(
    r"\b(?:what|which|how many) (?:approximate(?:ly)? |average )?(?:percent(?:age)?\b|\\?%)"
    r"|\b(?:what (?:is|was|are|were|will be)|find|calculate|determine|compute) (?:the|your|its) "
    r"(?:(?!of\b)[a-z]{1,15} ){0,3}percent(?:age)?\b(?! points?\b)"
    r"|\b(?:as|in) (?:an? )?percent(?:age)?s?\b"
    r"|_{2} ?\$? ?\\?%",
    re.IGNORECASE,
)
_POWERS_OF_TEN = {
    0: "whole integer unit one ones dollar degree percent meter foot inch mile year minute second hour day",
    1: "ten tens",
    2: "hundred",
    3: "thousand",
    4: "ten_thousand",
    5: "hundred_thousand",
    6: "million",
    -1: "tenth tenths",
    -2: "hundredth hundredths cent penny",
    -3: "thousandth thousandths",
    -4: "ten-thousandth",
}
_PLACES = {word: Fraction(10) ** power for power, words in _POWERS_OF_TEN.items() for word in words.split()}
_PLACE = r"(?:ten|hundred) thousand(?!th)|[a-z]{2,9}(?:-[a-z]{2,12})?"
_NEAREST = re.compile(
    rf"\b(?:nearest|closest) (?:\$?(?P<number>0?\.\d{{1,6}}|\d{{1,6}})\b|(?P<word>{_PLACE}))", re.IGNORECASE
)
_COUNTS = {word: count for count, word in enumerate("zero one two three four five six seven eight nine ten".split())}
_COUNT = rf"\b\$?(?P<count>\d{{1,2}}|{'|'.join(_COUNTS)})\$?[ -]?"
_DECIMALS = re.compile(_COUNT + r"(?:decimal(?: places?| digits?| points?)?|d\.?p\.?)(?![a-z])", re.IGNORECASE)
_FIGURES = re.compile(_COUNT + r"(?:significant (?:figures?|digits?)|s\.?f\b|sig\.? figs?\b)", re.IGNORECASE)
_ABOUT = re.compile(r"\b(?:approximat\w{1,5}|estimate|rounded|round (?:your|the|to|off)|about (?:how|what))\b", re.I)
_LETTER = r"\$?(?:\\\()? ?([A-Za-z](?:_\{?\w\}?)?|\\[a-z]{2,7}) ?(?:\\\))?\$?(?![A-Za-z])"
_TERMS = re.compile(rf"\bin terms of (?:only )?(?:the variables? )?{_LETTER}")
_FURTHER = re.compile(rf",?\$? ?(?:and )?{_LETTER}")
_SOLVE = re.compile(rf"\b[Ss]olve\b[^.?!]{{0,80}}?\bfor (?:the variable )?{_LETTER}")
_SHORT = "cm|mm|km|kg|mg|m|g|s|h|ft|mph|mi|yd|lb|oz|mL|ml|L|J|kJ|N|W|kW|V|K|Hz|Pa|kPa|mol|nm|eV"
_NAME = rf"(?:(?:square|sq|cubic)\.? )?(?:[a-z]{{3,12}}|(?:{_SHORT})(?![A-Za-z]))(?: ?\^ ?\{{?[23]\}}?)?"
_ASKED_IN = r"\b(?:[Hh]ow many|[Ii]n|number of) (?:\$?\\(?:text|mathrm|rm) ?\{ ?)?"
_UNIT = re.compile(rf"{_ASKED_IN}(?P<unit>{_NAME}(?: ?(?:/|\bper\b) ?{_NAME})?)(?![a-z])")
_NO_UNIT = frozenset(
    "total all order the this that terms other base form simplest lowest interval their its his her these those each "
    "one different ways times pairs common point part half case any some use set row scientific standard increasing "
    "general decreasing ascending descending radical exact reduced mixed decimal fraction percent more less your our "
    "and which how".split()
)
_LOW, _HIGH = "(?:smallest|least|lowest)", "(?:largest|greatest|highest)"
_ORDER = re.compile(
    rf"\b(?:(?:de|a)scending order|(?:in|de)creasing order|{_LOW} to {_HIGH}|{_HIGH} to {_LOW}|rank|arrange"
    r"|order of (?:magnitude|size)|size relation\w*|relationship (?:between|among))\b",
    re.IGNORECASE,
)
_MONOTONIC = re.compile(
    r"\bmonotonic\w*|\bintervals? (?:of|on which|where|over which)[^.?!]{0,60}?(?:in|de)creas", re.I
)
_SENTENCE = re.compile(r"[^.?!]{1,600}[.?!]?")
_ASKING = re.compile(
    r"\?|\b(?:find|give|express|calculate|determine|compute|what|how|answer|evaluate|round)\b|_{2}",
    re.IGNORECASE,
)
_WHO = re.compile(r"\b(?:who|whom|whose|which|what will)\b", re.IGNORECASE)


@lru_cache(maxsize=8_192)
def read(question: str | None) -> Hints:
    """The hints in a question; none where there is no question."""
    if not question:
        return NONE
    text = " ".join(question[-_MAX_QUESTION:].split())
    asking = " ".join(part[0] for part in _SENTENCE.finditer(text) if _ASKING.search(part[0]))
    return Hints(
        given=True,
        percent=bool(_PERCENT.search(asking)),
        unit=_unit(asking),
        step=_step(text),
        figures=_count(_FIGURES, text),
        about=bool(_ABOUT.search(text)),
        letters=_letters(text),
        solved=frozenset(match[1] for match in _SOLVE.finditer(text)),
        ordered=bool(_ORDER.search(text)),
        monotonic=bool(_MONOTONIC.search(text)),
        words=frozenset(re.findall(r"[^\W\d_]{1,30}", text.lower())) if _WHO.search(asking) else frozenset(),
    )


def _step(text: str) -> Fraction | None:
    """The place to round to: of the last phrase that names one."""
    if decimals := _count(_DECIMALS, text):
        return Fraction(1, 10**decimals)
    found = None
    for match in _NEAREST.finditer(text):
        found = (
            Fraction(match["number"])
            if match["number"]
            else _PLACES.get(match["word"].lower().replace(" ", "_"), found)
        )
    return found or None


def _count(pattern: re.Pattern[str], text: str) -> int | None:
    """The number in the last match: 2 of "two decimal places"."""
    found = None
    for match in pattern.finditer(text):
        found = match["count"].lower()
    return None if found is None else _COUNTS.get(found) if found in _COUNTS else int(found)


def _letters(text: str) -> frozenset[str]:
    """The letters behind "in terms of": one, or a list of them."""
    found = set()
    for match in _TERMS.finditer(text):
        found.add(match[1])
        at = match.end()
        while (further := _FURTHER.match(text, at)) and len(found) < 9:
            found.add(further[1])
            at = further.end()
    return frozenset(found)


def _unit(asking: str) -> str | None:
    """The unit in the last "how many inches", "in square meters", "in m/s" of what is asked."""
    found = None
    for match in _UNIT.finditer(asking):
        words = re.findall(r"[A-Za-z]+|/|\^\s?\{?[23]\}?", match["unit"])
        if words[0].lower() not in _NO_UNIT:
            found = [word.replace(" ", "") for word in words]
    try:
        return unit_name(found) or None if found else None
    except Unparsed:
        return None
