"""Near-duplicates: the definition against a derivation of its own, edited copies, chance and habit, repetitions."""

import random

import pytest

from stages.lib.data import near_duplicates as overlap
from stages.lib.data import testbed
from stages.lib.data.near_duplicates import NearDuplicate, near_duplicates, repeated, tokens
from stages.lib.records import Problem
from tests.data.test_sources import real, real_problems

WALK = (
    "Every morning a baker carries $12$ trays of rolls from the oven to the shop window, and each tray holds 30 rolls. "
    "Before noon she sells two thirds of all the rolls. If the rest are packed in bags of $5$, how many bags does she "
    r"need? Write your answer as $\frac{a}{b}$ in lowest terms."
)


def problems(*texts: str, name: str = "p") -> list[Problem]:
    return [Problem(id=f"{name}{i}", problem=text, answer="1") for i, text in enumerate(texts)]


def nearest(text: str, *held_out: str, words: int = 8, share: float = 0.5) -> float:
    found = near_duplicates(problems(text), problems(*held_out, name="b"), words, share)
    return found[0].share if found else 0.0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Find $x+1$.", "find  x + 1"),
        (r"\left( \dfrac{1}{2} ,\, 3\right)", r"(\frac{1}{2},3)"),
        (r"12,345 or 12{,}345 or 12\,345", "12345 or 12345 or 12345"),
        (r"\text{Let } \mathrm{AB}\quad be", "let ab be"),
        ("−１", "-1"),
        (r"\(a\) \[b\]", "a b"),
    ],
)
def test_texts_with_equal_words(one: str, other: str) -> None:
    assert tokens(one) == tokens(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("2 (3 + 4)", "2 \u00b7 3 + 4"), ("4 - 3", "4 + 3"), ("5!", "5"), ("1.5", "15"), ("x > 1", "x < 1"), ("?", "!!")],
)
def test_texts_with_different_words(one: str, other: str) -> None:
    assert tokens(one) != tokens(other)


def brute_force(text: str, held_out: list[str], words: int, phrases: int) -> float:
    """The largest share, from a table of the common runs that end at each pair of places."""
    split = lambda line: line.split()  # noqa: E731
    padded = [f" {' '.join(split(line))} " for line in held_out]

    def share(one: list[str], other: list[str]) -> float:
        if one == other:
            return 1.0
        if len(one) > len(other):
            one, other = other, one
        ends = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
        hit, habit = set(), set()
        for i in range(1, len(one) + 1):
            for j in range(1, len(other) + 1):
                ends[i][j] = ends[i - 1][j - 1] + 1 if one[i - 1] == other[j - 1] else 0
            run = range(i - words, i)
            line = f" {' '.join(one[i - words : i])} "
            if i >= words and sum(line in item for item in padded) > phrases:
                habit |= set(run)
            elif max(ends[i]) >= words:
                hit |= set(run)
        return len(hit) / len(set(range(len(one))) - (habit - hit)) if len(hit) >= 2 * words else 0.0

    return max(share(split(text), split(line)) for line in held_out)


def test_against_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "PHRASES", 2)
    draw = random.Random(0)
    seen = []
    for _ in range(300):
        pool = [" ".join(draw.choices("abc", k=draw.randint(3, 9))) for _ in range(6)]
        line = lambda: " ".join(draw.choices(pool, k=draw.randint(1, 4)))  # noqa: B023, E731
        held_out, text = [line() for _ in range(5)], line()
        exact = brute_force(text, held_out, words=4, phrases=2)
        found = near_duplicates(problems(text), problems(*held_out), words=4, share=0.01)
        assert (found[0].share if found else 0.0) == pytest.approx(exact, abs=1e-3)
        seen.append(exact)
    assert len(set(seen)) > 15 and 0.0 in seen and 1.0 in seen


def test_edited_copies_are_found() -> None:
    moved = ". ".join(reversed(WALK.split(". ")))
    assert nearest(WALK.upper().replace("\\FRAC", "\\frac").replace("$", " $ "), WALK) == 1.0
    assert nearest(moved, WALK) > 0.8
    assert nearest(WALK.replace("baker", "cook").replace("two thirds", "half"), WALK) > 0.7
    assert nearest("Solve the following problem with care. " + WALK, WALK) == 1.0
    assert nearest(WALK.replace("30", "40"), WALK) > 0.8
    assert nearest(WALK[: len(WALK) // 2], WALK) > 0.9, "a problem that is part of a benchmark's"


def test_short_texts_need_the_same_words() -> None:
    assert (
        nearest("Compute the sum of the first ten odd numbers", "compute the sum of the first ten odd numbers.") == 1.0
    )
    assert nearest("Compute the sum of the first ten odd numbers", "Compute the sum of the first ten odd primes") == 0.0
    habit = "Find the sum of all positive integers such that "
    assert nearest(habit + "n + 1 is prime", habit + "2 n divides n! and n is at most 100") == 0.0


def test_set_phrases_do_not_count() -> None:
    phrase = "The answer can be written as m over n, where m and n are relatively prime positive integers. Find m + n."
    starts = [f"A {word} box holds {word} balls." for word in "red blue green old new big".split()]
    held_out = [f"{start} {phrase}" for start in starts]
    assert nearest(f"Two trains meet at noon. {phrase}", *held_out) == 0.0
    assert nearest(f"Two trains meet at noon. {phrase}", *held_out[:5]) > 0.5, (
        "in five problems it is no set phrase yet"
    )


def test_drawings_count_only_for_equal_texts() -> None:
    code = "[asy] draw((0,0)--(1,0)--(1,1)--cycle); draw((0,0)--(2,0)--(2,2)--cycle); [/asy]"
    assert nearest(f"What is the area? {code}", f"What is the length? {code}") == 0.0
    assert nearest(f"What is the area? {code}", f"What is the area? {code.replace('2', '3')}") == 0.0
    assert nearest(f"What is the area? {code}", f"What is the area? {code}") == 1.0


def test_the_nearest_of_several_is_named() -> None:
    rows = problems(WALK[:150], WALK, WALK + " And more?", name="b")
    assert near_duplicates(problems(WALK), rows, 8, 0.5) == [NearDuplicate("p0", "b1", 1.0, True)]


def test_repeated_problems_name_the_first() -> None:
    assert repeated(problems("1 + 1", "2 + 2", "$1+1$", "1 + 1.")) == {"p2": "p0", "p3": "p0"}


def test_chains_share_runs_by_chance_and_are_kept() -> None:
    held_out = [row for rows in testbed.benchmarks(100, 1).values() for row in rows]
    assert near_duplicates(testbed.problems(768, 0), held_out, 8, 0.5) == []


@real
def test_real_benchmarks_do_not_resemble_each_other() -> None:
    names = ["math_oai", "olympiadbench", "minerva_math", "aime24", "amc23", "gsm8k"]
    rows = {name: real_problems(name).problems for name in names}
    for name in names:
        others = [row for other in names if other != name for row in rows[other]]
        assert near_duplicates(rows[name], others, 8, 0.5) == []


@real
def test_recall_on_edited_copies_of_real_problems() -> None:
    rows = [row for name in ("math_oai", "gsm8k") for row in real_problems(name).problems]
    draw = random.Random(0)

    def change(text: str) -> str:
        return " ".join("x" + word if draw.random() < 0.05 else word for word in text.split(" "))

    edited = [Problem(id=row.id, problem=change(row.problem), answer="1") for row in rows]
    assert len(near_duplicates(edited, rows, 8, 0.5)) > 0.9 * len(rows)
