r"""Finds re-solved responses that copy the solution they were shown, or that mention it.

    shared = compare("So x is 3.", guide)      Shared(tokens=5, run=2, covered=0)
    near_copy(response, guide, params.copy)    True: too much of the response is also in the guide
    mentions("As the worked solution says")    True

The comparison uses words, numbers and single symbols without case. Formatting is removed first: white space, dollar
signs, LaTeX's spaces and bracket sizes, emphasis, GSM8K's <<2+3=5>>. So the check needs no tokenizer, and reformatting
hides no copy.

Time is linear in both texts for any input: the response is read once through a suffix automaton of the guide (Blumer et
al. 1985, "The smallest automaton recognizing the subwords of a text"). Sets of n-grams give the same `covered` in two
thirds of the time (27,680 pairs of real solutions and edited copies), but no `run`. Without `copy.run` the check finds
fewer edited copies (one word in 10 changed: 74.0 % instead of 75.6 %). Sets of runs as long as half a response would
take quadratic time.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from stages.lib.run.params import Copy

LONGEST = 50_000  # tokens of each text that are compared: far more than a context window holds
_LOOKS = re.compile(
    r"<<[^<>]*>>"  # GSM8K's calculator notes
    r"|\\(?:left|right|[bB]igg?[lr]?|displaystyle|quad|qquad|text(?:bf|it|rm)?|math(?:rm|bf|it))(?![a-zA-Z])"
    r"|\\[,;:!()\[\] \\]|[$&~*`#]"
)
_SPELLINGS = re.compile(r"\\[dtc]frac(?![a-zA-Z])")
_TOKEN = re.compile(r"\\[a-zA-Z]+|[^\W\d_]+|\d+|[^\w\s]|_")

# Phrases that mention a solution that was shown. Not matched: "the solution of the equation", "the solution set", "the
# given equation", "the solution above the x-axis", "the above reasoning". tests/rewriting/mentions.py has both kinds.
_SHOWN = r"""(?:worked(?:[ -]out)?|provided|reference|given|supplied|presented|suggested|sample|example|model|partial
    |official|(?:expert|author|teacher)(?:['’]?s)?)"""
_TEXT = r"(?:solutions?|demonstration|explanation|derivation|reasoning|walkthrough)"
_STEPS = r"(?:steps|hints?|example|method|approach|working|argument)"
_SAYS = (
    r"(?:says?|states?|suggests?|notes?|mentions?|explains?|points?\sout|claims?|tells?|indicates?|demonstrates?|uses?)"
)
_NO_MATHS = r"""(?!\s(?:sets?|curves?|spaces?|of|to|for|from|in(?!\s(?:the\sprompt|other\swords)\b)|path|by|satisf\w+
    |contain\w+)\b)"""
_THE = r"\b(?:the|this|that|these|those|your)"
_READ = r"""(?:look(?:ing|ed)?\sat|read(?:ing)?|refer(?:ring|red)?\sto|follow(?:ing|ed)?|understand|understood
    |paraphras(?:e|ing)|summari[sz](?:e|ing)|rewrit(?:e|ing)|restat(?:e|ing)|copy(?:ing)?)"""
_MENTION = re.compile(
    rf"""\bworked(?:[ -]out)?\s(?:solution|example|answer)
    |{_THE}\s(?:{_SHOWN},?\s)+(?:answer(?!\schoice)\b|(?:{_TEXT}|{_STEPS})\b{_NO_MATHS})
    |\bthe\sknown\sanswer\b
    |{_THE}\s(?:above|previous)\s(?:\w+\s)?(?:solution|demonstration)\b{_NO_MATHS}
    |{_THE}\s(?:solution|demonstration)\sabove\b(?!\s(?:the|an?|this|that|it|[xy]|satisf\w+)\b|\s[\d$\\])
    |\byour\s(?:solution|demonstration|explanation)\b{_NO_MATHS}
    |{_THE}\s{_TEXT}\s(?:that\s(?:was|is)\s)?
        (?:(?:provided|shown|supplied|presented|given)
            (?:\s(?:above|earlier|here|to\s(?:us|me)|in\sthe\sprompt)\b|(?=[,.;:]))|you\sgave\b)
    |\bthe\s(?:{_TEXT}|answer|hint|example)\s(?:\w+\s)?in\sthe\sprompt\b
    |\bthe\s(?:answer|steps|hint|example)\s(?:provided|supplied)\b(?!\sthat)|\bthe\sexample\s(?:given|shown)\b
    |\bthe\s(?:solution|answer)\s(?:was|is|has\sbeen)\s(?:already\s)?(?:provided|supplied)\b(?!\sthat)
    |\bsolution\s(?:that\s)?(?:we|I)\s(?:were|was|are|am)\s(?:given|shown)\b
    |\b(?:we|I)\s(?:were|was|are|am|have\sbeen)\s(?:given|shown|provided\swith)\s(?:an?|the|this)\s(?:{_SHOWN}\s)?
        (?:solution|demonstration|explanation|hint)\b{_NO_MATHS}
    |\bthe\s(?:solution|demonstration|explanation|hint)(?:\stext)?(?:\salso)?\s{_SAYS}\b
    |\bthe\s(?:demonstration|example\sabove|hint\sabove)\s\w+s\b
    |\b(?:according\sto|as\s(?:\w+\s)?in|based\son|consistent\swith|just\slike|unlike|following)
        \s(?:the|your)\s(?:solution|demonstration|explanation|hint)\b{_NO_MATHS}
    |\b{_READ}\s(?:the|this|that|your)\s(?:solution|demonstration|explanation)\b(?!\s(?:above|as)\b){_NO_MATHS}
    |\b(?:according\sto|per|in|from)\sthe\s(?:answer|solution)\skey\b|\b(?:answer|solution)\skey\s{_SAYS}\b
    |\b(?:using|with|applying|by|from)\sthe\shint\b(?!\sof)
    |\bthe\shint\s(?:given|provided|above)\b
    |\bhalf\sof\sthe\s(?:solution|demonstration)\b(?!\s(?:is|was|with|in|contain\w+)\b)
    |\bas\syou\s(?:showed|explained|wrote)\b|\byou\s(?:provided|supplied)\b
    |\b(?:in|with)\smy\sown\s(?:way|words)\b|\bmy\sown\s(?:version|solution|approach|derivation)\b
    |\bwithout\s(?:copying|looking\sat\sthe\ssolution)\b""",
    re.VERBOSE | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Shared:
    """The overlap of a response with a guide, in tokens.

    tokens: length of the response; run: longest run of consecutive tokens that both texts hold; covered: tokens of the
    response inside shared runs of at least n.
    """

    tokens: int
    run: int
    covered: int


def near_copy(response: str, guide: str, copy: Copy) -> bool:
    """Whether too much of the response is in the guide, as one run or as n-grams (n: `copy.words`) together.

    A response of fewer than 2n tokens is never a copy: a short solution leaves little choice of words.
    """
    shared = compare(response, guide, copy.words)
    long_enough = shared.tokens >= 2 * copy.words
    return long_enough and (shared.run >= copy.run * shared.tokens or shared.covered >= copy.overlap * shared.tokens)


def mentions(response: str) -> bool:
    """Whether the response mentions a given solution, answer or hint, or the request to solve it its own way."""
    return _MENTION.search(" ".join(response.split())) is not None


def compare(response: str, guide: str, n: int) -> Shared:
    """The overlap of both texts: the longest run, and the tokens that n-grams of the guide cover ("coverage" of Grusky
    et al. 2018, "Newsroom", with fragments of at least n)."""
    found = common_suffixes(tokens(response), tokens(guide))
    covered, end = 0, 0  # end: tokens up to here are counted
    for place, length in enumerate(found, 1):
        if length >= n:
            covered += place - max(end, place - length)
            end = place
    return Shared(len(found), max(found, default=0), covered)


def tokens(text: str) -> tuple[str, ...]:
    """Words, numbers, LaTeX commands and single symbols of a text, without formatting."""
    plain = _SPELLINGS.sub(r"\\frac", _LOOKS.sub(" ", text)).casefold()
    return tuple(_TOKEN.findall(plain)[:LONGEST])


def common_suffixes(text: Sequence[str], guide: tuple[str, ...]) -> list[int]:
    """For every position in `text`: the length of the longest run that ends there and is in `guide`."""
    follow, link, length = _automaton(guide)
    found, state, size = [], 0, 0
    for token in text:
        while state and token not in follow[state]:
            state = link[state]
            size = length[state]
        if token in follow[state]:
            state, size = follow[state][token], size + 1
        found.append(size)
    return found


@lru_cache(maxsize=4)  # the responses to one problem follow each other
def _automaton(guide: tuple[str, ...]) -> tuple[list[dict[str, int]], list[int], list[int]]:
    """The suffix automaton: per state the transitions, the suffix link, and the length of its longest run."""
    follow: list[dict[str, int]] = [{}]
    link, length, last = [-1], [0], 0
    for token in guide:
        new = len(follow)
        follow.append({})
        link.append(0)
        length.append(length[last] + 1)
        state = last
        while state >= 0 and token not in follow[state]:
            follow[state][token] = new
            state = link[state]
        if state >= 0:
            link[new] = _split(follow, link, length, state, token)
        last = new
    return follow, link, length


def _split(follow: list[dict[str, int]], link: list[int], length: list[int], state: int, token: str) -> int:
    """The state for the runs of `state` followed by `token`; a state that holds longer runs too is split."""
    target = follow[state][token]
    if length[target] == length[state] + 1:
        return target
    clone = len(follow)
    follow.append(dict(follow[target]))
    link.append(link[target])
    length.append(length[state] + 1)
    link[target] = clone
    while state >= 0 and follow[state].get(token) == target:
        follow[state][token] = clone
        state = link[state]
    return clone
