r"""The embedded problems: chains of additions and subtractions, with the expert's demonstrations and five benchmarks.

    problems(768, seed=0)      # list of Problem: what fine-tuning sees, each with the expert's solution
    benchmarks(100, seed=1)    # {"chain-short": [Problem, ...], ...}: five held-out sets

    {"id": "train-0", "problem": "4 - 3 + 8 - 2 =", "answer": "7",
     "solution": "Gains: 4 + 8 = 12. Losses: 3 + 2 = 5. Net: 12 - 5 = 7. The answer is \\boxed{7}."}

The chains come from reasoning-gym's `chain_sum`. A hash of the expression alone says whether a chain is a benchmark's,
fine-tuning's or pre-training's, so no two of them ever share one, whatever the seeds. This is a testbed for the method:
its figures say nothing about large models.

The policy's own way (`own_solution`) walks the chain from left to right and slips now and then; the expert's way
(`expert_solution`) takes gains first, then losses, then their difference, and skips the small steps.
"""

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from reasoning_gym.arithmetic.chain_sum import ChainSumConfig, ChainSumDataset

from stages.lib.records import Problem

Use = Literal["benchmark", "fine-tuning", "pre-training"]
BENCHMARK_SHARE, FINE_TUNING_SHARE = 10, 30  # per cent of all expressions; the rest is pre-training's
SEED_STRIDE = 10**7  # chain_sum draws item i from seed + i: nearby seeds would share their items


@dataclass(frozen=True)
class Kind:
    """A family of chains: how many terms, how many digits each, and whether the signs are written as words."""

    terms: tuple[int, int]
    digits: int = 1
    words: bool = False


TRAINING = Kind(terms=(4, 6))
BENCHMARKS = {
    "chain-short": Kind(terms=(3, 4)),
    "chain": TRAINING,
    "chain-words": Kind(terms=(4, 6), words=True),  # out of the fine-tuning distribution, as are the two below
    "chain-long": Kind(terms=(7, 8)),
    "chain-wide": Kind(terms=(2, 3), digits=2),
}

EXPERT_PHRASES = (
    ("Gains: ", "Add the gains: ", "In: "),
    (" Losses: ", " Add the losses: ", " Out: "),
    (" Net: ", " Together: ", " Left: "),
    (" The answer is ", " Hence ", " So "),
)
PHRASE_WEIGHTS = (6, 3, 1)


@dataclass(frozen=True)
class Slips:
    """How often a step of the policy's own way comes out one too high: rarely above zero, often below it."""

    above: float
    below: float


def problems(n: int, seed: int) -> list[Problem]:
    """n distinct problems of the fine-tuning distribution, with the expert's solutions."""
    terms = _distinct(chains(TRAINING, "fine-tuning", seed), n)
    return [_problem(f"train-{i}", item, TRAINING) for i, item in enumerate(terms)]


def benchmarks(n: int, seed: int) -> dict[str, list[Problem]]:
    """Five sets of n distinct held-out problems each; names and kinds are in `BENCHMARKS`."""
    return {name: _benchmark(name, kind, n, seed) for name, kind in BENCHMARKS.items()}


def chains(kind: Kind, use: Use, seed: int) -> Iterator[list[int]]:
    """Chains without zeros as signed terms, [4, -3, 8] for 4 - 3 + 8; the same for the same seed."""
    low, high = kind.terms
    shape = {"min_terms": low, "max_terms": high, "min_digits": kind.digits, "max_digits": kind.digits}
    source = ChainSumDataset(ChainSumConfig(**shape, seed=seed * SEED_STRIDE, size=SEED_STRIDE))
    for index in range(SEED_STRIDE):
        expression = source[index]["metadata"]["expression"]
        terms = terms_of(expression)
        if 0 not in terms and use_of(expression) == use:
            yield terms


def use_of(expression: str) -> Use:
    """Whose the expression is, by its hash: the same on every machine and in every release."""
    bucket = int(hashlib.sha256(expression.encode()).hexdigest(), 16) % 100
    if bucket < BENCHMARK_SHARE:
        return "benchmark"
    return "fine-tuning" if bucket < BENCHMARK_SHARE + FINE_TUNING_SHARE else "pre-training"


def terms_of(expression: str) -> list[int]:
    """ "4 - 3 + 8" as [4, -3, 8]."""
    first, *rest = expression.split()
    return [int(first), *(int(sign + value) for sign, value in zip(rest[::2], rest[1::2], strict=True))]


def expression_of(terms: list[int]) -> str:
    """[4, -3, 8] as "4 - 3 + 8"."""
    return str(terms[0]) + "".join(f" {_sign(term)} {abs(term)}" for term in terms[1:])


def question(terms: list[int], words: bool = False) -> str:
    """The problem's text: "4 - 3 + 8 =", or "4 minus 3 plus 8 =" in words."""
    text = expression_of(terms) + " ="
    return text.replace("+", "plus").replace("-", "minus") if words else text


def expert_solution(terms: list[int]) -> str:
    """The expert's demonstration, always right: gains first, then losses, then the difference, in varying words."""
    gains, losses = [t for t in terms if t >= 0], [-t for t in terms if t < 0]
    won, lost = sum(gains), sum(losses)
    draw = random.Random(expression_of(terms))  # the chain alone decides: an expert is asked once
    first, second, third, last = (draw.choices(phrases, PHRASE_WEIGHTS)[0] for phrases in EXPERT_PHRASES)
    net = f"{won} - {lost} = {won - lost}"
    return f"{first}{_total(gains)}.{second}{_total(losses)}.{third}{net}.{last}\\boxed{{{won - lost}}}."


def own_solution(terms: list[int], slips: Slips | None = None, draw: random.Random | None = None) -> str:
    """The policy's way: one step a line from left to right. After a slip the walk goes on from the wrong number."""
    lines, value = [], terms[0]
    for term in terms[1:]:
        result = value + term
        if slips and draw and draw.random() < (slips.below if min(value, result) < 0 else slips.above):
            result += 1
        lines.append(f"{value} {_sign(term)} {abs(term)} = {result}\n")
        value = result
    return "".join(lines) + f"\\boxed{{{value}}}"


def _benchmark(name: str, kind: Kind, n: int, seed: int) -> list[Problem]:
    terms = _distinct(chains(kind, "benchmark", seed), n)
    return [_problem(f"{name}-{i}", item, kind) for i, item in enumerate(terms)]


def _distinct(stream: Iterator[list[int]], n: int) -> list[list[int]]:
    found: dict[tuple[int, ...], list[int]] = {}
    while len(found) < n:
        terms = next(stream, None)
        if terms is None:
            raise ValueError(f"the testbed has only {len(found)} problems of this kind; ask for no more than that")
        found.setdefault(tuple(terms), terms)
    return list(found.values())


def _problem(name: str, terms: list[int], kind: Kind) -> Problem:
    words = question(terms, kind.words)
    return Problem(id=name, problem=words, answer=str(sum(terms)), solution=expert_solution(terms))


def _total(values: list[int]) -> str:
    if len(values) < 2:
        return str(sum(values))
    return f"{' + '.join(map(str, values))} = {sum(values)}"


def _sign(term: int) -> str:
    return "-" if term < 0 else "+"
