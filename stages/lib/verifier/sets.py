r"""Subsets of the real line: intervals, unions, points and inequalities in one form.

    region(parse(r"(0,9) \cup (9,36)"))   ->  [Interval(0, 9, open, open), Interval(9, 36, open, open)]
    region(parse("-2 <= x <= 7"))         ->  the same as region(parse("[-2,7]"))
    region(parse(r"|x-1| \ge 2"))         ->  the same as region(parse(r"(-\infty,-1] \cup [3,\infty)"))

`region` gives None for what is no subset of the real line, so that the comparison goes on by other means.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from stages.lib.verifier.exact import Undefined
from stages.lib.verifier.limits import Unparsed
from stages.lib.verifier.linear import absolutes, linear, without
from stages.lib.verifier.numeric import place
from stages.lib.verifier.tree import Const, Joined, Node, Op, Rel, Seq, Sym, Text, infinity, symbols

_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "=", "!=": "!="}
_ALL_WORDS = frozenset(
    ("all real numbers", "all reals", "real numbers", "reals", "all real", "set of all real numbers")
)


@dataclass(frozen=True, slots=True)
class Interval:
    """Ends are nodes; None stands for infinity. A point has both ends equal and closed."""

    low: Node | None
    low_closed: bool
    high: Node | None
    high_closed: bool


_LINE = Interval(None, False, None, False)


def region(node: Node) -> list[Interval] | None:
    """The intervals, in order and joined where they touch; None if the node is no such set."""
    try:
        parts = _parts(node)
        return None if parts is None else _normal(parts)
    except (Unparsed, Undefined):
        return None


def is_region(node: Node) -> bool:
    """Whether the node can only be meant as a subset of the line (a pair in round brackets may be a point)."""
    match node:
        case Joined() | Op("+", (_, Op("neg", (Seq("{", "}"),)))):
            return True
        case Rel(ops, _):
            return any(op in _FLIPPED and op != "=" for op in ops)
        case Seq(opening, closing, items):
            return len(items) == 2 and (opening + closing in ("[)", "(]", "[]") or any(map(infinity, items)))
        case Const("all"):
            return True
        case Text(words):
            return words.lower() in _ALL_WORDS
    return False


def _parts(node: Node) -> list[Interval] | None:
    match node:
        case Const("all"):
            return [_LINE]
        case Text(words) if words.lower() in _ALL_WORDS:
            return [_LINE]
        case Seq(opening, closing, (low, high)) if opening in ("(", "[") and closing in (")", "]"):
            return _interval(low, opening == "[", high, closing == "]")
        case Seq("{", "}", items):
            return [Interval(item, True, item, True) for item in items if not infinity(item)]
        case Seq("", "", items, joint):
            return _list(items, joint)
        case Op("+", (whole, Op("neg", (Seq("{", "}") as removed,)))):
            return _joined(("minus",), (whole, removed))
        case Joined(ops, sides):
            return _joined(ops, sides)
        case Rel(ops, sides):
            return _relation(ops, sides)
    return None


def _interval(low: Node, low_closed: bool, high: Node, high_closed: bool) -> list[Interval] | None:
    if infinity(low) > 0 or infinity(high) < 0 or symbols(low) or symbols(high):
        return None
    below = None if infinity(low) else low
    above = None if infinity(high) else high
    if below is not None and above is not None and place(below) >= place(above):
        return None  # a point of the plane, or nothing that anybody writes
    return [Interval(below, low_closed and below is not None, above, high_closed and above is not None)]


def _list(items: tuple[Node, ...], joint: str) -> list[Interval] | None:
    """Relations on one unknown, or intervals, in a list.

    "or" unites them. "and" intersects relations (intervals that "and" joins are parts of one answer). Relations that a
    comma joins are meant in the way that says something: neither no number nor every number; None if both do."""
    if not all(isinstance(item, Rel | Joined) or is_region(item) for item in items) or len(_unknowns(items)) > 1:
        return None
    parts = [_parts(item) for item in items]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    united = [interval for part in known for interval in part]
    if joint == "or" or not all(isinstance(item, Rel) for item in items):
        return united
    common = _common(known)
    if joint == "and":
        return common
    meant = [normal for normal in map(_normal, (common, united)) if normal not in ([], [_LINE])]
    return meant[0] if len(meant) == 1 else None


def _unknowns(items: tuple[Node, ...]) -> set[str]:
    return {name for item in items for name in symbols(item)}


def _joined(ops: tuple[str, ...], sides: tuple[Node, ...]) -> list[Interval] | None:
    result = _parts(sides[0])
    for op, side in zip(ops, sides[1:], strict=True):
        other = _parts(side)
        if result is None or other is None:
            return None
        if op == "minus":
            other = _complement(other)
        result = result + other if op == "cup" else _common([result, other])
    return result


def _relation(ops: tuple[str, ...], sides: tuple[Node, ...]) -> list[Interval] | None:
    if ops == ("in",) and isinstance(sides[0], Sym):
        return _parts(sides[1])
    if len({name for side in sides for name in symbols(side)}) != 1:
        return None
    known = []
    for op, left, right in zip(ops, sides, sides[1:], strict=False):
        part = _half(op, left, right) if op in _FLIPPED else None
        if part is None:
            return None
        known.append(part)
    return _common(known)


def _half(op: str, left: Node, right: Node) -> list[Interval] | None:
    """The numbers x for which `left op right` holds, one side of which may be x, a + b x or a + b|c + d x|."""
    if isinstance(right, Sym) and not symbols(left):
        return _ray(_FLIPPED[op], left)
    if isinstance(left, Sym) and not symbols(right):
        return _ray(op, right)
    difference = Op("+", (left, Op("neg", (right,))))
    absolute = absolutes(difference)
    if not absolute:
        solved = linear(difference)
        return None if solved is None else _ray(op if solved[0] > 0 else _FLIPPED[op], solved[1])
    if len(absolute) > 1 or op == "=" or not isinstance(inner := absolute[0], Op):
        return None
    solved = linear(without(difference, inner, Sym("|x|")))
    if solved is None:
        return None
    op = op if solved[0] > 0 else _FLIPPED[op]
    ends = _half(op, inner.args[0], solved[1]), _half(_FLIPPED[op], inner.args[0], Op("neg", (solved[1],)))
    if ends[0] is None or ends[1] is None:
        return None
    return ends[0] + ends[1] if op[0] == ">" else _common([ends[0], ends[1]])


def _ray(op: str, bound: Node) -> list[Interval]:
    """The numbers x with `x op bound`."""
    if infinity(bound):
        return [_LINE]
    if op == "=":
        return [Interval(bound, True, bound, True)]
    if op == "!=":
        return [Interval(None, False, bound, False), Interval(bound, False, None, False)]
    if op[0] == "<":
        return [Interval(None, False, bound, op == "<=")]
    return [Interval(bound, op == ">=", None, False)]


def _complement(parts: list[Interval]) -> list[Interval]:
    """What lies between and outside the intervals."""
    low: Node | None = None
    closed, result = False, []
    for part in _normal(parts):
        if part.low is not None:
            result.append(Interval(low, closed, part.low, not part.low_closed))
        if part.high is None:
            return result
        low, closed = part.high, not part.high_closed
    return [*result, Interval(low, closed, None, False)]


def _common(parts: list[list[Interval]]) -> list[Interval]:
    """The intersection, as what is in no complement."""
    return _complement([interval for part in parts for interval in _complement(part)])


def _empty(interval: Interval) -> bool:
    if interval.low is None or interval.high is None:
        return False
    low, high = place(interval.low), place(interval.high)
    return low > high or (low == high and not (interval.low_closed and interval.high_closed))


def _low_key(end: tuple[Node | None, bool]) -> tuple[Any, bool]:
    return (place(end[0]) if end[0] is not None else -_FAR, not end[1])


def _high_key(end: tuple[Node | None, bool]) -> tuple[Any, bool]:
    return (place(end[0]) if end[0] is not None else _FAR, end[1])


_FAR = Fraction(10) ** 10_000


def _normal(parts: list[Interval]) -> list[Interval]:
    """In order; intervals that overlap or touch at a closed end become one."""
    result: list[Interval] = []
    for part in sorted((p for p in parts if not _empty(p)), key=lambda p: _low_key((p.low, p.low_closed))):
        last = result[-1] if result else None
        if last is not None and _touch(last, part):
            high, closed = max((last.high, last.high_closed), (part.high, part.high_closed), key=_high_key)
            result[-1] = Interval(last.low, last.low_closed, high, closed)
        else:
            result.append(part)
    return result


def _touch(left: Interval, right: Interval) -> bool:
    if left.high is None or right.low is None:
        return True
    high, low = place(left.high), place(right.low)
    return high > low or (high == low and (left.high_closed or right.low_closed))
