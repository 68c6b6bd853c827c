r"""The parser's inner half: powers, numbers, names, brackets, functions, roots.

    Atoms(stream, listing, relation, sum).power()   ->  the node of the next power, such as x_1^2 or \frac{1}{2}

What stands in brackets is read by the three functions of the outer half that `Atoms` is given.
"""

from collections.abc import Callable
from fractions import Fraction

from stages.lib.verifier.environments import environment
from stages.lib.verifier.limits import Unparsed
from stages.lib.verifier.stream import END, Stream, based, block_of, number, recurring
from stages.lib.verifier.terms import (
    combinations,
    digits_of,
    letter,
    minutes,
    over,
    radians,
    raised,
    times,
    transposed,
    vector,
)
from stages.lib.verifier.tokens import CONSTANTS, Token
from stages.lib.verifier.tree import (
    ZERO,
    Const,
    Matrix,
    Node,
    Num,
    Op,
    Quantity,
    Rel,
    Seq,
    Sym,
    Text,
    contains,
    symbols,
)

ACCENTS = frozenset((
    r"\vec", r"\hat", r"\bar", r"\tilde", r"\dot", r"\ddot", r"\mathbf", r"\mathbb", r"\mathcal", r"\overline",
    r"\overrightarrow", r"\boldsymbol", r"\bm", r"\mathfrak", r"\widehat", r"\mathit", r"\mathsf", r"\underline",
))  # fmt: skip
_STYLES = frozenset((r"\mathbf", r"\boldsymbol", r"\bm", r"\mathit", r"\mathsf", r"\underline"))
_VECTORS = frozenset((r"\vec", r"\hat", r"\mathbf", r"\boldsymbol", r"\bm", r"\overrightarrow"))
_FIGURES = frozenset((r"\angle", r"\triangle"))
_CLOSE = {"(": ")", "[": "]"}
_AROUND = {r"\lfloor": (r"\rfloor", "floor"), r"\lceil": (r"\rceil", "ceil"), r"\langle": (r"\rangle", "<")}
_FUNCTION_NAMES = {
    "sqrt": "root", "asin": "arcsin", "acos": "arccos", "atan": "arctan", "lg": "log10", "tg": "tan", "ctg": "cot",
    "arctg": "arctan", "arcctg": "arccot", "cosec": "csc", "sh": "sinh", "ch": "cosh", "th": "tanh", "cotg": "cot",
}  # fmt: skip
_ORDINALS = frozenset(("st", "nd", "rd", "th"))
_OPENERS = frozenset((r"\frac", r"\binom", r"\{", r"\lfloor", r"\lceil", r"\langle", r"\begin", r"\imath")) | ACCENTS
_TRANSPOSED = (Sym("T"), Sym(r"\top"), Sym(r"\intercal"), Sym("t"))


class Atoms:
    """Reads from the parser's stream; `listing`, `relation` and `sum` are the parser's."""

    def __init__(
        self, stream: Stream, listing: Callable[[], Node], relation: Callable[[], Node], sum: Callable[[], Node]
    ):
        self.stream = stream
        self.listing, self.relation, self.sum = listing, relation, sum
        self.bars = 0

    def starts(self) -> bool:
        """Whether a factor follows that juxtaposition multiplies with."""
        token = self.stream.peek()
        if token.kind in ("number", "letter", "name", "upright"):
            return True
        if token.kind == "symbol":
            return token.text in "([{" or (token.text == "|" and not self.bars)
        return token.kind == "command" and token.text in _OPENERS

    # Powers and subscripts ------------------------------------------------------------------------------------------

    def power(self) -> Node:
        base, stream = self.factor(), self.stream
        while True:
            if stream.peek().text == "!" and stream.peek(1).text == "!" and stream.accept("!"):
                stream.take()
                base = Op("!!", (base,))
            elif stream.accept("!"):
                base = Op("!", (base,))
            elif stream.peek().text in ("'", '"') and isinstance(base, Sym | Num | Quantity):
                base = self.primed(base)
            elif stream.accept("_"):
                base = self.subscript(base)
            elif stream.accept("^"):
                base = self.raised(base)
            else:
                return base

    def primed(self, base: Sym | Num | Quantity) -> Node:
        """f' is a name; 42' counts minutes and 42'' seconds of a degree."""
        marks = self.stream.take().text
        while self.stream.peek().text == "'":
            marks += self.stream.take().text
        if isinstance(base, Sym):
            return Sym(base.name + marks)
        if isinstance(base, Quantity):
            raise Unparsed("a quotation mark behind a unit")
        return minutes(base, 2 if marks in ("''", '"') else len(marks))

    def raised(self, base: Node) -> Node:
        stream = self.stream
        if (
            stream.peek().text == "{"
            and stream.peek(1).text in (r"\circ", r"\prime", "'")
            and stream.peek(1).kind != ""
        ):
            return self.mark(base)
        if stream.peek().text == "{" and stream.peek(1).text in _ORDINALS:
            return Quantity(base, stream.raw_text())
        stream.down()
        sign = stream.accept("-", "+")
        exponent = self.argument(whole=True)
        exponent = self.raised(exponent) if stream.accept("^") else exponent
        stream.depth -= 1
        if sign == "-":
            exponent = Op("neg", (exponent,))
        if exponent in _TRANSPOSED and isinstance(base, Matrix | Seq):
            return transposed(base)
        return combinations(base, exponent) or raised(base, exponent)

    def mark(self, base: Node) -> Node:
        """`^{\\circ}` is the unit degree, `^{\\prime}` belongs to the name (or, on a number, counts minutes)."""
        self.stream.expect("{")
        marks = []
        while self.stream.peek().text != "}" and self.stream.peek() is not END:
            marks.append(self.stream.take().text)
        self.stream.expect("}")
        if set(marks) == {r"\circ"}:
            following = self.stream.peek()
            if following.text in ("C", "F") and following.kind in ("letter", "upright"):
                return Quantity(base, "deg" + self.stream.take().text)
            return Quantity(base, "degree")
        if isinstance(base, Sym):
            return Sym(base.name + "'" * len(marks))
        return minutes(base, len(marks)) if isinstance(base, Num) else Op("^", (base, Sym("prime")))

    def subscript(self, base: Node) -> Node:
        if isinstance(base, Num):
            return based(digits_of(base), self.stream.raw_text())
        if not isinstance(base, Sym):
            raise Unparsed("subscript of an expression")
        return Sym(f"{base.name}_{self.stream.raw_text()}")

    # Factors --------------------------------------------------------------------------------------------------------

    def factor(self) -> Node:
        token = self.stream.take()
        if token.kind == "number":
            return self.repeating(token)
        if token.kind == "letter" and token.text == "C" and (found := self.chosen()):
            return found
        if token.kind in ("letter", "upright"):
            return letter(token.text)
        if token.kind == "word":
            return Text(token.text)
        if token.kind == "name":
            return Const(CONSTANTS[token.text]) if token.text in CONSTANTS else self.function(token.text)
        if token.kind == "symbol":
            return self.bracketed(token.text)
        if token.kind == "command":
            return self.command(token.text)
        raise Unparsed(f"unexpected {token.text or 'end'!r}")

    def chosen(self) -> Node | None:
        """C(5,2), the number of combinations."""
        ahead = [self.stream.peek(i) for i in range(5)]
        if [t.text for t in ahead[::2]] != ["(", ",", ")"] or not ahead[1].kind == ahead[3].kind == "number":
            return None
        self.stream.at += 5
        return Op("binom", (number(ahead[1].text), number(ahead[3].text)))

    def repeating(self, token: Token) -> Node:
        r"""A number; 0.1\overline{6}, 0.1\dot{6}, 0.1(6) and 0.1666... are 1/6."""
        if "." not in token.text:
            return number(token.text)
        stream, found = self.stream, None
        if stream.peek().text in (r"\overline", r"\bar", r"\dot"):
            found = recurring(token.text, self.block())
        elif stream.peek().text == "(" and not stream.peek().spaced and stream.peek(2).text == ")":
            if stream.peek(1).kind == "number" and stream.peek(1).text.isdigit():
                found = recurring(token.text, stream.peek(1).text)
                stream.at += 3
        if stream.accept(r"\ldots") and found is None:
            block = block_of(token.text)
            if block is None:
                raise Unparsed("a decimal that goes on unsaid")
            found = recurring(*block)
        return found or number(token.text)

    def block(self) -> str:
        """The digits under a bar, or from the first to the last under a dot."""
        digits = ""
        while self.stream.peek().text in (r"\overline", r"\bar", r"\dot"):
            dot = self.stream.take().text == r"\dot"
            digits += self.stream.raw_text()
            if dot and self.stream.peek(1).text == r"\dot" and self.stream.peek().kind == "number":
                digits += self.stream.take().text
        if not digits.isdigit():
            raise Unparsed("overline of more than digits")
        return digits

    # Brackets -------------------------------------------------------------------------------------------------------

    def bracketed(self, text: str) -> Node:
        if text == "{":
            value = self.listing()
            self.stream.expect("}")
            return value
        if text in ("(", "["):
            return self.sequence(text)
        if text == "|":
            self.bars += 1
            value = self.sum()
            self.stream.expect("|")
            self.bars -= 1
            return Op("abs", (value,))
        raise Unparsed(f"unexpected {text!r}")

    def sequence(self, opening: str) -> Node:
        bars, self.bars = self.bars, 0
        value = self.listing()
        closing = self.stream.accept(")", "]")
        self.bars = bars
        if not closing:
            raise Unparsed("open bracket")
        if isinstance(value, Seq) and not value.open:
            return Seq(opening, closing, value.items)
        if _CLOSE[opening] != closing:
            raise Unparsed("brackets do not match")
        return value

    def set(self) -> Node:
        if self.stream.accept(r"\}"):
            return Seq("{", "}", ())
        if self.stream.peek().kind == "letter" and self.stream.peek(1).text in ("|", ":", r"\in"):
            return self.described()
        value = self.listing()
        self.stream.expect(r"\}")
        if isinstance(value, Rel) and "in" in value.ops:
            raise Unparsed("a set with a condition")
        return Seq("{", "}", value.items if isinstance(value, Seq) and not value.open else (value,))

    def described(self) -> Node:
        r"""`\{x \mid x > 3\}` is what its condition says; `x \in \mathbb{R}` may stand before the bar."""
        name = letter(self.stream.take().text)
        self.bars += 1
        domain = self.sum() if self.stream.accept(r"\in") else Const("all")
        self.bars -= 1
        if not self.stream.accept("|", ":"):
            raise Unparsed("a set without a condition")
        value = self.listing()
        self.stream.expect(r"\}")
        if symbols(value) != {getattr(name, "name", "")}:
            raise Unparsed("a condition on something else")
        if domain == Const("all"):
            return value
        if not isinstance(domain, Seq):
            raise Unparsed("a set of other than real numbers")
        return Seq("", "", (Rel(("in",), (name, domain)), value), "and")

    # Commands -------------------------------------------------------------------------------------------------------

    def command(self, text: str) -> Node:
        if text == r"\{":
            return self.set()
        if text == r"\frac":
            above = self.argument()
            return over(above, self.argument())
        if text == r"\binom":
            return Op("binom", (self.argument(), self.argument()))
        if text in _AROUND:
            closing, kind = _AROUND[text]
            value = self.listing()
            self.stream.expect(closing)
            return Op(kind, (value,)) if kind != "<" else vector(value)
        if text == r"\begin":
            return environment(self.stream, self.relation)
        if text in ACCENTS:
            return self.accented(text)
        if text in _FIGURES:
            return self.figure(text)
        if text in _NAMED:
            return _NAMED[text]
        raise Unparsed(f"unknown command {text}")

    def figure(self, text: str) -> Node:
        r"""`\angle ABC` as one name."""
        name, stream = text, self.stream
        while stream.peek().kind == "letter" or (stream.peek().kind == "word" and stream.peek().text.isupper()):
            name += stream.take().text
            if stream.accept("_"):
                name += "_" + stream.raw_text()
        return Sym(name)

    def accented(self, text: str) -> Node:
        stream = self.stream
        if text == r"\mathbb":
            name = stream.raw_text()
            return self.reals() if name == "R" else Sym(rf"\mathbb {name}")
        whole = stream.peek().text != "{" or stream.peek(2).text != "}"
        if text in _STYLES and whole:
            return self.argument(whole=True)
        if text in (r"\overline", r"\bar") and whole:
            value = self.argument(whole=True)
            return Op("conj", (value,)) if contains(value, "i") else value
        name = stream.raw_text()
        if name.isdigit():
            return number(name)
        if text == r"\mathit":
            return letter(name)
        return Sym(rf"\vec {name}" if text in _VECTORS and name in ("i", "j", "k") else f"{text} {name}".strip())

    def reals(self) -> Node:
        r"""The real line, or its part that `\mathbb{R}^+` or `\mathbb{R}_{\ge 0}` names."""
        stream, start = self.stream, self.stream.at
        mark = "".join(stream.raw_text() for _ in range(2) if stream.accept("^", "_"))
        infinity = Const("inf")
        if mark in ("+", ">0"):
            return Seq("(", ")", (ZERO, infinity))
        if mark in ("-", "<0"):
            return Seq("(", ")", (Op("neg", (infinity,)), ZERO))
        if mark in (r"\ge0", "0+", "+0"):
            return Seq("[", ")", (ZERO, infinity))
        stream.at = start
        return Const("all")

    def function(self, name: str) -> Node:
        stream = self.stream
        name = _FUNCTION_NAMES.get(name, name)
        if name == "root":
            return self.root()
        power = base = None
        while stream.peek().text in ("^", "_") and stream.peek().kind == "symbol":
            if stream.take().text == "^":
                power = Op("neg", (self.argument(),)) if stream.accept("-") else self.argument(whole=True)
            else:
                base = self.argument(whole=True)
        if power == Op("neg", (Num(Fraction(1), None, 1),)) and not name.startswith("arc"):
            name, power = "arc" + name, None
        argument = radians(self.operand())
        if name == "cis":
            value: Node = Op("^", (Const("e"), Op("*", (Const("i"), argument))))
        else:
            value = Op(name, (argument,) + ((base,) if base else ()))
        return Op("^", (value, power)) if power else value

    def root(self) -> Node:
        index: Node = Num(Fraction(2))
        if self.stream.accept("["):
            index = self.sum()
            self.stream.expect("]")
        return Op("root", (self.argument(whole=True), index))

    def operand(self) -> Node:
        """A function's argument: a bracketed group, or the factors that follow up to an operator or function."""
        stream = self.stream
        if stream.peek().text in ("(", "[", "{"):
            return self.factor()
        stream.down()
        negative = bool(stream.accept("-"))
        value = self.power()
        while self.starts() and stream.peek().kind != "name" and stream.peek().text != r"\begin":
            value = times(value, self.power())
        while stream.peek().kind == "name" and stream.peek().text in CONSTANTS:
            value = times(value, self.power())
        stream.depth -= 1
        return Op("neg", (value,)) if negative else value

    def argument(self, whole: bool = False) -> Node:
        r"""What a command takes: a group, or one token (`\frac12`: one digit, unless `whole`)."""
        stream = self.stream
        stream.down()
        token = stream.peek()
        if token.kind == "number" and not whole and len(token.text) > 1:
            stream.tokens[stream.at] = Token("number", token.text[1:])
            value: Node = number(token.text[0])
        elif token.kind == "name" and token.text not in CONSTANTS and token.text != "sqrt":
            raise Unparsed("function as an argument")
        else:
            value = self.factor()
        stream.depth -= 1
        return value


_NAMED: dict[str, Node] = {r"\emptyset": Seq("{", "}", ()), r"\ldots": Sym("..."), r"\imath": Const("i")}
_NAMED |= {r"\top": Sym(r"\top"), r"\intercal": Sym(r"\intercal")}
