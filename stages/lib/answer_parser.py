r"""Reading an answer: tokens to nodes, by recursive descent.

    parse(r"x \in [-2,7]")   ->  Rel(("in",), (Sym("x"), Seq("[", "]", (Num(-2), Num(7)))))

Grammar, loosest first: list (, ; and or) > relation chain > set union > ratio > sum > product > sign > power >
factor. What it does not read (integrals, set-builder notation, prose) raises Unparsed and goes to the slow path.
"""

import re
from fractions import Fraction

from stages.lib.answer_limits import MAX_DEPTH, MAX_ITEMS, Guarded, Unparsed
from stages.lib.answer_nodes import (
    Based,
    Const,
    Joined,
    Matrix,
    Node,
    Num,
    Op,
    Quantity,
    Ratio,
    Rel,
    Seq,
    Sym,
    Text,
)
from stages.lib.answer_tokens import CONSTANTS, Token, tokenize
from stages.lib.answer_units import APPROXIMATELY, CURRENCIES, MULTIPLIERS, NOT_UNITS, NUMBER_WORDS, PERCENT, unit_name

_END = Token("end", "")
_RELATIONS = {
    "=": "=", "<": "<", ">": ">", r"\le": "<=", r"\ge": ">=", r"\ne": "!=", r"\in": "in", r"\approx": "approx",
    r"\equiv": "=", r"\to": "to",
}  # fmt: skip
_JOINS = {r"\cup": "cup", r"\cap": "cap", r"\setminus": "minus"}
_ACCENTS = frozenset(
    rf"\{a}" for a in "vec hat bar tilde dot ddot mathbf mathbb mathcal overline overrightarrow boldsymbol bm "
    "mathfrak widehat mathit mathsf underline".split()
)  # fmt: skip
_MATRICES = frozenset("pmatrix bmatrix matrix vmatrix smallmatrix array Bmatrix cases".split())
_CLOSE = {"(": ")", "[": "]"}


def parse(text: str) -> Node:
    """The tree of a tidy answer.

    Raises:
        Unparsed: not in this grammar.
        Guarded: too many tokens or digits, or nested too deep.
    """
    if match := _BASED.fullmatch(text):
        return _based(match["digits"], match["base"])
    parser = _Parser(tokenize(text))
    node = parser.listing()
    if parser.peek() is not _END:
        raise Unparsed(f"unexpected {parser.peek().text!r}")
    return node


_BASED = re.compile(
    r"\(?(?P<digits>[0-9A-Fa-f]*[0-9][0-9A-Fa-f]*)\)?_\s*\{?\s*(?:\\text\s*\{)?(?P<base>\d{1,2}|[a-z]+)\}*"
)
_BASE_WORDS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}


def _based(digits: str, base: str) -> Node:
    number = int(base) if base.isdigit() else _BASE_WORDS.get(base, 0)
    if not 2 <= number <= 36 or any(int(d, 36) >= number for d in digits):
        raise Unparsed("not digits of that base")
    return Based(digits.upper().lstrip("0") or "0", number)


def number(text: str) -> Num:
    """A written decimal, with the weight of its last digit; 27.0 is the integer 27."""
    mantissa, _, exponent = text.lower().partition("e")
    whole, _, decimals = mantissa.partition(".")
    value = Fraction(int(whole + decimals or "0"), 10 ** len(decimals))
    if exponent and abs(int(exponent)) > 400:
        raise Guarded("exponent beyond any measurement")
    scale = Fraction(10) ** int(exponent or 0)
    last = Fraction(1, 10 ** len(decimals)) * scale
    value *= scale
    digits = len((whole + decimals).lstrip("0"))
    exact = not exponent and value.denominator == 1
    return Num(value, None if exact else last, digits, bool(exponent))


class _Parser:
    def __init__(self, tokens: list[Token]):
        self.tokens = tokens
        self.at = 0
        self.depth = 0
        self.bars = 0

    def peek(self, ahead: int = 0) -> Token:
        at = self.at + ahead
        return self.tokens[at] if at < len(self.tokens) else _END

    def take(self) -> Token:
        token = self.peek()
        self.at += 1
        return token

    def accept(self, *texts: str) -> str | None:
        if self.peek().text in texts and self.peek().kind in ("symbol", "command"):
            return self.take().text
        return None

    def expect(self, text: str) -> None:
        if not self.accept(text):
            raise Unparsed(f"expected {text!r}, not {self.peek().text!r}")

    def down(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Guarded(f"nested more than {MAX_DEPTH} deep")

    # Lists, relations, sets ------------------------------------------------------------------------------------------

    def listing(self) -> Node:
        self.down()
        items, joints = [self.relation()], []
        while self.peek().kind == "separator":
            joint = self.take().text
            while self.peek().kind == "separator":
                joint = self.take().text
            if self.peek() is _END or self.peek().text in (")", "]", "}", r"\}"):
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
                terms = [Op(operator[1:], (_add(terms), term))]
            else:
                terms.append(Op("neg", (term,)) if operator == "-" else term)
        self.depth -= 1
        return _add(terms)

    def product(self) -> Node:
        value = self.unary()
        while True:
            if self.accept("*", r"\cdot", r"\times", r"\ast"):
                value = _multiply(value, self.unary())
            elif self.accept("/", r"\div"):
                value = Op("/", (value, self.unary()))
            elif self.peek().kind in ("word", "upright") and not isinstance(value, Text):
                value = self.suffix(value)
            elif self.starts_factor():
                value = self.adjacent(value)
            else:
                return value

    def adjacent(self, value: Node) -> Node:
        """Juxtaposition: a mixed number where it can be one, else a product."""
        previous = self.peek(-1)
        start = self.at
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
        return _multiply(value, factor)

    def starts_factor(self) -> bool:
        token = self.peek()
        if token.kind in ("number", "letter", "name", "upright"):
            return True
        if token.kind == "symbol":
            return token.text in "([{" or (token.text == "|" and not self.bars)
        return token.kind == "command" and (
            token.text in (r"\frac", r"\binom", r"\{", r"\lfloor", r"\lceil", r"\langle", r"\begin", r"\imath")
            or token.text in _ACCENTS
        )

    def unary(self) -> Node:
        if self.accept("-"):
            self.down()
            value = self.unary()
            self.depth -= 1
            return Op("neg", (value,))
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
            elif self.peek().text == "%" or (self.peek().text == r"\%"):
                self.take()
                base = Quantity(base, "%")
            elif self.accept("_"):
                base = self.subscript(base)
            elif self.accept("^"):
                base = self.raised(base)
            else:
                return base

    def raised(self, base: Node) -> Node:
        if self.peek().text == "{" and self.peek(1).text in (r"\circ", r"\prime") and self.peek(1).kind == "command":
            return self.mark(base)
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
            text = "".join(t.text for t in self.raw_group())
            return _based(_digits(base), text)
        if not isinstance(base, Sym):
            raise Unparsed("subscript of an expression")
        return Sym(base.name + "_" + "".join(t.text for t in self.raw_group()))

    def raw_group(self) -> list[Token]:
        if not self.accept("{"):
            return [self.take()]
        depth, tokens = 1, []
        while depth:
            token = self.take()
            if token is _END:
                raise Unparsed("open brace")
            depth += (token.text == "{") - (token.text == "}")
            tokens.append(token)
        return tokens[:-1]

    # Factors ---------------------------------------------------------------------------------------------------------

    def factor(self) -> Node:
        token = self.take()
        if token.kind == "number":
            return self.repeating(token)
        if token.kind == "upright":
            return _letter(token.text)
        if token.kind == "letter":
            return _letter(token.text)
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
        digits = "".join(t.text for t in self.raw_group())
        if not digits.isdigit():
            raise Unparsed("overline of more than digits")
        weight = Fraction(1, 10 ** len(token.text.partition(".")[2]))
        return Num(value.value + weight * Fraction(int(digits), 10 ** len(digits) - 1))

    def words(self, token: Token) -> Node:
        run = [token.text]
        while self.peek().kind in ("word", "upright"):
            run.append(self.take().text)
        if len(run) > 1 and run[0].lower() in APPROXIMATELY:
            return NUMBER_WORDS_NODE.get(run[1].lower()) or Text(" ".join(run))
        if len(run) == 1 and run[0].lower() in APPROXIMATELY | CURRENCIES and self.peek().kind == "number":
            value = self.power()
            return value if run[0].lower() in APPROXIMATELY else Quantity(value, unit_name(run))
        if run[0].lower() in NUMBER_WORDS_NODE:
            value = NUMBER_WORDS_NODE[run[0].lower()]
            return self.with_unit(value, run[1:]) if len(run) > 1 else value
        if self.peek().kind in ("number", "command", "letter") or self.peek().text in ("(", "[", "{"):
            raise Unparsed("words before a formula")
        return Text(" ".join(run))

    def suffix(self, value: Node) -> Node:
        """Words behind a value: a multiplier (million), percent, or a unit."""
        parts: list[str] = []
        while True:
            token = self.peek()
            if token.kind in ("word", "upright") or (token.text == "/" and self.peek(1).kind in ("word", "upright")):
                parts.append(self.take().text)
            elif token.text == "^" and parts:
                self.take()
                parts.append("^" + "".join(t.text for t in self.raw_group()))
            elif token.text in (r"\cdot", "-") and parts and self.peek(1).kind in ("word", "upright"):
                self.take()
            else:
                return self.with_unit(value, parts)

    def with_unit(self, value: Node, parts: list[str]) -> Node:
        while parts and parts[0].lower() in MULTIPLIERS:
            value = Op("*", (value, Num(Fraction(MULTIPLIERS[parts[0].lower()]))))
            parts = parts[1:]
        if not parts:
            return value
        if any(part.lower() in NOT_UNITS for part in parts):
            raise Unparsed(f"{' '.join(parts)!r} is no unit")
        return Quantity(value, "%" if parts[0].lower() in PERCENT else unit_name(parts))

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
        if text == r"\imath":
            return Const("i")
        if text in _ACCENTS:
            return self.accented(text)
        raise Unparsed(f"unknown command {text}")

    def set(self) -> Node:
        if self.accept(r"\}"):
            return Seq("{", "}", ())
        value = self.listing()
        self.expect(r"\}")
        return Seq("{", "}", value.items if isinstance(value, Seq) and not value.open else (value,))

    def accented(self, text: str) -> Node:
        name = "".join(t.text for t in self.raw_group())
        if text == r"\mathbb":
            if name == "R":
                return Const("all")
            return Sym(f"\\mathbb{name}")
        if text in (r"\overline", r"\mathit", r"\mathsf"):
            text = ""
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
        value = Op(name, (self.operand(),) + ((base,) if base else ()))
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
        value = Op("neg", (self.power(),)) if self.accept("-") else self.power()
        while self.starts_factor() and self.peek().kind != "name" and not self.peek().text == r"\begin":
            value = _multiply(value, self.power())
        while self.peek().kind == "name" and self.peek().text in CONSTANTS:
            value = _multiply(value, self.power())
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
        name = "".join(t.text for t in self.raw_group())
        if name.rstrip("*") not in _MATRICES or name == "cases":
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


_AROUND = {
    r"\lfloor": (r"\rfloor", "floor"),
    r"\lceil": (r"\rceil", "ceil"),
    r"\langle": (r"\rangle", "<"),
}
_FUNCTION_NAMES = {"sqrt": "root", "asin": "arcsin", "acos": "arccos", "atan": "arctan", "lg": "log10"}
NUMBER_WORDS_NODE = {word: Num(value) for word, value in NUMBER_WORDS.items()}


def _letter(text: str) -> Node:
    return Const(text) if text in ("e", "i") else Sym(text)


def _add(terms: list[Node]) -> Node:
    return terms[0] if len(terms) == 1 else Op("+", tuple(terms))


def _multiply(left: Node, right: Node) -> Node:
    if isinstance(left, Op) and left.kind == "*":
        return Op("*", (*left.args, right))
    return Op("*", (left, right))


def _vector(value: Node) -> Node:
    return Seq("<", ">", value.items if isinstance(value, Seq) and not value.open else (value,))


def _is_proper(node: Node, first: Token) -> bool:
    """Whether a fraction of two written integers is below one, as the fraction of a mixed number is."""
    if not (isinstance(node, Op) and node.kind == "/" and first.text == r"\frac"):
        return False
    above, below = node.args
    if not (isinstance(above, Num) and isinstance(below, Num) and above.last is None and below.last is None):
        return False
    return 0 <= above.value < below.value


def _digits(node: Num) -> str:
    if node.last is not None or node.value.denominator != 1:
        raise Unparsed("a decimal with a base")
    return str(node.value.numerator)
