r"""Where a response's answer stands: boxes, explicit markers, hedges, and everything that is no answer."""

import pytest

from stages.lib.verifier.extract import extract, percent_behind_box, reference_text
from stages.lib.verifier.verify import Reason, verify

BOXES = [
    (r"\boxed{7}", ["7"]),
    (r"so $\boxed{\frac{1}{2}}$, since 3 > 2.", [r"\frac{1}{2}"]),
    (r"\boxed{\sqrt{a_{1}^{2}+\frac{b}{c}}}", [r"\sqrt{a_{1}^{2}+\frac{b}{c}}"]),
    (r"first \boxed{7}, but no: \boxed{8}", ["8"]),
    (r"\boxed{\{1,2\}}", [r"\{1,2\}"]),
    (r"\boxed {7}", ["7"]),
    (r"\boxed 7", ["7"]),
    (r"$\boxed7$", ["7"]),
    (r"\fbox{7}", ["7"]),
    (r"\framebox{7}", ["7"]),
    (r"\framebox[2cm]{7}", ["7"]),
    (r"\boxed{\boxed{7}}", ["7"]),
    (r"\boxed{x=\boxed{7}}", ["x=7"]),
    (r"\boxed{7} then \boxed{\frac{1}{2}", ["7"]),
    (r"\boxed{7", []),
    (r"\boxed{", []),
    (r"\boxed{7} and then \boxed{}", [""]),
    (r"\boxed{ 7 }", ["7"]),
    ("\\boxed{\n\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}\n}.", [r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"]),
    (r"\boxedanswer{7}", []),
    (r"$\boxed{7}$. As requested, it is inside \boxed notation.", ["7"]),
    (r"Put it in \boxed{}: \boxed{7}", ["7"]),
    (r"So \boxed{7}, which I put within \boxed{}.", ["7"]),
    (r"\boxed{} \boxed{7}", ["7"]),
    ("\\boxed{42\\}", ["42\\"]),
    (r'\boxed{"42"}', ["42"]),
    (r"\boxed{``42''}", ["42"]),
    (r"\boxed{30'}", ["30'"]),
    (r"\boxed{\text{Answer: }7}", ["7"]),
    (r"\boxed{\text{The answer is }7}", ["7"]),
    (r"\boxed{\text{Answer: C}}", [r"\text{C}"]),
]
SIGNS = [
    (r"Hence $x = -\boxed{5}$.", ["-5"]),
    (r"It is $-\boxed{5}$.", ["-5"]),
    (r"It is -$\boxed{5}$.", ["-5"]),
    (r"$x=-\,\boxed{5}$", ["-5"]),
    (r"$x=\pm\boxed{5}$", [r"\pm 5"]),
    (r"$10 - \boxed{5} = 5$", ["5"]),
    (r"$x -\boxed{5}$", ["5"]),
    ("We get:\n- \\boxed{5}", ["5"]),
    (r"The answer - \boxed{5}", ["5"]),
]
BEHIND = [
    (r"$\boxed{5}\text{ cm}$", [r"5\text{ cm}"]),
    (r"$\boxed{5}$ square inches.", [r"5\text{ square inches}"]),
    (r"$\boxed{5}\ \mathrm{m}^2$", [r"5\text{ m^2}"]),
    (r"\boxed{60} miles per hour", [r"60\text{ miles per hour}"]),
    (r"\boxed{5} million", [r"5\text{ million}"]),
    (r"$\boxed{5}\sqrt{2}$", [r"5\sqrt{2}"]),
    (r"$\boxed{5}i$", ["5i"]),
    (r"$\boxed{90}^\circ$", [r"90^\circ"]),
    (r"$\boxed{2}^{10}$", ["2^{10}"]),
    (r"\boxed{5} is the answer", ["5"]),
    (r"\boxed{5} as in the metre", ["5"]),
    (r"\boxed{5} in all", ["5"]),
    (r"\boxed{x+1} metres", ["x+1"]),
    (r"\boxed{5} apples", ["5"]),
]
DENIED = [
    (r"$x \ne \boxed{5}$", []),
    (r"It is anything but \boxed{5}.", []),
    (r"The answer is not \boxed{5}.", []),
    (r"\boxed{5}, not \boxed{6}", ["5"]),
    (r"\boxed{6}? No: \boxed{6} is wrong. Hence \boxed{7}, since \boxed{6} can't be right.", ["7"]),
    (r"It is \boxed{5} rather than \boxed{6}.", ["5"]),
    (r"It is not only even, it is \boxed{6}.", ["6"]),
]
SEVERAL = [
    (r"\boxed{1}, \boxed{2}", ["1, 2"]),
    (r"$\boxed{1}$ and $\boxed{2}$", ["1, 2"]),
    (r"$\boxed{1}$, $\boxed{2}$, and $\boxed{3}$", ["1, 2, 3"]),
    (r"\[ \boxed{1} \quad \text{and} \quad \boxed{2} \]", ["1, 2"]),
    (r"\boxed{1}; \boxed{2}", ["1, 2"]),
    (r"\boxed{1} \boxed{2}", ["1, 2"]),
    (r"\boxed{7}. So the answer is \boxed{7}", ["7"]),
    (r"\boxed{7} \boxed{7}", ["7"]),
    (r"$x = \boxed{1}$ or $x = \boxed{2}$", ["1", "2"]),
    (r"$x = \boxed{1}$ and $y = \boxed{2}$", ["1, 2"]),
    (r"either \boxed{5} or else \boxed{6}", ["5", "6"]),
    (r"\boxed{5} or, if zero counts, \boxed{6}", ["5", "6"]),
    (r"\boxed{5} (or possibly \boxed{6})", ["5", "6"]),
    ("Either \\boxed{5}\nor\n\\boxed{6}", ["5", "6"]),
    (r"\boxed{5}, perhaps \boxed{6}", ["5", "6"]),
    (r"\boxed{5}. Or rather: \boxed{6}", ["6"]),
    (r"\boxed{1} or \boxed{2}", ["1", "2"]),
    (r"$\boxed{1}$ \text{or} $\boxed{2}$", ["1", "2"]),
    (r"$\boxed{1}$, or $\boxed{2}$", ["1", "2"]),
    (r"\boxed{1}. Then \boxed{2}", ["2"]),
]


@pytest.mark.parametrize(("response", "stated"), BOXES + SIGNS + BEHIND + DENIED + SEVERAL)
def test_boxes(response: str, stated: list[str]) -> None:
    assert extract(response, markers=True) == stated
    assert extract(response, markers=False) == stated


def test_only_what_follows_the_thoughts_counts() -> None:
    assert extract(r"<think>\boxed{3}</think> \boxed{4}", markers=True) == ["4"]
    assert extract(r"<think>\boxed{3}</think> The answer is 4.", markers=True) == ["4"]
    assert extract(r"<think>\boxed{3}</think> Done.", markers=True) == []
    assert extract(r"<think>\boxed{3}</think> So <think>\boxed{4}</think> Done.", markers=True) == []


def test_a_hedge_is_no_answer_unless_all_of_it_is_right() -> None:
    hedge = verify(r"\boxed{1} or \boxed{2}", "1")
    assert (hedge.correct, hedge.extracted, hedge.reason) == (False, None, Reason.no_answer)
    assert not verify(r"\boxed{1 \text{ or } 2}", "1").correct
    assert verify(r"\boxed{15\frac{39}{40}}, or \boxed{\frac{639}{40}}", "639/40").correct
    assert verify(r"\boxed{1 \text{ or } 2}", "x=1 or x=2").correct


def test_only_the_end_of_a_long_response_counts() -> None:
    assert extract(r"\boxed{7}" + "x" * 300_000, markers=True) == []
    assert extract("x" * 300_000 + r"\boxed{7}", markers=True) == ["7"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (r"\frac12", r"\frac12"),
        (" 073 ", "073"),
        (r"We add and get $\boxed{\frac12}$.", r"\frac12"),
        ("9 * 2 = 18\n#### 18", "18"),
        ("The final answer is $7$.", "7"),
        (r"\boxed{4.5e33} \mathrm{ergs} \mathrm{s}^{-1}", "4.5e33"),
        ("no", "no"),
    ],
)
def test_references(answer: str, expected: str) -> None:
    assert reference_text(answer) == expected


def test_percent_behind_a_box() -> None:
    assert percent_behind_box(r"decreased by $\boxed{10}\%$")
    assert percent_behind_box(r"decreased by $\boxed{10}$ percent.")
    assert not percent_behind_box(r"decreased by $\boxed{10}$, that is 10%.")


REASONS = [
    (r"\boxed{7}", "7", Reason.equal),
    (r"\boxed{8}", "7", Reason.different),
    ("8", "7", Reason.no_answer),
    (r"\boxed{}", "7", Reason.no_answer),
    (r"\boxed{5 \implies}", "7", Reason.unparsed),
    (r"\boxed{9^{9^{9^{9}}}}", "7", Reason.guarded),
    (r"\boxed{" + "9" * 6_000 + "}", "7", Reason.guarded),
]


@pytest.mark.parametrize(("response", "answer", "reason"), REASONS)
def test_reasons(response: str, answer: str, reason: Reason) -> None:
    verdict = verify(response, answer)
    assert (verdict.reason, verdict.correct) == (reason, reason is Reason.equal)
    assert len(verdict.extracted or "") <= 1_000
