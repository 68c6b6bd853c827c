r"""Bringing two answers into comparable shape before any rule is asked.

settle(parse(r"x = 5+6 = 11"))               ->  x = 11
settle(parse("1,2,\\ldots,5"))               ->  1,2,3,4,5
expand(parse(r"1 \pm \sqrt2"))               ->  the list of 1 + \sqrt2 and 1 - \sqrt2
unwrap(parse("5"), parse("x = 5"))           ->  (5, 5)
"""

from fractions import Fraction
from itertools import product
from typing import TypeGuard

from stages.lib.verifier.exact import Irrational, Undefined, exact
from stages.lib.verifier.limits import MAX_ITEMS, Guarded, Unparsed, spend
from stages.lib.verifier.matrices import computed_matrix
from stages.lib.verifier.quantities import one_quantity
from stages.lib.verifier.scalars import scalar
from stages.lib.verifier.tree import (
    Const,
    Given,
    Matrix,
    Node,
    Num,
    Op,
    Quantity,
    Ratio,
    Rel,
    Seq,
    Sym,
    Text,
    contains,
    replaced,
    size,
    symbols,
)

_SIGNS = ("pm", "mp")
_MAX_SIGNS = 5  # signs that vary independently of each other
_DOTS = Sym("...")


def settle(node: Node) -> Node:
    """Matrix arithmetic and sums of units carried out, `a = b = c` cut to its first and last side, approximations of a
    value dropped, dots between numbers written out, and what a parameter's domain is told apart from the value."""
    match node:
        case Rel(ops, sides) if set(ops) <= {"=", "approx"} and ops != ("=",):
            return _shortened(ops, sides)
        case Rel(("=",), (Seq("(", ")", names), Seq("(", ")", values))) if _functions(names, values):
            return Seq("", "", tuple(Rel(("=",), pair) for pair in zip(names, values, strict=True)), "and")
        case Rel(ops, sides):
            return Rel(ops, tuple(map(settle, sides)))
        case Seq("", "", items, joint) if any(map(_domain, items)):
            return _given(items, joint)
        case Seq("", "", items, "and") if (found := _in_two_units(items)) is not None:
            return found
        case Seq(opening, closing, items, joint):
            return Seq(opening, closing, tuple(map(settle, _written_out(items))), joint)
        case Given(value, domains):
            return Given(settle(value), domains)
        case Op("+", args) if (found := one_quantity(args)) is not None:
            return found
        case Op("*" | "+" | "neg" | "/", args) if any(isinstance(arg, Matrix) for arg in args):
            return computed_matrix(Op(node.kind, tuple(map(settle, args))))
    return node


def _in_two_units(items: tuple[Node, ...]) -> Node | None:
    """2 hours and 30 minutes is one quantity; 7 goats and 4 dogs are two."""
    try:
        return one_quantity(items)
    except Unparsed:
        return None


def _shortened(ops: tuple[str, ...], sides: tuple[Node, ...]) -> Node:
    kept = [sides[0]] + [side for op, side in zip(ops, sides[1:], strict=True) if op == "="]
    if len(kept) == 1:
        kept = [sides[0], sides[-1]] if is_name(sides[0]) else [sides[0]]
    return settle(kept[0]) if len(kept) == 1 else Rel(("=",), (settle(kept[0]), settle(kept[-1])))


def _functions(names: tuple[Node, ...], values: tuple[Node, ...]) -> bool:
    """(f(n), g(n)) = (n, 1), which says two things; (x, y) = (1, 2) is a point."""
    return len(names) == len(values) and all(isinstance(name, Op) and is_name(name) for name in names)


def _domain(node: Node) -> bool:
    r"""`k \in \mathbb{Z}`, which says what the answer's k is."""
    match node:
        case Rel(("in",), (Sym(), Sym(name))):
            return name.startswith(r"\mathbb ")
    return False


def _given(items: tuple[Node, ...], joint: str) -> Node:
    kept = tuple(settle(item) for item in items if not _domain(item))
    names = {item.sides[1].name for item in items if isinstance(item, Rel) and isinstance(item.sides[1], Sym)}
    domains = {"N": "Z+"}
    found = tuple(sorted(domains.get(n.removeprefix(r"\mathbb "), n.removeprefix(r"\mathbb ")) for n in names))
    if not kept:
        return Seq("", "", items, joint)
    return Given(kept[0] if len(kept) == 1 else Seq("", "", kept, joint), found)


def _written_out(items: tuple[Node, ...]) -> tuple[Node, ...]:
    """1, 2, ..., 10 as ten numbers; a progression of whole numbers, of which at least one stands before the dots."""
    if items.count(_DOTS) != 1 or items[-1] == _DOTS:
        return items
    at = items.index(_DOTS)
    try:
        before, last = [exact(item) for item in items[:at]], exact(items[at + 1])
    except (Irrational, Undefined):
        return items
    if not before or len(items) != at + 2 or any(value.denominator != 1 for value in (*before, last)):
        return items
    step = before[1] - before[0] if len(before) > 1 else Fraction(1)
    count = (last - before[0]) / step if step else Fraction(-1)
    if count.denominator != 1 or count < len(before) - 1:
        return items
    if count > MAX_ITEMS:
        raise Guarded(f"more than {MAX_ITEMS} elements")
    values = [before[0] + step * i for i in range(int(count) + 1)]
    return tuple(Num(value) for value in values) if values[: len(before)] == before else items


# Plus or minus -------------------------------------------------------------------------------------------------------


def expand(node: Node, tied: bool = False) -> Node:
    r"""`a \pm b` as the list of its two values, also inside lists, sets, points and equations; several signs vary
    independently, unless `tied` or one of them is `\mp`."""
    if not contains(node, *_SIGNS):
        return node
    match node:
        case Seq(opening, closing, items, joint) if opening in ("", "{"):
            return Seq(opening, closing, tuple(part for item in items for part in _values(item, tied)), joint)
        case Rel(("=",), (left, right)) if not contains(left, *_SIGNS):
            return Rel(("=",), (left, Seq("", "", _values(right, tied))))
        case Rel(("!=",), (left, right)) if not contains(left, *_SIGNS):
            return Seq("", "", tuple(Rel(("!=",), (left, value)) for value in _values(right, tied)), "and")
        case Rel():
            return node
        case Given(value, domains):
            return Given(expand(value, tied), domains)
    return Seq("", "", _values(node, tied))


def several_signs(node: Node) -> bool:
    """Whether signs could be meant to vary together or not."""
    return _signs(node) > 1


def _signs(node: Node) -> int:
    match node:
        case Op(kind, args):
            return (kind in _SIGNS) + sum(map(_signs, args))
        case Seq(_, _, parts) | Rel(_, parts):
            return sum(map(_signs, parts))
        case Quantity(value) | Given(value):
            return _signs(value)
    return 0


def _values(node: Node, tied: bool) -> tuple[Node, ...]:
    count = _signs(node)
    if not count:
        return (node,)
    if tied or contains(node, "mp"):
        return _choose(node, (1,) * count), _choose(node, (-1,) * count)
    if count > _MAX_SIGNS:
        raise Guarded("too many signs")
    spend(size(node) * 2**count)
    found = (_choose(node, signs) for signs in product((1, -1), repeat=count))
    return tuple(dict.fromkeys(found))


def _choose(node: Node, signs: tuple[int, ...]) -> Node:
    """The node with its signs, in the order of the text, chosen."""
    return _chosen(node, list(signs))


def _chosen(node: Node, signs: list[int]) -> Node:
    match node:
        case Op("pm" | "mp" as kind, (left, right)):
            left = _chosen(left, signs)
            upper = (kind == "pm") == (signs.pop(0) > 0)
            right = _chosen(right, signs)
            right = right if upper else Op("neg", (right,))
            return right if left == Num(Fraction(0)) else Op("+", (left, right))
        case Op(kind, args):
            return Op(kind, tuple(_chosen(arg, signs) for arg in args))
        case Seq(opening, closing, items, joint):
            return Seq(opening, closing, tuple(_chosen(item, signs) for item in items), joint)
        case Quantity(value, unit):
            return Quantity(_chosen(value, signs), unit)
        case Rel(ops, sides):
            return Rel(ops, tuple(_chosen(side, signs) for side in sides))
    return node


# Names ---------------------------------------------------------------------------------------------------------------


def unwrap(reference: Node, got: Node) -> tuple[Node, Node]:
    """`x = 5` against `5`, and two equations with one left side, compare by their right sides."""
    if named(reference) and named(got):
        values = _of_one_name(reference, got)
        return values if values else (reference, got)
    if named(got) and not isinstance(reference, Rel):
        return reference, got.sides[1]
    if named(reference) and not isinstance(got, Rel):
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


def named(node: Node) -> TypeGuard[Rel]:
    """Whether the node says what something is called: x = 5, or x in a set."""
    return isinstance(node, Rel) and node.ops in (("=",), ("in",)) and is_name(node.sides[0])


def is_name(node: Node) -> bool:
    """A variable, a function or tuple or ratio of variables, a segment or words: what an answer is called."""
    match node:
        case Sym() | Text():
            return True
        case Const("e" | "i"):
            return False
        case Seq("(", ")", items) | Ratio(items):
            return all(isinstance(item, Sym) for item in items)
        case Matrix(rows):
            return all(isinstance(cell, Sym) for row in rows for cell in row)
        case Op("*", (Sym(first), Sym(second))) if first.isupper() and second.isupper():
            return True
        case Op("*", (Sym(), Sym() | Num() | Seq() | Op("neg"))):
            return True
        case Op("*", (Op("^", (Sym(), Op("neg", (Num(),)))), Sym())):  # the inverse of f
            return True
        case Op("/", (Op("*", (Sym("d"), Sym())), Op("*", (Sym("d"), Sym())))):  # dy/dx
            return True
        case Op("abs" | "floor", (inner,)):
            return is_name(inner)
    return False


def _of_one_name(reference: Rel, got: Rel) -> tuple[Node, Node] | None:
    """The right sides, if the left sides name the same thing; f(m) = m^2 and f(n) = n^2 do."""
    left, right = reference.sides[0], got.sides[0]
    if left == right or _is_y(left, right):
        return reference.sides[1], got.sides[1]
    match left, right:
        case Op("*", (Sym(f), Sym(x))), Op("*", (Sym(g), Sym(y))) if f == g:
            if x not in symbols(got.sides[1]):
                return reference.sides[1], replaced(got.sides[1], {y: Sym(x)})
    return None


def _is_y(left: Node, right: Node) -> bool:
    """y = 2x and f(x) = 2x are one function."""
    return {type(left), type(right)} == {Sym, Op} and "y" in (getattr(left, "name", ""), getattr(right, "name", ""))
