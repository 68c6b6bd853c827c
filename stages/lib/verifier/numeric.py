r"""The value of an expression at a point, in floating arithmetic of any number of digits (mpmath).

    Numeric(50).value(parse(r"\sqrt{2}"))       ->  mpf('1.4142135623730950488...')
    place(parse(r"\sqrt{2}"))                   ->  a Fraction within 1e-45 of it

Over the reals, where a root or logarithm of a negative number is Undefined, or over the complex numbers. The work is
bounded by the size of the tree: arguments that would make a function expensive are Guarded.
"""

import threading
from fractions import Fraction
from functools import lru_cache
from math import comb, factorial
from typing import Any

from stages.lib.verifier.exact import Irrational, Undefined, exact
from stages.lib.verifier.limits import MAX_ANGLE, MAX_EXPONENT, MAX_FACTORIAL, Guarded, Unparsed, spend
from stages.lib.verifier.tree import Const, Node, Num, Op, Quantity, Sym, size

DIGITS = 50


def context(digits: int) -> Any:
    """An mpmath context of this thread's own: contexts change their precision while they work, and the library's
    default one is global. mpmath is imported when first needed."""
    found = getattr(_CONTEXTS, f"of_{digits}", None)
    if found is None:
        import mpmath

        found = mpmath.MPContext()
        found.dps = digits
        setattr(_CONTEXTS, f"of_{digits}", found)
    return found


_CONTEXTS = threading.local()


class Numeric:
    """Evaluates a tree at a point, over the reals (leaving them is Undefined) or over the complex numbers."""

    def __init__(
        self, digits: int, point: dict[str, Fraction] | None = None, log_base: int = 0, complex_: bool = False
    ):
        self.mp = context(digits)
        self.complex = complex_
        self.log_base = log_base
        self.point = {name: self.rational(value) for name, value in (point or {}).items()}

    def rational(self, value: Fraction) -> Any:
        return self.mp.mpf(value.numerator) / value.denominator

    def value(self, node: Node) -> Any:
        match node:
            case Num(value):
                return self.rational(value)
            case Sym(name):
                if name not in self.point:
                    raise Unparsed(f"{name} has no value")
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
        if kind in ("/", "root") and not args[1]:
            raise Undefined
        if kind == "/":
            return args[0] / args[1]
        if kind == "^":
            return self.power(args[0], args[1], nodes[1])
        if kind == "root":
            return self.power(args[0], 1 / args[1], Op("/", (Num(Fraction(1)), nodes[1])))
        if kind == "conj":
            return self.mp.conj(args[0])
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
        if abs(x) > (MAX_EXPONENT if kind in _GROWING or isinstance(x, self.mp.mpc) else MAX_ANGLE):
            raise Guarded("argument too large")
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
        if any(not arg or (not self.complex and (isinstance(arg, self.mp.mpc) or arg < 0)) for arg in args):
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


_GROWING = frozenset(("exp", "sinh", "cosh", "tanh", "coth"))
_TRIGONOMETRIC = ("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "coth")
_MPMATH = {name: name for name in (*_TRIGONOMETRIC, "exp", "cbrt")}
_MPMATH |= {f"arc{name}": f"a{name}" for name in _TRIGONOMETRIC}


def place(node: Node) -> Fraction:
    """Where a constant lies on the line, to some forty digits.

    Raises:
        Unparsed: not a real number. Undefined: no value.
    """
    if isinstance(node, Num):
        return node.value
    spend(4 * size(node))
    return _place(node)


@lru_cache(maxsize=8_192)
def _place(node: Node) -> Fraction:
    value = Numeric(DIGITS).value(node)
    if not hasattr(value, "_mpf_"):
        raise Unparsed("not a real number")
    sign, mantissa, exponent, _ = value._mpf_
    if abs(exponent) > 10_000:
        raise Guarded("too far out")
    return (-1) ** sign * Fraction(int(mantissa)) * Fraction(2) ** exponent
