"""The data variants: which rows each has, and what the step checker rejects."""

from pathlib import Path

import pytest

from stages.lib.records import Problem, Rollout, TrainingRow, Verdict, read, write
from stages.lib.rewriting.choosing import choose, first_samples, merge, rows_by_rule
from stages.lib.rewriting.training_sets import Ingredients, Rows, expert_row, own_row, training_sets
from stages.lib.run.params import Verify

SOUND, FLAWED = "4 - 9 = -5\n-5 + 2 = -3\n\\boxed{-3}", "4 - 9 = -4\n-4 + 2 = -3\n\\boxed{-3}"


def problem(name: str) -> Problem:
    return Problem(id=name, problem="4 - 9 + 2 =", answer="-3", solution=f"expert {name} \\boxed{{-3}}")


def rollout(name: str, index: int, text: str) -> Rollout:
    return Rollout(id=name, index=index, response=text, finish="stop", token_ids=[1], logprobs=[-1.0])


def verdict(name: str, index: int, correct: bool) -> Verdict:
    return Verdict(id=name, index=index, correct=correct, extracted="-3", reason="equal" if correct else "different")


@pytest.fixture
def made_of() -> Ingredients:
    problems = [problem(name) for name in "abc"]
    expert: Rows = {row.id: expert_row(row) for row in problems}
    own = {"a": own_row(problems[0], "self", rollout("a", 0, FLAWED)),
           "b": own_row(problems[1], "resolved", rollout("b", 1, SOUND))}  # fmt: skip
    first = {row.id: own_row(row, "self", rollout(row.id, 0, f"first {row.id}")) for row in problems}
    return Ingredients(expert, own, {}, first, rows_by_rule(problems))


def flaw(row: TrainingRow) -> str | None:
    return "wrong_step" if row.response == FLAWED else None


def test_the_rows_of_each_variant(made_of: Ingredients) -> None:
    sets = training_sets(made_of, flaw, seed=0, size=lambda row: 10)
    ids = {name: list(rows) for name, rows in sets.items()}
    assert ids["right-steps"] == ["b", "c"], "the flawed row goes, the expert's stays"
    assert ids["unfiltered"] == ids["oracle"] == ids["rewritten"] == ["a", "b", "c"]
    assert [row.response for row in sets["unfiltered"].values()] == ["first a", "first b", "first c"]
    assert {row.response for row in sets["oracle"].values()} == {SOUND}
    assert "answer-hint" not in sets


def test_no_rule_is_known_for_other_problems() -> None:
    assert rows_by_rule([Problem(id="x", problem="What is 2 + 2?", answer="4", solution="4")]) == {}
    assert rows_by_rule([Problem(id="x", problem="4 - 9 + 2 =", answer="3", solution="")]) == {}, "another answer"


def test_a_rejected_response_gives_way_to_the_next_right_one() -> None:
    samples = [verdict("a", 0, True), verdict("a", 1, True)]
    kept = choose("a", samples, [], verdict("a", 0, True), 0, {("self", "a", 0)})
    assert (kept.source, kept.index, kept.samples_correct) == ("self", 1, 2)
    rejected = {("self", "a", 0), ("self", "a", 1)}
    assert choose("a", samples, [verdict("a", 3, True)], verdict("a", 0, True), 0, rejected).source == "resolved"
    assert choose("a", samples, [], verdict("a", 0, True), 0, rejected).source == "expert"


@pytest.mark.parametrize(
    ("steps", "unsound", "source"),
    [("testbed", "reject", "expert"), ("testbed", "flag", "self"), ("none", "reject", "self")],
)
def test_the_param_decides_whether_a_flawed_row_is_kept(tmp_path: Path, steps: str, unsound: str, source: str) -> None:
    verify = Verify(markers=True, timeout=5.0, steps=steps, unsound=unsound)
    for name, rows in {
        "sample": [verdict("a", 0, True)],
        "resolve-solution": [],
        "expert": [verdict("a", 0, True)],
    }.items():
        write(tmp_path / "verdicts" / f"{name}.jsonl", rows)
    write(tmp_path / "samples.jsonl", [rollout("a", 0, FLAWED)])
    write(tmp_path / "resolved" / "solution.jsonl", [])
    merged, own = merge([problem("a")], tmp_path, "solution", 0, verify)
    assert merged[0].source == source and bool(own) == (source == "self")
    assert first_samples([problem("a")], tmp_path)["a"].response == FLAWED
    assert len(list(read(Rollout, tmp_path / "samples.jsonl"))) == 1
