r"""Whether two single values are the same: units, percent, and how far a written decimal goes.

    scalar(parse(r"90^{\circ}"), parse("90"))                 ->  True
    scalar(parse("10"), parse(r"10\%"))                       ->  False
    rounded(parse("4.5e33"), parse(r"4.52 \times 10^{33}"))   ->  True

The reference decides what is exact. Every tolerance of the verifier stands in this file.
"""

from fractions import Fraction

from stages.lib.verifier.exact import Irrational, Undefined, exact
from stages.lib.verifier.limits import Unparsed
from stages.lib.verifier.numeric import place
from stages.lib.verifier.tree import (
    Based,
    Joined,
    Matrix,
    Node,
    Num,
    Op,
    Quantity,
    Ratio,
    Rel,
    Seq,
    Text,
    contains,
    infinity,
    symbols,
)
from stages.lib.verifier.units import conflict
from stages.lib.verifier.values import same_value

_DECIMAL = Fraction(1, 10_000)  # relative tolerance where the reference is a decimal ...
_MEASURED = Fraction(5, 1000)  # ... and where it is a measurement in scientific notation
_WRITTEN_OUT = 10  # significant digits from which a response's decimal stands for a number without a finite decimal
_STRUCTURES = (Based, Joined, Matrix, Ratio, Rel, Seq, Text)
_PERCENT = Num(Fraction(100))


def scalar(reference: Node, got: Node) -> bool:
    """Two values with or without units."""
    if infinity(reference) or infinity(got):
        return infinity(reference) == infinity(got)
    if isinstance(reference, Quantity) or isinstance(got, Quantity):
        return _quantities(reference, got)
    if isinstance(reference, _STRUCTURES) or isinstance(got, _STRUCTURES):
        return False
    return same_value(reference, got) or rounded(reference, got)


def _quantities(reference: Node, got: Node) -> bool:
    """A unit that only one side writes is left out of account; two known units must be one. Percent is a unit that the
    response may leave out, or carry out (28% is 28 and is 0.28), but never add: 28% is neither 28 nor 0.28 if the
    reference is a plain number."""
    unit, other = (side.unit if isinstance(side, Quantity) else None for side in (reference, got))
    value, gotten = (side.value if isinstance(side, Quantity) else side for side in (reference, got))
    if unit == "%" and other is None:
        return scalar(value, gotten) or same_value(Op("/", (value, _PERCENT)), gotten)
    if other == "%" and unit != "%":
        return False
    return (unit is None or other is None or not conflict(unit, other)) and scalar(value, gotten)


def is_decimal(node: Node) -> bool:
    """Whether the answer is a written decimal that is no whole number: a rounded value."""
    return _measurement(node.value if isinstance(node, Quantity) else node)[1] is not None


def rounded(reference: Node, got: Node) -> bool:
    """Whether a decimal agrees with a value as far as it goes.

    A reference with decimals is a rounded value: the response may differ by half a unit in the last digit of the
    coarser of the two, and by no more than 1e-4 of the value (5e-3 if the reference is in scientific notation). A
    reference without is exact; yet if no finite decimal can write it, a response's decimal of at least ten correct
    digits does.
    """
    value, last, scientific, _ = _measurement(reference)
    got_value, got_last, _, digits = _measurement(got)
    if last is not None:
        centre = got if got_value is None else Num(got_value)
        width = min(max(last, got_last or 0) / 2, abs(value) * (_MEASURED if scientific else _DECIMAL))
        return _within(centre, value, width)
    if got_last is None or digits < _WRITTEN_OUT or _terminates(reference):
        return False
    return _within(reference, got_value, got_last)


def _within(node: Node, centre: Fraction, width: Fraction) -> bool:
    if symbols(node) or contains(node, "i", "pm", "mp"):
        return False
    try:
        return abs(place(node) - centre) <= width
    except (Undefined, Unparsed):
        return False


def _measurement(node: Node) -> tuple[Fraction | None, Fraction | None, bool, int]:
    """Value, weight of the last digit (None: no decimal), whether scientific, and digits of a written decimal."""
    match node:
        case Num(value, last, digits, scientific):
            return value, last, scientific, digits
        case Op("neg", (inner,)):
            value, last, scientific, digits = _measurement(inner)
            return (None if value is None else -value), last, scientific, digits
        case Op("*", (Num(value, last, digits), Op("^", (Num(base), exponent)))) if last is not None and base == 10:
            try:
                scale = Fraction(10) ** int(exact(exponent))
            except (Irrational, Undefined, OverflowError):
                return None, None, False, 0
            return value * scale, last * scale, True, digits
    return None, None, False, 0


def _terminates(node: Node) -> bool:
    try:
        below = exact(node).denominator
    except (Irrational, Undefined):
        return False
    for prime in (2, 5):
        while below % prime == 0:
            below //= prime
    return below == 1
