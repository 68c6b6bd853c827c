r"""The steps of a response to an embedded problem, read exactly: in whose way it solves, and which steps are wrong.

    read_terms("4 - 3 + 8 =")                                # [4, -3, 8]; None for text that is no such chain
    check("4 - 9 =", "4 - 9 = -4\n\\boxed{-4}")              # Steps(way="own", taken=1, wrong=1, flaw="wrong_step")

A final answer can be right by two wrong steps that cancel, and the verifier of answers keeps such a response. This
reader knows both ways of the testbed's grammar and nothing else.
"""

import re
from itertools import pairwise
from typing import NamedTuple

OWN, EXPERTS, OTHER = "own", "expert", "other"  # ways
WRONG_STEP, OTHER_TERMS, OTHER_ANSWER = "wrong_step", "other_terms", "other_answer"  # flaws
UNREADABLE = "unreadable_steps"  # begun in one of the ways, and not carried through

_STEP = re.compile(r"(-?\d+) ([+-]) (\d+) = (-?\d+)")
_SUM = r"(\d+(?: \+ \d+)*)(?: = (\d+))?"
_OWN = re.compile(r"((?:-?\d+ [+-] \d+ = -?\d+\n)+)\\boxed\{(-?\d+)\}")
_BEGINS = re.compile(r"Gains: |Add the gains: |In: ")
_EXPERT = re.compile(
    rf"(?:Gains: |Add the gains: |In: ){_SUM}\. (?:Losses: |Add the losses: |Out: ){_SUM}\. "
    r"(?:Net: |Together: |Left: )(-?\d+) - (-?\d+) = (-?\d+)\. (?:The answer is |Hence |So )\\boxed\{(-?\d+)\}\."
)


class Steps(NamedTuple):
    """way: own | expert | other; steps taken and wrong; flaw: why the chain does not prove its answer, or None. Of a
    response in no known way nothing is known: no steps, no flaw."""

    way: str
    taken: int
    wrong: int
    flaw: str | None


def read_terms(problem: str) -> list[int] | None:
    """The signed terms of "4 - 3 + 8 =" or "4 minus 3 plus 8 ="; None for other text."""
    text = problem.replace("minus", "-").replace("plus", "+")
    if not re.fullmatch(r"\d+(?: [+-] \d+)* =", text):
        return None
    return [int(sign + value) for sign, value in re.findall(r"(?:^|([+-]) )(\d+)", text)]


def check(problem: str, response: str) -> Steps:
    """The steps of a response. A slip is counted once: the walk goes on from the number that was written."""
    terms = read_terms(problem)
    if terms is None:
        return Steps(OTHER, 0, 0, None)
    if own := _OWN.fullmatch(response.strip()):
        return _own(terms, own)
    if experts := _EXPERT.fullmatch(response.strip()):
        return _experts(terms, experts)
    for way, begins in ((OWN, _STEP), (EXPERTS, _BEGINS)):
        if begins.match(response.strip()):
            return Steps(way, 0, 0, UNREADABLE)
    return Steps(OTHER, 0, 0, None)


def _own(terms: list[int], found: re.Match[str]) -> Steps:
    steps = [(int(a), int(sign + b), int(c)) for a, sign, b, c in _STEP.findall(found[1])]
    wrong = sum(a + b != c for a, b, c in steps)
    walked = [steps[0][0], *(b for _, b, _ in steps)] == terms
    joined = all(before[2] == after[0] for before, after in pairwise(steps))
    return Steps(OWN, len(steps), wrong, _flaw(wrong, walked and joined, steps[-1][2] == int(found[2])))


def _experts(terms: list[int], found: re.Match[str]) -> Steps:
    gains, won, losses, lost, first, second, net, answer = found.groups()
    sides = [_side(gains, won), _side(losses, lost)]
    given = [sorted(t for t in terms if t >= 0), sorted(-t for t in terms if t < 0) or [0]]
    wrong = sum(sum(values) != total for values, total in sides) + (int(first) - int(second) != int(net))
    joined = [total for _, total in sides] == [int(first), int(second)]
    used = [sorted(values) for values, _ in sides] == given
    return Steps(EXPERTS, 3, wrong, _flaw(wrong, used and joined, int(net) == int(answer)))


def _side(values: str, total: str | None) -> tuple[list[int], int]:
    numbers = [int(value) for value in values.split(" + ")]
    return numbers, int(total) if total else sum(numbers)


def _flaw(wrong: int, terms_used: bool, answered: bool) -> str | None:
    if wrong:
        return WRONG_STEP
    if not terms_used:
        return OTHER_TERMS
    return None if answered else OTHER_ANSWER
