r"""Answers with something around them: a condition behind the answer, or a label in front.

    read(r"k\pi \text{ where } k \in \mathbb{Z}")   ->  Given(k\pi, ("Z",))
    read(r"\{k\pi : k \in \mathbb{Z}\}")            ->  the same
    read(r"\min f(x) = 7")                          ->  Rel(("=",), (Text(r"\min f(x)"), Num(7)))

Only conditions that are understood to the last word are taken off: "for all x", a domain, a bound. "7 if n is odd" is
not 7, and is not read.
"""

import re
from functools import lru_cache

from stages.lib.verifier.limits import Guarded, Unparsed
from stages.lib.verifier.parser import parse
from stages.lib.verifier.tree import Given, Node, Rel, Seq, Text, symbols

_TAIL = re.compile(
    r"[\s,;(]*(?:\\text\s*\{[\s,;]*(?:for|where|with)\b|\b(?:for|where|with)\s|\\forall)(?P<condition>.*)", re.DOTALL
)
_FOR_ALL = re.compile(  # a quantifier of one variable, anywhere
    r"\\text\s*\{[\s,]*for (?:all|any|every|each)(?: real| positive)?(?: integers?| numbers?)?\s*\}\s*[a-z]\s*"
    r"(?:\\in\s*\\mathbb\s*\{?[A-Z]\}?(?:\^\{?[+*]\}?)?)?"
)
_IN_BRACKETS = re.compile(r"(?P<value>.+)(?<=[\s,;}\d)])\((?P<condition>[^()]*\\in[^()]*)\)", re.DOTALL)
_ALSO = re.compile(r"(?P<value>.*\S)\s*\((?P<condition>[^()]*(?:\\ne|<|>|\\le|\\ge)[^()]*)\)", re.DOTALL)
_SET = re.compile(r"\\\{(?P<value>[^|:]+)[|:](?P<condition>[^|:]*\\in[^|:]*)\\\}", re.DOTALL)
_WRAPPER = re.compile(r"\\text\s*\{([^{}]*)\}")
_DOMAIN = re.compile(r"\\mathbb\s*\{?\s*([NZQRC])\s*\}?((?:[\^_]\s*(?:\{[^{}]*\}|[+*0-9]))*)")
_DOMAIN_WORDS = (  # the first that fits
    (r"(?:non-?negative|nonnegative) integers?", "N0"), (r"(?:positive integers?|natural numbers?)", "Z+"),
    (r"integers?", "Z"), (r"positive reals?(?: numbers?)?", "R+"), (r"(?:real numbers?|reals?)(?: constants?)?", "R"),
    (r"rationals?(?: numbers?)?", "Q"), (r"complex(?: numbers?)?", "C"),
)  # fmt: skip
_BOUND = re.compile(r"\\?[a-zA-Z](?:_\{?\w\}?)?\s*(<|>|\\le|\\ge|\\ne)\s*(-?\d+)")
_QUANTIFIERS = re.compile(
    r"\b(?:all|any|every|each|some|an?|is|are|be|being|arbitrary|constants?|numbers?|values?|parameters?|the|real|fixed|"
    r"and|where|of|for|in|with)\b|\\in\b|\\forall\b|\\mathbb|[{}(),;.:$]|\\(?=\s|$)"
)
_VARIABLE = re.compile(r"\\?\b[a-zA-Z](?:_\{?\w\}?)?(?:\([a-z]\))?(?![a-zA-Z])|\\[a-z]+(?![a-zA-Z])")
_LABEL = re.compile(
    r"""(?:\\(?:min|max|lim|deg|dim|det|sup|inf|angle|operatorname|text|mathrm|Pr|triangle|\#)(?![a-z])|m\s*\\angle|\#
    |\\mathbb\s*\{?[PE]|[A-Za-z](?:_\{?\w+\}?)?'*\s*[(\[]|\\frac\s*\{\\?(?:mathrm\s*\{)?d|\|[A-Z]\|).*""",
    re.VERBOSE | re.DOTALL,
)
_OPEN, _CLOSE = frozenset("([{"), frozenset(")]}")


def read(text: str) -> Node:
    """The tree of a tidy answer, with what stands around it.

    Raises:
        Unparsed: not in the language of answers. Guarded: too large.
    """
    found = _read(text)
    if isinstance(found, Exception):
        raise type(found)(str(found))
    return found


@lru_cache(maxsize=16_384)
def _read(text: str) -> Node | Guarded | Unparsed:
    try:
        return parse(text)
    except Guarded as error:
        return error
    except Unparsed as error:
        try:
            if (plain := _FOR_ALL.sub(" ", text)) != text:
                return read(plain)
            return _conditional(text) or _labelled(text) or error
        except (Guarded, Unparsed):
            return error


def _conditional(text: str) -> Node | None:
    if match := _SET.fullmatch(text) or _IN_BRACKETS.fullmatch(text):
        value, condition = match["value"] or "", match["condition"]
    elif match := _TAIL.search(text):
        value, condition = text[: match.start()], match["condition"]
    elif match := _ALSO.fullmatch(text):
        return _both(match["value"], match["condition"])
    else:
        return None
    found = domains(condition)
    if found is None or not value.strip():
        return None
    return Given(read(value.strip(" ,;")), found)


def _both(value: str, condition: str) -> Node | None:
    """x > 1 (x is not 2) are two relations on one unknown."""
    left, right = read(value.strip(" ,;")), read(condition.strip())
    if isinstance(left, Rel) and isinstance(right, Rel) and symbols(left) == symbols(right):
        return Seq("", "", (left, right), "and")
    return None


def domains(condition: str) -> tuple[str, ...] | None:
    """The domains that a condition names, in order of the alphabet; None if it says anything else."""
    text = _WRAPPER.sub(r" \1 ", condition).replace(r"\text", " ")
    found = [_domain(match[1], match[2]) for match in _DOMAIN.finditer(text)]
    text = _DOMAIN.sub(" ", text)
    found += [squeezed[1] + squeezed[2] for squeezed in _BOUND.finditer(text)]
    text = _BOUND.sub(" ", text)
    for pattern, name in _DOMAIN_WORDS:
        text, count = re.subn(rf"\b{pattern}\b", " ", text)
        found += [name] * bool(count)
    rest = _VARIABLE.sub(" ", _QUANTIFIERS.sub(" ", text))
    return tuple(sorted(set(found))) if not rest.strip() else None


def _domain(name: str, mark: str) -> str:
    mark = re.sub(r"[\s{}^_]", "", mark)
    return {"N": "Z+", "N0": "N0", "Z+": "Z+"}.get(name + mark, name + mark)


def _labelled(text: str) -> Node | None:
    """A label that is no formula of this grammar, an equals sign, and a value."""
    at = _equals_sign(text)
    if at is None or not _LABEL.fullmatch(label := text[:at].strip()):
        return None
    return Rel(("=",), (Text(label.replace(" ", "")), read(text[at + 1 :].strip())))


def _equals_sign(text: str) -> int | None:
    """Where the only equals sign outside brackets stands."""
    depth, found = 0, None
    for at, character in enumerate(text):
        depth += (character in _OPEN) - (character in _CLOSE)
        if character == "=" and not depth:
            if found is not None:
                return None
            found = at
    return found
