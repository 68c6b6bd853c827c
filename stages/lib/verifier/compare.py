r"""Whether two answers that have been read are the same answer.

    same(parse("x=5"), parse("5"))                  ->  True     (reference first)
    same(parse(r"\{1,2\}"), parse("2,1"))           ->  True     sets and lists have no order
    same(parse("(1,2)"), parse("2,1"))              ->  False    points have
    same(parse("4.5e33"), parse(r"4.52 \times 10^{33}"))  ->  True   a measurement, rounded

The reference decides what is exact: only where it is a written decimal does a response within half a unit of the last
digit count (see `scalars.rounded`). Lists are compared in `lists`, equations in `equations`, sets of real numbers in
`sets`, single values in `scalars`.
"""

import re
from fractions import Fraction
from itertools import permutations

from stages.lib.verifier.equations import same_equation
from stages.lib.verifier.limits import spend
from stages.lib.verifier.lists import matching, same_sequence
from stages.lib.verifier.normalize import words
from stages.lib.verifier.scalars import is_decimal, scalar
from stages.lib.verifier.sets import Interval, is_region, region
from stages.lib.verifier.shapes import expand, settle, several_signs, unwrap
from stages.lib.verifier.times import same_time
from stages.lib.verifier.tree import (
    Based,
    Cases,
    Const,
    Given,
    Joined,
    Matrix,
    Node,
    Num,
    Op,
    Ratio,
    Rel,
    Seq,
    Sym,
    Text,
    replaced,
    symbols,
)
from stages.lib.verifier.values import same_value

_NOTHING = re.compile(
    r"(?:there (?:is|are|exists?) )?(?:no|null|empty) (?:\w+ ){0,2}"
    r"(?:set|solutions?|roots?|answers?|values?|pairs?)(?: exists?)?"
)
_SYNONYMS = {
    "does not exist": "dne", "doesn t exist": "dne", "infinity": "inf", "infinitely many": "inf",
    "impossible": "not possible",
}  # fmt: skip


def same(reference: Node, got: Node) -> bool:
    """Whether `got` is the answer that `reference` is.

    Raises:
        Guarded: too large to tell. Unparsed: no rule for such a pair.
    """
    spend(4)
    if isinstance(got, Rel) and got.ops[-1] == "approx" and is_decimal(reference) and same(reference, got.sides[-1]):
        return True
    reference, got = settle(reference), settle(got)
    if _ruled(*unwrap(expand(reference), expand(got))):
        return True
    if not several_signs(reference) and not several_signs(got):
        return False
    return _ruled(*unwrap(expand(reference, tied=True), expand(got, tied=True)))


def _ruled(reference: Node, got: Node) -> bool:
    for rule in _RULES:
        verdict = rule(reference, got)
        if verdict is not None:
            return verdict
    return scalar(reference, got)


# Structures: each rule answers True or False for the pairs it knows and None for the others --------------------------


def _given(reference: Node, got: Node) -> bool | None:
    """Parameters may be named otherwise; a domain may go unsaid, but not be another."""
    if not isinstance(reference, Given) and not isinstance(got, Given):
        return None
    left, right = (side.value if isinstance(side, Given) else side for side in (reference, got))
    if isinstance(reference, Given) and isinstance(got, Given) and reference.domains and got.domains:
        if reference.domains != got.domains:
            return False
    if same(left, right):
        return True
    mine, theirs = sorted(symbols(left) - symbols(right)), sorted(symbols(right) - symbols(left))
    if len(mine) != len(theirs) or not 1 <= len(mine) <= 2:
        return False
    orders = (dict(zip(theirs, map(Sym, order), strict=True)) for order in permutations(mine))
    return any(same(left, replaced(right, order)) for order in orders)


def _texts(reference: Node, got: Node) -> bool | None:
    if not isinstance(reference, Text | Sym | Seq) and not isinstance(got, Text):
        return None
    if _is_empty(reference) or _is_empty(got):
        return all(_is_empty(side) or (_relations(side) and region(side) == []) for side in (reference, got))
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
    return node == Seq("{", "}", ()) or (isinstance(node, Text) and bool(_NOTHING.fullmatch(words(node.words))))


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
    if isinstance(node, Seq) and node.open + node.close in ("()", "<>"):
        return tuple((item,) for item in node.items)
    return None


def _cases(reference: Node, got: Node) -> bool | None:
    """Functions by cases, whose rows have no order."""
    if not isinstance(reference, Cases) and not isinstance(got, Cases):
        return None
    if not isinstance(reference, Cases) or not isinstance(got, Cases) or len(reference.rows) != len(got.rows):
        return False
    left, right = (tuple(Seq("(", ")", row) for row in side.rows) for side in (reference, got))
    return matching(left, right, same)


def _regions(reference: Node, got: Node) -> bool | None:
    if not any(is_region(side) or _relations(side) for side in (reference, got)):
        return None
    left, right = region(reference), region(got)
    if left is None or right is None:
        return _same_union(reference, got)
    if _plain_set(reference) and _plain_set(got):
        return None
    if symbols(reference) and symbols(got) and symbols(reference) != symbols(got):
        return False
    return len(left) == len(right) and all(map(_same_interval, left, right))


def _same_union(reference: Node, got: Node) -> bool | None:
    """Unions whose ends are no plain numbers compare set by set."""
    if not isinstance(reference, Joined) or not isinstance(got, Joined):
        return None
    return reference.ops == got.ops and all(map(same, reference.sides, got.sides))


def _relations(node: Node) -> bool:
    if not isinstance(node, Seq) or node.open or not node.items:
        return False
    return all(isinstance(item, Rel) for item in node.items) and any(map(is_region, node.items))


def _plain_set(node: Node) -> bool:
    return isinstance(node, Seq) and node.open in ("{", "") and not _relations(node)


def _same_interval(left: Interval, right: Interval) -> bool:
    if (left.low_closed, left.high_closed) != (right.low_closed, right.high_closed):
        return False
    pairs = ((left.low, right.low), (left.high, right.high))
    return all((a is None and b is None) or (a is not None and b is not None and scalar(a, b)) for a, b in pairs)


def _sequences(reference: Node, got: Node) -> bool | None:
    if not isinstance(reference, Seq) and not isinstance(got, Seq):
        return None
    return same_sequence(reference, got, same)


def _ratios(reference: Node, got: Node) -> bool | None:
    if isinstance(reference, Ratio) and isinstance(got, Ratio):
        if len(reference.parts) != len(got.parts):
            return False
        if reference.clock or got.clock:
            return all(map(scalar, reference.parts, got.parts))
        pivot = (reference.parts[0], got.parts[0])
        cross = zip(reference.parts[1:], got.parts[1:], strict=True)
        return all(same_value(Op("*", (a, pivot[1])), Op("*", (b, pivot[0]))) for a, b in cross)
    if isinstance(reference, Ratio):
        return _ratio_to_one(reference, got)
    return _ratio_to_one(got, reference) if isinstance(got, Ratio) else None


def _ratio_to_one(ratio: Ratio, other: Node) -> bool:
    """3:4 is 3/4, and 3:1 is 3."""
    if ratio.clock or len(ratio.parts) != 2:
        return False
    fraction = isinstance(other, Op) and other.kind == "/"
    return (fraction or isinstance(other, Num)) and scalar(Op("/", ratio.parts), other)


def _bases(reference: Node, got: Node) -> bool | None:
    if isinstance(reference, Based) and isinstance(got, Based):
        return reference == got
    if isinstance(reference, Based):
        return reference.base == 10 and scalar(Num(Fraction(int(reference.digits))), got)
    if isinstance(got, Based):
        return got.base == 10 and scalar(reference, Num(Fraction(int(got.digits))))
    return None


def _equations(reference: Node, got: Node) -> bool | None:
    if isinstance(reference, Rel) and isinstance(got, Rel):
        return same_equation(reference, got, same)
    return False if isinstance(reference, Rel) or isinstance(got, Rel) else None


_RULES = (
    _given, _texts, _matrices, _cases, _regions, same_time, _sequences, _ratios, _bases, _equations,
)  # fmt: skip
