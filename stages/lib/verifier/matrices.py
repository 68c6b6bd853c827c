r"""Sums, products and multiples of matrices, carried out entry by entry; rational entries stay single numbers.

computed_matrix(parse(r"2\begin{pmatrix}1\\3\end{pmatrix}"))   ->  the matrix of 2*1 and 2*3
"""

from collections.abc import Callable

from stages.lib.verifier.exact import Irrational, Undefined, exact
from stages.lib.verifier.limits import Unparsed, spend
from stages.lib.verifier.tree import Matrix, Node, Num, Op, size


def computed_matrix(node: Op) -> Node:
    """The matrix that a sum, product, multiple or negative of matrices is.

    Raises:
        Unparsed: shapes that do not go together.
    """
    args = node.args
    spend(sum(map(size, args)))
    if node.kind == "neg":
        return _each(args[0], lambda cell: Op("neg", (cell,)))
    if node.kind == "/":
        if isinstance(args[1], Matrix):
            raise Unparsed("division by a matrix")
        return _each(args[0], lambda cell: Op("/", (cell, args[1])))
    result: Node = args[0]
    for arg in args[1:]:
        result = _add(result, arg) if node.kind == "+" else _times(result, arg)
    return result


def _each(matrix: Node, change: Callable[[Node], Node]) -> Matrix:
    if not isinstance(matrix, Matrix):
        raise Unparsed("no matrix")
    return Matrix(tuple(tuple(_folded(change(cell)) for cell in row) for row in matrix.rows))


def _add(left: Node, right: Node) -> Node:
    if not isinstance(left, Matrix) or not isinstance(right, Matrix):
        raise Unparsed("sum of a matrix and a number")
    if [len(r) for r in left.rows] != [len(r) for r in right.rows]:
        raise Unparsed("matrices of different shapes")
    rows = zip(left.rows, right.rows, strict=True)
    return Matrix(tuple(tuple(_folded(Op("+", pair)) for pair in zip(*row, strict=True)) for row in rows))


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
    return _folded(Op("+", tuple(Op("*", pair) for pair in zip(row, column, strict=True))))


def _folded(cell: Node) -> Node:
    """A rational entry as one number; another entry as it is, which doubles with every factor: hence the limit."""
    spend(size(cell))
    try:
        return Num(exact(cell))
    except (Irrational, Undefined):
        return cell
