r"""No answer takes more than half a second of processor time in the calling process, which has no clock to stop it."""

import json
import subprocess
import sys
import time

import pytest

from stages.lib.verifier.limits import MAX_WORK, Guarded, budget, spend
from stages.lib.verifier.quick import judge
from tests.conftest import ROOT
from tests.verifier.test_limits import RUNAWAYS

BUDGET = 0.5  # seconds of processor time
NUMERIC = r"\begin{pmatrix}1&2\\3&4\end{pmatrix}"
SYMBOLIC = r"\begin{pmatrix}x&y\\z&4\end{pmatrix}"
CELLS = r"\\".join("&".join(str(i * j % 7 + 1) for i in range(17)) for j in range(17))
N = range(2, 290)

PRODUCTS = {
    **{f"{count} matrices": NUMERIC * count for count in (10, 19, 30, 100)},
    **{f"{count} matrices of symbols": SYMBOLIC * count for count in (5, 10, 19, 30)},
    "large matrices": rf"\begin{{pmatrix}}{CELLS}\end{{pmatrix}}" * 3,
    "sum of matrices": "+".join([NUMERIC] * 60),
    "product of roots": "*".join(rf"(\sqrt{{{n}}}+1)" for n in range(2, 400)),
    "product of sines": "*".join(rf"\sin({n})" for n in range(2, 700)),
    "product of factorials": "*".join(["3000!"] * 50),
    "a measurement beyond all measure": r"1.5 \times 10^{1000000000}",
    "a power of a power": r"2.5 \cdot 10^{9^{9}}",
    "large power of a root": r"(1+\sqrt2)^{20000}",
    "quotients": "1/" * 900 + "3",
    "factors": "7" + "(1)" * 900,
}
SUMS = {
    "logarithms": "+".join(rf"\ln({n})" for n in range(2, 700)),
    "fractional powers": "+".join(rf"x^{{1/{n}}}" for n in range(2, 400)),
    "sines of multiples": "+".join(rf"\sin({n}x)" for n in range(2, 600)),
    "large fractions": "+".join([r"\frac{2^{50000}}{3^{30000}}"] * 200),
    "factorials": "+".join(["3000!"] * 1000),
    "powers of roots": "+".join([r"(1+\sqrt2)^{2000}"] * 60),
    "difference of powers": r"(1+\sqrt2)^{3000}-(1-\sqrt2)^{3000}",
    "a root of many digits": rf"\sqrt{{{'9' * 990}}}+\sqrt{{2}}",
    "exponentials": "+".join(f"e^{{{n}}}" for n in range(300)),
    "angles": r"\sin(10^{29})" * 200,
    "inverse powers": "x^{-1}" * 500 + r"+\sqrt{x}",
    "quantities": " + ".join([r"5 \text{ ft}", r"6 \text{ in}"] * 300),
}
LISTS = {
    "roots": ", ".join(rf"\sqrt{{{n}}}" for n in N),
    "points": ", ".join(f"({n},{n + 1})" for n in N),
    "polynomials": ", ".join(f"x^{{{n}}}+{n}" for n in N),
    "sines": ", ".join(rf"\sin({n}x)" for n in N),
    "equations": ", ".join(f"x_{{{n}}}={n}" for n in N),
    "exceptions": ", ".join(rf"x\ne {n}" for n in N),
    "distances": ", ".join(f"|x-{n}|>1" for n in range(200)),
    "bounds": ", ".join(rf"x>\sqrt{{{n}}}" for n in N),
    "inequalities": " or ".join(f"{n}<x<{n + 1}" for n in N),
    "intervals": r" \cup ".join(f"({n},{n + 1})" for n in N),
    "signs": ", ".join([r"\pm x \pm y \pm z \pm w"] * 200),
    "cases": r"\begin{cases}" + r"\\".join(f"x+{n}&x>{n}" for n in range(140)) + r"\end{cases}",
    "dots": ", ".join([r"1,2,\ldots,200"] * 3),
}
NESTED = {
    "bars": "|x" * 200 + "|" * 200,
    "lists": "((" * 25 + "1,2" + "),1)" * 25,
    "sets": r"\{" * 25 + "1,2" + r"\},3" * 25 + r"\}",
    "fractions": r"\frac{1}{x+" * 28 + "1" + "}" * 28,
    "conjugates": r"\overline{" * 25 + "3i" + "}" * 25,
    "signs": r"\pm 1" * 30,
    "chain of equations": "=".join(["x"] * 900),
    "chain of inequalities": "<".join(f"x_{n}" for n in range(400)),
    "conditions": r"k\pi (k \in \mathbb{Z})" * 150,
    "quantifiers": r"\text{for all }" * 300 + "x",
    "number words": "two hundred " * 400,
    "fractions in words": "one and " * 600,
    "signs in words": "minus " * 800 + "one",
    "units": "1 ft " * 500,
    "decimals": "0." + "12" * 400 + r"\ldots",
}
HOSTILE = [
    pytest.param(text, id=f"{name}: {kind}")
    for name, texts in (("products", PRODUCTS), ("sums", SUMS), ("lists", LISTS), ("nested", NESTED))
    for kind, text in texts.items()
]


@pytest.fixture(scope="module", autouse=True)
def libraries_loaded() -> None:
    start_once()


def start_once() -> None:
    """What a process does once is not what a text costs: importing mpmath, and building pint's registry."""
    judge(r"5\text{ ft}", r"60\text{ in}")
    judge(r"\sqrt2+\sqrt3", r"\sqrt{5+2\sqrt6}")


def seconds(reference: str, got: str) -> float:
    """Of processor time. What seems too long is measured again in a process of its own: here the collector walks over
    all that pytest holds, and other tests may share the core."""
    started = time.process_time()
    judge(reference, got)
    used = time.process_time() - started
    return used if used < BUDGET else min(used, *(alone(reference, got) for _ in range(2)))


ALONE = """
import json, sys, time
from tests.verifier.test_work import judge, start_once
start_once()
reference, got = json.load(sys.stdin)
started = time.process_time()
judge(reference, got)
print(time.process_time() - started)
"""


def alone(reference: str, got: str) -> float:
    command = [sys.executable, "-c", ALONE]
    text = json.dumps([reference, got])
    return float(subprocess.run(command, input=text, capture_output=True, text=True, check=True, cwd=ROOT).stdout)


@pytest.mark.parametrize("text", HOSTILE)
def test_an_answer_takes_less_than_the_budget(text: str) -> None:
    turned = ", ".join(reversed(text.split(", "))) if ", " in text else f"{text}+1"
    for reference, got in (("5", text), (text, "5"), (turned, text), (f"{text}+0", f"{text}+0+0")):
        assert seconds(reference, got) < BUDGET


def test_so_does_a_runaway() -> None:
    for text in RUNAWAYS:
        assert seconds(text, text[1:]) < BUDGET, text[:60]


def test_long_lists_are_still_compared() -> None:
    for kind in ("roots", "points", "polynomials"):
        items = LISTS[kind].split(", ")[:120]
        wrong = [*items[:-1], "0"]
        assert judge(", ".join(reversed(items)), ", ".join(items)).correct is True, kind
        assert judge(", ".join(reversed(wrong)), ", ".join(items)).correct is not True, kind


def test_products_of_numbers_are_still_computed() -> None:
    assert judge(r"\begin{pmatrix}1&20\\0&1\end{pmatrix}", r"\begin{pmatrix}1&1\\0&1\end{pmatrix}" * 20).correct is True


def test_work_is_counted_within_a_budget_only() -> None:
    with budget(), pytest.raises(Guarded):
        spend(MAX_WORK + 1)
    spend(MAX_WORK + 1)
    with budget():
        spend(MAX_WORK)


def test_a_verdict_does_not_depend_on_earlier_ones() -> None:
    text = LISTS["sines"]
    first = judge(text, f"{text}, x")
    for other in ("roots", "points"):
        judge(LISTS[other], f"{text}, y")
    assert judge(text, f"{text}, x ") == first
