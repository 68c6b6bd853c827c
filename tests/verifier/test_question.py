r"""What a question says about the form of its answer, and what that changes: (question, reference, answer, right?)."""

import time
from fractions import Fraction

import pytest

from stages.lib.verifier.question import NONE, Hints, read
from stages.lib.verifier.verify import verify, verify_all

READ = [
    ("What percent of the class is absent?", {"percent": True}),
    ("What is the percentage increase?", {"percent": True}),
    ("Express your answer as a percent.", {"percent": True}),
    (r"The price fell by \_\_\_\_\%.".replace("\\_", "_"), {"percent": True}),
    ("What is 20 percent of 50?", {}),
    ("If 20 percent of them leave, how many stay?", {"unit": "stay"}),
    ("How many meters long is it?", {"unit": "meter"}),
    ("What is its area, in square inches?", {"unit": "inch^2"}),
    (r"Find the speed in $\text{km/h}$.", {"unit": "km*h^-1"}),
    ("Give your answer in simplest form.", {}),
    ("In how many ways can it be done?", {}),
    ("Round your answer to the nearest tenth.", {"step": Fraction(1, 10), "about": True}),
    ("Round to the nearest ten thousand.", {"step": Fraction(10_000), "about": True}),
    ("Find x to the nearest 0.05.", {"step": Fraction(1, 20)}),
    ("Find it to the nearest cent.", {"step": Fraction(1, 100)}),
    ("Give $x$ to two decimal places.", {"step": Fraction(1, 100)}),
    ("Find it, correct to 3 significant figures.", {"figures": 3}),
    ("Approximately how long is it?", {"about": True}),
    ("What is $g(1)$ in terms of $a,b,$ and $c?$", {"letters": frozenset("abc")}),
    (r"Find the area in terms of $\theta$.", {"letters": frozenset((r"\theta",))}),
    ("Solve the equation for $y$.", {"solved": frozenset("y")}),
    ("Order them from least to greatest.", {"ordered": True}),
    ("What is the sum?", {}),
]
PERCENT = "By what percent did the price rise?"
METERS = "How many meters long is the wall?"
TENTH = "Round your answer to the nearest tenth."
PLACES = "Give your answer to two decimal places."
ASKED = [
    (PERCENT, "10", r"10\%", True),
    (PERCENT, "10", "10", True),
    (PERCENT, "10", "0.1", False),
    (PERCENT, r"10\%", "10", True),
    (PERCENT, "10", r"11\%", False),
    (PERCENT, "10", r"1000\%", False),
    (PERCENT, "0.1", r"10\%", True),
    ("What fraction is it?", "10", r"10\%", False),
    (None, "10", r"10\%", False),
    (None, "0.1", r"10\%", True),
    (None, r"10\%", r"\frac{1}{10}", True),
    (None, r"10\%", "10", True),
    (METERS, "5", r"5\text{ m}", True),
    (METERS, "5", r"500\text{ cm}", True),
    (METERS, "5", r"5\text{ cm}", False),
    (METERS, r"500\text{ cm}", "5", True),
    (METERS, r"5\text{ cm}", "5", False),
    (METERS, "x = 5", r"x = 500\text{ cm}", True),
    (METERS, "5", r"5\text{ apples}", True),
    ("How many apples are left?", "5", r"5\text{ m}", True),
    (TENTH, "3.3", r"\frac{10}{3}", True),
    (TENTH, "3.3", "3.33", True),
    (TENTH, "3.3", "3.4", False),
    (TENTH, "3.3", r"\frac{17}{5}", False),
    (TENTH, r"\frac{10}{3}", "3.3", True),
    (TENTH, r"\frac{10}{3}", "3", False),
    (TENTH, "3.3333", "3.3", True),
    (PLACES, "3.33", r"\frac{10}{3}", True),
    (PLACES, "3.33", "3.3", False),
    (PLACES, "(3.33, 1.41)", r"(\frac{10}{3}, \sqrt{2})", True),
    (PLACES, "(3.33, 1.41)", r"(\frac{10}{3}, \sqrt{3})", False),
    ("Round to the nearest whole number.", "12", r"5\sqrt{6}", False),
    ("Find it to 2 significant figures.", r"\frac{1000}{3}", "330", True),
    ("Find it to 2 significant figures.", r"\frac{1000}{3}", "300", False),
    ("What is the probability?", r"6.67\%", r"\frac{1}{15}", True),
    ("What is the probability?", r"6.67\%", r"\frac{1}{16}", False),
    ("What is the probability?", "0.3", r"\frac{1}{3}", False),
    ("What is the length?", "1.41", r"\sqrt{2}", True),
    ("What is the length?", "141", r"100\sqrt{2}", False),
    ("Format it as $n \\times 10^x$, n to 2 decimal places.", "5.31e-9", "7.25e-11", False),
    ("Format it as $n \\times 10^x$, n to 2 decimal places.", "5.31e-9", "0.05", False),
    ("Answer to one significant figure.", "1e-3", "8.49e-4", False),
    ("Answer to one significant figure.", "1e-3", "1.04e-3", True),
    ("Round to the nearest tenth.", "0.04", "0", False),
    ("Which boards contain a marked n?", "2 n", "2", False),
    (None, "1.41", r"\sqrt{2}", False),
    ("By approximately what percent?", r"117.95\%", r"118\%", True),
    ("By approximately what percent?", r"117.95\%", r"117\%", False),
    ("Write it in terms of $n$.", "n^2", "n^2", True),
    ("Write it in terms of $n$.", "n^2", "m^2", False),
    ("Solve for $y$.", "2x+1", "y = 2x+1", True),
    ("Solve for $y$.", "2x+1", "z = 2x+1", False),
    ("Who served in the first game?", "Anna served in the first game.", "Anna", True),
    ("Who served in the first game?", "Anna served in the first game.", "Berta", False),
    ("Will Anna or Berta, and who, get the last one?", "Anna will receive the last token.", r"\text{Anna}", True),
    ("Who wins, Anna or Berta?", "Anna loses the last game", "Anna", False),
    ("Who wins, Anna or Berta?", "Anna and Berta win", "Anna", False),
    ("What is the order from smallest to largest?", "b < a < c", "b, a, c", True),
    ("What is the order from smallest to largest?", "b < a < c", "a, b, c", False),
    ("Rank a, b and c.", "b, a, c", "a, b, c", False),
    ("Which of a, b, c are even?", "b, a", "a, b", True),
    ("On which interval is it monotonically increasing?", "[0, 1]", "(0, 1)", True),
    ("On which interval is it monotonically increasing?", "[0, 1]", "(0, 2)", False),
    ("What is the domain?", "[0, 1]", "(0, 1)", False),
]


@pytest.mark.parametrize(("question", "hints"), READ)
def test_read(question: str, hints: dict[str, object]) -> None:
    found = read(question)
    expected = Hints(given=True, words=found.words, **hints)
    assert found == expected


def test_no_question_says_nothing() -> None:
    assert read(None) == read("") == NONE


@pytest.mark.parametrize(("question", "reference", "answer", "right"), ASKED)
def test_asked(question: str | None, reference: str, answer: str, right: bool) -> None:
    assert verify(rf"so \boxed{{{answer}}}", reference, question=question).correct is right


def test_pairs_may_have_a_question() -> None:
    pairs = [(r"\boxed{10\%}", "10", PERCENT), (r"\boxed{10\%}", "10"), (r"\boxed{10\%}", "10", None)]
    assert [found.correct for found in verify_all(pairs)] == [True, False, False]
    with pytest.raises(TypeError, match="perhaps a question"):
        verify_all([("a", "b", 5)])  # type: ignore[list-item]


def test_the_slow_path_gets_the_question_too() -> None:
    integral = r"\boxed{\int_0^1 \frac{1}{1+x} dx}"
    assert not verify(integral, "0.69").correct
    assert verify(integral, "0.69", question=PLACES).correct
    assert not verify(integral, "0.70", question=PLACES).correct


HOSTILE = (
    "in terms of ", "how many ", "in ", "what percent ", "the nearest ", "two decimal ", "solve ", "solve for ", "a, ",
    "$a$ and ", "find the ", "calculate the a a ", "_", "\\", "{", " ", "\n", "?", "in square ", "in m/", "monotonic ",
    "intervals of ", "whole ", "1", "a" * 40, "in terms of $a$" + ", b" * 20,
)  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_no_question_makes_reading_slow(piece: str) -> None:
    started = time.process_time()
    read(piece * (200_000 // len(piece)))
    assert time.process_time() - started < 0.1
