r"""The copy check: its measures against brute force, what counts as a copy, what counts as a mention."""

import dataclasses
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.lib.data.sources import load
from stages.lib.rewriting import copies
from stages.lib.rewriting.copies import compare, mentions, near_copy, tokens
from stages.lib.run.params import Params, Source
from tests.data.test_sources import HERE, real
from tests.rewriting.mentions import MENTIONS, MISSED, NO_MENTIONS, UNSEEN

GUIDE = (
    "Let $x$ be the number of apples that Ann buys. She pays $3x$ dollars for them and $2$ dollars for the bag, so "
    "that $3x + 2 = 20$. Taking away $2$ from both sides gives $3x = 18$, and hence $x = \\frac{18}{3} = 6$. She buys "
    "$\\boxed{6}$ apples."
)
OWN = (
    "Without the bag the fruit costs $20 - 2 = 18$ dollars. At three dollars each that is $18 / 3 = 6$ pieces. "
    "The answer is $\\boxed{6}$."
)
FEW = st.lists(st.sampled_from("abc"), max_size=25).map(tuple)  # few letters: many repeats
ANY = st.lists(st.sampled_from("abcdefghij"), max_size=25).map(tuple)


def stands_in(part: tuple, whole: tuple) -> bool:
    return any(whole[at : at + len(part)] == part for at in range(len(whole) - len(part) + 1))


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.tuples(FEW, FEW), st.tuples(ANY, ANY)), st.integers(1, 5))
def test_measures_agree_with_their_definitions(pair: tuple[tuple, tuple], n: int) -> None:
    text, guide = pair
    runs = [text[i:j] for i in range(len(text)) for j in range(i + 1, len(text) + 1)]
    longest = max((len(run) for run in runs if stands_in(run, guide)), default=0)
    grams = [i for i in range(len(text) - n + 1) if stands_in(text[i : i + n], guide)]
    covered = {place for i in grams for place in range(i, i + n)}
    assert compare(" ".join(text), " ".join(guide), n) == copies.Shared(len(text), longest, len(covered))


@pytest.mark.parametrize("unit", ["a ", "a b ", "a b a c ", "x = 1 + "])
def test_time_is_linear_on_repeats(unit: str) -> None:
    """The largest texts that are compared, where a quadratic method takes minutes."""
    text, guide = unit * 30_000, unit * 30_000 + "end"
    start = time.process_time()
    shared = compare(text, guide, 8)
    assert shared.covered == shared.run == shared.tokens == min(copies.LONGEST, len(tokens(text)))
    assert time.process_time() - start < 10


def test_tokens_are_words_numbers_commands_and_symbols() -> None:
    assert tokens("So x1 = 27.50 \\le \\pi!") == ("so", "x", "1", "=", "27", ".", "50", "\\le", "\\pi", "!")


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("$$\\left(\\dfrac{1}{2}\\right)$$", "( \\frac{1} {2} )"),
        ("3\\,000 \\quad km", "3 000 km"),
        ("She has 2+3=<<2+3=5>>5 left", "she has 2 + 3 = 5\nleft"),
        ("**Step** 1: \\[x = 2\\]", "Step 1: \\(x=2\\)"),
        ("a &= b \\\\", "a = b"),
        ("\\textbf{(A)}", "{(A)}"),
    ],
)
def test_formatting_does_not_count(text: str, same: str) -> None:
    assert tokens(text) == tokens(same)


def test_commands_that_begin_like_a_formatting_command_stay() -> None:
    assert tokens("\\leftarrow \\textbook \\bigcup") == ("\\leftarrow", "\\textbook", "\\bigcup")


def edited(text: str, every: int = 10) -> str:
    words = text.split()
    return " ".join("indeed" if place % every == 4 else word for place, word in enumerate(words))


@pytest.mark.parametrize(
    "response",
    [
        GUIDE,
        GUIDE.upper(),
        edited(GUIDE),
        GUIDE.replace("$", " ").replace("\\frac", "\\dfrac").replace(" ", "\n"),
        GUIDE.replace("Taking away $2$ from both sides gives $3x = 18$, and hence", "Hence"),
        "Let us see. " + GUIDE + " That is all.",
        GUIDE[: len(GUIDE) // 2],
    ],
    ids=["verbatim", "capitals", "words exchanged", "reformatted", "shortened", "framed", "first half"],
)
def test_copies_are_found(response: str, params: Params) -> None:
    assert near_copy(response, GUIDE, params.copy)


@pytest.mark.parametrize("response", [OWN, "The answer is $\\boxed{6}$.", "", "$$", GUIDE[:30]])
def test_own_short_and_empty_solutions_are_no_copies(response: str, params: Params) -> None:
    assert not near_copy(response, GUIDE, params.copy)
    assert not near_copy(response, "", params.copy)


def test_each_measure_finds_copies_alone(params: Params) -> None:
    run_only = dataclasses.replace(params.copy, overlap=1.0)
    overlap_only = dataclasses.replace(params.copy, run=1.0)
    framed, exchanged = "Let us see what there is to do. " + GUIDE, edited(GUIDE, 12)
    assert near_copy(framed, GUIDE, run_only) and not near_copy(exchanged, GUIDE, run_only)
    assert near_copy(exchanged, GUIDE, overlap_only) and not near_copy(OWN + OWN + GUIDE, GUIDE, overlap_only)


def test_thresholds_are_reached_at_equality(params: Params) -> None:
    text = " ".join(map(str, range(100, 140)))
    guide = " ".join(map(str, range(100, 120)))
    at = dataclasses.replace(params.copy, run=0.5, overlap=1.0)
    assert near_copy(text, guide, at) and not near_copy(text + " 7", guide, at)


def test_random_texts_are_no_copies(params: Params) -> None:
    draw = random.Random(0)
    words = [f"w{chr(97 + i)}" for i in range(26)]
    texts = [" ".join(draw.choices(words, k=150)) for _ in range(20)]
    assert not any(near_copy(a, b, params.copy) for a in texts for b in texts if a is not b)


@pytest.mark.parametrize("text", [*MENTIONS, *UNSEEN, *(text.replace(" ", "\n") for text in MENTIONS[:3])])
def test_mentions(text: str) -> None:
    assert mentions(f"Well. {text} So it is.")


@pytest.mark.parametrize("text", MISSED)
def test_known_misses_of_the_mention_check(text: str) -> None:
    assert not mentions(f"Well. {text} So it is.")


@pytest.mark.parametrize("text", NO_MENTIONS)
def test_no_mentions(text: str) -> None:
    assert not mentions(f"Well. {text} So it is.")


@real
def test_real_solutions_mention_none() -> None:
    """But for one of OlympiadBench, whose second half speaks of its first as "the solution above"."""
    names = ("gsm8k", "math_oai", "minerva_math", "olympiadbench", "aime24")
    found = [row for name in names for row in load(Source(path=str(HERE / f"{name}.jsonl"))).problems if row.solution]
    assert len(found) > 2_700
    assert sum(mentions(row.solution) for row in found) <= 1


def test_mentions_are_sought_in_linear_time() -> None:
    start = time.process_time()
    assert not mentions("the given " * 20_000 + "following the provided " * 20_000)
    assert time.process_time() - start < 5
