r"""What an answer is once it is read: small immutable trees.

    Num(Fraction(27, 2), last=Fraction(1, 10), digits=3)            13.5
    Op("*", (Num(2), Op("root", (Num(3), Num(2)))))                 2\sqrt{3}
    Seq("(", "]", (Num(3), Num(4)))                                 (3,4]
    Rel(("<", "<="), (Num(1), Sym("x"), Num(2)))                    1 < x \le 2

Nodes are plain data: nothing in an answer is ever turned into code.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Num:
    """A written number; `last`: what its last digit counts (None: an integer), digits: significant digits written."""

    value: Fraction
    last: Fraction | None = None
    digits: int = 0
    scientific: bool = False


@dataclass(frozen=True, slots=True)
class Sym:
    name: str


@dataclass(frozen=True, slots=True)
class Const:
    """pi, e, i, inf or all (the real line)."""

    name: str


@dataclass(frozen=True, slots=True)
class Op:
    """An operation: + * / ^ neg root pm mp abs floor ceil ! binom mod, or a function's name."""

    kind: str
    args: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Seq:
    """Elements between brackets; open is ( [ { < or, for a list without brackets, the empty string. `joint` is the
    word that joined a bare list ("," "and" "or")."""

    open: str
    close: str
    items: tuple["Node", ...]
    joint: str = ","


@dataclass(frozen=True, slots=True)
class Rel:
    """A chain of relations; ops are = != < <= > >= in approx."""

    ops: tuple[str, ...]
    sides: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Joined:
    r"""Sets joined by "cup", "cap" or "minus"."""

    ops: tuple[str, ...]
    sides: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    rows: tuple[tuple["Node", ...], ...]


@dataclass(frozen=True, slots=True)
class Text:
    words: str


@dataclass(frozen=True, slots=True)
class Quantity:
    """A value with a unit; "%" and "degree" are units too."""

    value: "Node"
    unit: str


@dataclass(frozen=True, slots=True)
class Based:
    """Digits in a base: 4210_7."""

    digits: str
    base: int


@dataclass(frozen=True, slots=True)
class Given:
    """A value with the domains of its parameters ("Z", "R", ...): `k\\pi, k \\in \\mathbb{Z}`."""

    value: "Node"
    domains: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cases:
    """A function by cases: (value, condition) in every row."""

    rows: tuple[tuple["Node", "Node"], ...]


@dataclass(frozen=True, slots=True)
class Ratio:
    """3:4, or a time of day such as 12:30 (the text decides which)."""

    parts: tuple["Node", ...]
    clock: bool = False


Node = Num | Sym | Const | Op | Seq | Rel | Joined | Matrix | Text | Quantity | Based | Ratio | Given | Cases

ZERO, ONE, TWO = Num(Fraction(0)), Num(Fraction(1)), Num(Fraction(2))


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly below."""
    match node:
        case Op(_, below) | Seq(_, _, below) | Rel(_, below) | Joined(_, below) | Ratio(below):
            return below
        case Matrix(rows) | Cases(rows):
            return tuple(cell for row in rows for cell in row)
        case Quantity(value) | Given(value):
            return (value,)
    return ()


def size(node: Node) -> int:
    """How many nodes the tree has."""
    count, stack = 0, [node]
    while stack:
        count += 1
        stack.extend(children(stack.pop()))
    return count


def leaves(node: Node) -> Counter[Node]:
    """The numbers, symbols and other leaves, each with how often it occurs."""
    found: Counter[Node] = Counter()
    stack = [node]
    while stack:
        top = stack.pop()
        below = children(top)
        stack.extend(below)
        if not below:
            found[top] += 1
    return found


def replaced(node: Node, values: Mapping[str, Node]) -> Node:
    """The expression with symbols replaced."""
    match node:
        case Sym(name):
            return values.get(name, node)
        case Op(kind, args):
            return Op(kind, tuple(replaced(arg, values) for arg in args))
        case Quantity(value, unit):
            return Quantity(replaced(value, values), unit)
        case Seq(opening, closing, items, joint):
            return Seq(opening, closing, tuple(replaced(item, values) for item in items), joint)
        case Rel(ops, sides):
            return Rel(ops, tuple(replaced(side, values) for side in sides))
    return node


def symbols(node: Node) -> set[str]:
    """Names of the free symbols."""
    found, stack = set(), [node]
    while stack:
        top = stack.pop()
        if isinstance(top, Sym):
            found.add(top.name)
        stack.extend(children(top))
    return found


def contains(node: Node, *kinds: str) -> bool:
    """Whether an operation or constant of one of these names occurs."""
    stack = [node]
    while stack:
        top = stack.pop()
        if (isinstance(top, Op) and top.kind in kinds) or (isinstance(top, Const) and top.name in kinds):
            return True
        stack.extend(children(top))
    return False


def has_base(node: Node) -> bool:
    """Whether digits in another base occur."""
    return isinstance(node, Based) or any(map(has_base, children(node)))


def infinity(node: Node) -> int:
    """+1 or -1 for an infinite end, else 0."""
    match node:
        case Const("inf"):
            return 1
        case Op("neg", (Const("inf"),)):
            return -1
        case Op("+", (Const("inf"),)):
            return 1
    return 0
