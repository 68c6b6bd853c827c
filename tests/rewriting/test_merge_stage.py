"""fallback-merge: one response per problem, chosen fairly, and training sets that say where each row is from."""

from collections import Counter
from pathlib import Path

import pytest

from stages import fallback_merge
from stages.lib.records import FailedDemonstration, Merged, Problem, Rollout, TrainingRow, Verdict, read, write
from stages.lib.rewriting.choosing import choose
from stages.lib.rewriting.training_sets import matched
from tests.run_stage import run_stage


def judged(id_: str, *correct: bool) -> list[Verdict]:
    return [
        Verdict(id=id_, index=i, correct=good, extracted="1", reason="equal" if good else "different")
        for i, good in enumerate(correct)
    ]


@pytest.mark.parametrize(
    ("samples", "resolved", "source"),
    [
        ([False, True], [], "self"),
        ([False, True], [True], "self"),
        ([False, False], [False, True], "resolved"),
        ([False, False], [False], "expert"),
        ([], [], "expert"),
    ],
)
def test_source_of_the_chosen_response(samples: list[bool], resolved: list[bool], source: str) -> None:
    row = choose("p", judged("p", *samples), judged("p", *resolved), judged("p", False)[0], seed=0)
    assert row.source == source and not row.expert_correct
    assert (row.samples, row.samples_correct, row.resolved) == (len(samples), sum(samples), len(resolved))


def test_choice_is_uniform_over_the_correct_ones_and_fixed_per_problem() -> None:
    rows = [judged(f"p{i}", True, False, True, True) for i in range(3000)]
    chosen = Counter(choose(r[0].id, r, [], r[0], seed=1).index for r in rows)
    assert set(chosen) == {0, 2, 3} and all(abs(count - 1000) < 120 for count in chosen.values())
    assert choose("p1", rows[1], [], rows[1][0], seed=1) == choose("p1", rows[1], [], rows[1][0], seed=1)


@pytest.fixture
def merged(checkout: Path, tiny_folder: Path) -> Path:
    """Three problems: one solved by a sample, one re-solved, one left to the expert, whose demonstration is wrong."""
    data = checkout / "data"
    params = checkout / "params.yaml"
    params.write_text(params.read_text().replace(": models/micro/policy", f": {tiny_folder}"))
    names = ("own", "retold", "left")
    write(data / "problems.jsonl", [Problem(id=n, problem=f"{n}?", answer="1", solution=f"expert {n}") for n in names])
    draw = lambda id_, i, text: Rollout(id=id_, index=i, response=text, finish="stop", token_ids=[i], logprobs=[-1.0])  # noqa: E731
    write(data / "samples.jsonl", [draw(n, i, f"{n} {i}") for n in names for i in range(2)])
    write(data / "resolved" / "solution.jsonl", [draw(n, i, f"{n} again {i}") for n in names[1:] for i in range(2)])
    verdicts = {
        "expert": [judged(n, n != "left")[0] for n in names],
        "sample": judged("own", False, True) + judged("retold", False, False) + judged("left", False, False),
        "resolve-solution": judged("retold", True, False) + judged("left", False, False),
    }
    for name, rows in verdicts.items():
        write(data / "verdicts" / f"{name}.jsonl", rows)
    run_stage(fallback_merge)
    return data


def test_training_sets(merged: Path) -> None:
    sets = {
        name: [(row.id, row.source, row.response) for row in read(TrainingRow, merged / "train" / f"{name}.jsonl")]
        for name in ("expert", "rewritten", "self", "no-guide")
    }
    own, retold, left = (
        ("own", "self", "own 1"),
        ("retold", "resolved", "retold again 0"),
        ("left", "expert", "expert left"),
    )
    assert sets["rewritten"] == [own, retold, left]
    assert sets["expert"] == [(n, "expert", f"expert {n}") for n in ("own", "retold", "left")]
    assert sets["self"] == [own]
    assert sets["no-guide"] == [own, ("retold", "expert", "expert retold"), left]


def test_control_sets_after_a_merge(merged: Path) -> None:
    solved = [(row.id, row.source) for row in read(TrainingRow, merged / "train" / "solved.jsonl")]
    assert solved == [("own", "expert")]
    assert not (merged / "train" / "answer-hint.jsonl").exists()  # asked for by no guide


def test_matched_keeps_to_the_budget_of_tokens() -> None:
    row = lambda i, size: TrainingRow(  # noqa: E731
        id=str(i), source="self", index=0, problem="p", answer="1", response="r", token_ids=[1] * size
    )
    rows = {str(i): row(i, 1 + i % 5) for i in range(200)}
    size = lambda row: len(row.token_ids)  # noqa: E731
    kept = matched(rows, 300, 0, size)
    assert 295 <= sum(map(size, kept.values())) <= 300
    assert list(kept) == sorted(kept, key=int) and kept != matched(rows, 300, 1, size)
    assert matched(rows, 10_000, 0, size) == rows


def test_rows_carry_what_was_sampled(merged: Path) -> None:
    rows = list(read(TrainingRow, merged / "train" / "rewritten.jsonl"))
    assert rows[0].token_ids == [1] and rows[0].logprobs == [-1.0] and rows[2].token_ids is None


def test_failed_demonstrations_are_listed(merged: Path) -> None:
    rows = list(read(FailedDemonstration, merged / "failed_demonstrations.jsonl"))
    assert rows == [FailedDemonstration(id="left", answer="1", extracted="1", reason="different")]
    assert [row.expert_correct for row in read(Merged, merged / "merged.jsonl")] == [True, True, False]
    assert '"expert_failed": 1' in (merged / "counts" / "merge.json").read_text()
