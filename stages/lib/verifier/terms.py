"""Putting terms together as they are read: sums and products with the units that they carry.

times(5 m, 3 m)   ->  15 m^2      total([30 degrees, 45 degrees])   ->  75 degrees      negative(5 cm)   ->  -5 cm
"""

from fractions import Fraction

from stages.lib.verifier.exact import Irrational, Undefined, exact
from stages.lib.verifier.limits import Unparsed
from stages.lib.verifier.tree import Cases, Const, Given, Joined, Matrix, Node, Num, Op, Quantity, Rel, Seq, Sym, Text
from stages.lib.verifier.units import power, product

_NO_FACTOR = (Cases, Given, Joined, Rel, Text)


def letter(text: str) -> Node:
    """A variable, or one of the constants e and i."""
    return Const(text) if text in ("e", "i") else Sym(text)


def negative(value: Node) -> Node:
    """-(5 cm) is (-5) cm."""
    if isinstance(value, Quantity):
        return Quantity(negative(value.value), value.unit)
    return Op("neg", (value,))


def total(terms: list[Node]) -> Node:
    """The sum of one or more terms; in the unit that all of them have, if they have one."""
    if len(terms) == 1:
        return terms[0]
    units = {term.unit if isinstance(term, Quantity) else None for term in terms}
    unit = units.pop()
    if units or unit in (None, "%"):
        return Op("+", tuple(terms))
    return Quantity(Op("+", tuple(term.value for term in terms if isinstance(term, Quantity))), str(unit))


def times(left: Node, right: Node) -> Node:
    """The product, flat; a unit is a factor like any other."""
    if isinstance(left, _NO_FACTOR) or isinstance(right, _NO_FACTOR):
        raise Unparsed("a statement as a factor")
    if _measured(left) or _measured(right):
        (a, one), (b, other) = _parted(left), _parted(right)
        return _with_unit(times(a, b), product(one, other))
    if isinstance(left, Op) and left.kind == "*":
        return Op("*", (*left.args, right))
    return Op("*", (left, right))


def over(left: Node, right: Node) -> Node:
    """The quotient."""
    if _measured(left) or _measured(right):
        (a, one), (b, other) = _parted(left), _parted(right)
        return _with_unit(Op("/", (a, b)), product(one, other, -1))
    return Op("/", (left, right))


def raised(base: Node, exponent: Node) -> Node:
    """The power; of a quantity only for a whole exponent."""
    if not _measured(base):
        return Op("^", (base, exponent))
    value, unit = _parted(base)
    try:
        count = exact(exponent)
    except (Irrational, Undefined):
        raise Unparsed("a power of a quantity") from None
    if count.denominator != 1 or abs(count) > 9:
        raise Unparsed("a power of a quantity")
    return _with_unit(Op("^", (value, exponent)), power(unit, int(count)))


def _measured(node: Node) -> bool:
    return isinstance(node, Quantity) and node.unit != "%"


def _parted(node: Node) -> tuple[Node, str]:
    return (node.value, node.unit) if isinstance(node, Quantity) and node.unit != "%" else (node, "")


def _with_unit(value: Node, unit: str) -> Node:
    return Quantity(value, unit) if unit else value


def radians(node: Node) -> Node:
    """A function's argument, with degrees as the multiples of pi/180 that they are."""
    match node:
        case Quantity(value, "degree"):
            return Op("*", (value, DEGREE))
        case Op(kind, args):
            return Op(kind, tuple(map(radians, args)))
    return node


DEGREE = Op("/", (Const("pi"), Num(Fraction(180))))


def vector(value: Node) -> Node:
    """What angle brackets hold."""
    return Seq("<", ">", value.items if isinstance(value, Seq) and not value.open else (value,))


def minutes(base: Num, marks: int) -> Node:
    """A number with one or two primes: minutes or seconds of a degree."""
    return Quantity(base, "arcminute" if marks == 1 else "arcsecond")


def transposed(base: Matrix | Seq) -> Node:
    """The transpose; a point's is a column."""
    if isinstance(base, Matrix):
        return Matrix(tuple(zip(*base.rows, strict=True)))
    return Matrix(tuple((item,) for item in base.items))


def combinations(base: Node, exponent: Node) -> Node | None:
    """C_5^2 is 5 over 2."""
    if not (isinstance(base, Sym) and base.name.startswith("C_") and base.name[2:].isdigit()):
        return None
    if not (isinstance(exponent, Num) and exponent.value.denominator == 1 and exponent.value >= 0):
        return None
    above = Num(Fraction(int(base.name[2:])))
    return Op("binom", (above, exponent)) if exponent.value <= above.value else None


def digits_of(node: Num) -> str:
    """The digits of a written integer."""
    if node.last is not None or node.value.denominator != 1:
        raise Unparsed("a decimal with a base")
    return str(node.value.numerator)
