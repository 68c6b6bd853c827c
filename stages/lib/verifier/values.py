r"""Whether two expressions have one value: exactly where both are rational numbers, modulo a prime where they are
rational functions, and elsewhere by agreement to so many digits that it decides (see `bounds`).

    same_value(parse("(x+1)^2"), parse("x^2+2x+1"))                      ->  True
    same_value(parse(r"\sqrt{3+2\sqrt2}"), parse(r"1+\sqrt2"))            ->  True
    same_value(parse(r"(2+\sqrt3)^{100}"), parse(r"(2+\sqrt3)^{100}+(2-\sqrt3)^{100}"))  ->  False    but to 114 digits

Two rational functions that agree at three points modulo 2^61 - 1 are the same but for a chance of some 1e-50. Other
functions are the same if they agree at every point that is tried; a single point where they differ proves that they
are not. The points are fixed, so is the work: verdicts depend on no clock.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from stages.lib.verifier.bounds import magnitude, zero_bits
from stages.lib.verifier.exact import PRIME, Irrational, Undefined, exact, modular
from stages.lib.verifier.limits import Guarded, spend
from stages.lib.verifier.numeric import DIGITS, Numeric, context
from stages.lib.verifier.tree import Node, Op, contains, size, symbols


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
    names, agreed = symbols(left) | symbols(right), 0
    for seed in range(6):
        point = {name: _draw(seed, name) % PRIME for name in names}
        spend(size(left) + size(right))
        try:
            if modular(left, point) != modular(right, point):
                return False
            agreed += 1
        except Undefined:
            continue
        if agreed == 3:
            return True
    return False


def _draw(row: int, name: str) -> int:
    """64 bits that depend on row and name only, and on them as if by chance: no relation between names may hold."""
    return int.from_bytes(blake2b(f"{row} {name}".encode(), digest_size=8).digest())


def _log_bases(left: Node, right: Node) -> tuple[int, ...]:
    r"""`\log` without a base is read as natural and as decimal; one reading has to fit both sides."""
    return (0, 10) if contains(left, "log") or contains(right, "log") else (0,)


def _same_numerically(left: Node, right: Node, log_base: int) -> bool:
    """Agreement at every point where both sides are real or, where there are too few such points, complex."""
    free = symbols(left) | symbols(right)
    whole = any(_counts(side, free) for side in (left, right))
    needed = 2 if free else 1
    strict = contains(left, "abs") != contains(right, "abs")  # ln|x| is more than ln x
    for complex_ in (contains(left, "i") or contains(right, "i"), True):
        agreed = 0
        for row in range(_ROWS if free else 1):
            verdict = _agree(left, right, _Setting(row, whole, log_base, complex_), strict)
            if verdict is False:
                return False
            agreed += verdict is True
        if agreed >= needed:
            return True
    return False


def _counts(node: Node, free: set[str]) -> bool:
    """Whether symbols stand for integers here: in factorials and binomials, in the exponent of a negative number, and
    inside floors where they are named like integers."""
    named = bool(free) and all(name.lstrip("\\")[0] in "ijklmnpqKLMN" for name in free)
    return contains(node, "!", "binom") or _signs(node) or (named and contains(node, "floor", "ceil"))


def _signs(node: Node) -> bool:
    """Whether a negative constant has a symbolic exponent, as in (-1)^n: such an n is an integer."""
    if isinstance(node, Op):
        if node.kind == "^" and symbols(node.args[1]) and contains(node.args[0], "neg") and not symbols(node.args[0]):
            return True
        return any(map(_signs, node.args))
    return False


# Where functions are compared: positive, below one, of mixed signs, negative and large (low end and width of each row).
_RANGES = ((1, 2), (0, 1), (3, 9), (-3, 6), (-9, 6), (0, Fraction(1, 5)), (-2, 4), (20, 10), (-8, 16), (0, 3), (-5, 10))
_ROWS = len(_RANGES)


@dataclass(frozen=True, slots=True)
class _Setting:
    """How to evaluate: the row of the table above (for integers instead, if `whole`), the base of log, real or not."""

    row: int
    whole: bool
    log_base: int
    complex: bool

    def point(self, names: set[str]) -> dict[str, Fraction]:
        """A value for each name that depends on nothing but the name, so that values can be kept for other pairs."""
        low, width = _RANGES[self.row]
        found = {}
        for name in names:
            draw = _draw(self.row, name)
            found[name] = Fraction(1 + draw % 40) if self.whole else low + width * Fraction(draw, 2**64)
        return found


@lru_cache(maxsize=32_768)
def _value(node: Node, setting: _Setting, digits: int) -> Any:
    """The value at a setting's point, None where it is undefined or, for a function, too large there."""
    names = symbols(node)
    try:
        return Numeric(digits, setting.point(names), setting.log_base, setting.complex).value(node)
    except (Undefined, ZeroDivisionError):
        return None
    except Guarded:
        if names:
            return None
        raise


def _agree(left: Node, right: Node, setting: _Setting, strict: bool) -> bool | None:
    """Whether both sides agree at a point to the digits that decide. None where a side is undefined (if `strict`: where
    both are)."""
    a, b = (_counted(side, setting, DIGITS) for side in (left, right))
    if a is None or b is None:
        return False if strict and not (a is None and b is None) else None
    if not _close(a, b, 20) and min(abs(a), abs(b)) > _TINY:
        return False
    return True if left == right else _decided(left, right, setting)


def _decided(left: Node, right: Node, setting: _Setting) -> bool | None:
    bits, algebraic = zero_bits(left, right)
    digits = max(DIGITS + 30, int((bits + magnitude(left) + magnitude(right)) * 0.302) + 20)
    digits = 1 << (digits - 1).bit_length()  # a power of two: few precisions, whose contexts and values are kept
    fine = [_counted(side, setting, digits) for side in (left, right)]
    if None in fine:
        return None
    least = 1 if algebraic else max(map(abs, fine)) or 1
    return bool(abs(fine[0] - fine[1]) <= least * context(digits).mpf(2) ** -bits)


def _counted(node: Node, setting: _Setting, digits: int) -> Any:
    spend(size(node) * (2 + int((digits / 100) ** 1.6)))
    return _value(node, setting, digits)


_TINY = 1e-25  # a rough value below may be nothing but the rest of a cancellation


def _close(a: Any, b: Any, digits: int) -> bool:
    return a == b or abs(a - b) <= max(abs(a), abs(b)) * context(DIGITS).mpf(10) ** -digits


def rough(node: Node) -> float:
    """A constant's value in floating arithmetic.

    Raises:
        Undefined: no real value. Guarded, Unparsed: as `same_value`.
    """
    try:
        return float(exact(node))
    except Irrational:
        value = _counted(node, _Setting(0, False, 0, False), DIGITS)
    if value is None or not hasattr(value, "_mpf_"):
        raise Undefined
    return float(value)
