r"""Matrices, functions by cases and systems of equations: what stands between \begin and \end.

    environment(stream, relation)   ->  Matrix, Cases, or the list of equations that hold together

`relation` is the parser's, and reads one cell.
"""

from collections.abc import Callable

from stages.lib.verifier.limits import MAX_ITEMS, Unparsed
from stages.lib.verifier.stream import Stream
from stages.lib.verifier.tree import Cases, Matrix, Node, Seq, Text

_MATRICES = frozenset(("pmatrix", "bmatrix", "Bmatrix", "matrix", "smallmatrix", "array"))
_ALIGNED = frozenset(("aligned", "align", "gathered", "gather", "split", "alignedat"))
_SYSTEMS = frozenset(("cases", "dcases", "rcases")) | _ALIGNED
_IF = frozenset(("if", "for", "when", "where"))


def environment(stream: Stream, relation: Callable[[], Node]) -> Node:
    r"""What the environment is whose \begin has just been taken.

    Raises:
        Unparsed: another environment, or rows of unequal length. Guarded: nested too deep.
    """
    name = stream.raw_text().rstrip("*")
    if name not in _MATRICES | _SYSTEMS:
        raise Unparsed(f"environment {name}")
    if name == "array":
        stream.raw_group()
    if name in _ALIGNED:
        stream.drop("&")
    stream.down()
    rows = _rows(stream, relation, name in _SYSTEMS)
    stream.depth -= 1
    if not rows or len({len(row) for row in rows}) != 1 or len(rows) * len(rows[0]) > MAX_ITEMS:
        raise Unparsed("rows of unequal length")
    return Matrix(tuple(rows)) if name in _MATRICES else _system(rows)


def _rows(stream: Stream, relation: Callable[[], Node], system: bool) -> list[tuple[Node, ...]]:
    rows: list[tuple[Node, ...]] = []
    while stream.peek().text != r"\end":
        cells = [_cell(stream, relation, system)]
        while stream.accept("&"):
            cells.append(_cell(stream, relation, system))
        if any(isinstance(cell, Matrix) for cell in cells):
            raise Unparsed("a matrix in a matrix")
        rows.append(tuple(cells))
        while stream.peek().text == "\\\\":
            stream.take()
    stream.take()
    stream.raw_group()
    return rows


def _cell(stream: Stream, relation: Callable[[], Node], system: bool) -> Node:
    """A matrix's entry; in a function by cases, a value or a condition, with a comma or full stop behind it."""
    if not system:
        return relation()
    if stream.peek().kind == "word" and stream.peek().text.lower() in _IF:
        stream.take()
    if stream.peek().kind == "word" and stream.peek().text.lower() in ("otherwise", "else"):
        stream.take()
        value: Node = Text("otherwise")
    else:
        value = relation()
    while stream.peek().kind == "separator" or stream.peek().text == ".":
        stream.take()
    return value


def _system(rows: list[tuple[Node, ...]]) -> Node:
    """Equations that hold together, or a function by cases."""
    if len(rows[0]) == 1:
        return Seq("", "", tuple(row[0] for row in rows), "and") if len(rows) > 1 else rows[0][0]
    if len(rows[0]) != 2:
        raise Unparsed("cases of more than a value and a condition")
    return Cases(tuple((row[0], row[1]) for row in rows))
