r"""Reading an answer: tokens to nodes, by recursive descent.

    parse(r"x \in [-2,7]")   ->  Rel(("in",), (Sym("x"), Seq("[", "]", (Num(-2), Num(7)))))

Grammar, loosest first: list (, ; and or) > relation chain > set union > ratio > sum > product > sign > power >
factor. What it does not read (integrals, set-builder notation, prose) raises Unparsed and goes to the slow path.
"""

import re
from fractions import Fraction

from stages.lib.verifier.cursor import BASE_WORDS, END, based, negative, times, total
from stages.lib.verifier.factors import ACCENTS, Factors, digits_of
from stages.lib.verifier.limits import MAX_DIGITS, MAX_ITEMS, Guarded, Unparsed
from stages.lib.verifier.tokens import Token, tokenize
from stages.lib.verifier.tree import Joined, Matrix, Node, Num, Op, Quantity, Ratio, Rel, Seq, Sym, Text

_RELATIONS = {
    "=": "=", "<": "<", ">": ">", r"\le": "<=", r"\ge": ">=", r"\ne": "!=", r"\in": "in", r"\approx": "approx",
    r"\equiv": "=", r"\to": "to",
}  # fmt: skip
_JOINS = {r"\cup": "cup", r"\cap": "cap", r"\setminus": "minus"}
_ORDINALS = frozenset(("st", "nd", "rd", "th"))
_OPENERS = frozenset((r"\frac", r"\binom", r"\{", r"\lfloor", r"\lceil", r"\langle", r"\begin", r"\imath"))
_OPENERS |= ACCENTS
_CLOSERS = frozenset((")", "]", "}", r"\}"))
_BASED = re.compile(
    r"\(?(?P<digits>[0-9A-Fa-f]*[0-9][0-9A-Fa-f]*)\)?_\s*\{?\s*(?:\\text\s*\{)?"
    rf"(?P<base>[2-9]|[12]\d|3[0-6]|{'|'.join(BASE_WORDS)})\}}*"
)


def parse(text: str) -> Node:
    """The tree of a tidy answer.

    Raises:
        Unparsed: not in this grammar.
        Guarded: too many tokens or digits, or nested too deep.
    """
    if "_" in text and len(text) < MAX_DIGITS and (match := _BASED.fullmatch(text)):
        found = based(match["digits"], match["base"])
        if found.digits.isdecimal() or all(int(digit, 36) < found.base for digit in found.digits):
            return found
    parser = Parser(tokenize(text))
    node = parser.listing()
    if parser.peek() is not END:
        raise Unparsed(f"unexpected {parser.peek().text!r}")
    return node


class Parser(Factors):
    """Reads operators, from the loosest (`listing`) to the tightest (`power`)."""

    def listing(self) -> Node:
        self.down()
        items, joints = [self.relation()], []
        while self.peek().kind == "separator":
            joint = self.take().text
            while self.peek().kind == "separator":
                joint = self.take().text
            if self.peek() is END or self.peek().text in _CLOSERS:
                break
            joints.append(joint)
            items.append(self.relation())
            if len(items) > MAX_ITEMS:
                raise Guarded(f"more than {MAX_ITEMS} elements")
        self.depth -= 1
        if len(items) == 1:
            return items[0]
        words = {j for j in joints if j in ("and", "or")}
        return Seq("", "", tuple(items), words.pop() if len(words) == 1 else ",")

    def relation(self) -> Node:
        self.accept(r"\approx")
        sides, ops = [self.union()], []
        while self.peek().text in _RELATIONS and self.peek().kind in ("symbol", "command"):
            ops.append(_RELATIONS[self.take().text])
            sides.append(self.union())
        return Rel(tuple(ops), tuple(sides)) if ops else sides[0]

    def union(self) -> Node:
        sides, ops = [self.ratio()], []
        while self.peek().text in _JOINS:
            ops.append(_JOINS[self.take().text])
            sides.append(self.ratio())
        return Joined(tuple(ops), tuple(sides)) if ops else sides[0]

    def ratio(self) -> Node:
        parts, texts = [self.sum()], [self.peek(-1).text]
        while self.accept(":"):
            start = self.at
            parts.append(self.sum())
            texts.append(self.tokens[start].text)
        if len(parts) == 1:
            return parts[0]
        clock = all(re.fullmatch(r"[0-5]\d", t) for t in texts[1:]) and bool(re.fullmatch(r"\d\d?", texts[0]))
        return Ratio(tuple(parts), clock)

    # Arithmetic ------------------------------------------------------------------------------------------------------

    def sum(self) -> Node:
        self.down()
        terms = [self.product()]
        while operator := self.accept("+", "-", r"\pm", r"\mp"):
            term = self.product()
            if operator in (r"\pm", r"\mp"):
                terms = [Op(operator[1:], (total(terms), term))]
            else:
                terms.append(negative(term) if operator == "-" else term)
        self.depth -= 1
        return total(terms)

    def product(self) -> Node:
        if self.accept("-"):
            self.down()
            value = negative(self.product())
            self.depth -= 1
            return value
        value = self.unary()
        while True:
            if self.accept("%", r"\%"):
                value = Quantity(value, "%")
            elif self.accept(r"\pmod"):
                value = Quantity(value, f"mod {self.raw_text()}")
            elif self.accept("*", r"\cdot", r"\times", r"\ast"):
                value = times(value, self.unary())
            elif self.accept("/", r"\div"):
                value = Op("/", (value, self.unary()))
            elif self.starts_unit() and not isinstance(value, Text):
                value = self.suffix(value)
            elif self.starts_factor():
                value = self.adjacent(value)
            else:
                return value

    def adjacent(self, value: Node) -> Node:
        """Juxtaposition: a mixed number where it can be one, else a product."""
        previous = self.peek(-1)
        start = self.at
        if isinstance(value, Quantity) and self.peek().kind == "number":
            raise Unparsed("one quantity behind another")
        if isinstance(value, Sym) and self.applied():
            return Sym(f"{value.name}({self.raw_argument()})")
        factor = self.power()
        if isinstance(value, Num) and value.last is None and _is_proper(factor, self.tokens[start]):
            return Op("+", (value, factor))
        if isinstance(value, Num) and previous.kind == "number" and self.tokens[start].kind == "number":
            if self.accept("/"):
                below = self.power()
                fraction = Op("/", (factor, below))
                if value.last is None and _is_proper(fraction, Token("command", r"\frac")):
                    return Op("+", (value, fraction))
            raise Unparsed("two numbers side by side")
        return times(value, factor)

    def starts_unit(self) -> bool:
        """Whether words follow, or a micro sign with one."""
        kinds = self.peek().kind, self.peek(1).kind
        return kinds[0] in ("word", "upright") or (self.peek().text == r"\mu" and kinds[1] in ("word", "upright"))

    def applied(self) -> bool:
        """Whether a number in brackets follows: `I(0)` is a value of I, not I times 0."""
        return self.peek().text == "(" and self.peek(1).kind == "number" and self.peek(2).text == ")"

    def raw_argument(self) -> str:
        text = self.peek(1).text
        self.at += 3
        return text

    def starts_factor(self) -> bool:
        token = self.peek()
        if token.kind in ("number", "letter", "name", "upright"):
            return True
        if token.kind == "symbol":
            return token.text in "([{" or (token.text == "|" and not self.bars)
        return token.kind == "command" and token.text in _OPENERS

    def unary(self) -> Node:
        if self.accept("-"):
            self.down()
            value = self.unary()
            self.depth -= 1
            return negative(value)
        if self.accept("+"):
            return self.unary()
        if sign := self.accept(r"\pm", r"\mp"):
            return Op(sign[1:], (Num(Fraction(0)), self.unary()))
        return self.power()

    def power(self) -> Node:
        base = self.factor()
        while True:
            if self.accept("!"):
                base = Op("!", (base,))
            elif self.peek().text == "'" and isinstance(base, Sym):
                self.take()
                base = Sym(base.name + "'")
            elif self.accept("_"):
                base = self.subscript(base)
            elif self.accept("^"):
                base = self.raised(base)
            else:
                return base

    def raised(self, base: Node) -> Node:
        if self.peek().text == "{" and self.peek(1).text in (r"\circ", r"\prime") and self.peek(1).kind == "command":
            return self.mark(base)
        if self.peek().text == "{" and self.peek(1).text in _ORDINALS:
            return Quantity(base, self.raw_text())
        self.down()
        sign = self.accept("-", "+")
        exponent = self.argument(whole=True)
        exponent = self.power_of(exponent)
        self.depth -= 1
        if sign == "-":
            exponent = Op("neg", (exponent,))
        if isinstance(base, Matrix) and exponent in (Sym("T"), Sym(r"\top")):
            return Matrix(tuple(zip(*base.rows, strict=True)))
        return Op("^", (base, exponent))

    def power_of(self, exponent: Node) -> Node:
        return self.raised(exponent) if self.accept("^") else exponent

    def mark(self, base: Node) -> Node:
        """`^{\\circ}` is the unit degree, `^{\\prime}` belongs to the name (or, on a number, counts minutes)."""
        self.expect("{")
        marks = []
        while self.peek().kind == "command":
            marks.append(self.take().text)
        self.expect("}")
        if set(marks) == {r"\circ"}:
            return Quantity(base, "degree")
        if isinstance(base, Sym):
            return Sym(base.name + "'" * len(marks))
        return Quantity(base, "arc" + "'" * len(marks)) if isinstance(base, Num) else Op("^", (base, Sym("prime")))

    def subscript(self, base: Node) -> Node:
        if isinstance(base, Num):
            return based(digits_of(base), self.raw_text())
        if not isinstance(base, Sym):
            raise Unparsed("subscript of an expression")
        return Sym(f"{base.name}_{self.raw_text()}")


def _is_proper(node: Node, first: Token) -> bool:
    """Whether a fraction of two written integers is below one, as the fraction of a mixed number is."""
    if not (isinstance(node, Op) and node.kind == "/" and first.text == r"\frac"):
        return False
    above, below = node.args
    if not (isinstance(above, Num) and isinstance(below, Num) and above.last is None and below.last is None):
        return False
    return 0 <= above.value < below.value
