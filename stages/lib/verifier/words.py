r"""The parser's words: text answers, numbers in words, and units behind a value.

"no solution"       ->  Text("no solution")
"twenty-one"        ->  Num(21)
"5 square inches"   ->  Quantity(Num(5), "inch^2")
"5 squared"         ->  Unparsed: words that change the value are no unit
"""

from fractions import Fraction

from stages.lib.verifier.cursor import Cursor
from stages.lib.verifier.limits import Unparsed
from stages.lib.verifier.tokens import Token
from stages.lib.verifier.tree import Node, Num, Op, Quantity, Text
from stages.lib.verifier.units import (
    APPROXIMATELY,
    CURRENCIES,
    MULTIPLIERS,
    NOT_UNITS,
    NUMBER_WORDS,
    PERCENT,
    unit_name,
)

_NUMBERS = {word: Num(value) for word, value in NUMBER_WORDS.items()}


class Words(Cursor):
    """Reads runs of words; `power` comes with the subclass."""

    def words(self, token: Token) -> Node:
        run = [token.text]
        while self.peek().kind in ("word", "upright"):
            run.append(self.take().text)
        if len(run) > 1 and run[0].lower() in APPROXIMATELY:
            return _NUMBERS.get(run[1].lower()) or Text(" ".join(run))
        if len(run) == 1 and run[0].lower() in APPROXIMATELY | CURRENCIES and self.peek().kind == "number":
            value = self.power()
            return value if run[0].lower() in APPROXIMATELY else Quantity(value, unit_name(run))
        if run[0].lower() in _NUMBERS:
            return self.spelled(run)
        if self.peek().kind in ("number", "command", "letter") or self.peek().text in ("(", "[", "{"):
            raise Unparsed("words before a formula")
        return Text(" ".join(run))

    def spelled(self, run: list[str]) -> Node:
        """A number in words: five, twenty-one, two hundred, three apples."""
        value, rest = _NUMBERS[run[0].lower()], run[1:]
        if self.peek().text == "-" and self.peek(1).kind == "word" and not rest:
            self.take()
            rest = [self.take().text]
        if rest and rest[0].lower() in _NUMBERS:
            unit = _NUMBERS[rest.pop(0).lower()]
            if value.value % 10 or not 20 <= value.value <= 90 or not 1 <= unit.value <= 9:
                raise Unparsed("number words that make no number")
            value = Num(value.value + unit.value)
        return self.with_unit(value, rest)

    def suffix(self, value: Node) -> Node:
        """Words behind a value: a multiplier (million), percent, or a unit."""
        parts: list[str] = []
        while True:
            token = self.peek()
            if token.kind in ("word", "upright") or (
                token.text in ("/", r"\mu") and self.peek(1).kind in ("word", "upright")
            ):
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
        if any(part.lower() in NOT_UNITS or part.lower() in _NUMBERS for part in parts):
            raise Unparsed(f"{' '.join(parts)!r} is no unit")
        return Quantity(value, "%" if parts[0].lower() in PERCENT else unit_name(parts))
