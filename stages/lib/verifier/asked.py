r"""Two answers that have been read, compared in the light of what the question asked (`question.Hints`).

    fits(read("What percent ...?"), parse("10"), parse(r"10\%"))               ->  True
    fits(read("How many meters ...?"), parse("5"), parse(r"500\text{ cm}"))    ->  True     and 5 cm is refused
    fits(read("Round to two decimals."), parse("3.33"), parse("10/3"))         ->  True
    fits(read("Write it in terms of $n$."), parse("n^2"), parse("m^2"))        ->  False
    fits(NONE, ...)                                                            ->  what `compare.same` says

A hint never overrules a difference in value: it says what a bare number means, and to which digit a value was asked.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from stages.lib.verifier.compare import same
from stages.lib.verifier.exact import Irrational, Undefined
from stages.lib.verifier.limits import Unparsed
from stages.lib.verifier.normalize import words
from stages.lib.verifier.numeric import place
from stages.lib.verifier.quantities import between
from stages.lib.verifier.question import NONE, Hints
from stages.lib.verifier.tree import (
    Const,
    Joined,
    Node,
    Num,
    Op,
    Quantity,
    Rel,
    Seq,
    Sym,
    Text,
    children,
    contains,
    symbols,
)
from stages.lib.verifier.units import is_physical

_SIGNIFICANT = 3  # digits from which a decimal reference counts as a rounded value although nobody spoke of rounding
_NEGATION = frozenset("not no never none neither nobody cannot t nor or and but loses lose lost fails".split())


def fits(hints: Hints, reference: Node, got: Node) -> bool:
    """Whether `got` is the answer that `reference` is, to a question with these hints.

    Raises:
        Guarded, Unparsed, Undefined: as `compare.same`.
    """
    if hints == NONE:
        return same(reference, got)
    if _other_letters(hints, reference, got) or (hints.ordered and _other_order(reference, got)):
        return False
    if hints.monotonic:  # whether a function increases on [a, b] or (a, b) is a matter of style
        reference, got = _closed(reference), _closed(got)
    if hints.ordered and (chains := _as_lists(reference, got)):
        return all(map(same, *chains))
    return any(same(*pair) or _rounds(hints, *pair) for pair in _meant(hints, reference, got))


def subject(hints: Hints, reference: str, got: str) -> bool:
    """Whether `got` names who or what a reference sentence speaks of: "Anna" for "Anna served in the first game" where
    the question asks who served. What is said of her has to repeat the question, or be no denial and no alternative."""
    sentence, name = words(reference).split(), words(got).split()
    rest = sentence[len(name) :]
    if not hints.words or not rest or not 1 <= len(name) <= 4 or sentence[: len(name)] != name:
        return False
    if _NEGATION & set(rest):
        return False
    return hints.words.issuperset(rest) or ("who" in hints.words and hints.words.issuperset(name) and len(rest) > 2)


# What a bare number means --------------------------------------------------------------------------------------------


def _meant(hints: Hints, reference: Node, got: Node) -> Iterator[tuple[Node, Node]]:
    """The pairs to compare: with the unit that was asked for where only one side has one; without percent signs where
    percent was asked for and only the response writes them."""
    units = [{unit for unit in _units(side) if unit != "%"} for side in (reference, got)]
    if hints.unit and bool(units[0]) != bool(units[1]) and _measures(hints.unit, units[0] | units[1]):
        bare = _each(lambda value: Quantity(value, hints.unit or ""), got if units[0] else reference)
        yield (reference, bare) if units[0] else (bare, got)
        return
    if hints.percent and "%" in _units(got) and "%" not in _units(reference):
        yield reference, _each(lambda value: value.value if isinstance(value, Quantity) else value, got)
        if not _below_one(reference):
            return
    yield reference, got


def _below_one(reference: Node) -> bool:
    """Whether a bare reference to "what percent" may be meant as a fraction: 0.28, not 28."""
    match _value(reference):
        case Num(value) | Op("neg", (Num(value),)):
            return abs(value) < 1
    return not isinstance(_value(reference), Seq)


def _measures(asked: str, units: set[str]) -> bool:
    return is_physical(asked) and all(is_physical(unit) and between(unit, asked) for unit in units)


def _units(node: Node) -> set[str]:
    found, stack = set(), [node]
    while stack:
        top = stack.pop()
        if isinstance(top, Quantity):
            found.add(top.unit)
        stack.extend(children(top))
    return found


def _each(change: Callable[[Node], Node], node: Node) -> Node:
    """The single values of an answer changed: alone, behind `x =`, or in a list."""
    match node:
        case Rel(("=",), (name, value)):
            return Rel(("=",), (name, _each(change, value)))
        case Seq(opening, closing, items, joint):
            return Seq(opening, closing, tuple(_each(change, item) for item in items), joint)
    return change(node)


# Which letters -------------------------------------------------------------------------------------------------------


def _other_letters(hints: Hints, reference: Node, got: Node) -> bool:
    """Whether the response is not written in the letters that were asked for, or solved for another unknown."""
    if (symbols(reference) ^ symbols(got)) & hints.letters and symbols(reference) & hints.letters:
        return True
    name = _unknown(got)
    return bool(hints.solved and name and name not in hints.solved and name != _unknown(reference))


def _unknown(node: Node) -> str | None:
    match node:
        case Rel(("=",), (Sym(name), _)):
            return name
    return None


# Which order, which ends ---------------------------------------------------------------------------------------------


def _as_lists(reference: Node, got: Node) -> tuple[tuple[Node, ...], tuple[Node, ...]] | None:
    """A chain a < b < c against the list of its sides; None for other pairs."""
    sides = [_sides(node) for node in (reference, got)]
    if sides[0] is None or sides[1] is None or isinstance(reference, Seq) == isinstance(got, Seq):
        return None
    return (sides[0], sides[1]) if len(sides[0]) == len(sides[1]) else None


def _sides(node: Node) -> tuple[Node, ...] | None:
    match node:
        case Seq("", "", items):
            return items
        case Rel(ops, sides) if len(sides) > 2 and (set(ops) <= {"<", "<="} or set(ops) <= {">", ">="}):
            return sides
    return None


def _other_order(reference: Node, got: Node) -> bool:
    """Whether two lists of names come in different orders: b, a, c is no answer for a, b, c where an order was asked
    for. Numbers say their order themselves."""
    match reference, got:
        case Seq("", "", left), Seq("", "", right):
            return all(isinstance(item, Sym | Text) for item in left + right) and left != right
    return False


def _closed(node: Node) -> Node:
    match node:
        case Seq("(" | "[", ")" | "]", (low, high)):
            return Seq("[", "]", (low, high))
        case Joined(ops, sides):
            return Joined(ops, tuple(map(_closed, sides)))
        case Rel(("in",), (name, value)):
            return Rel(("in",), (name, _closed(value)))
    return node


# Rounding ------------------------------------------------------------------------------------------------------------


def _rounds(hints: Hints, reference: Node, got: Node) -> bool:
    """Whether one value is the other one, rounded as the question asks; of lists every value in its place."""
    reference, got = _value(reference), _value(got)
    if isinstance(reference, Seq) and isinstance(got, Seq):
        if (reference.open, len(reference.items)) != (got.open, len(got.items)):
            return False
        return all(same(a, b) or _rounds(hints, a, b) for a, b in zip(reference.items, got.items, strict=True))
    try:
        return _same_digits(hints, reference, got)
    except (Irrational, Undefined, Unparsed, OverflowError):
        return False


def _same_digits(hints: Hints, reference: Node, got: Node) -> bool:
    r"""A rounded decimal as reference: an exact response (10/3, \sqrt2) that rounds to its last digit is right, from
    three significant digits on, or where the question speaks of rounding; then a finer decimal is right, too. A
    reference finer than what was asked for: a response that is rounded to the place asked for."""
    if not _is_real(reference) or not _is_real(got):
        return False
    true, answer = _written(reference), _written(got)
    away, step = abs(true.value - answer.value), _step(hints, reference, true.value)
    if true.last is not None and not answer.whole and (answer.last is None or answer.last <= true.last):
        enough = step is not None or hints.about or (answer.exact and not true.exact and true.digits >= _SIGNIFICANT)
        return enough and away <= true.last / 2
    place_of_last = Fraction(1) if answer.whole else answer.last
    if place_of_last is None or true.whole:
        return False
    if step is not None:
        return place_of_last <= step and away <= step / 2
    return hints.about and true.last is not None and answer.digits >= _SIGNIFICANT and away <= place_of_last / 2


def _is_real(node: Node) -> bool:
    number = isinstance(node, Num | Op | Const | Quantity)
    return number and not symbols(node) and not contains(node, "i", "pm", "mp", "inf")


def _step(hints: Hints, reference: Node, value: Fraction) -> Fraction | None:
    """The place that the question asks to round to: of a percentage that of its number of percent."""
    if hints.figures and value:
        return Fraction(10) ** (math.floor(math.log10(abs(value))) + 1 - hints.figures)
    percent = isinstance(reference, Quantity) and reference.unit == "%"
    return hints.step / 100 if hints.step and percent else hints.step


def _value(node: Node) -> Node:
    match node:
        case Rel(("=",), (Sym(), value)):
            return value
    return node


@dataclass(frozen=True, slots=True)
class _Written:
    """A value and how it is written: the weight of its last decimal (None: it is no written decimal), its digits,
    whether it is an integer, whether no decimal occurs in it."""

    value: Fraction
    last: Fraction | None = None
    digits: int = 0
    whole: bool = False
    exact: bool = True


def _written(node: Node) -> _Written:
    match node:
        case Quantity(inner, "%"):
            found = _written(inner)
            last = Fraction(1) if found.whole else found.last
            return replace(found, value=found.value / 100, last=None if last is None else last / 100, whole=False)
        case Quantity(inner) | Op("+", (inner,)):
            return _written(inner)
        case Op("neg", (Num() as inner,)):
            found = _written(inner)
            return replace(found, value=-found.value)
        case Num(value, None):
            return _Written(value, digits=len(str(abs(value.numerator))), whole=value.denominator == 1)
        case Num(value, last, digits):
            return _Written(value, last, digits, exact=False)
    return _Written(place(node), exact=not _has_decimals(node))


def _has_decimals(node: Node) -> bool:
    stack = [node]
    while stack:
        top = stack.pop()
        if isinstance(top, Num) and top.last is not None:
            return True
        stack.extend(children(top))
    return False


# For math-verify, which compares text ---------------------------------------------------------------------------------


def plain_percent(hints: Hints, text: str) -> str:
    """The text without percent signs, where percent was asked for."""
    return re.sub(r"\\?%", "", text) if hints.percent else text


def decimals(hints: Hints) -> int | None:
    """The decimals that the question asks for, if it does."""
    return None if hints.step is None or hints.step >= 1 else len(str(hints.step.denominator)) - 1
