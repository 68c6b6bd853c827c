r"""Words that are numbers, and words that change one.

spelled(["two", "hundred", "thirty", "apples"])   ->  (Fraction(230), ["apples"])
spelled(["seven", "hundredths"])                  ->  (Fraction(7, 100), [])
scaled(["million", "dollars"])                    ->  (Fraction(1000000), ["dollars"])      behind a figure
changes_value(["squared"])                        ->  True                                  no unit, no label
"""

from collections.abc import Sequence
from fractions import Fraction

_TO_NINETEEN = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
NUMBER_WORDS = {word: value for value, word in enumerate(_TO_NINETEEN.split())}
NUMBER_WORDS |= {word: 10 * tens for tens, word in enumerate(_TENS.split(), 2)}
_MULTIPLIERS = {
    "ten": 10, "dozen": 12, "score": 20, "hundred": 100, "gross": 144, "thousand": 1000, "万": 10**4, "lakh": 10**5,
    "million": 10**6, "mn": 10**6, "mln": 10**6, "crore": 10**7, "亿": 10**8, "billion": 10**9, "bn": 10**9,
    "trillion": 10**12, "百": 100, "千": 1000,
}  # fmt: skip
_PARTS = {
    "half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10, "eleventh": 11, "twelfth": 12, "fifteenth": 15, "sixteenth": 16, "twentieth": 20, "hundredth": 100,
    "thousandth": 1000, "millionth": 10**6, "halve": 2,
}  # fmt: skip
_CHANGING = (  # behind a value, such a word makes another value, a bound, a doubt or a denial of it
    "squared cubed factorial plus minus times over divided mod point reciprocal inverse opposite negated "
    "conjugate root more less fewer greater smaller larger bigger lower higher above below under beyond between "
    "least most than not no never neither nor none nothing wrong incorrect untrue invalid impossible unlikely "
    "negative if when unless where for otherwise but except excluding without choose upwards or and to is are was "
    "isn isnt maybe perhaps possibly probably almost nearly approximately doubled tripled halved twice thrice "
    "double triple exceeds infinite infinitely unknown short missing too instead versus vs base complement error "
    "mistake fake dummy cannot undefined indeterminate remainder repeating recurring periodic bar"
)
CHANGING = frozenset(_CHANGING.split())
APPROXIMATELY = frozenset(("approximately", "about", "approx", "roughly", "around"))
EXACTLY = frozenset(("exactly", "only", "just", "precisely", "ratio"))
_NEGATIVE = frozenset(("negative", "minus"))
PERCENT = frozenset(("percent", "percentage", "pct", "percents"))


def spelled(run: Sequence[str]) -> tuple[Fraction, list[str]] | None:
    """The number that words begin with, and the words behind it; None where they begin with none.

    A number of several words has to follow the rules of English: "one two" is no number, nor is "twenty third".
    """
    words = [word.lower() for part in run for word in part.split("-") if word]
    if words[:1] and words[0] in _NEGATIVE:
        found = spelled(words[1:])
        return (-found[0], found[1]) if found else None
    if len(words) > 1 and words[0] in ("a", "an") and (words[1] in _PARTS or words[1] in _MULTIPLIERS):
        words = ["one", *words[1:]]
    if words[:1] == ["half"]:
        return Fraction(1, 2), _without_a(words[1:])
    whole = _integer(words)
    if whole is None:
        return None
    value, rest = whole
    if part := _part(rest):
        return _of_parts(value, rest, part)
    if rest[:1] == ["and"]:
        return _and_parts(value, rest)
    return (Fraction(value), rest) if not rest or rest[0] not in NUMBER_WORDS else None


def _of_parts(value: int, rest: list[str], part: int) -> tuple[Fraction, list[str]] | None:
    """Two thirds, one half; but "one thirds" and "twenty third" are no numbers, nor is "three half"."""
    if (value == 1) == rest[0].endswith("s"):
        return None
    return Fraction(value, part), rest[1:]


def _and_parts(value: int, rest: list[str]) -> tuple[Fraction, list[str]] | None:
    """Two and a half, one and three quarters."""
    more = spelled(rest[1:])
    if more is None or not 0 < more[0] < 1:
        return None
    return value + more[0], more[1]


def _integer(words: list[str]) -> tuple[int, list[str]] | None:
    """A whole number by the rules of English: groups of hundreds, each group's unit smaller than the one before."""
    total, at, last_unit = 0, 0, 10**15
    group, at = _below_thousand(words, 0)
    if group is None:
        return None
    while group is not None:
        unit = _large(words[at : at + 1])
        if unit > 1 and unit < last_unit:
            total, at, last_unit = total + group * unit, at + 1, unit
            ahead = at + 1 if words[at : at + 1] == ["and"] else at
            group, following = _below_thousand(words, ahead)
            at = following if group is not None else at
        else:
            return total + group, words[at:]
    return total, words[at:]


def _large(word: list[str]) -> int:
    unit = _MULTIPLIERS.get(word[0].removesuffix("s"), 0) if word else 0
    return unit if unit >= 1000 or unit == 12 else 0


def _below_thousand(words: list[str], at: int) -> tuple[int | None, int]:
    value, at = _below_hundred(words, at)
    if value is None or words[at : at + 1] != ["hundred"]:
        return value, at
    ahead = at + 2 if words[at + 1 : at + 2] == ["and"] else at + 1
    rest, following = _below_hundred(words, ahead)
    return (value * 100 + rest, following) if rest is not None else (value * 100, at + 1)


def _below_hundred(words: list[str], at: int) -> tuple[int | None, int]:
    value = NUMBER_WORDS.get(words[at]) if at < len(words) else None
    if value is None or value < 20 or at + 1 >= len(words):
        return value, at + 1
    unit = NUMBER_WORDS.get(words[at + 1], 0)
    return (value + unit, at + 2) if 1 <= unit <= 9 else (value, at + 1)


def scaled(parts: list[str]) -> tuple[Fraction, list[str]]:
    """What words behind a figure multiply it by, and the words that remain: 7 tenths, 3 million dollars, 2 dozen."""
    scale = Fraction(1)
    while parts and (by := _multiplier(parts[0])):
        scale, parts = scale * by, parts[1:]
    if part := _part(parts):
        return scale / part, _without_a(parts[1:])
    return scale, parts


def _multiplier(word: str) -> int | None:
    word = word.lower()
    return _MULTIPLIERS.get(word) or _MULTIPLIERS.get(word.removesuffix("s"))


def _part(words: list[str]) -> int | None:
    return _PARTS.get(words[0].lower().removesuffix("s")) if words else None


def _without_a(words: list[str]) -> list[str]:
    return words[1:] if words[:1] in (["a"], ["an"], ["of"]) else words


def changes_value(parts: Sequence[str]) -> bool:
    """Whether one of these words says more than what is counted."""
    return any(part.lower() in CHANGING or part.lower() in NUMBER_WORDS for part in parts)
