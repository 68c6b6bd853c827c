r"""Bringing two answers into comparable shape before any rule is asked.

settle(parse(r"x = 5+6 = 11"))               ->  x = 11
expand(parse(r"1 \pm \sqrt2"))               ->  the list of 1 + \sqrt2 and 1 - \sqrt2
unwrap(parse("5"), parse("x = 5"))           ->  (5, 5)
"""

from stages.lib.verifier.matrices import computed_matrix
from stages.lib.verifier.scalars import scalar
from stages.lib.verifier.tree import Const, Matrix, Node, Num, Op, Quantity, Rel, Seq, Sym, Text, contains, symbols


def settle(node: Node) -> Node:
    """Matrix arithmetic carried out, `a = b = c` cut to its first and last side, approximations of a value dropped."""
    match node:
        case Rel(ops, sides) if set(ops) <= {"=", "approx"} and ops != ("=",):
            kept = [sides[0]] + [side for op, side in zip(ops, sides[1:], strict=True) if op == "="]
            if len(kept) == 1:
                kept = [sides[0], sides[-1]] if _is_name(sides[0]) else [sides[0]]
            return kept[0] if len(kept) == 1 else Rel(("=",), (settle(kept[0]), settle(kept[-1])))
        case Rel(ops, sides):
            return Rel(ops, tuple(map(settle, sides)))
        case Seq("", "", items, joint) if any(map(_range_of_integer, items)):
            kept = tuple(settle(item) for item in items if not _range_of_integer(item))
            return kept[0] if len(kept) == 1 else Seq("", "", kept, joint)
        case Seq(opening, closing, items, joint):
            return Seq(opening, closing, tuple(map(settle, items)), joint)
        case Op("*" | "+" | "neg" | "/", args) if any(isinstance(arg, Matrix) for arg in args):
            return computed_matrix(Op(node.kind, tuple(map(settle, node.args))))
    return node


def _range_of_integer(node: Node) -> bool:
    r"""`k \in \mathbb{Z}`, which says what the answer's k is."""
    return isinstance(node, Rel) and node.ops == ("in",) and node.sides[1] == Sym(r"\mathbb Z")


def expand(node: Node) -> Node:
    r"""`a \pm b` as the list of its two values, also inside lists, sets and equations."""
    match node:
        case Seq(opening, closing, items, joint) if opening in ("", "{") and contains(node, "pm", "mp"):
            spread = [part for item in items for part in _both(item)]
            return Seq(opening, closing, tuple(spread), joint)
        case Rel(("=",), (left, right)) if contains(right, "pm", "mp") and not contains(left, "pm", "mp"):
            return Rel(("=",), (left, Seq("", "", _both(right))))
        case Op() if contains(node, "pm", "mp"):
            return Seq("", "", _both(node))
    return node


def _both(node: Node) -> tuple[Node, ...]:
    if not contains(node, "pm", "mp"):
        return (node,)
    return _choose(node, 1), _choose(node, -1)


def _choose(node: Node, sign: int) -> Node:
    match node:
        case Op("pm" | "mp" as kind, (left, right)):
            left, right = _choose(left, sign), _choose(right, sign)
            upper = (kind == "pm") == (sign > 0)
            return Op("+", (left, right if upper else Op("neg", (right,))))
        case Op(kind, args):
            return Op(kind, tuple(_choose(arg, sign) for arg in args))
        case Seq(opening, closing, items, joint):
            return Seq(opening, closing, tuple(_choose(item, sign) for item in items), joint)
        case Quantity(value, unit):
            return Quantity(_choose(value, sign), unit)
        case Rel(ops, sides):
            return Rel(ops, tuple(_choose(side, sign) for side in sides))
    return node


def unwrap(reference: Node, got: Node) -> tuple[Node, Node]:
    """`x = 5` against `5`, and two equations with one left side, compare by their right sides."""
    if _named(reference) and _named(got):
        if _same_name(reference.sides[0], got.sides[0]):
            return reference.sides[1], got.sides[1]
        return reference, got
    if _named(got) and not isinstance(reference, Rel):
        return reference, got.sides[1]
    if _named(reference) and not isinstance(got, Rel):
        return reference.sides[1], got
    if isinstance(got, Rel) and got.ops == ("=",) and not isinstance(reference, Rel) and isinstance(got.sides[1], Sym):
        return (reference, got.sides[0]) if not symbols(got.sides[0]) else (reference, got)
    if isinstance(got, Rel) and got.ops == ("=",) and not isinstance(reference, Rel):
        return _computed(reference, got)
    return reference, got


def _computed(reference: Node, got: Rel) -> tuple[Node, Node]:
    """`2^3 + 1 = 9` is the answer 9: a numerical equation that holds."""
    left, right = got.sides
    if symbols(left) or symbols(right) or isinstance(left, Seq) or isinstance(right, Seq):
        return reference, got
    return (reference, right) if scalar(left, right) else (reference, got)


def _named(node: Node) -> bool:
    return isinstance(node, Rel) and node.ops in (("=",), ("in",)) and _is_name(node.sides[0])


def _is_name(node: Node) -> bool:
    """A variable, a function of variables, a tuple of variables, a segment or words: what an answer is called."""
    match node:
        case Sym() | Text():
            return True
        case Const("e" | "i"):
            return False
        case Seq("(", ")", items):
            return all(isinstance(item, Sym) for item in items)
        case Op("*", (Sym(first), Sym(second))) if first.isupper() and second.isupper():
            return True
        case Op("*", (Sym(), Sym() | Num() | Seq() | Op("neg"))):
            return True
        case Op("abs" | "floor", (inner,)):
            return _is_name(inner)
    return False


def _same_name(left: Node, right: Node) -> bool:
    if left == right:
        return True
    pair = {type(left), type(right)}
    return pair == {Sym, Op} and "y" in (getattr(left, "name", ""), getattr(right, "name", ""))
