r"""The value of an expression: exactly where it is rational, modulo a prime where it is a rational function, and to
fifty digits elsewhere.

    exact(parse(r"\sqrt{\frac{9}{4}}"))                       ->  Fraction(3, 2)
    same_value(parse("(x+1)^2"), parse("x^2+2x+1"))           ->  True
    same_value(parse(r"\sqrt{3+2\sqrt2}"), parse(r"1+\sqrt2")) ->  True

Two rational functions that agree at three random points modulo 2^61 - 1 are the same but for a chance of some 1e-50;
two values that agree to forty digits, at every sampled point, are taken as the same. A single point where they differ
proves that they are not. The points are fixed, so is the work: verdicts depend on no clock.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache
from math import comb, factorial, isqrt
from typing import Any

from stages.lib.answer_limits import MAX_BITS, MAX_EXPONENT, MAX_FACTORIAL, Guarded, Unparsed
from stages.lib.answer_nodes import Const, Node, Num, Op, Quantity, Sym, contains, symbols

PRIME = 2**61 - 1
_DIGITS = 50


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
        case Op(kind, args):
            operation = _EXACT.get(kind)
            if operation is None:
                raise Irrational
            return _bounded(operation(*map(exact, args)))
    raise Irrational


def _bounded(value: Fraction) -> Fraction:
    if value.numerator.bit_length() > MAX_BITS or value.denominator.bit_length() > MAX_BITS:
        raise Guarded("exact number too large")
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
            value = modular(base, at)
            return pow(value if power >= 0 else _inverse(value), abs(int(power)), PRIME)
    raise Irrational


def _inverse(value: int) -> int:
    if not value % PRIME:
        raise Undefined
    return pow(value, -1, PRIME)


def same_value(left: Node, right: Node) -> bool:
    """Whether two expressions have the same value, whatever their symbols stand for.

    Raises:
        Guarded: too large to say. Unparsed: an operation that has no numerical meaning here.
    """
    try:
        return exact(left) == exact(right)
    except Irrational:
        pass
    except Undefined:
        return False
    try:
        return _same_rational_function(left, right)
    except Irrational:
        return any(_same_numerically(left, right, base) for base in _log_bases(left, right))


def _same_rational_function(left: Node, right: Node) -> bool:
    names, agreed = sorted(symbols(left) | symbols(right)), 0
    for seed in range(6):
        point = {name: pow(7 + 2 * seed, 1009 + 31 * i, PRIME) for i, name in enumerate(names)}
        try:
            if modular(left, point) != modular(right, point):
                return False
            agreed += 1
        except Undefined:
            continue
        if agreed == 3:
            return True
    return False


def _log_bases(left: Node, right: Node) -> tuple[int, ...]:
    r"""`\log` without a base is read as natural and as decimal; one reading has to fit both sides."""
    return (0, 10) if contains(left, "log") or contains(right, "log") else (0,)


def _same_numerically(left: Node, right: Node, log_base: int) -> bool:
    names = sorted(symbols(left) | symbols(right))
    whole = any(contains(side, "floor", "ceil", "!", "binom") or _signs(side) for side in (left, right))
    complex_ = any(contains(side, "i") for side in (left, right))
    agreed = 0
    for point in [{}] if not names else _points(names, whole):
        try:
            if not _agree(left, right, point, log_base, complex_):
                return False
            agreed += 1
        except Undefined:
            continue
    if agreed >= (1 if not names else 2):
        return True
    if complex_:
        return False
    points = [{}] if not names else list(_points(names, whole))
    verdicts = [_agree_or_none(left, right, point, log_base) for point in points]
    return verdicts.count(True) > 0 and False not in verdicts


def _agree_or_none(left: Node, right: Node, point: dict[str, Fraction], log_base: int) -> bool | None:
    try:
        return _agree(left, right, point, log_base, True)
    except Undefined:
        return None


def _signs(node: Node) -> bool:
    """Whether a negative constant has a symbolic exponent, as in (-1)^n: such an n is an integer."""
    if isinstance(node, Op):
        if node.kind == "^" and symbols(node.args[1]) and contains(node.args[0], "neg") and not symbols(node.args[0]):
            return True
        return any(map(_signs, node.args))
    return False


def _points(names: list[str], whole: bool) -> Iterator[dict[str, Fraction]]:
    """Where functions are compared: positive, below one, large and negative values; integers where only those count."""
    ranges = [(1, 2), (0, 1), (3, 9), (-1, 1), (-3, 3), (-9, -6), (0, Fraction(1, 5)), (20, 10)]
    for row, (low, width) in enumerate(ranges):
        point = {}
        for i, name in enumerate(names):
            if whole:
                point[name] = Fraction(2 + row + (5 * i + 3 * i * row) % 11)
            else:
                step = Fraction((2654435761 * (row * 37 + i * 11 + 5)) % 9973, 9973)
                point[name] = low + width * step
        yield point


def _agree(left: Node, right: Node, point: dict[str, Fraction], log_base: int, complex_: bool) -> bool:
    """Whether both sides agree to forty digits; a second look with more digits settles a cancellation."""
    rough = [_Numeric(_DIGITS, point, log_base, complex_).value(side) for side in (left, right)]
    if _close(*rough, 40):
        return True
    fine = [_Numeric(_DIGITS + 30, point, log_base, complex_).value(side) for side in (left, right)]
    if _close(*fine, 60):
        return True
    noise = sum(abs(a - b) for a, b in zip(rough, fine, strict=True))
    return abs(fine[0] - fine[1]) <= noise * _context(_DIGITS).mpf(10) ** -20


def _close(a: Any, b: Any, digits: int) -> bool:
    if a == b:
        return True
    return abs(a - b) <= max(abs(a), abs(b)) * _context(_DIGITS).mpf(10) ** -digits


@cache
def _context(digits: int) -> Any:
    import mpmath

    context = mpmath.MPContext()
    context.dps = digits
    return context


class _Numeric:
    """Evaluates a tree at a point, over the reals (leaving them is Undefined) or over the complex numbers."""

    def __init__(self, digits: int, point: dict[str, Fraction], log_base: int, complex_: bool):
        self.mp = _context(digits)
        self.complex = complex_
        self.log_base = log_base
        self.point = {name: self.rational(value) for name, value in point.items()}

    def rational(self, value: Fraction) -> Any:
        return self.mp.mpf(value.numerator) / value.denominator

    def value(self, node: Node) -> Any:
        match node:
            case Num(value):
                return self.rational(value)
            case Sym(name):
                return self.point[name]
            case Const(name):
                return self.constant(name)
            case Quantity(value, "%"):
                return self.value(value) / 100
            case Quantity(value, _):
                return self.value(value)
            case Op(kind, args):
                return self.finite(self.operation(kind, [self.value(arg) for arg in args], args))
        raise Unparsed(f"{type(node).__name__} has no numerical value")

    def constant(self, name: str) -> Any:
        if name == "i":
            return self.mp.mpc(0, 1)
        if name in ("pi", "e"):
            return +getattr(self.mp, name)
        raise Unparsed(f"{name} has no numerical value")

    def finite(self, value: Any) -> Any:
        if self.mp.isnan(value) or self.mp.isinf(value):
            raise Undefined
        return value

    def operation(self, kind: str, args: list[Any], nodes: tuple[Node, ...]) -> Any:
        if kind == "+":
            return self.mp.fsum(args)
        if kind == "*":
            return self.mp.fprod(args)
        if kind == "neg":
            return -args[0]
        if kind == "/":
            if not args[1]:
                raise Undefined
            return args[0] / args[1]
        if kind == "^":
            return self.power(args[0], args[1], nodes[1])
        if kind == "root":
            return self.power(args[0], 1 / args[1], Op("/", (Num(Fraction(1)), nodes[1])))
        if kind in ("!", "binom", "floor", "ceil", "abs"):
            return self.discrete(kind, args)
        return self.function(kind, args)

    def power(self, base: Any, exponent: Any, node: Node) -> Any:
        if abs(exponent) > MAX_EXPONENT:
            raise Guarded("exponent too large")
        if not base:
            if self.mp.re(exponent) <= 0:
                raise Undefined
            return self.mp.mpf(0)
        if not isinstance(base, self.mp.mpc) and base < 0 and exponent != self.mp.floor(self.mp.re(exponent)):
            rational = _rational_or_none(node)
            if rational is not None and rational.denominator % 2:
                return (-1) ** (rational.numerator % 2) * (-base) ** exponent
            if not self.complex:
                raise Undefined
        return base**exponent

    def discrete(self, kind: str, args: list[Any]) -> Any:
        if kind == "abs":
            return abs(args[0])
        if any(isinstance(arg, self.mp.mpc) for arg in args):
            raise Undefined
        if kind in ("floor", "ceil"):
            return getattr(self.mp, kind)(args[0])
        if any(arg < 0 or arg > MAX_FACTORIAL or arg != int(arg) for arg in args):
            raise Undefined
        return self.mp.mpf(factorial(int(args[0])) if kind == "!" else comb(int(args[0]), int(args[1])))

    def function(self, kind: str, args: list[Any]) -> Any:
        x = args[0]
        if kind in ("ln", "log", "log10"):
            return self.logarithm(kind, args)
        if kind in ("exp", "sinh", "cosh", "tanh", "coth") or isinstance(x, self.mp.mpc):
            if abs(x) > MAX_EXPONENT:
                raise Guarded("argument too large")
        if kind == "abs":
            return abs(x)
        if kind in ("arcsin", "arccos") and not self.complex and abs(x) > 1:
            raise Undefined
        name = _MPMATH.get(kind)
        if name is None:
            raise Unparsed(f"unknown function {kind}")
        try:
            return getattr(self.mp, name)(x)
        except (ZeroDivisionError, ValueError):
            raise Undefined from None

    def logarithm(self, kind: str, args: list[Any]) -> Any:
        if any(not arg or (not self.complex and arg < 0) for arg in args):
            raise Undefined
        base = args[1] if len(args) > 1 else {"ln": 0, "log10": 10}.get(kind, self.log_base)
        if base == 1:
            raise Undefined
        return self.mp.log(args[0]) / (self.mp.log(base) if base else 1)


def _rational_or_none(node: Node) -> Fraction | None:
    try:
        return exact(node)
    except (Irrational, Undefined):
        return None


_MPMATH = {name: name for name in "sin cos tan cot sec csc sinh cosh tanh coth exp cbrt floor ceil".split()} | {
    f"arc{name}": f"a{name}" for name in "sin cos tan cot sec csc sinh cosh tanh".split()
}
