"""The quick path against math-verify on sympy: on thousands of pairs both say the same, or the quick path is right.

Classes hold spellings of one value; two spellings are equal exactly if they share a class. That is the judge here where
the two paths disagree: each disagreement must be one in which math-verify is wrong, and of a kind named below.
"""

import os
from collections.abc import Iterator
from functools import cache
from itertools import combinations
from typing import Any

import pytest

from stages.lib.verifier.quick import judge
from stages.lib.verifier.verify import Reason, verify

EVERY = int(os.environ.get("GUIDED_SLOW_PAIRS_EVERY", "4"))  # 1: math-verify sees all 2415 pairs (half a minute)
CLASSES = [
    ["7", "7.0", r"\frac{14}{2}", r"\sqrt{49}", "3+4"],
    ["-7", r"-\frac{21}{3}"],
    ["28800", "28800.0", r"288 \cdot 100"],
    ["28801"],
    [r"\frac{1}{3}", r"\frac{2}{6}", r"\frac{\frac{2}{3}}{2}"],
    ["0.3", r"\frac{3}{10}"],
    [r"\frac{4}{3}", r"1\frac{1}{3}"],
    [r"\sqrt{2}", r"\frac{2}{\sqrt{2}}", "2^{1/2}"],
    [r"\sqrt{8}", r"2\sqrt{2}"],
    [r"1+\sqrt{2}", r"\frac{1}{\sqrt{2}-1}"],
    [r"\frac{\pi}{2}", r"0.5\pi"],
    [r"\pi"],
    [r"\frac{1}{2^{99}}"],
    [r"\frac{1}{2^{98}}"],
    ["0.0000001", "10^{-7}"],
    ["0.0000002"],
    ["x^2+2x+1", "(x+1)^2", "1+2x+x^2"],
    ["x^2+2x+2"],
    ["(x-1)(x+1)", "x^2-1"],
    ["x+y", "y+x"],
    ["x-y"],
    ["xy", "yx"],
    [r"\frac{x+2}{7}", r"\frac{x}{7}+\frac{2}{7}"],
    ["2n", "n+n"],
    ["2^{n+1}", r"2 \cdot 2^n"],
    [r"\sin^2(x)+\cos^2(x)", "1"],
    [r"\cos(x)"],
    ["e^{2}"],
    [r"\ln(9)", r"2\ln(3)"],
    ["2+3i", "3i+2"],
    ["2-3i"],
    ["x^2-x^2", "0"],
    ["5!", "120"],
    [r"|-3|", "3"],
    [r"3\sqrt{5}", r"\sqrt{45}"],
]
MATH_VERIFY_IS_WRONG = {  # what float rounding to six places, or its simplifier, gets wrong
    "small numbers": {r"\frac{1}{2^{99}}", r"\frac{1}{2^{98}}", "0.0000001", "10^{-7}", "0.0000002", "x^2-x^2", "0"},
    "not simplified": {r"\frac{1}{\sqrt{2}-1}", r"1+\sqrt{2}"},
}


@cache
def parsed(text: str) -> tuple[Any, ...]:
    from math_verify import LatexExtractionConfig, parse

    return tuple(parse(f"${text}$", [LatexExtractionConfig()], fallback_mode="no_fallback"))


def disagreements() -> Iterator[tuple[str, str, bool, bool]]:
    from math_verify import verify as slow

    spelled = [(text, number) for number, texts in enumerate(CLASSES) for text in texts]
    for number, ((left, one), (right, other)) in enumerate(combinations(spelled, 2)):
        quick = judge(left, right).correct
        assert quick is (one == other), (left, right)
        assert judge(right, left).correct is quick
        if number % EVERY and not quick:
            continue
        found = slow(list(parsed(left)), list(parsed(right)))
        if found is not quick:
            yield left, right, quick, found


@pytest.mark.slow
def test_the_quick_path_says_what_the_slow_path_says_or_is_right() -> None:
    for left, right, quick, found in disagreements():
        known = any({left, right} <= texts for texts in MATH_VERIFY_IS_WRONG.values())
        assert known, f"{left} | {right}: quick {quick}, math-verify {found}"


@pytest.mark.parametrize(
    ("response", "answer", "correct"),
    [
        (r"\sum_{k=1}^{n} k", r"\sum_{j=1}^{n} j", True),
        (r"\sum_{k=1}^{n} k", r"\sum_{k=1}^{n} 2k", False),
        (r"\int_0^1 x\,dx", r"\frac12", True),
        (r"\lim_{n\to\infty}\frac1n", "0", True),
        (r"\gcd(12,18)", "6", True),
        (r"\det\begin{pmatrix}1&0\\0&2\end{pmatrix}", "2", True),
    ],
)
def test_the_slow_path_reads_what_the_quick_path_does_not(response: str, answer: str, correct: bool) -> None:
    assert judge(answer, response).correct is None
    verdict = verify(rf"\boxed{{{response}}}", answer)
    assert (verdict.correct, verdict.reason) == (correct, Reason.equal if correct else Reason.different)


@pytest.mark.parametrize("text", [r"5 \text{ squared}", "5 +", r"\frac{5}{}", "5^", "(5", "5 \\implies 6", r"5 \ldots"])
def test_what_no_path_reads_is_not_correct(text: str) -> None:
    assert not verify(rf"\boxed{{{text}}}", "5").correct
