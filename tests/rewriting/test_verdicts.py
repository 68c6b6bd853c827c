"""Verdicts on re-solved responses: right answers that copy the guide or speak of it, under each action."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages import verify
from stages.lib.records import Problem, RecordError, Rollout, Verdict, read, write
from stages.lib.rewriting.verdicts import judge_resolved
from stages.lib.run.params import Params
from stages.lib.verifier.verdicts import judge
from tests.rewriting.test_copies import GUIDE, OWN
from tests.run_stage import run_stage

WRONG = GUIDE.replace("boxed{6}", "boxed{7}")
TELLING = "As the worked solution says, the answer is $\\boxed{6}$."
TEXTS = (OWN, GUIDE, WRONG, TELLING, OWN)
PLAIN = ["equal", "equal", "different", "equal", "cut_off"]


def rows(id_: str = "p") -> list[Rollout]:
    ends = ["stop"] * 4 + ["length"]
    return [
        Rollout(id=id_, index=k, response=text, finish=end, token_ids=[1], logprobs=[0.0])
        for k, (text, end) in enumerate(zip(TEXTS, ends, strict=True))
    ]


def problems(*ids: str) -> dict[str, Problem]:
    return {id_: Problem(id=id_, problem="How many?", answer="6", solution=GUIDE) for id_ in ids or ("p",)}


def judged(params: Params, action: str, kind: str = "solution") -> list[Verdict]:
    copy = dataclasses.replace(params.copy, action=action)
    return list(judge_resolved(rows(), problems(), kind, params.verify, copy, workers=1))


def test_action_reject(params: Params) -> None:
    found = judged(params, "reject")
    assert [row.reason for row in found] == ["equal", "near_copy", "different", "mentions_solution", "cut_off"]
    assert [row.correct for row in found] == [True, False, False, False, False]
    assert [row.index for row in found] == list(range(5)) and found[1].extracted == "6"


def test_action_flag_keeps_the_verdict_and_counts(params: Params) -> None:
    found = judged(params, "flag")
    assert [row.reason for row in found] == [
        "equal",
        "near_copy_kept",
        "different",
        "mentions_solution_kept",
        "cut_off",
    ]
    assert [row.correct for row in found] == [True, True, False, True, False]


def test_action_ignore_gives_the_plain_verdict(params: Params) -> None:
    plain = list(judge(rows(), problems(), params.verify, workers=1))
    assert judged(params, "ignore") == plain and [row.reason for row in plain] == PLAIN


def test_a_guide_of_the_answer_alone_cannot_be_copied_but_mentioned(params: Params) -> None:
    assert [row.reason for row in judged(params, "reject", "answer")] == [
        "equal", "equal", "different", "mentions_solution", "cut_off",
    ]  # fmt: skip


def test_half_a_guide_is_what_is_compared(params: Params) -> None:
    """The second half alone, copied, was never shown."""
    second = [dataclasses.replace(rows()[0], response="So we have it: " + GUIDE[GUIDE.index("Taking") :])]
    found = {
        kind: next(judge_resolved(second, problems(), kind, params.verify, params.copy)).reason
        for kind in ("solution", "half")
    }
    assert found == {"solution": "near_copy", "half": "equal"}


def test_rows_stream(params: Params) -> None:
    """A verdict comes long before the last row is read."""
    taken = 0

    def endless() -> Iterator[Rollout]:
        nonlocal taken
        while True:
            taken += 1
            yield rows()[taken % 2]

    source = judge_resolved(endless(), problems(), "solution", params.verify, params.copy, workers=1)
    assert [next(source).reason for _ in range(4)] == ["near_copy", "equal"] * 2
    assert taken < 20


def test_a_response_to_no_problem(params: Params) -> None:
    with pytest.raises(RecordError, match="'q' answers no known problem"):
        list(judge_resolved(rows("q"), problems(), "solution", params.verify, params.copy))


@pytest.mark.parametrize(("action", "solved"), [("reject", 1), ("flag", 2)])
def test_verify_counts_the_reasons(checkout: Path, monkeypatch: pytest.MonkeyPatch, action: str, solved: int) -> None:
    """Problem a has a response of its own words, b only a copy."""
    text = (checkout / "params.yaml").read_text()
    (checkout / "params.yaml").write_text(text.replace("action: reject", f"action: {action}"))
    data = checkout / "data"
    write(data / "problems.jsonl", problems("a", "b").values())
    write(data / "resolved" / "solution.jsonl", [*rows("a"), *rows("b")[1:3]])
    run_stage(verify, "resolve-solution")
    counts = json.loads((data / "counts" / "verify-resolve-solution.json").read_text())
    tail = "_kept" if action == "flag" else ""
    assert counts["reasons"] == {
        "cut_off": 1, "different": 2, "equal": 1, f"mentions_solution{tail}": 1, f"near_copy{tail}": 2,
    }  # fmt: skip
    assert counts["problems_solved"] == solved
    verdicts = list(read(Verdict, data / "verdicts" / "resolve-solution.jsonl"))
    assert [(row.id, row.index) for row in verdicts] == [*(("a", k) for k in range(5)), ("b", 1), ("b", 2)]


@pytest.mark.parametrize(("unsound", "reason"), [("reject", "wrong_step"), ("flag", "equal")])
def test_a_right_answer_by_wrong_steps_is_rejected_where_asked(params: Params, unsound: str, reason: str) -> None:
    problem = Problem(id="p", problem="4 - 9 + 2 =", answer="-3", solution="In: 4 + 2 = 6. So \\boxed{-3}.")
    text = "4 - 9 = -4\n-4 + 2 = -3\n\\boxed{-3}"
    row = Rollout(id="p", index=0, response=text, finish="stop", token_ids=[1], logprobs=[-1.0])
    verify = dataclasses.replace(params.verify, steps="testbed", unsound=unsound)
    [found] = judge_resolved([row], {"p": problem}, "solution", verify, params.copy, workers=1)
    assert (found.correct, found.reason) == (unsound == "flag", reason)
