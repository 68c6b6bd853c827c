"""What counts as a marker where there is no box, and what stands behind one."""

import time

import pytest

from stages.lib.verifier.extract import extract
from stages.lib.verifier.limits import MAX_RESPONSE
from stages.lib.verifier.verify import Reason, verify

MARKERS = [
    ("The answer is 7.", ["7"]),
    ("the answer is: 7", ["7"]),
    ("The final answer is $\\frac{1}{2}$. I hope it is correct.", [r"\frac{1}{2}"]),
    ("Final Answer: The final answer is $-2$.", ["-2"]),
    ("**Final Answer**\n\n42", ["42"]),
    ("final answer: 42", ["42"]),
    ("Answer: C", ["C"]),
    ("ANSWER: (C)", ["(C)"]),
    ("**Answer:** 42", ["42"]),
    ("**Answer**: 42", ["42"]),
    ("The correct answer is B.", ["B"]),
    ("The correct option is (B).", ["(B)"]),
    ("The answer is **42**.", ["42"]),
    ("#### 1,234", ["1,234"]),
    ("... = 18\n#### 18", ["18"]),
    ("The answer is 3. Wait, the answer is 4.", ["4"]),
    ("The answer is 3.14.", ["3.14"]),
    ("The answer is 7 because 3 + 4 = 7.", ["7"]),
    ("The answer is 18 dollars per day.", ["18 dollars per day"]),
    ("The answer is $3$ and $5$.", ["3, 5"]),
    ("The answer is $3$ or $5$.", ["3", "5"]),
    ("The answer is $28$ %.", [r"28\%"]),
    ("The answer is \\(x^2\\)", ["x^2"]),
    ("The final answer is:\n\\[\nx^2\n\\]", ["x^2"]),
    ("The answer to the problem is 12.", ["12"]),
    ("<think>hm, 3?</think><answer>42</answer>", ["42"]),
    ("The answers are 3 and 5.", ["3 and 5"]),
    ("So we get Answer: 42", ["42"]),
    ("Therefore, answer is 42.", ["42"]),
    ("The answer: 7", ["7"]),
    ("**Final answer:** ANSWER: 42", ["42"]),
    ("Answer $ 9 $", ["9"]),
    ("Answer \\[ \n 9 \n \\]", ["9"]),
    ("## Answer\n7", ["7"]),
    ("### Answer\n\n**7**", ["7"]),
    ("#### Final Answer: 7", ["7"]),
    ("**Final Answer**\n```math\n42\n```", ["42"]),
    ("**Final Answer:**\n\n$$\n\\text{ANSWER: } \\$460\n$$\n", [r"\$460"]),
    ("\\textbf{Answer:} $42$", ["42"]),
    ("<answer>\n42\n</answer> is my answer", ["42"]),
    ("<answer>The answer is 42.</answer>", ["42"]),
    ("The answer is then $8$.", ["8"]),
    ("The answer is, of course, 8.", ["8"]),
    ("The answer must be 8.", ["8"]),
    ("The answer is 7. Let me check that the answer is correct.", ["7"]),
    ("The answer is 7. Note that the answer should be positive.", ["7"]),
    ('The answer is "42".', ["42"]),
    ("The answer is $8$ million.", [r"8\text{ million}"]),
    ("The answer is $8$ cm.", [r"8\text{ cm}"]),
    ("最终答案为：$42$。", ["42"]),
]
SENTENCES = [
    ("Final Answer: The largest n is 34.", ["34"]),
    ("Final Answer: The largest n is $34$, as $35$ fails.", ["34"]),
    ("Final Answer: There are 34 such n.", ["34"]),
    ("Final Answer: Anna sold 34 clips in all.", ["34 clips"]),
    ("#### It takes 2 hours.", ["2 hours"]),
    ("Final Answer: It is not 34.", ["It is not 34"]),
    ("Final Answer: At least 34 are needed.", ["At least 34 are needed"]),
    ("Final Answer: The number is divisible by 34.", ["The number is divisible by 34"]),
    ("Final Answer: 3 boys and 4 girls", ["3 boys and 4 girls"]),
    ("Answer: The side is 4. The area is 16.", ["The side is 4"]),
]
NOTHING = [
    "",
    "Therefore we get 7.",
    "7",
    "$7$",
    "x = 7",
    "There are 12 ways, hence 12/3 = 4 in all.",
    "I cannot answer this.",
    "An answer would be nice.",
    "I don't think the answer is 7.",
    "If the answer is 7, we are done.",
    "Suppose that the answer is 7.",
    "The answer isn't 7.",
    "It is false that the answer is 7.",
    "Nobody says that the answer is 7.",
    "The answer is 7? Hardly.",
    "Check the answer: substitute x = 7 into the first of the equations.",
    "<think>The answer is 7.</think> It makes 7.",
    "<answer></answer> 7",
]


@pytest.mark.parametrize(("response", "stated"), MARKERS + SENTENCES)
def test_markers_count_only_if_the_param_says_so(response: str, stated: list[str]) -> None:
    assert extract(response, markers=True) == stated
    assert extract(response, markers=False) == []
    assert extract(rf"{response} \boxed{{5}}", markers=True) == ["5"]


@pytest.mark.parametrize("response", NOTHING)
def test_the_last_number_is_never_an_answer(response: str) -> None:
    assert extract(response, markers=True) == []
    assert verify(response, "7").reason is Reason.no_answer


def test_a_tag_behind_a_box_counts() -> None:
    assert extract(r"\boxed{3} <answer>4</answer>", markers=True) == ["4"]
    assert extract(r"\boxed{3} <answer>4</answer>", markers=False) == ["3"]
    assert extract(r"\boxed{3} <answer> </answer>", markers=True) == ["3"]


HOSTILE = (
    r"\boxed{", r"\boxed{{", r"\boxed{\}", r"\boxed ", r"\boxed{5} or ", r"\boxed{5}-", "answer is ", "answer: ",
    "answer is $", "answers" + "*" * 50, "<answer>", "<answer>x", "</answer>", "final answer", "#", "\n#", "*", "`",
    "$", " ", "\n", "if ", "the answer is 7? ", "Final Answer: a is ",
)  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
@pytest.mark.parametrize("end", ["", "answer: 7"])
def test_no_text_makes_extraction_slow(piece: str, end: str) -> None:
    text = (piece * MAX_RESPONSE)[: MAX_RESPONSE - len(end)] + end
    started = time.process_time()
    extract(text, markers=True)
    assert time.process_time() - started < 0.5
