r"""Reading an answer: tokens to nodes, by recursive descent.

    parse(r"x \in [-2,7]")   ->  Rel(("in",), (Sym("x"), Seq("[", "]", (Num(-2), Num(7)))))

Grammar, loosest first: list (, ; and or) > relation chain > set union > ratio > sum > product > sign > power.
This module reads down to signs, and the units and words behind a value; `atoms` reads the rest: powers to brackets.
What the grammar does not hold (integrals, prose) raises Unparsed.
"""

import re
from fractions import Fraction

from stages.lib.verifier.atoms import Atoms
from stages.lib.verifier.limits import MAX_DIGITS, MAX_ITEMS, Guarded, Unparsed
from stages.lib.verifier.stream import BASE_WORDS, END, Stream, based
from stages.lib.verifier.terms import negative, over, times, total
from stages.lib.verifier.tokens import Token, tokenize
from stages.lib.verifier.tree import Based, Joined, Node, Num, Op, Quantity, Ratio, Rel, Seq, Sym, Text, symbols
from stages.lib.verifier.units import is_physical, product, unit_name
from stages.lib.verifier.words import APPROXIMATELY, EXACTLY, PERCENT, changes_value, scaled, spelled

_RELATIONS = {
    "=": "=", "<": "<", ">": ">", r"\le": "<=", r"\ge": ">=", r"\ne": "!=", r"\in": "in", r"\approx": "approx",
    r"\equiv": "=", r"\to": "to",
}  # fmt: skip
_JOINS = {r"\cup": "cup", r"\cap": "cap", r"\setminus": "minus"}
_CLOSERS = frozenset((")", "]", "}", r"\}"))
_CURRENCIES = frozenset(("dollar", "euro", "quid", "yen", "rupee", "cent", "rs", "usd", "eur", "gbp", "yuan"))
_BASED = re.compile(
    r"(?P<open>\()?(?P<digits>[0-9A-Fa-f]+)\)?_\s*\{?\s*(?:\\text\s*\{)?"
    rf"(?P<base>[2-9]|[12]\d|3[0-6]|{'|'.join(BASE_WORDS)})\}}*"
)
_WORDS = re.compile(r"(?:\\text\s*\{)?\s*([a-zA-Z]+(?:[ -]+[a-zA-Z]+)*)\s*\}?")
_UNIT_LETTERS = frozenset("m s g h N J W V A K L C F T l".split())


def parse(text: str) -> Node:
    """The tree of a tidy answer.

    Raises:
        Unparsed: not in this grammar.
        Guarded: too many tokens or digits, or nested too deep.
    """
    if "_" in text and len(text) < MAX_DIGITS and (match := _BASED.fullmatch(text)):
        if (found := _based(match)) is not None:
            return found
    if (match := _WORDS.fullmatch(text)) and (number_ := spelled(match[1].split())):
        return _quantity(Num(number_[0]), number_[1])
    parser = Parser(tokenize(text))
    node = parser.listing()
    if parser.peek() is not END:
        raise Unparsed(f"unexpected {parser.peek().text!r}")
    return node


def _based(match: re.Match[str]) -> Based | None:
    """A number in another base; letters alone are one only in brackets or in a base that has such digits."""
    found = based(match["digits"], match["base"])
    if found.digits.isdecimal():
        return found
    letters = found.digits.isalpha() and not (found.base > 10 and match["digits"].isupper())
    return None if letters or any(int(digit, 36) >= found.base for digit in found.digits) else found


class Parser(Stream):
    """Reads one answer, or one cell of a matrix, from its tokens."""

    def __init__(self, tokens: list[Token]):
        super().__init__(tokens)
        self.atoms = Atoms(self, self.listing, self.relation, self.sum)

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
        self.accept(r"\approx", "=")
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
        if len(parts) == 2 and isinstance(parts[0], Text):  # Area: 25
            return self.labelled(parts[0], parts[1])
        clock = all(re.fullmatch(r"[0-5]\d", t) for t in texts[1:]) and bool(re.fullmatch(r"\d\d?", texts[0]))
        if clock and isinstance(last := parts[-1], Quantity):  # 3:00 pm
            return Quantity(Ratio((*parts[:-1], last.value), True), last.unit)
        return Ratio(tuple(parts), clock)

    def labelled(self, label: Text, value: Node) -> Node:
        if changes_value(label.words.split()):
            raise Unparsed(f"{label.words!r} is no label")
        return Rel(("=",), (label, value))

    # Arithmetic -----------------------------------------------------------------------------------------------------

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
            elif self.accept(r"\bmod"):
                value = Op("mod", (value, self.unary()))
            elif self.accept("*", r"\cdot", r"\times", r"\ast"):
                value = times(value, self.measured())
            elif self.accept("/", r"\div"):
                value = over(value, self.measured())
            elif self.starts_unit() and not isinstance(value, Text):
                value = self.suffix(value)
            elif self.atoms.starts():
                value = self.adjacent(value)
            else:
                return value

    def measured(self) -> Node:
        """A factor, with the unit behind it: the second factor of 5 m * 3 m."""
        value = self.unary()
        return self.suffix(value) if isinstance(value, Num) and self.starts_unit() else value

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
        if self.peek().kind == "word":
            return self.words(self.take())
        return self.atoms.power()

    def adjacent(self, value: Node) -> Node:
        """Juxtaposition: a mixed number where it can be one, a quantity in two units, else a product."""
        previous, start = self.peek(-1), self.at
        if isinstance(value, Quantity) and value.unit != "%" and self.peek().kind == "number":
            return self.second_quantity(value)
        if isinstance(value, Sym) and self.applied():
            return Sym(f"{value.name}({self.raw_argument()})")
        factor = self.atoms.power()
        if isinstance(value, Num) and value.last is None and _is_proper(factor, self.tokens[start]):
            return Op("+", (value, factor))
        if isinstance(value, Num) and previous.kind == "number" and self.tokens[start].kind == "number":
            return self.mixed(value, factor)
        return times(value, factor)

    def mixed(self, value: Num, factor: Node) -> Node:
        """1 4/5, whose fraction is still being read."""
        if self.accept("/"):
            fraction = Op("/", (factor, self.atoms.power()))
            if value.last is None and _is_proper(fraction, Token("command", r"\frac")):
                return Op("+", (value, fraction))
        raise Unparsed("two numbers side by side")

    def second_quantity(self, first: Quantity) -> Node:
        """6 ft 2 in, or 60 degrees and 42 minutes."""
        second = self.measured() if self.peek(1).kind == "word" else self.atoms.power()
        if not isinstance(second, Quantity):
            raise Unparsed("a number behind a quantity")
        return Op("+", (first, second))

    def applied(self) -> bool:
        """Whether a number in brackets follows: `I(0)` is a value of I, not I times 0."""
        return self.peek().text == "(" and self.peek(1).kind == "number" and self.peek(2).text == ")"

    def raw_argument(self) -> str:
        text = self.peek(1).text
        self.at += 3
        return text

    # Words and units ------------------------------------------------------------------------------------------------

    def starts_unit(self) -> bool:
        """Whether words follow, an upright letter that is a unit's, or a micro sign with either."""
        token, following = self.peek(), self.peek(1)
        if token.text == r"\mu":
            return following.kind in ("word", "upright")
        if token.kind == "upright":
            return token.text in _UNIT_LETTERS or following.kind == "word" or self._in_unit(1)
        return token.kind == "word"

    def _in_unit(self, ahead: int) -> bool:
        return self.peek(ahead).text == "/" and self.peek(ahead + 1).kind in ("word", "upright")

    def words(self, token: Token) -> Node:
        """A run of words: a number in words, an amount of money, or a text."""
        run = [token.text]
        while True:
            if self.peek().kind in ("word", "upright"):
                run.append(self.take().text)
            elif self.peek().text == "-" and self.peek(1).kind == "word":
                self.take()
                run[-1] += "-" + self.take().text
            else:
                return self.run(run)

    def run(self, run: list[str]) -> Node:
        first = run[0].lower()
        ahead = self.peek().kind == "number" or self.peek().text == "-"
        if first in APPROXIMATELY | EXACTLY and (len(run) > 1 or self.peek() is not END):
            return self.run(run[1:]) if len(run) > 1 else self.product()
        if len(run) == 1 and first in ("minus", "negative") and self.peek().kind == "number":
            return negative(self.unary())
        if len(run) == 1 and first in _CURRENCIES and ahead:
            return Quantity(self.unary(), unit_name(run))
        if first in ("the", "so", "answer", "total", "result") and run[-1].lower() in ("is", "are", "equals") and ahead:
            return self.labelled(Text(" ".join(run[:-1])), self.sum())
        if found := spelled(run):
            return _quantity(Num(found[0]), found[1])
        if self.peek().kind in ("number", "command", "letter") or self.peek().text in ("(", "[", "{"):
            raise Unparsed("words before a formula")
        return Text(" ".join(run))

    def suffix(self, value: Node) -> Node:
        """Words behind a value: a multiplier (million), percent, a unit, or what a letter is said to be."""
        parts: list[str] = []
        while True:
            token = self.peek()
            if token.kind in ("word", "upright"):
                parts.append(self.take().text)
            elif (token.text in ("/", r"\mu") and self.peek(1).kind in ("word", "upright")) and self.take():
                parts.append("/" if token.text == "/" else "μ")
            elif token.text == "^" and parts:
                self.take()
                parts.append("^" + "".join(t.text for t in self.raw_group()))
            elif token.text in (r"\cdot", "-") and parts and self.peek(1).kind in ("word", "upright"):
                self.take()
            else:
                return _quantity(value, _with_micro(parts))


def _with_micro(parts: list[str]) -> list[str]:
    """The micro sign goes with the word behind it."""
    joined = "\0".join(parts).replace("μ\0", "µ")
    return joined.split("\0")


def _quantity(value: Node, parts: list[str]) -> Node:
    """A value and the words behind it."""
    if isinstance(value, Sym) and parts and (value.name in ("a", "A") or not is_physical(unit_name(parts))):
        return Text(" ".join((value.name, *parts)))
    scale, parts = scaled(parts) if not isinstance(value, Quantity) else (Fraction(1), parts)
    if scale != 1:
        value = times(value, Num(scale)) if not symbols(value) else value
    if not parts:
        return value
    if changes_value(parts) and not is_physical(unit_name(parts)):
        raise Unparsed(f"{' '.join(parts)!r} is no unit")
    if parts[0].lower() in PERCENT:
        parts = ["%", *parts[1:]]
    unit = "%" if parts == ["%"] else unit_name(parts)
    if isinstance(value, Quantity):
        unit = product(value.unit, unit_name(parts))
        value = value.value
    return Quantity(value, unit) if unit else value


def _is_proper(node: Node, first: Token) -> bool:
    """Whether a fraction of two written integers is below one, as the fraction of a mixed number is."""
    if not (isinstance(node, Op) and node.kind == "/" and first.text == r"\frac"):
        return False
    above, below = node.args
    if not (isinstance(above, Num) and isinstance(below, Num) and above.last is None and below.last is None):
        return False
    return 0 <= above.value < below.value
