r"""Times of day.

same_time(parse("3:30 pm"), parse("15:30"))   ->  True
same_time(parse("3:30 pm"), parse("3:30"))    ->  True     the half of the day may go unsaid
same_time(parse("3:30"), parse("3/30"))       ->  None     no times
"""

from stages.lib.verifier.exact import Irrational, Undefined, exact
from stages.lib.verifier.tree import Node, Num, Quantity, Ratio

_HALVES = {"am": 0, "pm": 12 * 3600}


def same_time(reference: Node, got: Node) -> bool | None:
    """Whether two times are the same, None where the two are no times, or need no rule of their own."""
    left, right = _seconds(reference), _seconds(got)
    if left is None or right is None or not (_has_half(reference) or _has_half(got)):
        return None
    if _has_half(reference) and _has_half(got):
        return left == right
    known, bare = (left, right) if _has_half(reference) else (right, left)
    if isinstance(reference, Num) or isinstance(got, Num):  # 3 pm is 3, but not 15
        return bare < 13 * 3600 and (known - bare) % (12 * 3600) == 0
    return known == bare or (bare < 13 * 3600 and (known - bare) % (12 * 3600) == 0)


def _has_half(node: Node) -> bool:
    return isinstance(node, Quantity) and node.unit.lower() in _HALVES


def _seconds(node: Node) -> int | None:
    """Seconds since midnight."""
    if isinstance(node, Quantity) and node.unit.lower() in _HALVES:
        count = _seconds(node.value)
        return None if count is None else count % (12 * 3600) + _HALVES[node.unit.lower()]
    parts = node.parts if isinstance(node, Ratio) and node.clock else (node,) if isinstance(node, Num) else ()
    try:
        values = [exact(part) for part in parts]
    except (Irrational, Undefined):
        return None
    if not 1 <= len(values) <= 3 or any(value.denominator != 1 or not 0 <= value < 60 for value in values):
        return None
    return sum(int(value) * unit for value, unit in zip(values, (3600, 60, 1), strict=False))
