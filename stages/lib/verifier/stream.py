r"""A place in a list of tokens, and the numbers that tokens spell.

stream = Stream(tokenize("2x"))
stream.take().text          ->  "2"
recurring("0.1", "6")       ->  Num(1/6)
"""

from fractions import Fraction

from stages.lib.verifier.limits import MAX_DEPTH, Guarded, Unparsed
from stages.lib.verifier.tokens import Token
from stages.lib.verifier.tree import Based, Num

END = Token("end", "")
BASE_WORDS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}


class Stream:
    """Looks at and takes tokens; counts how deep the parser is, so that deep nesting ends in Guarded."""

    def __init__(self, tokens: list[Token]):
        self.tokens = tokens
        self.at = 0
        self.depth = 0

    def peek(self, ahead: int = 0) -> Token:
        """The token `ahead` places on; END behind the last."""
        at = self.at + ahead
        return self.tokens[at] if at < len(self.tokens) else END

    def take(self) -> Token:
        """The next token, and past it."""
        token = self.peek()
        self.at += 1
        return token

    def accept(self, *texts: str) -> str | None:
        """Past the next token if it is one of these symbols or commands; which."""
        if self.peek().text in texts and self.peek().kind in ("symbol", "command"):
            return self.take().text
        return None

    def expect(self, text: str) -> None:
        """Past this symbol or command.

        Raises:
            Unparsed: something else stands here.
        """
        if not self.accept(text):
            raise Unparsed(f"expected {text!r}, not {self.peek().text!r}")

    def down(self) -> None:
        """One level deeper.

        Raises:
            Guarded: deeper than MAX_DEPTH.
        """
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Guarded(f"nested more than {MAX_DEPTH} deep")

    def drop(self, text: str) -> None:
        """Without a symbol, up to the end of this environment; not inside the environments in it."""
        depth = 0
        for at in range(self.at, len(self.tokens)):
            depth += (self.tokens[at].text == r"\begin") - (self.tokens[at].text == r"\end")
            if depth < 0:
                break
            if not depth and self.tokens[at].text == text:
                self.tokens[at] = Token("", "")
        self.tokens = [token for token in self.tokens if token != Token("", "")]

    def raw_group(self) -> list[Token]:
        """The tokens of a braced group, unread, or the one next token."""
        if not self.accept("{"):
            return [self.take()]
        depth, tokens = 1, []
        while depth:
            token = self.take()
            if token is END:
                raise Unparsed("open brace")
            depth += (token.text == "{") - (token.text == "}")
            tokens.append(token)
        return tokens[:-1]

    def raw_text(self) -> str:
        """A braced group as written."""
        return "".join(token.text for token in self.raw_group())


def number(text: str) -> Num:
    """A written decimal, with the weight of its last digit; 27.0 is the integer 27."""
    mantissa, _, exponent = text.lower().partition("e")
    whole, _, decimals = mantissa.partition(".")
    if exponent and abs(int(exponent)) > 400:
        raise Guarded("exponent beyond any measurement")
    scale = Fraction(10) ** int(exponent or 0)
    value = Fraction(int(whole + decimals or "0"), 10 ** len(decimals)) * scale
    exact = not exponent and value.denominator == 1
    last = None if exact else Fraction(1, 10 ** len(decimals)) * scale
    return Num(value, last, len((whole + decimals).lstrip("0")), bool(exponent))


def recurring(start: str, block: str) -> Num:
    """A decimal whose `block` goes on for ever behind `start`, which holds a decimal point: 0.1 and 6 is 1/6."""
    weight = Fraction(1, 10 ** len(start.partition(".")[2]))
    return Num(number(start).value + weight * Fraction(int(block), 10 ** len(block) - 1))


def block_of(text: str) -> tuple[str, str] | None:
    """Start and block of a decimal that is written out until it repeats: 0.8333 is 0.8 and 3, 0.1212 is 0. and 12."""
    decimals = text.partition(".")[2]
    if len(decimals) > 60:
        return None
    for start in range(min(len(decimals), 12)):
        rest = decimals[start:]
        for size in range(1, len(rest) // 2 + 1):
            block = rest[:size]
            if len(rest) >= max(3, 2 * size) and (block * len(rest))[: len(rest)] == rest:
                return text[: len(text) - len(rest)], block
    return None


def based(digits: str, base: str) -> Based:
    """Digits with a base in figures or words (whether they are digits of that base is not this project's to say).

    Raises:
        Unparsed: no base.
    """
    count = int(base) if base.isdigit() else BASE_WORDS.get(base, 0)
    if not 2 <= count <= 36:
        raise Unparsed("no base")
    return Based(digits.upper().lstrip("0") or "0", count)
