r"""Whether two answers that have been read are the same answer.

    same(parse("x=5"), parse("5"))                  ->  True     (reference first)
    same(parse(r"\{1,2\}"), parse("2,1"))           ->  True     sets and lists have no order
    same(parse("(1,2)"), parse("2,1"))              ->  False    points have
    same(parse("4.5e33"), parse(r"4.52 \times 10^{33}"))  ->  True   a measurement, rounded

The reference decides what is exact: only where it is a written decimal does a response within half a unit of the last
digit count (see `rounded`). Every rule that accepts two different spellings stands here, nothing is accepted elsewhere.
"""

from collections.abc import Callable
from fractions import Fraction

from stages.lib.answer_limits import Unparsed
from stages.lib.answer_nodes import (
    ZERO,
    Based,
    Const,
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
    symbols,
)
from stages.lib.answer_sets import Interval, infinity, is_region, region
from stages.lib.answer_text import words
from stages.lib.answer_values import Irrational, Undefined, exact, same_value

_DECIMAL = Fraction(1, 10_000)  # relative tolerance where the reference is a decimal ...
_MEASURED = Fraction(5, 1000)  # ... and where it is a measurement in scientific notation
_WRITTEN_OUT = 10  # significant digits from which a response's decimal stands for a number without a finite decimal
_EMPTY = frozenset(("empty set", "no solution", "no solutions", "no real solution", "no real solutions", "null set"))
_SYNONYMS = {"does not exist": "dne", "doesn t exist": "dne", "infinity": "inf", "impossible": "not possible"}


def same(reference: Node, got: Node) -> bool:
    """Whether `got` is the answer that `reference` is.

    Raises:
        Guarded: too large to tell. Unparsed: no rule for such a pair.
    """
    reference, got = (_expand(_settle(side)) for side in (reference, got))
    reference, got = _unwrap(reference, got)
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
    if isinstance(reference, Matrix) and isinstance(got, Matrix):
        if [len(row) for row in left] != [len(row) for row in right]:
            return False
    cells = [[cell for row in rows for cell in row] for rows in (left, right)]
    return len(cells[0]) == len(cells[1]) and all(map(same, *cells))


def _as_rows(node: Node) -> tuple[tuple[Node, ...], ...] | None:
    """A matrix, or a point as a column; a matrix of one row or column compares with a point."""
    if isinstance(node, Matrix):
        return node.rows
    if isinstance(node, Seq) and node.open in ("(", "<"):
        return tuple((item,) for item in node.items)
    return None


def _regions(reference: Node, got: Node) -> bool | None:
    if not (is_region(reference) or is_region(got)) and not (_relations(reference) and _relations(got)):
        return None
    left, right = region(reference), region(got)
    if left is None or right is None:
        return None
    if _plain_set(reference) and _plain_set(got):
        return None
    return len(left) == len(right) and all(map(_same_interval, left, right))


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
        # {5} is how some write the answer 5; a list of several is never one value.
        return len(other.items) == 1 and other.open == "{" and same(single, other.items[0]) if other.items else False
    left, right = _assigned(reference), _assigned(got)
    if len(left.items) != len(right.items):
        return False
    kinds = {_kind(left), _kind(right)}
    if kinds == {"("} and len(left.items) == 2 and (left.open + left.close != right.open + right.close):
        return False
    if kinds <= {"{", ""}:
        return _matching(left.items, right.items, same)
    if "{" in kinds or (kinds == {"(", "["} and len(left.items) == 2) or kinds == {"[", ""} and len(left.items) == 2:
        return False
    return all(map(same, left.items, right.items))


def _kind(node: Seq) -> str:
    return {"<": "(", "[": "["}.get(node.open, node.open) if node.close != ")" else "("


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
    names = [item.sides[0].name for item in node.items]
    values = tuple(item.sides[1] for item in node.items)
    if len(set(names)) == 1:
        return Seq("", "", values, node.joint)
    if names == sorted(names) and not any(map(symbols, values)):
        return Seq("(", ")", values)
    return node


def _matching(left: tuple[Node, ...], right: tuple[Node, ...], equal: Callable[[Node, Node], bool]) -> bool:
    """Whether the elements pair off, in any order. Equality is transitive but for rounding, so greedy pairing will do."""
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
    return isinstance(other, Op) and scalar(Op("/", ratio.parts), other)


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
    flipped = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
    left = _difference(reference)
    right = _difference(got)
    if op == other and op in ("=", "!="):
        return _proportional(left, right)
    if op == other:
        return _proportional(left, right, positive=True)
    return flipped.get(op) == other and _proportional(left, Op("neg", (right,)), positive=True)


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
    from stages.lib.answer_sets import place

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


# Single values -------------------------------------------------------------------------------------------------------


def scalar(reference: Node, got: Node) -> bool:
    """Two values with or without units."""
    if infinity(reference) or infinity(got):
        return infinity(reference) == infinity(got)
    if isinstance(reference, Quantity) or isinstance(got, Quantity):
        return _quantities(reference, got)
    if isinstance(reference, Text | Seq | Rel | Matrix) or isinstance(got, Text | Seq | Rel | Matrix):
        return False
    return same_value(reference, got) or rounded(reference, got)


def _quantities(reference: Node, got: Node) -> bool:
    """A unit that only one side writes is left out of account; two units must be one. Percent is a unit that the
    response may leave out, or carry out (28% is 28 and is 0.28), but never add: 28% is neither 28 nor 0.28 if the
    reference is a plain number."""
    unit, other = (side.unit if isinstance(side, Quantity) else None for side in (reference, got))
    value, gotten = (side.value if isinstance(side, Quantity) else side for side in (reference, got))
    if unit == "%" and other is None:
        return scalar(value, gotten) or same_value(Op("/", (value, Num(Fraction(100)))), gotten)
    if other == "%" and unit != "%":
        return False
    return (unit is None or other is None or unit == other) and scalar(value, gotten)


def rounded(reference: Node, got: Node) -> bool:
    """Whether a decimal agrees with a value as far as it goes.

    A reference with decimals is a rounded value: the response may differ by half a unit in the last digit of the
    coarser of the two, and by no more than 1e-4 of the value (5e-3 if the reference is in scientific notation). A
    reference without is exact; yet if no finite decimal can write it, a response's decimal of at least ten correct
    digits does.
    """
    value, last, scientific, _ = _measurement(reference)
    got_value, got_last, _, digits = _measurement(got)
    if last is not None:
        centre = got if got_value is None else Num(got_value)
        width = min(max(last, got_last or 0) / 2, abs(value) * (_MEASURED if scientific else _DECIMAL))
        return _within(centre, value, width)
    if got_last is None or digits < _WRITTEN_OUT or _terminates(reference):
        return False
    return _within(reference, got_value, got_last)


def _within(node: Node, centre: Fraction, width: Fraction) -> bool:
    from stages.lib.answer_sets import place

    if symbols(node) or contains(node, "i", "pm", "mp"):
        return False
    try:
        return abs(place(node) - centre) <= width
    except (Undefined, AttributeError):
        return False


def _measurement(node: Node) -> tuple[Fraction | None, Fraction | None, bool, int]:
    """Value, weight of the last digit, whether scientific, and digits of a written decimal (weight None: no decimal)."""
    match node:
        case Num(value, last, digits, scientific):
            return value, last, scientific, digits
        case Op("neg", (inner,)):
            value, last, scientific, digits = _measurement(inner)
            return (None if value is None else -value), last, scientific, digits
        case Op("*", (Num(value, last, digits), Op("^", (Num(base), exponent)))) if last is not None and base == 10:
            try:
                scale = Fraction(10) ** int(exact(exponent))
            except (Irrational, Undefined, OverflowError):
                return None, None, False, 0
            return value * scale, last * scale, True, digits
    return None, None, False, 0


def _terminates(node: Node) -> bool:
    try:
        below = exact(node).denominator
    except (Irrational, Undefined):
        return False
    for prime in (2, 5):
        while below % prime == 0:
            below //= prime
    return below == 1


# Bringing both sides into comparable shape ---------------------------------------------------------------------------


def _settle(node: Node) -> Node:
    """Matrix arithmetic carried out, `a = b = c` cut to its first and last side, approximations of a value dropped."""
    match node:
        case Rel(ops, sides) if len(ops) > 1 and set(ops) <= {"=", "approx"} or ops == ("approx",):
            kept = [sides[0]] + [side for op, side in zip(ops, sides[1:], strict=True) if op == "="]
            if len(kept) == 1:
                kept = [sides[0], sides[-1]] if _is_name(sides[0]) else [sides[0]]
            return kept[0] if len(kept) == 1 else Rel(("=",), (_settle(kept[0]), _settle(kept[-1])))
        case Rel(ops, sides):
            return Rel(ops, tuple(map(_settle, sides)))
        case Seq(opening, closing, items, joint):
            return Seq(opening, closing, tuple(map(_settle, items)), joint)
        case Op("*" | "+" | "neg" | "/", args) if any(isinstance(arg, Matrix) for arg in args):
            return _matrix_arithmetic(node)
    return node


def _matrix_arithmetic(node: Op) -> Node:
    args = [_settle(arg) for arg in node.args]
    if node.kind == "neg":
        return _each(args[0], lambda cell: Op("neg", (cell,)))
    if node.kind == "/":
        if isinstance(args[1], Matrix):
            raise Unparsed("division by a matrix")
        return _each(args[0], lambda cell: Op("/", (cell, args[1])))
    result = args[0]
    for arg in args[1:]:
        result = _add(result, arg) if node.kind == "+" else _times(result, arg)
    return result


def _each(matrix: Matrix, change: Callable[[Node], Node]) -> Matrix:
    return Matrix(tuple(tuple(change(cell) for cell in row) for row in matrix.rows))


def _add(left: Node, right: Node) -> Node:
    if not isinstance(left, Matrix) or not isinstance(right, Matrix):
        raise Unparsed("sum of a matrix and a number")
    if [len(r) for r in left.rows] != [len(r) for r in right.rows]:
        raise Unparsed("matrices of different shapes")
    rows = zip(left.rows, right.rows, strict=True)
    return Matrix(tuple(tuple(Op("+", pair) for pair in zip(*row, strict=True)) for row in rows))


def _times(left: Node, right: Node) -> Node:
    if not isinstance(left, Matrix) and not isinstance(right, Matrix):
        return Op("*", (left, right))
    if not isinstance(left, Matrix):
        return _each(right, lambda cell: Op("*", (left, cell)))
    if not isinstance(right, Matrix):
        return _each(left, lambda cell: Op("*", (right, cell)))
    if len(left.rows[0]) != len(right.rows):
        raise Unparsed("matrices of different shapes")
    columns = list(zip(*right.rows, strict=True))
    return Matrix(tuple(tuple(_inner(row, column) for column in columns) for row in left.rows))


def _inner(row: tuple[Node, ...], column: tuple[Node, ...]) -> Node:
    return Op("+", tuple(Op("*", pair) for pair in zip(row, column, strict=True)))


def _expand(node: Node) -> Node:
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


def _unwrap(reference: Node, got: Node) -> tuple[Node, Node]:
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
