r"""Expressions that are linear in one unknown.

linear(parse("3 - 2x"))                             ->  (Fraction(-2), the node of 3/2)
solved(parse("F"), parse("m a"), "a")               ->  the node of F/m
"""

from fractions import Fraction

from stages.lib.verifier.exact import Irrational, Undefined, exact
from stages.lib.verifier.limits import spend
from stages.lib.verifier.numeric import place
from stages.lib.verifier.tree import ONE, TWO, ZERO, Node, Num, Op, children, replaced, size, symbols
from stages.lib.verifier.values import same_value

_PROBE = Num(Fraction(31, 7))


def linear(node: Node) -> tuple[Fraction, Node] | None:
    """Slope and root of an expression in one unknown that is linear in it; None for others."""
    names = symbols(node)
    if len(names) != 1:
        return None
    found = _line(node, names.pop())
    if found is None:
        return None
    slope, start = found
    if same_value(slope, ZERO):
        return None
    return place(slope), _folded(Op("/", (Op("neg", (start,)), slope)))


def solved(left: Node, right: Node, name: str) -> Node | None:
    """What `name` is by the equation left = right, if that is linear in it and determines it."""
    difference = Op("+", (left, Op("neg", (right,))))
    found = _line(difference, name)
    if found is None or same_value(found[0], ZERO):
        return None
    return Op("/", (Op("neg", (found[1],)), found[0]))


def _line(node: Node, name: str) -> tuple[Node, Node] | None:
    """Slope and value at zero."""
    spend(4 * size(node))
    start, one, two, probe = (replaced(node, {name: value}) for value in (ZERO, ONE, TWO, _PROBE))
    slope = Op("+", (one, Op("neg", (start,))))
    for at, value in ((TWO, two), (_PROBE, probe)):
        if not same_value(value, Op("+", (start, Op("*", (at, slope))))):
            return None
    return slope, start


def _folded(node: Node) -> Node:
    try:
        return Num(exact(node))
    except (Irrational, Undefined):
        return node


def absolutes(node: Node) -> list[Node]:
    """The absolute values of expressions with an unknown."""
    if isinstance(node, Op) and node.kind == "abs" and symbols(node):
        return [node]
    return list(dict.fromkeys(found for child in children(node) for found in absolutes(child)))


def without(node: Node, part: Node, by: Node) -> Node:
    """The expression with a part replaced."""
    if node == part:
        return by
    if isinstance(node, Op):
        return Op(node.kind, tuple(without(arg, part, by) for arg in node.args))
    return node
