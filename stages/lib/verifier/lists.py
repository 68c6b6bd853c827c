r"""Lists, sets and points: (1,2), \{1,2\}, "1, 2", "x = 1, y = 2".

same_sequence(parse(r"\{1,2\}"), parse("2,1"), same)       ->  True
same_sequence(parse("(1,2)"), parse("2,1"), same)          ->  False
same_sequence(parse("16, 3"), parse("w=16, d=3"), same)    ->  True
"""

from collections.abc import Callable
from fractions import Fraction

from stages.lib.verifier.exact import Undefined
from stages.lib.verifier.limits import Guarded, Unparsed, spend
from stages.lib.verifier.shapes import is_name
from stages.lib.verifier.tree import Node, Num, Op, Rel, Seq, Sym, contains, replaced, size, symbols
from stages.lib.verifier.values import rough

_POINT = Num(Fraction(37, 29))
Same = Callable[[Node, Node], bool]
_KINDS = {"()": "(", "<>": "(", "[]": "[", "{}": "{", "": ""}


def same_sequence(reference: Node, got: Node, same: Same) -> bool:
    """Whether two nodes, at least one of which is a sequence, are the same answer."""
    if not isinstance(reference, Seq) or not isinstance(got, Seq):
        return _single(reference, got, same)
    left, right = _only(reference), _only(got)
    labelled = _labels(left), _labels(right)
    if labelled[0] is not None and labelled[1] is not None:
        return _same_labelled(labelled[0], labelled[1], left, right, same)
    if labelled != (None, None) and _relates(left) and _relates(right):  # x = 1, y = 2 beside x = 1, x = 2
        return matching(left.items, right.items, same)
    if labelled != (None, None):
        left = _values(left, labelled[0], right) if labelled[0] is not None else left
        right = _values(right, labelled[1], left) if labelled[1] is not None else right
    left, right = _of_one_name(left), _of_one_name(right)
    return _same_items(left, right, same)


def _same_items(left: Seq, right: Seq, same: Same) -> bool:
    kinds = {_kind(left), _kind(right)}
    if len(left.items) != len(right.items):
        return False
    if "half-open" in kinds and left.open + left.close != right.open + right.close:
        return False
    if {left.joint, right.joint} == {"or", ","} and "(" in kinds:  # x = 1 or x = 2 is no point
        return False
    if {left.joint, right.joint} in ({"or", "and"}, {"or", ","}) and (_bounds(left) or _bounds(right)):
        return False
    if kinds <= {"{", ""}:
        return matching(left.items, right.items, same)
    if "{" in kinds or (len(left.items) == 2 and kinds in ({"(", "["}, {"[", ""})):
        return False
    return all(map(same, left.items, right.items))


def _relates(node: Seq) -> bool:
    return any(isinstance(item, Rel) for item in node.items)


def _bounds(node: Seq) -> bool:
    """Whether the list has inequalities, whose joint tells what they mean."""
    return any(isinstance(item, Rel) and item.ops != ("=",) for item in node.items)


def _single(reference: Node, got: Node, same: Same) -> bool:
    single, other = (reference, got) if isinstance(got, Seq) else (got, reference)
    if not isinstance(other, Seq):
        return False
    if other is got and not got.open and other.joint == "or":  # 0.5 or 1/2
        return all(same(reference, item) for item in other.items)
    # {5} is how some write the answer 5; a list of several is never one value.
    alone = len(other.items) == 1 and other.open == "{" and not symbols(other.items[0])
    if alone:
        return same(reference, other.items[0]) if other is got else same(other.items[0], single)
    return False


def _only(node: Seq) -> Seq:
    """The one point of a set, as in {(1,2)}."""
    inner = node.items[0] if node.open == "{" and len(node.items) == 1 else None
    return inner if isinstance(inner, Seq) else node


def _kind(node: Seq) -> str:
    return _KINDS.get(node.open + node.close, "half-open")


# Labels --------------------------------------------------------------------------------------------------------------

_Labels = list[tuple[Node, Node]]


def _labels(node: Seq) -> _Labels | None:
    """Name and value of every element, if all have different names: x = 1, y = 2."""
    if node.open or node.joint == "or":
        return None
    pairs = [(item.sides[0], item.sides[1]) for item in node.items if isinstance(item, Rel) and item.ops == ("=",)]
    if len(pairs) < len(node.items) or not all(is_name(name) for name, _ in pairs):
        return None
    return pairs if len({name for name, _ in pairs}) == len(pairs) else None


def _same_labelled(a: _Labels, b: _Labels, left: Seq, right: Seq, same: Same) -> bool:
    values = dict(b)
    if {name for name, _ in a} == values.keys():
        return all(same(value, values[name]) for name, value in a)
    return matching(left.items, right.items, same)


def _values(node: Seq, labels: _Labels, other: Seq) -> Seq:
    """The values of a labelled list: a list beside a list, a point in the order of its names beside a point."""
    if _kind(other) in ("", "{"):
        return Seq("", "", tuple(value for _, value in labels), node.joint)
    if not all(isinstance(name, Sym) and not symbols(value) for name, value in labels):
        return node
    ordered = sorted(labels, key=lambda label: label[0].name if isinstance(label[0], Sym) else "")
    return Seq("(", ")", tuple(value for _, value in ordered))


def _of_one_name(node: Seq) -> Seq:
    """`n = 1, 2, 3` and `x = 1, x = 2` as the list of values, the latter one that "or" joins: it is no point."""
    first = node.items[0] if node.items else None
    if node.open or not (isinstance(first, Rel) and first.ops == ("=",) and is_name(first.sides[0])):
        return node
    rest = node.items[1:]
    if not any(isinstance(item, Rel) for item in rest):
        return Seq("", "", (first.sides[1], *rest), node.joint)
    values = [item.sides[1] for item in rest if isinstance(item, Rel) and item.ops == ("=",)]
    names = {item.sides[0] for item in node.items if isinstance(item, Rel)}
    if len(values) < len(rest) or len(names) > 1:
        return node
    return Seq("", "", (first.sides[1], *values), "or")


# Without order -------------------------------------------------------------------------------------------------------


def matching(left: tuple[Node, ...], right: tuple[Node, ...], same: Same) -> bool:
    """Whether the elements pair off, in any order (greedily: equality is transitive but for rounding).

    Elements whose rough values tell them apart are not compared, so long lists of numbers take no quadratic work."""
    if len(left) != len(right):
        return False
    free = [(other, _key(other)) for other in right]
    for item in left:
        key = _key(item)
        spend(1 + len(free) // 20)
        found = next((i for i, (other, k) in enumerate(free) if _near(key, k) and same(item, other)), None)
        if found is None:
            return False
        del free[found]
    return True


def _key(node: Node) -> tuple[float, ...] | None:
    """Rough values of an expression where its symbols are all one number, or of a point's coordinates; None for what
    has none. Names do not matter, as `same` may take them for others."""
    spend(2 * size(node))
    if isinstance(node, Seq) and node.open in ("(", "<"):
        parts = [_key(item) for item in node.items]
        return None if None in parts else tuple(value for part in parts if part for value in part)
    if not isinstance(node, Num | Op) or contains(node, "i", "pm", "mp", "log"):
        return None
    try:
        return (rough(replaced(node, dict.fromkeys(symbols(node), _POINT))),)
    except (Undefined, Unparsed, Guarded, OverflowError):
        return None


def _near(left: tuple[float, ...] | None, right: tuple[float, ...] | None) -> bool:
    """Whether two keys allow that their nodes are equal; a percent may be meant as a number."""
    if left is None or right is None:
        return True
    if len(left) != len(right):
        return False
    return all(abs(a - b) <= 1e-9 + 0.02 * max(abs(a), abs(b)) for a, b in zip(left, right, strict=True))
