r"""Exact arithmetic: rational numbers as fractions, rational functions as residues modulo a prime.

    exact(parse(r"\sqrt{\frac{9}{4}}"))          ->  Fraction(3, 2)
    modular(parse("x^2 + 1"), {"x": 5})         ->  26

No number grows beyond MAX_BITS: a power or factorial that would is Guarded before it is computed.
"""

from collections.abc import Callable
from fractions import Fraction
from math import comb, factorial, isqrt, prod

from stages.lib.verifier.limits import MAX_BITS, MAX_FACTORIAL, Guarded, spend
from stages.lib.verifier.tree import Based, Node, Num, Op, Quantity, Sym

PRIME = 2**61 - 1


class Irrational(Exception):
    """Not a rational number (or function): another way of evaluation is needed."""


class Undefined(Exception):
    """Division by zero, or outside the real domain at this point."""


def exact(node: Node) -> Fraction:
    """The rational value.

    Raises:
        Irrational: it has none, or none that can be seen without approximation.
        Undefined: a division by zero.
        Guarded: it is too large.
    """
    match node:
        case Num(value):
            return value
        case Quantity(value, "degree"):
            return exact(value)
        case Quantity(value, "%"):
            return exact(value) / 100
        case Based(digits, base):
            return Fraction(_whole(digits, base))
        case Op(kind, args):
            operation = _EXACT.get(kind)
            if operation is None:
                raise Irrational
            return _bounded(operation(*map(exact, args)))
    raise Irrational


def _whole(digits: str, base: int) -> int:
    try:
        return int(digits, base)
    except ValueError:
        raise Undefined from None


def _bounded(value: Fraction) -> Fraction:
    bits = max(value.numerator.bit_length(), value.denominator.bit_length())
    if bits > MAX_BITS:
        raise Guarded("exact number too large")
    spend(1 + bits // 400)
    return value


def _sum(*terms: Fraction) -> Fraction:
    total = Fraction(0)
    for term in terms:
        total = _bounded(total + term)
    return total


def _product(*factors: Fraction) -> Fraction:
    total = Fraction(1)
    for factor in factors:
        total = _bounded(total * factor)
    return total


def _quotient(above: Fraction, below: Fraction) -> Fraction:
    if not below:
        raise Undefined
    return above / below


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        return _power(_root(base, Fraction(exponent.denominator)), Fraction(exponent.numerator))
    if not base and exponent <= 0:
        if exponent == 0:
            return Fraction(1)
        raise Undefined
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(base) != 1 and bits * abs(exponent) > MAX_BITS:
        raise Guarded("power too large")
    return base ** (int(exponent) if abs(base) != 1 else int(exponent) % 2)


def _root(base: Fraction, index: Fraction) -> Fraction:
    if index.denominator != 1 or not 1 <= index <= 1000:
        raise Irrational
    n = int(index)
    if base < 0:
        if n % 2 == 0:
            raise Irrational
        return -_root(-base, index)
    above, below = _integer_root(base.numerator, n), _integer_root(base.denominator, n)
    return Fraction(above, below)


def _integer_root(value: int, n: int) -> int:
    """The n-th root of a perfect power, by bisection in integers."""
    spend(1 + value.bit_length() ** 2 // 10**6)
    if n == 2:
        root = isqrt(value)
    else:
        low, high = 0, 1 << (value.bit_length() // n + 1)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if middle**n <= value else (low, middle - 1)
        root = low
    if root**n != value:
        raise Irrational
    return root


def _factorial(value: Fraction) -> Fraction:
    if value.denominator != 1 or value < 0:
        raise Irrational
    if value > MAX_FACTORIAL:
        raise Guarded("factorial too large")
    return Fraction(factorial(int(value)))


def _binomial(above: Fraction, below: Fraction) -> Fraction:
    if above.denominator != 1 or below.denominator != 1 or above < 0 or below < 0:
        raise Irrational
    if above > MAX_FACTORIAL:
        raise Guarded("binomial too large")
    return Fraction(comb(int(above), int(below)))


def _double_factorial(value: Fraction) -> Fraction:
    if value.denominator != 1 or value < 0:
        raise Irrational
    if value > MAX_FACTORIAL:
        raise Guarded("factorial too large")
    return Fraction(prod(range(int(value), 1, -2)))


def _remainder(value: Fraction, modulus: Fraction) -> Fraction:
    if not modulus:
        raise Undefined
    return value % modulus


_EXACT: dict[str, Callable[..., Fraction]] = {
    "+": _sum,
    "*": _product,
    "/": _quotient,
    "^": _power,
    "neg": lambda a: -a,
    "root": _root,
    "abs": abs,
    "floor": lambda a: Fraction(a.__floor__()),
    "ceil": lambda a: Fraction(a.__ceil__()),
    "!": _factorial,
    "!!": _double_factorial,
    "mod": _remainder,
    "conj": lambda a: a,
    "binom": _binomial,
}


def modular(node: Node, at: dict[str, int]) -> int:
    """A rational function's value modulo PRIME, the symbols being integers.

    Raises:
        Irrational: not a rational function with rational coefficients.
        Undefined: a division by zero modulo PRIME.
    """
    match node:
        case Num(value):
            return value.numerator * _inverse(value.denominator) % PRIME
        case Sym(name):
            return at[name]
        case Quantity(value, "%"):
            return modular(value, at) * _inverse(100) % PRIME
        case Op("+", args):
            return sum(modular(arg, at) for arg in args) % PRIME
        case Op("*", args):
            total = 1
            for arg in args:
                total = total * modular(arg, at) % PRIME
            return total
        case Op("neg", (arg,)):
            return -modular(arg, at) % PRIME
        case Op("/", (above, below)):
            return modular(above, at) * _inverse(modular(below, at)) % PRIME
        case Op("^", (base, exponent)):
            power = exact(exponent)
            if power.denominator != 1:
                raise Irrational
            residue = modular(base, at)
            return pow(residue if power >= 0 else _inverse(residue), abs(int(power)), PRIME)
    raise Irrational


def _inverse(value: int) -> int:
    if not value % PRIME:
        raise Undefined
    return pow(value, -1, PRIME)
