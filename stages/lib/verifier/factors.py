r"""The parser's inner half: numbers, names, brackets, functions, roots, matrices.

`Factors` reads what stands between operators; the operators, and `listing` and `sum` which brackets hold, are added by
`parser.Parser`.
"""

from fractions import Fraction

from stages.lib.verifier.cursor import letter, negative, number, times
from stages.lib.verifier.limits import MAX_ITEMS, Unparsed
from stages.lib.verifier.tokens import CONSTANTS, Token
from stages.lib.verifier.tree import Const, Matrix, Node, Num, Op, Quantity, Seq, Sym, symbols
from stages.lib.verifier.words import Words

ACCENTS = frozenset((
    r"\vec", r"\hat", r"\bar", r"\tilde", r"\dot", r"\ddot", r"\mathbf", r"\mathbb", r"\mathcal", r"\overline",
    r"\overrightarrow", r"\boldsymbol", r"\bm", r"\mathfrak", r"\widehat", r"\mathit", r"\mathsf", r"\underline",
))  # fmt: skip
_STYLES = frozenset((r"\mathbf", r"\boldsymbol", r"\bm", r"\mathit", r"\mathsf", r"\underline"))
_FIGURES = frozenset((r"\angle", r"\triangle"))
_MATRICES = frozenset(("pmatrix", "bmatrix", "Bmatrix", "matrix", "smallmatrix", "array"))
_CLOSE = {"(": ")", "[": "]"}
_AROUND = {r"\lfloor": (r"\rfloor", "floor"), r"\lceil": (r"\rceil", "ceil"), r"\langle": (r"\rangle", "<")}
_FUNCTION_NAMES = {"sqrt": "root", "asin": "arcsin", "acos": "arccos", "atan": "arctan", "lg": "log10"}


class Factors(Words):
    """Reads one factor; `listing`, `relation`, `sum` and `power` come with the subclass."""

    def factor(self) -> Node:
        token = self.take()
        if token.kind == "number":
            return self.repeating(token)
        if token.kind == "upright":
            return letter(token.text)
        if token.kind == "letter":
            return letter(token.text)
        if token.kind == "name":
            return Const(CONSTANTS[token.text]) if token.text in CONSTANTS else self.function(token.text)
        if token.kind == "word":
            return self.words(token)
        if token.kind == "symbol":
            return self.bracketed(token.text)
        if token.kind == "command":
            return self.command(token.text)
        raise Unparsed(f"unexpected {token.text or 'end'!r}")

    def repeating(self, token: Token) -> Node:
        r"""A number; `0.1\overline{6}` is 1/6."""
        value = number(token.text)
        if self.peek().text != r"\overline" or "." not in token.text:
            return value
        self.take()
        digits = self.raw_text()
        if not digits.isdigit():
            raise Unparsed("overline of more than digits")
        weight = Fraction(1, 10 ** len(token.text.partition(".")[2]))
        return Num(value.value + weight * Fraction(int(digits), 10 ** len(digits) - 1))

    def bracketed(self, text: str) -> Node:
        if text == "{":
            value = self.listing()
            self.expect("}")
            return value
        if text in ("(", "["):
            return self.sequence(text)
        if text == "|":
            self.bars += 1
            value = self.sum()
            self.expect("|")
            self.bars -= 1
            return Op("abs", (value,))
        raise Unparsed(f"unexpected {text!r}")

    def sequence(self, opening: str) -> Node:
        bars, self.bars = self.bars, 0
        value = self.listing()
        closing = self.accept(")", "]")
        self.bars = bars
        if not closing:
            raise Unparsed("open bracket")
        if isinstance(value, Seq) and not value.open:
            return Seq(opening, closing, value.items)
        if _CLOSE[opening] != closing:
            raise Unparsed("brackets do not match")
        return value

    def command(self, text: str) -> Node:
        if text == r"\{":
            return self.set()
        if text == r"\frac":
            above, below = self.argument(), self.argument()
            return Op("/", (above, below))
        if text == r"\binom":
            return Op("binom", (self.argument(), self.argument()))
        if text in _AROUND:
            closing, kind = _AROUND[text]
            value = self.listing()
            self.expect(closing)
            return Op(kind, (value,)) if kind != "<" else _vector(value)
        if text == r"\begin":
            return self.matrix()
        if text == r"\emptyset":
            return Seq("{", "}", ())
        if text == r"\ldots":
            return Sym("...")
        if text == r"\imath":
            return Const("i")
        if text in ACCENTS:
            return self.accented(text)
        if text in _FIGURES:
            return self.figure(text)
        raise Unparsed(f"unknown command {text}")

    def set(self) -> Node:
        if self.accept(r"\}"):
            return Seq("{", "}", ())
        if self.peek().kind == "letter" and self.peek(1).text in ("|", ":", r"\in"):
            return self.described()
        value = self.listing()
        self.expect(r"\}")
        return Seq("{", "}", value.items if isinstance(value, Seq) and not value.open else (value,))

    def described(self) -> Node:
        r"""`\{x \mid x > 3\}` is what its condition says; `x \in \mathbb{R}` may stand before the bar."""
        name = letter(self.take().text)
        if self.accept(r"\in") and self.sum() != Const("all"):
            raise Unparsed("a set of other than real numbers")
        if not self.accept("|", ":"):
            raise Unparsed("a set without a condition")
        value = self.listing()
        self.expect(r"\}")
        if symbols(value) != {name.name}:
            raise Unparsed("a condition on something else")
        return value

    def figure(self, text: str) -> Node:
        r"""`\angle ABC` as one name."""
        name = text
        while self.peek().kind == "letter":
            name += self.take().text
            if self.accept("_"):
                name += "_" + self.raw_text()
        return Sym(name)

    def accented(self, text: str) -> Node:
        if (text in _STYLES or text == r"\overline") and (self.peek().text != "{" or self.peek(2).text != "}"):
            return self.argument(whole=True)
        name = self.raw_text()
        if name.isdigit():
            return number(name)
        if text == r"\mathbb":
            if name == "R":
                return Const("all")
            return Sym(rf"\mathbb {name}")
        return Sym(f"{text} {name}".strip())

    def function(self, name: str) -> Node:
        name = _FUNCTION_NAMES.get(name, name)
        if name == "root":
            return self.root()
        power = base = None
        while self.peek().text in ("^", "_") and self.peek().kind == "symbol":
            if self.take().text == "^":
                power = Op("neg", (self.argument(),)) if self.accept("-") else self.argument(whole=True)
            else:
                base = self.argument(whole=True)
        if power == Op("neg", (Num(Fraction(1), None, 1),)) and not name.startswith("arc"):
            name, power = "arc" + name, None
        value = Op(name, (_radians(self.operand()),) + ((base,) if base else ()))
        return Op("^", (value, power)) if power else value

    def root(self) -> Node:
        index: Node = Num(Fraction(2))
        if self.accept("["):
            index = self.sum()
            self.expect("]")
        return Op("root", (self.argument(whole=True), index))

    def operand(self) -> Node:
        """A function's argument: a bracketed group, or the factors that follow up to an operator or function."""
        if self.peek().text in ("(", "[", "{"):
            return self.factor()
        self.down()
        value = negative(self.power()) if self.accept("-") else self.power()
        while self.starts_factor() and self.peek().kind != "name" and self.peek().text != r"\begin":
            value = times(value, self.power())
        while self.peek().kind == "name" and self.peek().text in CONSTANTS:
            value = times(value, self.power())
        self.depth -= 1
        return value

    def argument(self, whole: bool = False) -> Node:
        r"""What a command takes: a group, or one token (`\frac12`: one digit, unless `whole`)."""
        self.down()
        token = self.peek()
        if token.kind == "number" and not whole and len(token.text) > 1:
            self.tokens[self.at] = Token("number", token.text[1:])
            value: Node = number(token.text[0])
        elif token.kind == "name" and token.text not in CONSTANTS and token.text != "sqrt":
            raise Unparsed("function as an argument")
        else:
            value = self.factor()
        self.depth -= 1
        return value

    def matrix(self) -> Node:
        name = self.raw_text()
        if name.rstrip("*") not in _MATRICES:
            raise Unparsed(f"environment {name}")
        if name == "array":
            self.raw_group()
        rows: list[tuple[Node, ...]] = []
        while self.peek().text != r"\end":
            rows.append(self.row())
            if self.peek().text == "\\\\":
                self.take()
        self.take()
        self.raw_group()
        if not rows or len({len(row) for row in rows}) != 1 or len(rows) * len(rows[0]) > MAX_ITEMS:
            raise Unparsed("rows of unequal length")
        return Matrix(tuple(rows))

    def row(self) -> tuple[Node, ...]:
        cells = [self.relation()]
        while self.accept("&"):
            cells.append(self.relation())
        return tuple(cells)


def digits_of(node: Num) -> str:
    """The digits of a written integer."""
    if node.last is not None or node.value.denominator != 1:
        raise Unparsed("a decimal with a base")
    return str(node.value.numerator)


def _radians(node: Node) -> Node:
    """A function's argument, with degrees as the multiples of pi/180 that they are."""
    match node:
        case Quantity(value, "degree"):
            return Op("*", (value, _DEGREE))
        case Op(kind, args):
            return Op(kind, tuple(map(_radians, args)))
    return node


_DEGREE = Op("/", (Const("pi"), Num(Fraction(180))))


def _vector(value: Node) -> Node:
    return Seq("<", ">", value.items if isinstance(value, Seq) and not value.open else (value,))
