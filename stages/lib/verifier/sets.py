r"""Subsets of the real line: intervals, unions, points and inequalities in one form.

    region(parse(r"(0,9) \cup (9,36)"))   ->  [Interval(0, 9, open, open), Interval(9, 36, open, open)]
    region(parse("-2 <= x <= 7"))         ->  the same as region(parse("[-2,7]"))

`region` gives None for what is no subset of the real line, so that the comparison goes on by other means.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from stages.lib.verifier.exact import Undefined
from stages.lib.verifier.limits import Unparsed
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
            return any(op != "=" for op in ops)
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
            return [Interval(None, False, None, False)]
        case Text(words) if words.lower() in _ALL_WORDS:
            return [Interval(None, False, None, False)]
        case Seq(opening, closing, (low, high)) if opening in ("(", "[") and closing in (")", "]"):
            return _interval(low, opening == "[", high, closing == "]")
        case Seq("{", "}", items):
            return [Interval(item, True, item, True) for item in items]
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
    return [Interval(below, low_closed and below is not None, above, high_closed and above is not None)]


def _list(items: tuple[Node, ...], joint: str) -> list[Interval] | None:
    """Inequalities or intervals in a list: "or" and commas unite them; "and" intersects inequalities."""
    if not all(isinstance(item, Rel | Joined) or is_region(item) for item in items):
        return None
    parts = [_parts(item) for item in items]
    if any(part is None for part in parts):
        return None
    if joint == "and" and all(isinstance(item, Rel) for item in items):
        result = parts[0]
        for part in parts[1:]:
            result = _intersection(result, part)
        return result
    return [interval for part in parts for interval in part]


def _joined(ops: tuple[str, ...], sides: tuple[Node, ...]) -> list[Interval] | None:
    result = _parts(sides[0])
    for op, side in zip(ops, sides[1:], strict=True):
        other = _parts(side)
        if result is None or other is None:
            return None
        if op == "minus":
            other = _complement(other)
        result = result + other if op == "cup" else _intersection(result, other)
    return result


def _relation(ops: tuple[str, ...], sides: tuple[Node, ...]) -> list[Interval] | None:
    if ops == ("in",) and isinstance(sides[0], Sym):
        return _parts(sides[1])
    names = [i for i, side in enumerate(sides) if isinstance(side, Sym)]
    if len(names) != 1 or any(symbols(side) for i, side in enumerate(sides) if i != names[0]):
        return None
    result = [Interval(None, False, None, False)]
    for i, op in enumerate(ops):
        if i not in (names[0] - 1, names[0]) or op not in _FLIPPED:
            return None
        bound = sides[i + 1] if i == names[0] else sides[i]
        result = _intersection(result, _half(op if i == names[0] else _FLIPPED[op], bound))
    return result


def _half(op: str, bound: Node) -> list[Interval]:
    """The numbers x with `x op bound`."""
    if infinity(bound):
        return [Interval(None, False, None, False)]
    if op == "=":
        return [Interval(bound, True, bound, True)]
    if op == "!=":
        return [Interval(None, False, bound, False), Interval(bound, False, None, False)]
    if op[0] == "<":
        return [Interval(None, False, bound, op == "<=")]
    return [Interval(bound, op == ">=", None, False)]


def _complement(parts: list[Interval]) -> list[Interval]:
    result = [Interval(None, False, None, False)]
    for part in parts:
        outside = []
        if part.low is not None:
            outside.append(Interval(None, False, part.low, not part.low_closed))
        if part.high is not None:
            outside.append(Interval(part.high, not part.high_closed, None, False))
        result = _intersection(result, outside)
    return result


def _intersection(left: list[Interval], right: list[Interval]) -> list[Interval]:
    found = []
    for a in left:
        for b in right:
            low, low_closed = max((a.low, a.low_closed), (b.low, b.low_closed), key=_low_key)
            high, high_closed = min((a.high, a.high_closed), (b.high, b.high_closed), key=_high_key)
            interval = Interval(low, low_closed, high, high_closed)
            if not _empty(interval):
                found.append(interval)
    return found


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
