"""Steps read exactly: both ways of the testbed's grammar, each flaw, and text that is neither."""

import random

import pytest

from stages.lib.data import testbed
from stages.lib.data.testbed_steps import EXPERTS, OTHER, OWN, check, read_terms

PROBLEM = "4 - 9 + 2 ="


def test_what_the_testbed_writes_is_read_without_a_flaw() -> None:
    """Every family of chains, in both ways: all the phrases of the expert's come up in 200 problems."""
    for kind in testbed.BENCHMARKS.values():
        terms = [terms for terms, _ in zip(testbed.chains(kind, "benchmark", 3), range(40), strict=False)]
        for chain in terms:
            problem = testbed.question(chain, kind.words)
            assert read_terms(problem) == chain
            experts = check(problem, testbed.expert_solution(chain))
            own = check(problem, testbed.own_solution(chain))
            assert (experts.way, experts.flaw, own.way, own.flaw) == (EXPERTS, None, OWN, None)
            assert own.taken == len(chain) - 1


def test_slips_are_counted_one_by_one() -> None:
    """A slip makes a step one too high and the walk goes on from there: counted against the generator's own draws."""
    terms, counted = [4, -9, 2, -5, 3], 0
    for seed in range(50):
        draw = random.Random(seed)
        slips = sum(draw.random() < 0.5 for _ in terms[1:])
        text = testbed.own_solution(terms, testbed.Slips(0.5, 0.5), random.Random(seed))
        found = check(testbed.question(terms), text)
        assert (found.way, found.wrong) == (OWN, slips) and (found.flaw is None) == (slips == 0)
        counted += slips
    assert counted > 50


@pytest.mark.parametrize(
    ("response", "way", "flaw"),
    [
        ("4 - 9 = -4\n-4 + 2 = -3\n\\boxed{-3}", OWN, "wrong_step"),  # two wrong steps that cancel
        ("4 - 9 = -5\n-5 + 3 = -2\n\\boxed{-3}", OWN, "other_terms"),
        ("4 - 9 = -5\n-6 + 2 = -4\n\\boxed{-4}", OWN, "other_terms"),  # the chain is broken
        ("4 - 9 = -5\n\\boxed{-5}", OWN, "other_terms"),
        ("4 - 9 = -5\n-5 + 2 = -3\n\\boxed{3}", OWN, "other_answer"),
        ("4 - 9 = -5\n-5 + 2 =\n\\boxed{-3}", OWN, "unreadable_steps"),
        ("Gains: 4 + 2 = 7. Losses: 9. Net: 7 - 9 = -3. Hence \\boxed{-3}.", EXPERTS, "wrong_step"),
        ("In: 4 + 2 = 6. Out: 9. Left: 6 - 9 = -2. So \\boxed{-2}.", EXPERTS, "wrong_step"),
        ("In: 4 + 3 = 7. Out: 9. Left: 7 - 9 = -2. So \\boxed{-2}.", EXPERTS, "other_terms"),
        ("In: 4 + 2 = 6. Out: 9. Left: 6 - 9 = -3. So \\boxed{-4}.", EXPERTS, "other_answer"),
        ("Gains: 6, I think. \\boxed{-3}", EXPERTS, "unreadable_steps"),
        ("The answer is \\boxed{-3}.", OTHER, None),
        ("", OTHER, None),
    ],
)
def test_each_flaw(response: str, way: str, flaw: str | None) -> None:
    found = check(PROBLEM, response)
    assert (found.way, found.flaw) == (way, flaw)


@pytest.mark.parametrize("problem", ["What is 2 + 2?", "4 * 3 =", "", "4 - 3", "x + 1 ="])
def test_text_that_is_no_chain_is_not_judged(problem: str) -> None:
    assert read_terms(problem) is None
    assert check(problem, "4 - 3 = 2\n\\boxed{2}") == (OTHER, 0, 0, None)
