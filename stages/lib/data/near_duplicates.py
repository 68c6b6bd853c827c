r"""Near-duplicates between training and benchmark problems, and duplicates within the training set.

    near_duplicates(problems, held_out, words=8, share=0.5)  ->  [NearDuplicate("x-17", "math-500-3", 0.93, False), ...]
    repeated(problems)                                       ->  {"numina-40": "numina-12"}     id -> the first's id

Texts are compared as words, numbers, LaTeX commands and operators (`tokens`). Case, punctuation, dollar signs, LaTeX
spacing and LaTeX styles are removed. Two problems are near-duplicates if their words are equal. They also are if shared
runs of at least `words` words cover at least `share` of the shorter text, and at least 2 x `words` words of it.

- The share is that of the shorter text, so a problem that quotes the other and adds a preamble or a question counts.
- One run is not enough. In a text of a dozen words it may be chance or habit ("find the sum of all positive integers"),
  and one changed word makes another problem. Texts that short are found only if all words are equal.
- Runs in more than PHRASES benchmark problems are set phrases ("where m and n are relatively prime positive integers",
  "please format your answer as"). They do not count and need not be covered.
- Numbers must be equal to be shared. The same problem with other numbers is a near-duplicate if its wording is long
  enough (72 % of the real problems below with every number changed). This is intended: it teaches the same solution.
- Drawings ([asy] code) are left out of the runs, because their commands repeat. Equal texts need equal drawings.

Recall by edit, measured by tests/benchmarks/near_copies.py on AIME24, AMC23, MATH-500, OlympiadBench, Minerva and GSM8K
(2836 problems) with words 8 and share 0.5:

    other spacing, case or LaTeX styles  100 %
    sentences reordered                   96 %
    one word in twenty changed            93 %
    one word in ten changed               89 %
    one word in five changed              34 %

The check reports no overlap between any two of the six benchmarks. (One pair there is the same dice problem in other
words.) It misses translations, and rewordings that leave few runs of `words` words.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from stages.lib.records import Problem

PHRASES = 5  # a run in more benchmark problems than this is a set phrase
Words = tuple[str, ...]


@dataclass(frozen=True)
class NearDuplicate:
    """id: the training problem's; benchmark: the most similar benchmark problem's id; share: share of the shorter text
    that shared runs cover; equal: whether all words are equal."""

    id: str
    benchmark: str
    share: float
    equal: bool


def near_duplicates(
    problems: Iterable[Problem], held_out: Sequence[Problem], words: int, share: float
) -> list[NearDuplicate]:
    """Near-duplicates of held-out problems, each with the most similar one, in the order of `problems`."""
    index = _Index(held_out, words)
    found = ((row.id, index.nearest(row.problem, share)) for row in problems)
    return [NearDuplicate(id_, *nearest) for id_, nearest in found if nearest]


def repeated(problems: Iterable[Problem]) -> dict[str, str]:
    """Map the id of each repeated problem to the id of the first problem with the same words."""
    first: dict[Words, str] = {}
    pairs = ((row.id, first.setdefault(tokens(row.problem), row.id)) for row in problems)
    return {id_: earlier for id_, earlier in pairs if id_ != earlier}


# Texts as words ------------------------------------------------------------------------------------------------------

_DRAWING = re.compile(r"\[asy\].*?\[/asy\]", re.S)
_THOUSANDS = re.compile(r"(?<=\d)(?:,|\{,\}|\\[,!])+(?=\d{3}(?!\d))")
_SPACING = re.compile(r"\\[,;:!>() \[\]\\]")
_WORD = re.compile(
    r"\\[a-z]+|[\u3040-\u30ff\u4e00-\u9fff]|[^\W\d_]+|\d+(?:\.\d+)?"  # commands, CJK signs, words, numbers
    r"|[^\s\w.,;:?\"'`’‘“”${}~\\]"  # operators and brackets
)
_STYLES = frozenset(
    rf"\{name}"
    for name in "left right big bigl bigr quad qquad displaystyle textstyle mathrm text textbf textit mbox mathbf "
    "operatorname".split()
)


def tokens(text: str) -> Words:
    """The words of a text for comparison; a text without words counts as one word."""
    plain = unicodedata.normalize("NFKC", text).lower().replace("−", "-")
    plain = _SPACING.sub(" ", _THOUSANDS.sub("", plain)).replace(r"\dfrac", r"\frac").replace(r"\tfrac", r"\frac")
    return tuple(word for word in _WORD.findall(plain) if word not in _STYLES) or (text.strip(),)


def _runs(text: Words, size: int) -> Iterator[Words]:
    """All runs of `size` neighbouring words, from left to right."""
    return zip(*(text[start:] for start in range(size)), strict=False)


class _Index:
    """Maps each run of words to the held-out problems that hold it: a few look-ups per training word."""

    def __init__(self, held_out: Sequence[Problem], words: int):
        self.words, self.ids = words, [row.id for row in held_out]
        self.equal = {tokens(row.problem): row.id for row in reversed(held_out)}
        self.texts = [tokens(_DRAWING.sub(" ", row.problem)) for row in held_out]
        places: dict[Words, list[int]] = defaultdict(list)
        for number, text in enumerate(self.texts):
            for run in set(_runs(text, words)):
                places[run].append(number)
        self.phrases = {run for run, numbers in places.items() if len(numbers) > PHRASES}
        self.places = {run: numbers for run, numbers in places.items() if run not in self.phrases}

    def nearest(self, problem: str, least: float) -> tuple[str, float, bool] | None:
        """The most similar held-out problem (the first of several) with a share of at least `least`, else None.

        Returns its id, the share, and whether all words are equal.
        """
        text = tokens(problem)
        if text in self.equal:
            return self.equal[text], 1.0, True
        text = tokens(_DRAWING.sub(" ", problem)) if "[asy]" in problem else text
        runs = set(_runs(text, self.words))
        hits = set(chain.from_iterable(self.places[run] for run in runs if run in self.places))
        shares = ((self.share(text, self.texts[number]), -number) for number in hits)
        share, number = max(shares, default=(0.0, 0))
        return (self.ids[-number], round(share, 3), False) if share >= least else None

    def share(self, one: Words, other: Words) -> float:
        """Share of the shorter text that shared runs cover, without set phrases; 0.0 below 2 x `words` words."""
        shorter, longer = (one, other) if len(one) <= len(other) else (other, one)
        theirs, size = set(_runs(longer, self.words)), self.words
        covered, phrase = bytearray(len(shorter)), bytearray(len(shorter))
        for place, run in enumerate(_runs(shorter, size)):
            if run in self.phrases:
                phrase[place : place + size] = b"\1" * size
            elif run in theirs:
                covered[place : place + size] = b"\1" * size
        count = sum(covered)
        needed = sum(1 for hit, free in zip(covered, phrase, strict=True) if hit or not free)
        return count / needed if count >= 2 * size else 0.0
