r"""Answers as text: one spelling for what Unicode, LaTeX and habit spell in many ways.

    tidy(r"$\dfrac{1}{2}\,$.")         ->  r"\frac{1}{2}"
    tidy("12,\\!345 − ½")              ->  "12345 - \\frac{1}{2}"
    words(r"\text{The Ellipse}")                 ->  "ellipse"

Nothing here changes a value: commas that may be a list or a thousands separator stay (see `readings`), and so do units,
percent signs and degrees, which the comparison weighs.
"""

import re
import unicodedata
from collections.abc import Callable

from stages.lib.verifier.limits import MAX_ANSWER, Guarded

_UNICODE = {
    **dict.fromkeys("−–—‒﹣－‐‑", "-"),
    **dict.fromkeys("\u00a0\u2009\u202f\u2007\u2008\u200a\u3000", " "),
    **dict.fromkeys("\u200b\u200c\u200d\ufeff\u2060", ""),
    **dict.fromkeys("‘’′ʹ", "'"),
    **dict.fromkeys("“”″", '"'),
    "×": r"\times ", "⋅": r"\cdot ", "·": r"\cdot ", "∙": r"\cdot ", "÷": "/", "∕": "/", "⁄": "/",
    "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "∈": r"\in ", "∪": r"\cup ", "∩": r"\cap ",
    "⩽": r"\le ", "⩾": r"\ge ", "∞": r"\infty ", "√": r"\sqrt ", "°": r"^{\circ}", "±": r"\pm ", "∓": r"\mp ",
    "∅": r"\emptyset ", "ℝ": r"\mathbb{R}", "⟨": r"\langle ", "⟩": r"\rangle ", "∖": r"\setminus ",
    "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ", "…": r"\ldots ", "，": ",", "；": ";",
    "：": ":", "％": "%", "（": "(", "）": ")", "［": "[", "］": "]", "。": ".", "、": ",", "→": r"\to ",
    "∛": r"\sqrt[3]", "∜": r"\sqrt[4]", "∑": r"\sum ", "∏": r"\prod ", "∫": r"\int ", "π": r"\pi ",
    "Ω": r"\Omega ", "∨": r"\vee ", "∧": r"\wedge ", "∀": r"\forall ",
    "€": r"\text{euro}", "£": r"\text{quid}", "¥": r"\text{yen}", "₹": r"\text{rupee}",
    "¢": r"\text{cent}",
}  # fmt: skip
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron rho sigma tau upsilon phi chi "
    "psi omega"
)
_UNICODE |= {
    letter: f"\\{name} "
    for name in _GREEK.split()
    for letter in (unicodedata.lookup(f"GREEK SMALL LETTER {name.upper().replace('LAMBDA', 'LAMDA')}"),)
}
_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n", strict=True))
_SUBSCRIPTS = dict(zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True))
_SUPERSCRIPT_RUN = re.compile(f"[{''.join(_SUPERSCRIPTS)}]+")
_SUBSCRIPT_RUN = re.compile(f"[{''.join(_SUBSCRIPTS)}]+")
_VULGAR = re.compile("[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞]")

_SPACING = re.compile(r"(\\\\)|\\(?:[,;:!> ]|q?quad(?![a-zA-Z])|thinspace|enspace|hfill|hspace\{[^{}]*\})|~")
_SIZING = re.compile(
    r"\\(?:left|right)\.|\\(?:left|right|middle|mleft|mright|bigg?[lrm]?|Bigg?[lrm]?|displaystyle|textstyle|scriptstyle|limits|nolimits"
    r"|rm|bf|it|sf|tt|huge|Huge|large|Large|LARGE|small|tiny|normalsize|boldmath|nobreak|allowbreak|ensuremath)(?![a-zA-Z])"
    r"|\\(?:[hv]?phantom|label|tag\*?|hspace\*?|vspace\*?)\s*\{[^{}]*\}"
)
_COLOUR = re.compile(r"\\(?:text)?color\s*\{[^{}]*\}")
_BIG_GROUP = re.compile(r"(?<=\d)(?:,\s*\\!\s*|\{,\}|\{\s*,\s*\}\s*|\\!\s*,|\\,|\\;|\\ )(?=\d{3}(?!\d))")
_SPACED_GROUP = re.compile(r"(?<![\d.,])\d{1,3}(?:[ ~]\d{3})+(?![\d/])(?!\s*/)")


def _bracketed_unit(match: re.Match[str]) -> str:
    """5 (cm) is 5 cm."""
    return rf"\text{{ {match[1] or match[2]}}}"


_UNIT = r"[a-zA-Z]+(?:\^\{?\d\}?)?"
_WRAP = r"\\(?:text|mathrm|mbox|textrm)"
_REALS_BUT = r"(?:all )?(?:the )?real(?:s| numbers) (?:except|other than|but)(?: for)?"
_RENAMED: dict[str, str | Callable[[re.Match[str]], str]] = {
    rf"(?<=\d)\s*\^?\s*\{{?\s*(?:{_WRAP}\s*\{{)?\s*(?:st|nd|rd|th)\s*\}}{{0,2}}(?![a-zA-Z])": " ",
    r"\\cr(?![a-zA-Z])|\\tabularnewline(?![a-zA-Z])|\\\\\s*\[-?[\d.]+\s*(?:pt|em|ex|mm|cm|in)\]|\\{4}": r"\\\\",
    r"\\[ns]?icefrac(?![a-zA-Z])|\\sfrac(?![a-zA-Z])|\\tfrac(?![a-zA-Z])": r"\\frac",
    r"(?<=\d)\s+(m|km|cm|mm|ft|mi|kg|g)/(s|h|hr|min|L|mL|m|cm)(?![a-zA-Z])": r"\\text{ \1/\2}",
    r"\\lparen(?![a-zA-Z])": "(",
    r"\\rparen(?![a-zA-Z])": ")",
    r"\{\s*:\s*\}|\\colon(?![a-zA-Z])": ":",
    r"\{\s*\}": "",
    r"\{\\(log|ln|sin|cos|tan)\}": r"\\\1",
    r"(?<!\d)\.(?=\\(?:overline|bar|dot)(?![a-zA-Z]))": "0.",
    r"\(\s*\\text\{\s*mod\s*\}\s*([^()]*)\)": r"\\pmod{\1}",
    r"\\mod(?![a-zA-Z])": r"\\pmod ",
    rf"\\frac\{{{_WRAP}\{{\s*({_UNIT})\s*\}}\}}\{{{_WRAP}\{{\s*({_UNIT})\s*\}}\}}": r"\\text{ \1/\2 }",
    rf"\(\s*{_WRAP}\{{\s*([a-zA-Z ]+)\s*\}}\s*\)$|{_WRAP}\{{\s*\(\s*([a-zA-Z ]+)\s*\)\s*\}}$": _bracketed_unit,
    rf"(?<=[\d}}\s])(?:{_WRAP}\{{\s*([kMGmµ]?)\s*\}})?\s*\\Omega\s*$": r"\\text{ \1ohm}",
    r"(?:^|(?<=[\s=+\-(,]))(?:\{\})?[_^]\{?(\d+)\}?\s*C_\{?(\d+)\}?": r"\\binom{\1}{\2}",
    r"(?<=\d)\s*(?:\\text\{\s*to\s*\}|\bto\b)\s*(?=\d)": ":",
    rf"\\text\{{\s*{_REALS_BUT}\s*\}}|\b{_REALS_BUT}\b": r"\\mathbb{R} \\setminus ",
    r"\\setminus\s+(?:x\s*=\s*)?(-?\d+)$": r"\\setminus \\{\1\\}",
    r"\\[dtc]frac(?![a-zA-Z])": r"\\frac",
    r"\\[dt]binom(?![a-zA-Z])": r"\\binom",
    r"\\(?:leqslant|leqq|leq)(?![a-zA-Z])": r"\\le ",
    r"\\(?:geqslant|geqq|geq)(?![a-zA-Z])": r"\\ge ",
    r"\\neq(?![a-zA-Z])": r"\\ne ",
    r"\\(?:lt)(?![a-zA-Z])": "<",
    r"\\(?:gt)(?![a-zA-Z])": ">",
    r"\\(?:backslash)(?![a-zA-Z])": r"\\setminus ",
    r"\\(?:varnothing)(?![a-zA-Z])": r"\\emptyset ",
    r"\\(?:degree|degrees)(?![a-zA-Z])": r"^{\\circ}",
    r"\^\s*\\circ(?![a-zA-Z])": r"^{\\circ}",
    r"\\(?:lbrace)(?![a-zA-Z])": r"\\{",
    r"\\(?:rbrace)(?![a-zA-Z])": r"\\}",
    r"\\(?:lbrack)(?![a-zA-Z])": "[",
    r"\\(?:rbrack)(?![a-zA-Z])": "]",
    r"\\(?:[lr]?vert|mid)(?![a-zA-Z])": "|",
    r"\\(?:dots|cdots|dotsc|dotsb|ldots)(?![a-zA-Z])": r"\\ldots ",
    r"\\(?:simeq|sim)(?![a-zA-Z])": r"\\approx ",
    r"\\var(?=epsilon|phi|theta|rho)": r"\\",
    r"(?:np|numpy|math|sp|sympy)\.(?=[a-z])": "",
    r"(?<=[\w)}])\s?\*\*\s?(?=[\w({\\-])": "^",
    r"(?<=\d)\s*[xX]\s*(?=10\s*\^)": r"\\times ",
    r"<=|=<": r"\\le ",
    r">=": r"\\ge ",
    r"(?<![\d)}])!=": r"\\ne ",
    r"\(\s*\\?b?mod\s+([^()]*)\)": r"\\pmod{\1}",
    r"\\AA(?![a-zA-Z])": r"\\text{angstrom}",
    r"\bRs\b\.?(?=\s*\d)": r"\\text{rupee} ",
    r"\.\.\.": r"\\ldots ",
    r"(?<=[\s\d}])([AaPp])\.?\s?[Mm]\.(?!\w)": r"\1m",
}
_RENAMES = [(re.compile(pattern), by) for pattern, by in _RENAMED.items()]
_FRENCH = re.compile(r"([\[\]])\s*([^\[\]()|]+[,;][^\[\]()|]+)([\[\]])(?=\s*(?:$|\\cup|\\cap|∪))")
_BASE = re.compile(
    r"(?<![0-9A-F])([0-9A-F]{1,200})\s?(?:\\text\{)?\s?\(?\s?(?:in )?base[ -]?\}?\s?(\w{1,9})\s?\)?\s?\}?$"
)
_OPEN_ARRAY = re.compile(r"^\\\{\s*\\begin\{array\}\s*\{[^{}]*\}(.*)\\end\{array\}\s*$", re.DOTALL)
_NESTED_TEXT = re.compile(r"\\(?:text|mathrm|mbox)\s*\{\s*(\\text\{[^{}]*\})([^{}]*)\}")
_CIRCLED = re.compile("[①-⑨]+")
_BRACKET = re.compile(r"[\[(]|\\\{|\\mathbb|\\emptyset")
_DELIMITERS = re.compile(r"(?<!\\)\$+|\\\(|\\\)|(?<!\\)\\\[|(?<!\\)\\\]")
_MARKDOWN = " \t\n*_`"


def tidy(text: str) -> str:
    """One spelling of the answer, without delimiters, spacing and sizing commands and closing punctuation.

    Raises:
        Guarded: longer than MAX_ANSWER.
    """
    if len(text) > MAX_ANSWER:
        raise Guarded(f"answer of {len(text)} characters")
    text = plain_characters(text)
    text = text.replace("\\$", r"\text{dollar} ").strip(" \n\t")
    text = ("{}" + text if text[:1] == "_" and text[1:2].isdigit() else text).strip(_MARKDOWN)
    text = _NESTED_TEXT.sub(r"\1 \2", text)
    text = _DELIMITERS.sub(" ", text)
    text = _BIG_GROUP.sub("", text)
    text = _SIZING.sub("", _COLOUR.sub("", text))
    text = _SPACING.sub(lambda m: m[1] or " ", text)
    for pattern, by in _RENAMES:
        text = pattern.sub(by, text)
    if r"\begin{array}" in text:
        text = _OPEN_ARRAY.sub(r"\\begin{cases}\1\\end{cases}", text)
    if "base" in text:
        text = _BASE.sub(r"\1_{\2}", text)
    text = _FRENCH.sub(_interval, text)
    text = _SPACED_GROUP.sub(lambda m: m[0].replace(" ", "").replace("~", ""), text)
    text = _without_ending(" ".join(text.split()).strip(_MARKDOWN)).strip()
    if r"\cup" in text and not _BRACKET.search(text):  # x < 1 \cup x > 2: inequalities, not sets, are joined
        return text.replace(r"\cup", "or")
    return text


def _interval(match: re.Match[str]) -> str:
    """]a,b[ is (a,b); [a,b] stays."""
    return f"{'[' if match[1] == '[' else '('}{match[2]}{']' if match[3] == ']' else ')'}"


def _without_ending(text: str) -> str:
    """Without closing punctuation and stray backslashes (a loop: a regular expression takes quadratic time here)."""
    end = len(text)
    while end and (text[end - 1] in " \\" or (text[end - 1] in ".,;:" and text[end - 2 : end - 1] != "\\")):
        end -= 1
    return text[:end]


def plain_characters(text: str) -> str:
    """Unicode's minus signs, digits, operators, Greek letters and vulgar fractions in ASCII and LaTeX."""
    if text.isascii():
        return text
    text = _SUPERSCRIPT_RUN.sub(lambda m: "^{" + "".join(_SUPERSCRIPTS[c] for c in m[0]) + "}", text)
    text = _SUBSCRIPT_RUN.sub(lambda m: "_{" + "".join(_SUBSCRIPTS[c] for c in m[0]) + "}", text)
    text = _CIRCLED.sub(lambda m: ", ".join(unicodedata.normalize("NFKC", c) for c in m[0]), text)
    text = _VULGAR.sub(_fraction, text)
    return unicodedata.normalize("NFKC", "".join(_UNICODE.get(c, c) for c in text)).translate(_DIGITS)


def _fraction(match: re.Match[str]) -> str:
    above, below = unicodedata.normalize("NFKC", match[0]).split("⁄")
    return f"\\frac{{{above}}}{{{below}}}"


class _Digits(dict[int, int | str]):
    """Decimal digits of any script (Arabic, Devanagari) as ASCII; looked up once a character."""

    def __missing__(self, code: int) -> int | str:
        character = chr(code)
        self[code] = str(unicodedata.decimal(character)) if character.isdecimal() else _UNICODE.get(character, code)
        return self[code]


_DIGITS = _Digits()

_COMMA_NUMBER = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3})+(?![\d])")
_DECIMAL_COMMA = re.compile(r"(?<=\d)\{\s*,\s*\}(?=\d)")
_ONE_COMMA = re.compile(r"([^,()\[\]{}]*(?<![\d.])0),(\d+[^,]*)")
_ANY_COMMA = re.compile(r"(?<=\d),(?=\d)")


def readings(text: str) -> list[str]:
    """The ways to read a tidy answer's commas: `12,345` is a number or, less likely, a list of two; the first is tried
    first. Commas inside brackets separate elements (a set of 1 and 234), so nothing is joined there. A single comma
    behind a leading 0 may be a decimal comma; those between digits are where semicolons separate."""
    if "," not in text:
        return [text]
    text = _DECIMAL_COMMA.sub(".", text)
    if ";" in text and ", " not in text:
        return [_ANY_COMMA.sub(".", text)]
    if match := _ONE_COMMA.fullmatch(text):
        return [text, f"{match[1]}.{match[2]}"]
    joined = _COMMA_NUMBER.sub(lambda m: m[0].replace(",", "") if not _bracketed(text, m.start()) else m[0], text)
    if joined == text:
        return [text]
    return [joined] if "," in joined and joined.count(",") != text.count(",") and ", " in joined else [joined, text]


def _bracketed(text: str, at: int) -> bool:
    before = text[:at].replace(r"\{", "[").replace(r"\}", "]")
    return sum(map(before.count, "([")) > sum(map(before.count, ")]"))


_TEXT_COMMAND = re.compile(
    r"\\(?:text(?:bf|it|rm|tt|sf|normal)?|mbox|hbox|mathrm|mathbf|mathsf|operatorname|emph)\s*\{"
)
_ARTICLE = re.compile(r"^(?:the|a|an) ")
_NO_WORD = re.compile(r"[^\w+\-/<>=%!^*|]+|[!*]+$")
_SQUEEZE = re.compile(r"(?<![A-Za-z0-9]) | (?![A-Za-z0-9])")


def squeeze(text: str) -> str:
    """A tidy answer without the spaces that carry no meaning; two answers with one squeeze are equal."""
    return _SQUEEZE.sub("", text)


def words(text: str) -> str:
    """A text answer for comparison: lower case, no LaTeX wrapping, punctuation or leading article."""
    text = _TEXT_COMMAND.sub("{", text)
    text = " ".join(_NO_WORD.sub(" ", text.replace("\\", " ").lower()).split())
    return _ARTICLE.sub("", text)
