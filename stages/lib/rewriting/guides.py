r"""Guides: the part of the expert's solution that a re-solving prompt shows.

    guide("half", problem)                                   "Gains: 5 + 9 = 14."
    make = Guided("solution", tokenizer, params.prompt, params.resolve, context=4096)
    make(problem)                                            GuidedPrompt(ids=[...], shortened=False)

A guide is shortened if it has more than `resolve.guide_tokens` tokens, or if prompt and `resolve.max_new_tokens` exceed
the context window. Only the guide is cut; chat template, system text, problem and instruction stay. Tokenization is not
additive, so limits are checked on the rendered and tokenized whole, never on a sum of parts.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stages.lib.prompts import encode, guided, plain_ids
from stages.lib.records import Problem
from stages.lib.run.errors import StageError
from stages.lib.run.params import ParamsError, Prompt, Resolve

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CUT = "\n..."  # marks the place where a guide was shortened
_FINAL = re.compile(
    r"\\(?:boxed|fbox|framebox)(?![a-zA-Z])|####|<answer>|答案|\banswers?\b|\b(?:option|choice)\s+is\b", re.I
)
_END = re.compile(r"[.!?]+(?=\s)|\n")
_WORD_END = re.compile(r"\S+\Z")
_LONGEST_WORD = 40  # characters; longer text without white space is cut anywhere


class GuideError(StageError):
    """A guided prompt cannot be made; the message names the problem and the remedy."""


@dataclass(frozen=True, slots=True)
class GuidedPrompt:
    """A re-solving prompt as token ids up to the start of the response; `shortened`: its guide was cut."""

    ids: list[int]
    shortened: bool


def guide(kind: str, row: Problem) -> str:
    """The full guide; `kind` is a key of `GUIDES`."""
    return GUIDES[kind](row.solution or "", row.answer)


def first_half(solution: str) -> str:
    """At most half of the solution's words, cut at the end of a nearby line or sentence.

    The cut always stops before a final answer. A one-word solution yields an empty guide.
    """
    words = list(re.finditer(r"\S+", solution))
    end = words[len(words) // 2 - 1].end() if len(words) > 1 else 0
    final = _FINAL.search(solution, 0, end)
    end = min(end, final.start()) if final else end
    ends = [match.end() for match in _END.finditer(solution, 0, end + 1) if match.end() <= end]
    return solution[: ends[-1] if ends and 2 * ends[-1] >= end else end].rstrip()


# All of the solution, the answer alone (STaR's hint), or the solution's first half.
GUIDES = {
    "solution": lambda solution, answer: solution,
    "answer": lambda solution, answer: f"The answer is \\boxed{{{answer}}}.",
    "half": lambda solution, answer: first_half(solution),
}


def known_guide(kind: str) -> str:
    """The kind, if there is a guide of it.

    Raises:
        ParamsError: there is none.
    """
    if kind not in GUIDES:
        raise ParamsError(f"the guide {kind!r} is none of {', '.join(GUIDES)}")
    return kind


class Guided:
    """Makes the guided prompts of one kind. context: the context window in tokens, None if unknown."""

    def __init__(
        self, kind: str, tokenizer: "PreTrainedTokenizerBase", prompt: Prompt, resolve: Resolve, context: int | None
    ):
        self.kind, self.tokenizer, self.prompt = kind, tokenizer, prompt
        self.context, self.response = context, resolve.max_new_tokens
        self.guide_tokens = resolve.guide_tokens if kind != "answer" else None  # half an answer would mislead

    def __call__(self, row: Problem) -> GuidedPrompt:
        """The prompt of one problem.

        Raises:
            GuideError: the prompt does not fit the context window, even with an empty guide.
        """
        whole = guide(self.kind, row)
        ids = self._encoded(row, whole)
        if self._fits(ids, whole):
            return GuidedPrompt(ids, shortened=False)
        fewest = self._encoded(row, "" if self.kind != "answer" else whole)
        if self.context and len(fewest) + self.response > self.context:
            raise GuideError(
                f"{row.id}: guided prompt of {len(fewest)} tokens with the shortest guide and resolve.max_new_tokens "
                f"{self.response} exceed the context window of {self.context}; lower it or drop the problem"
            )
        return GuidedPrompt(self._longest(row, whole) or fewest, shortened=True)

    def _longest(self, row: Problem, whole: str) -> list[int] | None:
        """The prompt with as much of the guide as fits (bisection over its characters); None if nothing fits."""
        low, high, best = 0, len(whole), None  # whole[:low] fits or is empty, whole[:high] does not fit
        while high - low > 1:
            middle = (low + high) // 2
            text = shortened(whole, middle)
            ids = self._encoded(row, text)
            if self._fits(ids, text):
                low, best = middle, ids
            else:
                high = middle
        return best

    def _fits(self, ids: list[int], text: str) -> bool:
        if self.context and len(ids) + self.response > self.context:
            return False
        return self.guide_tokens is None or len(plain_ids(self.tokenizer, text)) <= self.guide_tokens

    def _encoded(self, row: Problem, text: str) -> list[int]:
        return encode(self.tokenizer, guided(row.problem, text, self.prompt))


def shortened(text: str, end: int) -> str:
    """At most `end` characters of `text` plus the mark CUT; no word, number or formula is cut in two."""
    kept = text[:end]
    if not text[end : end + 1].isspace() and (word := _WORD_END.search(kept, max(0, end - _LONGEST_WORD))):
        kept = kept[: word.start()]
    return kept.rstrip() + CUT if kept.strip() else ""
