r"""How many digits decide whether two numbers are equal.

    bounds(parse(r"\sqrt2 - 1"))        ->  Bounds(upper=..., lower=..., degree=2, algebraic=True)
    zero_bits(left, right)                 ->  (bits, True): a difference that is not zero is larger than 2^-bits

An algebraic number that is not zero cannot be arbitrarily small: with u, l and D as below its absolute value is at
least 1 / (l * u^(D-1)) (Burnikel, Funke, Mehlhorn, Schirra, Schmitt: A separation bound for real algebraic
expressions, ESA 2001). So a difference of two algebraic numbers that is smaller than that, computed with enough digits,
is zero: a proof. Sines and cosines of rational multiples of pi are algebraic too (half the sum of a root of unity and
its inverse).

For the others (logarithms, e, arcus functions) no such bound is known. There the same measure, with the sizes of
exponents and arguments counted, says how many digits an expression of that size could agree in by construction, as
pi * (1 - 2^-200) does with pi; agreement beyond is taken for equality (Richardson's uniformity conjecture).
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import gcd, lcm, log2

from stages.lib.verifier.exact import Irrational, Undefined, exact
from stages.lib.verifier.limits import Guarded
from stages.lib.verifier.tree import Const, Node, Num, Op, Quantity, Sym, contains, symbols

MAX_PROOF = 30_000  # bits of a difference that are computed; what would need more is not decided
_SPREAD = 400  # bits by which a number without such a bound has to agree beyond its own size
_LARGEST_ORDER = 64  # of a root of unity


@dataclass(frozen=True, slots=True)
class Bounds:
    """Binary logarithms of u and l; degree: the product of the degrees of the roots; algebraic: whether all this is
    proved."""

    upper: float = 1.0
    lower: float = 0.0
    degree: int = 1
    algebraic: bool = True


def zero_bits(left: Node, right: Node) -> tuple[int, bool]:
    """The bits that decide whether left = right, and whether they prove it.

    Raises:
        Guarded: more than MAX_PROOF.
    """
    found = bounds(Op("+", (left, Op("neg", (right,)))))
    size = found.lower + found.upper
    bits = found.lower + (found.degree - 1) * found.upper if found.algebraic else 4 * size + _SPREAD
    if max(bits, size) > MAX_PROOF:
        raise Guarded("too many digits would be needed to tell two numbers apart")
    return int(bits) + 1, found.algebraic


def bounds(node: Node) -> Bounds:
    """u, l and D of an expression; equal roots count once."""
    roots: dict[Node, int] = {}
    upper, lower, algebraic = _of(node, roots)
    degree = 1
    for count in roots.values():
        degree = min(degree * count, 10**9)
    return Bounds(upper, lower, degree, algebraic)


_Triple = tuple[float, float, bool]


def _of(node: Node, roots: dict[Node, int]) -> _Triple:
    match node:
        case Num(value):
            return _bits(value.numerator), _bits(value.denominator), True
        case Const("i"):
            roots[node] = 2
            return 0.0, 0.0, True
        case Quantity(value):
            upper, lower, algebraic = _of(value, roots)
            return upper, lower + 7, algebraic
        case Op("+" | "*" | "/" | "neg" | "abs" | "conj" | "^" | "root" as kind, args):
            return _arithmetic(kind, args, node, roots)
        case Op(kind, args):
            return _function(kind, args, node, roots)
    return (0.0 if isinstance(node, Sym) else 2.0), 0.0, False  # several points are tried for symbols


def _bits(value: int) -> float:
    return log2(abs(value)) if value else 0.0


def _arithmetic(kind: str, args: tuple[Node, ...], node: Node, roots: dict[Node, int]) -> _Triple:
    if kind == "root":
        return _power(args[0], _rational(args[1], inverse=True), node, roots)
    if kind == "^":
        return _power(args[0], _rational(args[1]), node, roots)
    parts = [_of(arg, roots) for arg in args]
    if kind in ("neg", "abs", "conj"):
        upper, lower, algebraic = parts[0]
        if kind == "abs" and contains(args[0], "i"):  # the root of the product with the conjugate
            roots[node] = 2
            return upper + lower, lower, algebraic
        return parts[0]
    upper, lower, algebraic = parts[0]
    for u, l, proved in parts[1:]:  # noqa: E741
        algebraic &= proved
        if kind == "+":
            high, low = max(upper + l, u + lower), min(upper + l, u + lower)
            upper, lower = high + log2(1 + 2 ** max(low - high, -60)), lower + l
        else:
            upper, lower = (upper + u, lower + l) if kind == "*" else (upper + l, lower + u)
    return upper, lower, algebraic


def _rational(node: Node, inverse: bool = False) -> Fraction | None:
    try:
        value = exact(node)
        return 1 / value if inverse else value
    except (Irrational, Undefined, ZeroDivisionError):
        return None


def _power(base: Node, exponent: Fraction | None, node: Node, roots: dict[Node, int]) -> _Triple:
    if exponent is None:
        return _exponential(node, roots)
    upper, lower, algebraic = _of(base, roots)
    if exponent < 0:
        upper, lower, exponent = lower, upper, -exponent
    upper, lower = upper * exponent.numerator, lower * exponent.numerator
    if (index := exponent.denominator) > 1:
        roots[Op("root", (base, Num(Fraction(index))))] = index
        upper, lower = _root(upper, lower, index)
    return upper, lower, algebraic


def _root(upper: float, lower: float, index: int) -> tuple[float, float]:
    """The root of U/L as that of U L^(k-1) over L, or as U over that of U^(k-1) L, whichever is smaller."""
    if upper >= lower:
        return (upper + (index - 1) * lower) / index, lower
    return upper, (lower + (index - 1) * upper) / index


def _exponential(node: Node, roots: dict[Node, int]) -> _Triple:
    """A power with another exponent, at most so large as the size of base and exponent allow."""
    if not isinstance(node, Op):
        return 2.0, 0.0, False
    above = 1.0 if symbols(node.args[-1]) else magnitude(node.args[-1])
    size = 2 * (magnitude(node.args[0]) + 1) * 2 ** min(above, 40)
    return size, size, False


def magnitude(node: Node) -> float:
    """The binary logarithm of a bound of the value's size, and of its inverse's."""
    upper, lower, _ = _of(node, {})
    return max(upper, lower, 0.0)


def _function(kind: str, args: tuple[Node, ...], node: Node, roots: dict[Node, int]) -> _Triple:
    if kind in _TRIGONOMETRIC and (turn := _turn(args[0])) is not None and turn.denominator <= _LARGEST_ORDER:
        order = lcm(4, turn.denominator)  # sines are cosines, a quarter turn off
        roots[Op("turn", (Num(Fraction(order)),))] = _totient(order)
        return 2.0, 2.0, True
    if kind in _WHOLE and (value := _rational(node)) is not None:
        return _bits(value.numerator), _bits(value.denominator), True
    if kind in ("exp", "sinh", "cosh", "tanh", "coth"):
        return _exponential(Op("^", (Num(Fraction(3)), args[0])), roots)
    upper = lower = 2.0
    for arg in args:
        u, l, _ = _of(arg, roots)  # noqa: E741
        upper, lower = upper + u, lower + l
    return upper + lower, upper + lower, False


_WHOLE = frozenset(("!", "!!", "binom", "floor", "ceil", "mod"))
_TRIGONOMETRIC = frozenset(("sin", "cos", "tan", "cot", "sec", "csc"))


def _turn(node: Node) -> Fraction | None:
    """The angle as a part of a full turn, if it is a rational multiple of pi."""
    if not any(part == Const("pi") for part in _constants(node)):
        return Fraction(0) if node == Num(Fraction(0)) else None
    values = []
    for pi in (0, 1, 2):
        try:
            values.append(exact(_with_pi(node, Num(Fraction(pi)))))
        except (Irrational, Undefined, Guarded):
            return None
    return values[1] / 2 if not values[0] and values[2] == 2 * values[1] else None


def _constants(node: Node) -> list[Node]:
    match node:
        case Op(_, args):
            return [found for arg in args for found in _constants(arg)]
        case Const():
            return [node]
    return []


def _with_pi(node: Node, value: Node) -> Node:
    match node:
        case Const("pi"):
            return value
        case Op(kind, args):
            return Op(kind, tuple(_with_pi(arg, value) for arg in args))
    return node


@lru_cache(maxsize=256)
def _totient(number: int) -> int:
    return sum(gcd(number, other) == 1 for other in range(1, number + 1))
