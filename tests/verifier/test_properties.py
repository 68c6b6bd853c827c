"""Properties: an answer equals itself however it is written, formatting never matters, a changed digit always does."""

import contextlib
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.lib.verifier.exact import Undefined
from stages.lib.verifier.limits import Guarded, Unparsed
from stages.lib.verifier.normalize import tidy
from stages.lib.verifier.parser import parse
from stages.lib.verifier.quick import judge
from stages.lib.verifier.verify import verify

settings.register_profile("project", deadline=None, max_examples=80, derandomize=True)
settings.load_profile("project")

INTEGERS = st.integers(-(10**9), 10**9)
RATIONALS = st.builds(Fraction, st.integers(-9_999, 9_999), st.integers(1, 999))


def latex(value: Fraction) -> str:
    sign = "-" if value < 0 else ""
    above, below = abs(value.numerator), value.denominator
    return f"{sign}{above}" if below == 1 else rf"{sign}\frac{{{above}}}{{{below}}}"


def plain(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"


def boxed(text: str) -> str:
    return rf"After some steps with 12 and $x=3$ we get $\boxed{{{text}}}$, as 99 shows."


LEAVES = RATIONALS.map(latex) | st.sampled_from([r"\sqrt{2}", r"\frac{\pi}{3}", "e^2", r"-2\sqrt[3]{5}", r"\ln 7"])
FINITE_ENDS = st.tuples(RATIONALS, RATIONALS).filter(lambda pair: pair[0] < pair[1])


@st.composite
def intervals(draw: st.DrawFn) -> str:
    low, high = draw(FINITE_ENDS)
    left, right = draw(st.sampled_from("([")), draw(st.sampled_from(")]"))
    return f"{left}{latex(low)}, {latex(high)}{right}"


@st.composite
def matrices(draw: st.DrawFn) -> str:
    rows, columns = draw(st.integers(1, 3)), draw(st.integers(2, 3))
    cells = [[draw(LEAVES) for _ in range(columns)] for _ in range(rows)]
    return r"\begin{pmatrix}" + r" \\ ".join(" & ".join(row) for row in cells) + r"\end{pmatrix}"


SETS = st.lists(LEAVES, min_size=1, max_size=5, unique=True).map(lambda items: r"\{" + ", ".join(items) + r"\}")
POINTS = st.lists(LEAVES, min_size=2, max_size=4).map(lambda items: "(" + ", ".join(items) + ")")
ANSWERS = LEAVES | intervals() | matrices() | SETS | POINTS


@given(ANSWERS)
def test_an_answer_equals_itself(answer: str) -> None:
    assert verify(boxed(answer), answer).correct


@given(RATIONALS)
def test_a_rational_in_other_spellings(value: Fraction) -> None:
    for text in (plain(value), latex(value), rf"x = {latex(value)}", rf"\left({latex(value)}\right)"):
        assert verify(boxed(text), latex(value)).correct, text
    scaled = rf"\dfrac{{{3 * value.numerator}}}{{{3 * value.denominator}}}"
    assert verify(boxed(scaled), plain(value)).correct


@given(RATIONALS, RATIONALS)
def test_rationals_are_equal_exactly_if_they_are(left: Fraction, right: Fraction) -> None:
    assert verify(boxed(latex(left)), plain(right)).correct == (left == right)


@given(INTEGERS, INTEGERS)
def test_integers_are_equal_exactly_if_they_are(left: int, right: int) -> None:
    assert verify(boxed(f"{left:,}"), str(right)).correct == (left == right)


FORMATS = [
    lambda text: f" {text} ",
    lambda text: f"${text}$",
    lambda text: f"{text}.",
    lambda text: text.replace(r"\frac", r"\dfrac"),
    lambda text: text.replace(" ", r"\,"),
    lambda text: text.replace("-", "−"),
    lambda text: text.replace("(", r"\left(").replace(")", r"\right)") if "[" not in text else text,
    lambda text: rf"\displaystyle {text}",
    lambda text: text.replace("pmatrix", "bmatrix"),
    lambda text: text.replace(", ", " ,  "),
    lambda text: f"{{{text}}}",
]


@given(ANSWERS, ANSWERS, st.sampled_from(FORMATS))
def test_formatting_changes_no_verdict(answer: str, other: str, change) -> None:
    for got in (answer, other):
        assert verify(boxed(change(got)), answer).correct == verify(boxed(got), answer).correct
        assert verify(boxed(got), change(answer)).correct == verify(boxed(got), answer).correct


NUMBERS = (
    st.integers(1, 10**12).map(str)
    | st.decimals(1, 10**6, places=3).map(str)
    | RATIONALS.filter(lambda value: value != 0).map(plain)
    | st.tuples(st.integers(1, 9), st.integers(0, 99), st.integers(-30, 30)).map(lambda t: f"{t[0]}.{t[1]:02}e{t[2]}")
)


@given(NUMBERS, st.data())
def test_a_changed_digit_changes_the_verdict(answer: str, data: st.DataObject) -> None:
    at = data.draw(st.sampled_from([i for i, character in enumerate(answer) if character.isdigit()]))
    digit = data.draw(st.sampled_from([d for d in "123456789" if d != answer[at]]))
    changed = answer[:at] + digit + answer[at + 1 :]
    if "/" in answer and Fraction(answer) == Fraction(changed):
        return
    assert verify(boxed(answer), answer).correct
    assert not verify(boxed(changed), answer).correct


@given(SETS, st.randoms(use_true_random=False))
def test_sets_have_no_order_and_miss_no_element(text: str, random) -> None:
    items = text[2:-2].split(", ")
    shuffled = random.sample(items, len(items))
    assert verify(boxed(r"\{" + ", ".join(shuffled) + r"\}"), text).correct
    assert verify(boxed(", ".join(shuffled)), text).correct
    if len(items) > 1:
        assert not verify(boxed(r"\{" + ", ".join(shuffled[1:]) + r"\}"), text).correct


@given(FINITE_ENDS)
def test_ends_of_intervals_matter(ends: tuple[Fraction, Fraction]) -> None:
    low, high = map(latex, ends)
    forms = [f"({low},{high})", f"[{low},{high}]", f"({low},{high}]", f"[{low},{high})"]
    for left in forms:
        for right in forms:
            assert verify(boxed(left), right).correct == (left == right)
    assert verify(boxed(rf"{low} \le x < {high}"), forms[3]).correct
    assert verify(boxed(forms[2]), rf"{low} < x \le {high}").correct


@given(st.lists(st.integers(-9, 9), min_size=2, max_size=5), st.integers(-9, 9))
def test_factored_and_expanded_polynomials(roots: list[int], extra: int) -> None:
    factored = "".join(f"(x-{r})" if r >= 0 else f"(x+{-r})" for r in roots)
    coefficients = [1]
    for root in roots:
        shifted, scaled = [*coefficients, 0], [0, *(-root * c for c in coefficients)]
        coefficients = [a + b for a, b in zip(shifted, scaled, strict=True)]
    degree = len(roots)
    expanded = "+".join(f"({c})x^{{{degree - i}}}" for i, c in enumerate(coefficients))
    assert verify(boxed(expanded), factored).correct
    assert verify(boxed(f"{expanded}+({extra})"), factored).correct == (extra == 0)


PIECES = (
    r"1 23 0.5 1e5 x n i e + - * / ^ _ ( ) [ ] { } , ; and or = < | ! % : \{ \} \frac \sqrt \sin \ln \pi \infty "
    r"\in \cup \pm \le \text{cm} ^{\circ} \begin{pmatrix} \end{pmatrix} & \\ \lfloor \rfloor"
)
TOKENS = st.sampled_from(PIECES.split())


@given(st.lists(TOKENS, max_size=14).map(" ".join), st.lists(TOKENS, max_size=14).map(" ".join))
@settings(max_examples=400)
def test_no_text_breaks_the_reader(left: str, right: str) -> None:
    judge(left, right)
    with contextlib.suppress(Guarded, Unparsed, Undefined):
        parse(tidy(left))


@given(st.text(max_size=60), st.text(max_size=60))
@settings(max_examples=150)
def test_no_text_breaks_the_verifier(response: str, answer: str) -> None:
    judge(answer, response)


@pytest.mark.parametrize("text", ["", " ", "$", r"\boxed{}", r"\boxed{ }"])
def test_no_answer_equals_no_answer(text: str) -> None:
    assert not verify(text, text).correct
