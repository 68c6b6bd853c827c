r"""Whether a value is another one, rounded as the question asks (`question.Hints`).

rounds(read("Round to two decimals."), parse("3.33"), parse("10/3"))       ->  True
rounds(read("Round to two decimals."), parse("10/3"), parse("3.33"))       ->  True
rounds(read("What is the probability?"), parse("0.3"), parse("1/3"))       ->  False    0.3 may be meant
"""

import math
from dataclasses import dataclass, replace
from fractions import Fraction

from stages.lib.verifier.compare import same
from stages.lib.verifier.exact import Irrational, Undefined
from stages.lib.verifier.limits import Unparsed
from stages.lib.verifier.numeric import place
from stages.lib.verifier.question import Hints
from stages.lib.verifier.tree import Const, Node, Num, Op, Quantity, Rel, Seq, Sym, children, contains, symbols

_SIGNIFICANT = 3  # digits from which a decimal reference counts as a rounded value although nobody spoke of rounding


def rounds(hints: Hints, reference: Node, got: Node) -> bool:
    """Whether one value is the other one, rounded as the question asks; of lists every value in its place."""
    reference, got = bare(reference), bare(got)
    if isinstance(reference, Seq) and isinstance(got, Seq):
        if (reference.open, len(reference.items)) != (got.open, len(got.items)):
            return False
        return all(same(a, b) or rounds(hints, a, b) for a, b in zip(reference.items, got.items, strict=True))
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
    away, step = abs(true.value - answer.value), _step(hints, reference, (true.value, answer.value))
    if true.last is not None and not answer.whole and (answer.last is None or answer.last <= true.last):
        enough = step is not None or hints.about or (answer.exact and not true.exact and true.digits >= _SIGNIFICANT)
        return enough and away <= min(true.last, step or true.last) / 2
    place_of_last = Fraction(1) if answer.whole else answer.last
    if place_of_last is None or true.whole:
        return False
    if step is not None:
        return place_of_last <= step and away <= step / 2
    return hints.about and true.last is not None and answer.digits >= _SIGNIFICANT and away <= place_of_last / 2


def _is_real(node: Node) -> bool:
    number = isinstance(node, Num | Op | Const | Quantity)
    return number and not symbols(node) and not contains(node, "i", "pm", "mp", "inf")


def _step(hints: Hints, reference: Node, values: tuple[Fraction, Fraction]) -> Fraction | None:
    """The place that the question asks to round to: of a percentage that of its number of percent. A place above the
    first digit of the values is not meant: "two decimal places" of 5.31e-9 are those of 5.31."""
    smaller = min(map(abs, values))
    if not smaller:
        return None
    if hints.figures:
        return Fraction(10) ** (math.floor(math.log10(smaller)) + 1 - hints.figures)
    percent = isinstance(reference, Quantity) and reference.unit == "%"
    step = hints.step / 100 if hints.step and percent else hints.step
    return step if step and step <= smaller else None


def bare(node: Node) -> Node:
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
