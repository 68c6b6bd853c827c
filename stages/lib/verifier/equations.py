r"""Equations and inequalities that determine no set of numbers: several unknowns, or a statement about numbers.

2x + 4y = 3   and   y = -x/2 + 3/4     the same: one is a multiple of the other
F = ma        and   a = F/m            the same: linear in a
y = x^2       and   x = \sqrt{y}       not the same: not linear in x
2 + 3 = 5     and   3 + 2 = 5          the same
2 + 3 = 5     and   1 + 4 = 5          not the same, though both hold: they say it of other numbers
"""

from collections.abc import Callable
from fractions import Fraction

from stages.lib.verifier.linear import solved
from stages.lib.verifier.numeric import place
from stages.lib.verifier.tree import ZERO, Node, Num, Op, Rel, Sym, Text, leaves, replaced, symbols
from stages.lib.verifier.values import same_value

_COMPARED = frozenset(("=", "!=", "<", "<=", ">", ">="))
_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "!=": "!="}


def same_equation(reference: Rel, got: Rel, same: Callable[[Node, Node], bool]) -> bool:
    """Whether two relations say the same."""
    if any(isinstance(side, Text) for side in (*reference.sides, *got.sides)):
        return False
    if len(reference.ops) > 1 or len(got.ops) > 1 or not {*reference.ops, *got.ops} <= _COMPARED:
        return _side_by_side(reference, got, same)
    (op,), (other,) = reference.ops, got.ops
    left, right = _difference(reference), _difference(got)
    if symbols(left) != symbols(right):
        return False
    if _holds_always(left) or _holds_always(right) or not symbols(left):
        return leaves(left) == leaves(right) and _side_by_side(reference, got, same)
    if op == other and op in ("=", "!="):
        return _proportional(left, right) or _solved_otherwise(reference, got)
    if op == other:
        return _proportional(left, right, positive=True)
    return _FLIPPED.get(op) == other and _proportional(left, Op("neg", (right,)), positive=True)


def _side_by_side(reference: Rel, got: Rel, same: Callable[[Node, Node], bool]) -> bool:
    """A chain may be read from either end."""
    for turned in (got, _turned(got)):
        if reference.ops == turned.ops and all(map(same, reference.sides, turned.sides)):
            return True
    return False


def _turned(relation: Rel) -> Rel:
    ops = tuple(_FLIPPED.get(op, op) for op in reversed(relation.ops))
    return Rel(ops, tuple(reversed(relation.sides))) if set(relation.ops) <= _COMPARED else relation


def _difference(relation: Rel) -> Node:
    return Op("+", (relation.sides[0], Op("neg", (relation.sides[1],))))


def _holds_always(difference: Node) -> bool:
    return same_value(difference, ZERO)


def _proportional(left: Node, right: Node, positive: bool = False) -> bool:
    """Whether left = c * right for a constant c other than zero: the same equation, multiplied through."""
    for trial in range(3):
        values: dict[str, Node] = {
            name: Num(Fraction(7 * i + 3 + 5 * trial, 4)) for i, name in enumerate(sorted(symbols(left)))
        }
        a, b = replaced(left, values), replaced(right, values)
        if same_value(a, ZERO) or same_value(b, ZERO):
            continue
        if positive and (place(a) > 0) != (place(b) > 0):
            return False
        return same_value(Op("*", (left, b)), Op("*", (right, a)))
    return False


def _solved_otherwise(reference: Rel, got: Rel) -> bool:
    """Whether one equation gives an unknown, and the other is linear in that and gives the same."""
    return _gives(reference, got) or _gives(got, reference)


def _gives(solution: Rel, equation: Rel) -> bool:
    match solution:
        case Rel(("=",), (Sym(name), value)) if name not in symbols(value):
            found = solved(equation.sides[0], equation.sides[1], name)
            return found is not None and same_value(found, value)
    return False
