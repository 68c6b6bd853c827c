r"""Two answers that have been read, compared in the light of what the question asked (`question.Hints`).

    fits(read("What percent ...?"), parse("10"), parse(r"10\%"))               ->  True
    fits(read("How many meters ...?"), parse("5"), parse(r"500\text{ cm}"))    ->  True     and 5 cm is refused
    fits(read("Round to two decimals."), parse("3.33"), parse("10/3"))         ->  True
    fits(read("Write it in terms of $n$."), parse("n^2"), parse("m^2"))        ->  False
    fits(NONE, ...)                                                            ->  what `compare.same` says

A hint never overrules a difference in value: it says what a bare number means, and to which digit a value was asked.
"""

import re
from collections.abc import Callable, Iterator

from stages.lib.verifier.compare import same
from stages.lib.verifier.normalize import words
from stages.lib.verifier.quantities import between
from stages.lib.verifier.question import NONE, Hints
from stages.lib.verifier.rounding import bare, rounds
from stages.lib.verifier.tree import (
    Joined,
    Node,
    Num,
    Op,
    Quantity,
    Rel,
    Seq,
    Sym,
    Text,
    children,
    symbols,
)
from stages.lib.verifier.units import is_physical

_NEGATION = frozenset("not no never none neither nobody cannot t nor or and but loses lose lost fails".split())


def fits(hints: Hints, reference: Node, got: Node) -> bool:
    """Whether `got` is the answer that `reference` is, to a question with these hints.

    Raises:
        Guarded, Unparsed, Undefined: as `compare.same`.
    """
    if hints == NONE:
        return same(reference, got)
    if _other_letters(hints, reference, got) or (hints.ordered and _other_order(reference, got)):
        return False
    if hints.monotonic:  # whether a function increases on [a, b] or (a, b) is a matter of style
        reference, got = _closed(reference), _closed(got)
    if hints.ordered and (chains := _as_lists(reference, got)):
        return all(map(same, *chains))
    return any(same(*pair) or rounds(hints, *pair) for pair in _meant(hints, reference, got))


def subject(hints: Hints, reference: str, got: str) -> bool:
    """Whether `got` names who or what a reference sentence speaks of: "Anna" for "Anna served in the first game" where
    the question asks who served. What is said of her has to repeat the question, or be no denial and no alternative."""
    sentence, name = words(reference).split(), words(got).split()
    rest = sentence[len(name) :]
    if not hints.words or not rest or not 1 <= len(name) <= 4 or sentence[: len(name)] != name:
        return False
    if _NEGATION & set(rest) or not all(word.isalpha() and len(word) > 1 for word in name) or max(map(len, rest)) < 3:
        return False
    return hints.words.issuperset(rest) or ("who" in hints.words and hints.words.issuperset(name) and len(rest) > 2)


# What a bare number means --------------------------------------------------------------------------------------------


def _meant(hints: Hints, reference: Node, got: Node) -> Iterator[tuple[Node, Node]]:
    """The pairs to compare: with the unit that was asked for where only one side has one; without percent signs where
    percent was asked for and only the response writes them."""
    units = [{unit for unit in _units(side) if unit != "%"} for side in (reference, got)]
    if hints.unit and bool(units[0]) != bool(units[1]) and _measures(hints.unit, units[0] | units[1]):
        bare = _each(lambda value: Quantity(value, hints.unit or ""), got if units[0] else reference)
        yield (reference, bare) if units[0] else (bare, got)
        return
    if hints.percent and "%" in _units(got) and "%" not in _units(reference):
        yield reference, _each(lambda value: value.value if isinstance(value, Quantity) else value, got)
        if not _below_one(reference):
            return
    yield reference, got


def _below_one(reference: Node) -> bool:
    """Whether a bare reference to "what percent" may be meant as a fraction: 0.28, not 28."""
    match bare(reference):
        case Num(value) | Op("neg", (Num(value),)):
            return abs(value) < 1
    return not isinstance(bare(reference), Seq)


def _measures(asked: str, units: set[str]) -> bool:
    return is_physical(asked) and all(is_physical(unit) and between(unit, asked) for unit in units)


def _units(node: Node) -> set[str]:
    found, stack = set(), [node]
    while stack:
        top = stack.pop()
        if isinstance(top, Quantity):
            found.add(top.unit)
        stack.extend(children(top))
    return found


def _each(change: Callable[[Node], Node], node: Node) -> Node:
    """The single values of an answer changed: alone, behind `x =`, or in a list."""
    match node:
        case Rel(("=",), (name, value)):
            return Rel(("=",), (name, _each(change, value)))
        case Seq(opening, closing, items, joint):
            return Seq(opening, closing, tuple(_each(change, item) for item in items), joint)
    return change(node)


# Which letters -------------------------------------------------------------------------------------------------------


def _other_letters(hints: Hints, reference: Node, got: Node) -> bool:
    """Whether the response is not written in the letters that were asked for, or solved for another unknown."""
    if (symbols(reference) ^ symbols(got)) & hints.letters and symbols(reference) & hints.letters:
        return True
    name = _unknown(got)
    return bool(hints.solved and name and name not in hints.solved and name != _unknown(reference))


def _unknown(node: Node) -> str | None:
    match node:
        case Rel(("=",), (Sym(name), _)):
            return name
    return None


# Which order, which ends ---------------------------------------------------------------------------------------------


def _as_lists(reference: Node, got: Node) -> tuple[tuple[Node, ...], tuple[Node, ...]] | None:
    """A chain a < b < c against the list of its sides; None for other pairs."""
    sides = [_sides(node) for node in (reference, got)]
    if sides[0] is None or sides[1] is None or isinstance(reference, Seq) == isinstance(got, Seq):
        return None
    return (sides[0], sides[1]) if len(sides[0]) == len(sides[1]) else None


def _sides(node: Node) -> tuple[Node, ...] | None:
    match node:
        case Seq("", "", items):
            return items
        case Rel(ops, sides) if len(sides) > 2 and (set(ops) <= {"<", "<="} or set(ops) <= {">", ">="}):
            return sides
    return None


def _other_order(reference: Node, got: Node) -> bool:
    """Whether two lists of names come in different orders: b, a, c is no answer for a, b, c where an order was asked
    for. Numbers say their order themselves."""
    match reference, got:
        case Seq("", "", left), Seq("", "", right):
            return all(isinstance(item, Sym | Text) for item in left + right) and left != right
    return False


def _closed(node: Node) -> Node:
    match node:
        case Seq("(" | "[", ")" | "]", (low, high)):
            return Seq("[", "]", (low, high))
        case Joined(ops, sides):
            return Joined(ops, tuple(map(_closed, sides)))
        case Rel(("in",), (name, value)):
            return Rel(("in",), (name, _closed(value)))
    return node


# For math-verify, which compares text ---------------------------------------------------------------------------------


def plain_percent(hints: Hints, text: str) -> str:
    """The text without percent signs, where percent was asked for."""
    return re.sub(r"\\?%", "", text) if hints.percent else text


def decimals(hints: Hints) -> int | None:
    """The decimals that the question asks for, if it does."""
    return None if hints.step is None or hints.step >= 1 else len(str(hints.step.denominator)) - 1
