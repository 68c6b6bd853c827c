r"""A tidy answer cut into tokens: numbers, letters, words, commands, symbols.

    [t.kind for t in tokenize(r"2\sqrt{3} \text{ cm}")]  ->  ["number", "command", "symbol", "number", "symbol", "text"]

Kinds: number ("4.5e33" whole), letter (one variable), name (a function or constant, `\sin`, `pi`), word (plain or in
`\text{}`), separator (comma, semicolon, and, or), command (any other `\name`), symbol (one character).
"""

import re
from dataclasses import dataclass

from stages.lib.verifier.limits import MAX_DIGITS, MAX_TOKENS, Guarded

_FUNCTIONS = (
    "sin cos tan cot sec csc sinh cosh tanh coth arcsin arccos arctan arccot arcsec arccsc asin acos atan "
    "arcsinh arccosh arctanh ln log lg exp sqrt cbrt abs floor ceil cis tg ctg cotg arctg arcctg cosec sh ch th"
)
FUNCTIONS = frozenset(_FUNCTIONS.split())
CONSTANTS = {"pi": "pi", "infty": "inf", "infinity": "inf", "inf": "inf", "oo": "inf"}
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi psi omega "
    "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega hbar ell aleph"
)
GREEK = frozenset(_GREEK.split())
_TEXT_COMMANDS = "text textbf textit textrm texttt textsf textnormal mbox hbox mathrm operatorname emph textup mathsf"
TEXT_COMMANDS = frozenset(_TEXT_COMMANDS.split())
_SHORT_WORDS = (  # plain words shorter than four letters that are no product of variables
    "cm mm km nm ft kg mg ml mL kL hr hrs min sec mph kph lb lbs oz yd deg am pm AM PM yes no No Yes NO YES all one "
    "two six ten the day mi kJ kW MHz Hz eV keV MeV sq per odd not none DNE dne in II III IV "
    "VI VII VIII IX XI XII rad cms kms gms BC AD BCE CE mA kN kPa Pa"
)
_SEPARATORS = {
    "and": "and", "or": "or", "vee": "or", "lor": "or", "wedge": "and", "land": "and", "或": "or", "或者": "or",
    "和": "and", "且": "and", "与": "and",
}  # fmt: skip
_KNOWN_WORDS = frozenset(_SHORT_WORDS.split())
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,6}(?![\w^{.]))?)
    |(?P<command>\\(?:[a-zA-Z]+|.))
    |(?P<word>[A-Za-z]+|[^\W\d_A-Za-z]+)
    |(?P<symbol>.)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    spaced: bool = False


def tokenize(text: str) -> list[Token]:
    """Tokens of a tidy answer.

    Raises:
        Guarded: more than MAX_TOKENS tokens, or a number of more than MAX_DIGITS digits.
    """
    tokens: list[Token] = []
    at, spaced = 0, False
    while at < len(text):
        match = _TOKEN.match(text, at)
        assert match is not None  # the last alternative takes any character
        kind, value, at = str(match.lastgroup), match[0], match.end()
        if kind == "space":
            spaced = True
            continue
        if kind == "number" and len(value) > MAX_DIGITS:
            raise Guarded(f"number of {len(value)} digits")
        if kind == "command" and value[1:] in TEXT_COMMANDS:
            content, at = _group(text, at)
            tokens.extend(_text_tokens(content, spaced))
        else:
            tokens.extend(_plain(kind, value, spaced))
        spaced = False
        if len(tokens) > MAX_TOKENS:
            raise Guarded(f"more than {MAX_TOKENS} tokens")
    return tokens


def _plain(kind: str, value: str, spaced: bool) -> list[Token]:
    if kind == "word":
        return _word(value, spaced)
    if kind == "command":
        name = value[1:]
        if name in FUNCTIONS or name in CONSTANTS:
            return [Token("name", name, spaced)]
        if name in GREEK:
            return [Token("letter", value, spaced)]
        if name in _SEPARATORS:
            return [Token("separator", _SEPARATORS[name], spaced)]
    if value in ",;":
        return [Token("separator", value, spaced)]
    return [Token(kind, value, spaced)]


def _word(value: str, spaced: bool) -> list[Token]:
    """A run of letters: separator, function, constant, a word, or else variables side by side (`ab` is a times b)."""
    if value in _SEPARATORS:
        return [Token("separator", _SEPARATORS[value], spaced)]
    if value in FUNCTIONS or value in CONSTANTS:
        return [Token("name", value, spaced)]
    if value in GREEK and len(value) > 2:
        return [Token("letter", "\\" + value, spaced)]
    if len(value) > 2 and value.isascii() and value.isupper() and value not in _KNOWN_WORDS:
        return [Token("letter", value, spaced)]  # a name such as ABC: its letters have an order, so it is no product
    if is_word(value):
        return [Token("word", value, spaced)]
    return [Token("letter", letter, spaced and not i) for i, letter in enumerate(value)]


def is_word(value: str) -> bool:
    """Whether plain letters are a word rather than a product: `east` and `cm` are, `abc` and `RC` are not."""
    if not value.isascii() or value in _KNOWN_WORDS or (value.lower() in _KNOWN_WORDS and len(value) > 2):
        return True
    return len(value) > 3 or (len(value) == 3 and any(c in "eiouEIOU" for c in value))


def _text_tokens(content: str, spaced: bool) -> list[Token]:
    r"""What stands in `\text{...}`: words stay words; a number or formula in it is read like any other."""
    content = content.strip().strip("~ ")
    if not content:
        return []
    if len(content) == 1 and content.isascii() and content.isalpha():
        return [Token("upright", content, spaced)]
    if content in FUNCTIONS or content in CONSTANTS:
        return [Token("name", content, spaced)]
    if content.lower().strip(" ,;") in ("and", "or"):
        return [Token("separator", content.lower().strip(" ,;"), spaced)]
    parts: list[Token] = []
    for match in _TOKEN.finditer(content):
        if match.lastgroup == "word" and match[0] not in _SEPARATORS and match[0] not in FUNCTIONS:
            parts.append(Token("word" if len(match[0]) > 1 or not match[0].isascii() else "upright", match[0], spaced))
        elif match.lastgroup != "space" and match[0] != ".":
            parts.extend(_plain(str(match.lastgroup), match[0], spaced))
    return parts


def _group(text: str, at: int) -> tuple[str, int]:
    """The balanced braces (or the one character) after `at`, and where they end."""
    while at < len(text) and text[at] == " ":
        at += 1
    if at >= len(text) or text[at] != "{":
        return text[at : at + 1], min(at + 1, len(text))
    depth = 0
    for end in range(at, len(text)):
        depth += (text[end] == "{") - (text[end] == "}")
        if not depth:
            return text[at + 1 : end], end + 1
    return text[at + 1 :], len(text)
