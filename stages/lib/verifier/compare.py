r"""Whether two answers that have been read are the same answer.

    same(parse("x=5"), parse("5"))                  ->  True     (reference first)
    same(parse(r"\{1,2\}"), parse("2,1"))           ->  True     sets and lists have no order
    same(parse("(1,2)"), parse("2,1"))              ->  False    points have
    same(parse("4.5e33"), parse(r"4.52 \times 10^{33}"))  ->  True   a measurement, rounded

The reference decides what is exact: only where it is a written decimal does a response within half a unit of the last
digit count (see `answer_scalars.rounded`).
"""

from collections.abc import Callable
from fractions import Fraction

from stages.lib.verifier.normalize import words
from stages.lib.verifier.numeric import place
from stages.lib.verifier.scalars import is_decimal, scalar
from stages.lib.verifier.sets import Interval, is_region, region
from stages.lib.verifier.shapes import expand, settle, unwrap
from stages.lib.verifier.tree import (
    ZERO,
    Based,
    Const,
    Joined,
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
    symbols,
)
from stages.lib.verifier.values import same_value

_EMPTY = frozenset(("empty set", "no solution", "no solutions", "no real solution", "no real solutions", "null set"))
_SYNONYMS = {"does not exist": "dne", "doesn t exist": "dne", "infinity": "inf", "impossible": "not possible"}


def same(reference: Node, got: Node) -> bool:
    """Whether `got` is the answer that `reference` is.

    Raises:
        Guarded: too large to tell. Unparsed: no rule for such a pair.
    """
    if isinstance(got, Rel) and got.ops[-1] == "approx" and is_decimal(reference) and same(reference, got.sides[-1]):
        return True
    reference, got = unwrap(*(expand(settle(side)) for side in (reference, got)))
    for rule in _RULES:
        verdict = rule(reference, got)
        if verdict is not None:
            return verdict
    return scalar(reference, got)


# Structures: each rule answers True or False for the pairs it knows and None for the others --------------------------


def _texts(reference: Node, got: Node) -> bool | None:
    if not isinstance(reference, Text | Sym | Seq) and not isinstance(got, Text):
        return None
    if _is_empty(reference) or _is_empty(got):
        return _is_empty(reference) and _is_empty(got)
    if isinstance(reference, Text) or isinstance(got, Text):
        if is_region(reference) and is_region(got):
            return None
        left, right = (_spelled(side) for side in (reference, got))
        return bool(left) and left == right
    return None


def _spelled(node: Node) -> str | None:
    if isinstance(node, Text):
        text = words(node.words)
        return _SYNONYMS.get(text, text)
    if isinstance(node, Sym):
        return words(node.name)
    return "inf" if node == Const("inf") else None


def _is_empty(node: Node) -> bool:
    return node == Seq("{", "}", ()) or (isinstance(node, Text) and words(node.words) in _EMPTY)


def _matrices(reference: Node, got: Node) -> bool | None:
    if not isinstance(reference, Matrix) and not isinstance(got, Matrix):
        return None
    left, right = (_as_rows(side) for side in (reference, got))
    if left is None or right is None:
        return False
    shapes = [[len(row) for row in rows] for rows in (left, right)]
    if isinstance(reference, Matrix) and isinstance(got, Matrix) and shapes[0] != shapes[1]:
        return False
    cells = [[cell for row in rows for cell in row] for rows in (left, right)]
    return len(cells[0]) == len(cells[1]) and all(map(same, *cells))


def _as_rows(node: Node) -> tuple[tuple[Node, ...], ...] | None:
    """A matrix, or a point as a column; a matrix of one row or column compares with a point."""
    if isinstance(node, Matrix):
        return node.rows
    if isinstance(node, Seq) and _kind(node) == "(":
        return tuple((item,) for item in node.items)
    return None


def _regions(reference: Node, got: Node) -> bool | None:
    if not any(is_region(side) or _relations(side) for side in (reference, got)):
        return None
    left, right = region(reference), region(got)
    if left is None or right is None:
        return _same_union(reference, got)
    if _plain_set(reference) and _plain_set(got):
        return None
    return len(left) == len(right) and all(map(_same_interval, left, right))


def _same_union(reference: Node, got: Node) -> bool | None:
    """Unions whose ends are no plain numbers compare set by set."""
    if not isinstance(reference, Joined) or not isinstance(got, Joined):
        return None
    return reference.ops == got.ops and all(map(same, reference.sides, got.sides))


def _relations(node: Node) -> bool:
    return isinstance(node, Seq) and not node.open and all(isinstance(i, Rel) and is_region(i) for i in node.items)


def _plain_set(node: Node) -> bool:
    return isinstance(node, Seq) and node.open in ("{", "")


def _same_interval(left: Interval, right: Interval) -> bool:
    if (left.low_closed, left.high_closed) != (right.low_closed, right.high_closed):
        return False
    pairs = ((left.low, right.low), (left.high, right.high))
    return all((a is None and b is None) or (a is not None and b is not None and scalar(a, b)) for a, b in pairs)


def _sequences(reference: Node, got: Node) -> bool | None:
    if not isinstance(reference, Seq) and not isinstance(got, Seq):
        return None
    if not isinstance(reference, Seq) or not isinstance(got, Seq):
        single, other = (reference, got) if isinstance(got, Seq) else (got, reference)
        if other is got and not got.open and got.joint == "or":  # 0.5 or 1/2
            return all(same(reference, item) for item in got.items)
        # {5} is how some write the answer 5; a list of several is never one value.
        alone = len(other.items) == 1 and other.open == "{" and not symbols(other.items[0])
        return alone and same(single, other.items[0])
    left, right = (_assigned(_only(side)) for side in (reference, got))
    if len(left.items) != len(right.items):
        return False
    kinds = {_kind(left), _kind(right)}
    if "half-open" in kinds and left.open + left.close != right.open + right.close:
        return False
    if {left.joint, right.joint} == {"or", ","} and "(" in kinds:  # x = 1 or x = 2 is no point
        return False
    if kinds <= {"{", ""}:
        return _matching(left.items, right.items, same)
    if "{" in kinds or (len(left.items) == 2 and kinds in ({"(", "["}, {"[", ""})):
        return False
    return all(map(same, left.items, right.items))


def _only(node: Seq) -> Seq:
    """The one point of a set, as in {(1,2)}."""
    single = node.open == "{" and len(node.items) == 1 and isinstance(node.items[0], Seq)
    return node.items[0] if single else node


def _kind(node: Seq) -> str:
    return _KINDS.get(node.open + node.close, "half-open")


_KINDS = {"()": "(", "<>": "(", "[]": "[", "{}": "{", "": ""}


def _assigned(node: Seq) -> Seq:
    """`x = 1, y = 2` as the point (1, 2); `n = 1, 2, 3` and `x = 1, x = 2` as the list of values."""
    first = node.items[0] if node.items else None
    if node.open or not (isinstance(first, Rel) and first.ops == ("=",) and isinstance(first.sides[0], Sym)):
        return node
    rest = node.items[1:]
    if not any(isinstance(item, Rel) for item in rest):
        return Seq("", "", (first.sides[1], *rest), node.joint)
    if not all(isinstance(i, Rel) and i.ops == ("=",) and isinstance(i.sides[0], Sym) for i in rest):
        return node
    items = sorted(node.items, key=lambda item: item.sides[0].name)
    values = tuple(item.sides[1] for item in items)
    names = {item.sides[0].name for item in items}
    if len(names) == 1:
        return Seq("", "", values, node.joint)
    if len(names) == len(items) and not any(map(symbols, values)):
        return Seq("(", ")", values)
    return node


def _matching(left: tuple[Node, ...], right: tuple[Node, ...], equal: Callable[[Node, Node], bool]) -> bool:
    """Whether the elements pair off, in any order (greedily: equality is transitive but for rounding)."""
    free = list(right)
    for item in left:
        found = next((i for i, other in enumerate(free) if equal(item, other)), None)
        if found is None:
            return False
        del free[found]
    return True


def _ratios(reference: Node, got: Node) -> bool | None:
    if not isinstance(reference, Ratio) and not isinstance(got, Ratio):
        return None
    if isinstance(reference, Ratio) and isinstance(got, Ratio):
        if len(reference.parts) != len(got.parts):
            return False
        if reference.clock or got.clock:
            return all(map(scalar, reference.parts, got.parts))
        pivot = (reference.parts[0], got.parts[0])
        cross = zip(reference.parts[1:], got.parts[1:], strict=True)
        return all(same_value(Op("*", (a, pivot[1])), Op("*", (b, pivot[0]))) for a, b in cross)
    ratio, other = (reference, got) if isinstance(reference, Ratio) else (got, reference)
    if ratio.clock or len(ratio.parts) != 2:
        return False
    return isinstance(other, Op) and other.kind == "/" and scalar(Op("/", ratio.parts), other)


def _bases(reference: Node, got: Node) -> bool | None:
    if isinstance(reference, Based) or isinstance(got, Based):
        if isinstance(reference, Based) and isinstance(got, Based):
            return reference == got
        based, other = (reference, got) if isinstance(reference, Based) else (got, reference)
        return based.base == 10 and scalar(Num(Fraction(int(based.digits))), other)
    return None


def _equations(reference: Node, got: Node) -> bool | None:
    if not isinstance(reference, Rel) or not isinstance(got, Rel):
        return False if isinstance(reference, Rel) or isinstance(got, Rel) else None
    if len(reference.ops) > 1 or len(got.ops) > 1:
        return reference.ops == got.ops and all(map(scalar, reference.sides, got.sides))
    (op,), (other,) = reference.ops, got.ops
    if not {op, other} <= _COMPARED:
        return op == other and all(map(same, reference.sides, got.sides))
    flipped = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
    left = _difference(reference)
    right = _difference(got)
    if op == other and op in ("=", "!="):
        return _proportional(left, right)
    if op == other:
        return _proportional(left, right, positive=True)
    return flipped.get(op) == other and _proportional(left, Op("neg", (right,)), positive=True)


_COMPARED = frozenset(("=", "!=", "<", "<=", ">", ">="))


def _difference(relation: Rel) -> Node:
    return Op("+", (relation.sides[0], Op("neg", (relation.sides[1],))))


def _proportional(left: Node, right: Node, positive: bool = False) -> bool:
    """Whether left = c * right for a constant c other than zero: the same equation, multiplied through."""
    if symbols(left) != symbols(right):
        return False
    for trial in range(3):
        values = {name: Num(Fraction(7 * i + 3 + 5 * trial, 4)) for i, name in enumerate(sorted(symbols(left)))}
        a, b = _substitute(left, values), _substitute(right, values)
        if same_value(a, ZERO) or same_value(b, ZERO):
            continue
        if positive and (_sign(a) != _sign(b)):
            return False
        return same_value(Op("*", (left, b)), Op("*", (right, a)))
    return same_value(left, ZERO) and same_value(right, ZERO)


def _sign(node: Node) -> bool:
    return place(node) > 0


def _substitute(node: Node, values: dict[str, Node]) -> Node:
    match node:
        case Sym(name):
            return values[name]
        case Op(kind, args):
            return Op(kind, tuple(_substitute(arg, values) for arg in args))
        case Quantity(value, unit):
            return Quantity(_substitute(value, values), unit)
    return node


_RULES = (_texts, _matrices, _regions, _sequences, _ratios, _bases, _equations)
