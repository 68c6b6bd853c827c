r"""Whether two expressions have one value: exactly where both are rational numbers, modulo a prime where they are
rational functions, and to forty digits elsewhere.

    same_value(parse("(x+1)^2"), parse("x^2+2x+1"))            ->  True
    same_value(parse(r"\sqrt{3+2\sqrt2}"), parse(r"1+\sqrt2"))  ->  True

Two rational functions that agree at three points modulo 2^61 - 1 are the same but for a chance of some 1e-50; others
are taken as the same if they agree to forty digits at every point that is tried. A single point where they differ
proves that they are not. The points are fixed, so is the work: verdicts depend on no clock.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from stages.lib.answer_exact import PRIME, Irrational, Undefined, exact, modular
from stages.lib.answer_nodes import Node, Op, contains, symbols
from stages.lib.answer_numeric import DIGITS, Numeric, context


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
    rough = [Numeric(DIGITS, point, log_base, complex_).value(side) for side in (left, right)]
    if _close(*rough, 40):
        return True
    fine = [Numeric(DIGITS + 30, point, log_base, complex_).value(side) for side in (left, right)]
    if _close(*fine, 60):
        return True
    noise = sum(abs(a - b) for a, b in zip(rough, fine, strict=True))
    return abs(fine[0] - fine[1]) <= noise * context(DIGITS).mpf(10) ** -20


def _close(a: Any, b: Any, digits: int) -> bool:
    if a == b:
        return True
    return abs(a - b) <= max(abs(a), abs(b)) * context(DIGITS).mpf(10) ** -digits
