r"""Values with units: what two of them are to each other, and sums of several.

    one_quantity((5 ft, 6 in))         ->  5.5 ft
    between("km", "m")                 ->  Conversion(1000)      see `units`

Percent is no unit like the others: p% is the number p/100. Degrees stand for multiples of pi/180 as well.
"""

from collections.abc import Sequence
from fractions import Fraction

from stages.lib.verifier.limits import Unparsed
from stages.lib.verifier.terms import DEGREE
from stages.lib.verifier.tree import Node, Num, Op, Quantity, contains
from stages.lib.verifier.units import Conversion, conversion, is_physical

_HALVES = ("am", "pm")


def one_quantity(terms: Sequence[Node]) -> Quantity | None:
    """The sum of quantities of one dimension, in the unit of the first; None where the terms are other things.

    Raises:
        Unparsed: a sum that mixes units which do not go together, or quantities with plain numbers.
    """
    units = [_unit(term) for term in terms]
    if len(terms) < 2 or len(set(units)) < 2 or not any(units):
        return None
    if not all(units):
        raise Unparsed("a sum of quantities and numbers")
    first = units[0] or ""
    parts = [_in(term, unit or "", first) for term, unit in zip(terms, units, strict=True)]
    return Quantity(Op("+", tuple(parts)), first)


def _unit(term: Node) -> str | None:
    inner = term.args[0] if isinstance(term, Op) and term.kind == "neg" else term
    return inner.unit if isinstance(inner, Quantity) and inner.unit != "%" else None


def _in(term: Node, unit: str, other: str) -> Node:
    found = conversion(unit, other)
    if found is None or not is_physical(unit) or found.offset:
        raise Unparsed(f"a sum of {unit} and {other}")
    inner = term.args[0] if isinstance(term, Op) else term
    value = inner.value if isinstance(inner, Quantity) else inner
    return converted(Op("neg", (value,)) if isinstance(term, Op) else value, found)


def converted(value: Node, by: Conversion) -> Node:
    """A value in another unit."""
    if by.factor != 1:
        value = Op("*", (value, Num(by.factor)))
    return Op("+", (value, Num(by.offset))) if by.offset else value


def between(unit: str, other: str) -> Conversion | None:
    """The conversion from `unit` to `other`; halves of the day and residues have none but to themselves."""
    if unit == other:
        return Conversion(Fraction(1))
    if unit in _HALVES or other in _HALVES or unit.startswith("mod ") or other.startswith("mod "):
        return None
    return conversion(unit, other)


def in_radians(value: Node, unit: str | None, other: Node, other_unit: str | None) -> Node | None:
    """An angle in degrees as a number, where the other side is in radians: it says so or is a multiple of pi."""
    if unit == "degree" and (other_unit in ("radian", "rad") or (other_unit is None and contains(other, "pi"))):
        return Op("*", (value, DEGREE))
    return None
