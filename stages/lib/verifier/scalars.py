r"""Whether two single values are the same: units, percent, and how far a written decimal goes.

    scalar(parse(r"90^{\circ}"), parse("90"))                 ->  True
    scalar(parse("10"), parse(r"10\%"))                       ->  False
    scalar(parse("0.1"), parse(r"10\%"))                      ->  True
    rounded(parse("4.5e33"), parse(r"4.52 \times 10^{33}"))   ->  True

The reference decides what is exact. Every tolerance of the verifier stands in this file.
"""

import re
from collections.abc import Sequence
from fractions import Fraction
from itertools import permutations

from stages.lib.verifier.exact import Irrational, Undefined, exact
from stages.lib.verifier.limits import Unparsed
from stages.lib.verifier.numeric import place
from stages.lib.verifier.quantities import between, converted, in_radians
from stages.lib.verifier.tree import (
    Based,
    Cases,
    Given,
    Joined,
    Matrix,
    Node,
    Num,
    Op,
    Quantity,
    Ratio,
    Rel,
    Seq,
    Sym,
    Text,
    contains,
    infinity,
    replaced,
    symbols,
)
from stages.lib.verifier.units import conversion
from stages.lib.verifier.values import same_value

_DECIMAL = Fraction(1, 10_000)  # relative tolerance where the reference is a decimal ...
_MEASURED = Fraction(5, 1000)  # ... and where it is a measurement in scientific notation
_WRITTEN_OUT = 10  # significant digits from which a response's decimal stands for a number without a finite decimal
_LARGEST_POWER = 10_000  # of ten in a measurement: more is nothing that is measured
_STRUCTURES = (Based, Cases, Given, Joined, Matrix, Ratio, Rel, Seq, Text)
_HUNDRED = Num(Fraction(100))
_CONSTANT = re.compile(r"[cCK](?:_\d)?|[AB]")
_PARAMETERS = frozenset("k n m l j p q t r".split())


def scalar(reference: Node, got: Node) -> bool:
    """Two values with or without units."""
    if infinity(reference) or infinity(got):
        return infinity(reference) == infinity(got)
    if isinstance(reference, Quantity) or isinstance(got, Quantity):
        return _quantities(reference, got)
    if isinstance(reference, _STRUCTURES) or isinstance(got, _STRUCTURES):
        return False
    return same_value(reference, got) or rounded(reference, got) or _renamed(reference, got)


def _quantities(reference: Node, got: Node) -> bool:
    """A unit that only one side writes is left out of account; two units must be one, or convert into each other."""
    unit, other = (side.unit if isinstance(side, Quantity) else None for side in (reference, got))
    value, gotten = (side.value if isinstance(side, Quantity) else side for side in (reference, got))
    if (unit or "")[:1] == "%" or (other or "")[:1] == "%":
        plain, labels = zip(*map(_without_labels, (reference, got)), strict=True)
        return conversion(*labels) is not None and _percent(*plain)
    if unit is not None and other is not None and "mod " in (unit[:4], other[:4]):
        return unit == other and _congruent(value, gotten, unit[4:])
    if unit is not None and other is not None:
        by = between(other, unit)
        if by is None:
            return False
        gotten = converted(gotten, by)
        return scalar(value, gotten) or (unit == "degree" and _renamed(value, gotten, periodic=True))
    left, right = in_radians(value, unit, gotten, other), in_radians(gotten, other, value, unit)
    if left is not None or right is not None:
        return scalar(left or value, right or gotten)
    return scalar(value, gotten)


def _without_labels(node: Node) -> tuple[Node, str]:
    """A percentage, and what it is said to be: a decrease, of the class."""
    if isinstance(node, Quantity) and node.unit[:1] == "%":
        return Quantity(node.value, "%"), node.unit[2:]
    return node, ""


def _percent(reference: Node, got: Node) -> bool:
    """p% is p/100 on either side. The sign may be missing behind the p of a response, but not be added to it: p% is no
    answer where the reference is a bare p."""
    if isinstance(got, Quantity) and got.unit == "%":
        if isinstance(reference, Quantity):
            return reference.unit == "%" and scalar(reference.value, got.value)
        return scalar(reference, Op("/", (got.value, _HUNDRED)))
    if isinstance(got, Quantity) or not isinstance(reference, Quantity):
        return False
    return scalar(reference.value, got) or scalar(_hundredth(reference.value), got)


def _hundredth(value: Node) -> Node:
    """A hundredth, of a written decimal as the decimal that it is."""
    match value:
        case Num(number, last, digits, scientific) if last is not None:
            return Num(number / 100, last / 100, digits, scientific)
    return Op("/", (value, _HUNDRED))


def _congruent(value: Node, gotten: Node, modulus: str) -> bool:
    """Whole numbers of one residue; other expressions have to be equal."""
    try:
        difference = exact(value) - exact(gotten)
    except (Irrational, Undefined):
        return same_value(value, gotten)
    if not modulus.isdigit() or not int(modulus):
        return not difference
    return difference % int(modulus) == 0


def _renamed(reference: Node, got: Node, periodic: bool = False) -> bool:
    r"""Whether a constant (c, C, K, c_1) or, in multiples of pi, an integer parameter (k, n, m) goes by another name.

    Only names that one side alone has are renamed, and a constant only beside other symbols: 2N is not 2n."""
    left, right = symbols(reference), symbols(got)
    mine, theirs = sorted(left - right), sorted(right - left)
    if len(mine) != len(theirs) or not 1 <= len(mine) <= 2:
        return False
    names = [*mine, *theirs]
    constants = all(map(_CONSTANT.fullmatch, names)) and bool(left & right)
    periodic = periodic or (contains(reference, "pi") and contains(got, "pi"))
    return (constants or (periodic and all(name in _PARAMETERS for name in names))) and renamed_to(
        reference, got, mine, theirs
    )


def renamed_to(reference: Node, got: Node, mine: Sequence[str], theirs: Sequence[str]) -> bool:
    """Whether the values are the same once `theirs` are called `mine`, in some order."""
    orders = permutations(mine)
    return any(
        same_value(reference, replaced(got, {b: Sym(a) for a, b in zip(order, theirs, strict=True)}))
        for order in orders
    )


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
    if last is not None and value is not None:
        centre = got if got_value is None else Num(got_value)
        relative = _MEASURED if scientific else _DECIMAL
        width = min(max(last, got_last or Fraction(0)) / 2, abs(value) * relative)
        return _within(centre, value, width)
    if got_value is None or got_last is None or digits < _WRITTEN_OUT or _terminates(reference):
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
            below, last, scientific, digits = _measurement(inner)
            return (None if below is None else -below), last, scientific, digits
        case Op("*", (Num(value, last, digits), Op("^", (Num(base), exponent)))) if last is not None and base == 10:
            try:
                power = exact(exponent)
            except (Irrational, Undefined):
                return None, None, False, 0
            if power.denominator != 1 or abs(power) > _LARGEST_POWER:
                return None, None, False, 0
            scale = Fraction(10) ** int(power)
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
