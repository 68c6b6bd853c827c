r"""The verdict on one extracted answer, without a clock: spelling first, then structure and value.

    judge("5", "x = 5")                      ->  QuickRuling(True)
    judge(r"\frac{1}{3}", r"\frac{2}{3}")    ->  QuickRuling(False)
    judge(r"\int x dx", r"\frac{x^2}{2}")    ->  QuickRuling(None)       not read here: the slow path decides

All of it runs in the calling process: every step is bounded by the counts in `limits`.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from stages.lib.verifier.asked import fits, subject
from stages.lib.verifier.exact import Undefined
from stages.lib.verifier.limits import Guarded, Unparsed, budget
from stages.lib.verifier.normalize import readings, squeeze, tidy, words
from stages.lib.verifier.question import NONE, Hints
from stages.lib.verifier.reading import read
from stages.lib.verifier.tree import Rel, has_base
from stages.lib.verifier.values import same_value


@dataclass(frozen=True, slots=True)
class QuickRuling:
    """correct: None where this path cannot tell; guarded: it refused the work."""

    correct: bool | None
    guarded: bool = False


# ValueError and ArithmeticError as well: text from a model must not end a run, whatever was forgotten
_UNDECIDED = (Unparsed, Undefined, RecursionError, ArithmeticError, ValueError)
_INTEGER = re.compile(r"[+-]?\d{1,400}")
_DECIMAL = re.compile(r"[+-]?\d+\.\d+")
_LITERAL = re.compile(r"\d{1,4}-\d{1,2}-\d{1,4}|\d+/\d+/\d+|0[bxo][0-9a-fA-F]+")  # a date or code: no arithmetic
_CHOICE = re.compile(r"\(?([A-Z])\)?[.:]?|\(([a-h])\)")
_CHOSEN = re.compile(r"(?:(?:option|choice|answer)\s+)?(?:\(([A-Za-z])\)|([A-Za-z]))\s*[.:)]?", re.IGNORECASE)
_CHOSEN_WITH_TEXT = re.compile(  # (C) Paris; but (A), (C) and (A) or (B) name two
    r"(?:(?:option|choice)\s+)?(?:\(([A-Za-z])\)\s*|([A-Z])\s*[.:)]\s+)(?![,;&/]|and\b|or\b|\(?[A-H]\)?(?:\W|$))(?=\S)(.*)",
    re.DOTALL,
)
_STATED = re.compile(r"(?:the\s+)?(?:correct\s+|final\s+)?(?:answer|option|choice)\s+is\s*:?\s+", re.IGNORECASE)
_TITLE = re.compile(r"([A-H])\s*(?::|-(?=\s))\s*(?=\S)(.*)", re.DOTALL)
_OPTION = re.compile(r"^(?:\\(?:text|textbf|mathrm|mathbf)\s*\{\s*)?\([A-E]\)(?:\s*\}\s*|\s+)(?=\S)")  # (C) 42 for 42
_LETTERS = re.compile(r"\(?[A-H]\)?(?:(?:\s*,\s*|\s+and\s+|\s*,\s*and\s+)?\(?[A-H]\)?)+")
_WRAPPED = re.compile(r"\\(?:text|mbox|textbf|mathrm|mathbf|textrm|textit)\s*\{([^{}]*)\}")


def judge(reference: str, got: str, hints: Hints = NONE) -> QuickRuling:
    """Compare an extracted answer with a reference's text (see `extract.reference_text`)."""
    if _INTEGER.fullmatch(reference) and _INTEGER.fullmatch(got):
        return QuickRuling(int(reference) == int(got))
    return _judge(reference, got, hints)


@lru_cache(maxsize=65_536)
def _judge(reference: str, got: str, hints: Hints) -> QuickRuling:
    try:
        reference, got = tidy(reference), tidy(got)
    except Guarded:
        return QuickRuling(None, guarded=True)
    if not reference or not got:
        return QuickRuling(False)
    if squeeze(reference) == squeeze(got) or _decimal_comma(reference, got):
        return QuickRuling(True)
    if _LITERAL.fullmatch(reference) or _LITERAL.fullmatch(got):
        return QuickRuling(False)
    choice = _choices(reference, got)
    if choice is not None:
        return QuickRuling(choice)
    if subject(hints, reference, got):
        return QuickRuling(True)
    with budget():
        return _readings(_OPTION.sub("", reference), _OPTION.sub("", got), hints)


def _decimal_comma(reference: str, got: str) -> bool:
    """1000,99 for the reference 1000.99: the same digits, so no list was meant."""
    return bool(_DECIMAL.fullmatch(reference)) and got.count(",") == 1 and got.replace(",", ".") == reference


def _choices(reference: str, got: str) -> bool | None:
    """Choice letters: (C) is C is "C. Paris"; None where the reference is no single letter."""
    reference, got = _STATED.sub("", _bare(reference)), _STATED.sub("", _bare(got))
    if match := _CHOICE.fullmatch(reference):
        wanted = match[1] or match[2]
        if chosen := _CHOSEN.fullmatch(got):
            letter = chosen[1] or chosen[2]
            return letter == wanted or (letter.upper() == wanted.upper() and wanted.upper() <= "H")
        if title := _TITLE.fullmatch(got):
            return title[1] == wanted
        with_text = _CHOSEN_WITH_TEXT.fullmatch(got)
        return (with_text[1] or with_text[2]).upper() == wanted.upper() if with_text else None
    with_text = _CHOSEN_WITH_TEXT.fullmatch(reference)
    if with_text and (chosen := _CHOSEN.fullmatch(got)) and (with_text[1] or with_text[2]).isupper():
        return (chosen[1] or chosen[2]).upper() == (with_text[1] or with_text[2])
    if with_text and (also := _CHOSEN_WITH_TEXT.fullmatch(got)):
        return (with_text[1] or with_text[2]).upper() == (also[1] or also[2]).upper()
    if with_text and words(with_text[3]) == words(got):
        return True
    lists = [_LETTERS.fullmatch(side) for side in (reference, got)]
    if all(lists) and "," in reference + got:
        return sorted(re.findall("[A-H]", reference)) == sorted(re.findall("[A-H]", got))
    return None


def _bare(text: str) -> str:
    return " ".join(_WRAPPED.sub(r" \1 ", text).replace("~", " ").split())


def _readings(reference: str, got: str, hints: Hints) -> QuickRuling:
    """Every reading of one side against every reading of the other; one that fits is enough."""
    guarded = understood = False
    for left in readings(reference):
        for right in readings(got):
            try:
                if fits(hints, read(left), read(right)):
                    return QuickRuling(True)
                understood = True
            except Guarded:
                guarded = True
            except _UNDECIDED:
                pass
    if understood or _says_nothing(reference) or _says_nothing(got):
        return QuickRuling(False)
    if not guarded and _prose(reference) and _prose(got):
        return QuickRuling(words(reference) == words(got))
    return QuickRuling(None, guarded)


def _says_nothing(text: str) -> bool:
    """An identity (n^2 = n^2), which any other true statement would equal, or digits in a base inside a formula, whose
    base the slow path does not see."""
    try:
        node = read(readings(text)[0])
        return has_base(node) or (isinstance(node, Rel) and node.ops == ("=",) and same_value(*node.sides))
    except (Guarded, *_UNDECIDED):
        return False


def _prose(text: str) -> bool:
    return bool(re.search(r"[A-Za-z]{3}", _bare(text))) and "\\" not in _bare(text)
