"""The stages from problems to training sets on the embedded policy, in little: what is kept is right, and only that."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from stages import evaluate, fallback_merge, prepare, resolve, sample, verify
from stages.lib.records import Evaluation, Merged, Rollout, TrainingRow, Verdict, read, read_problems, write
from tests.run_stage import run_stage

ROOT = Path(__file__).parents[2]
N, K = 16, 3


def value(chain: str) -> int:
    """The value of "4 - 3 + 8 =", worked out without the verifier."""
    return sum(int(term) for term in re.findall(r"[+-]?\d+", chain.replace(" ", "")))


def boxed(response: str) -> int:
    return int(re.findall(r"\\boxed\{(-?\d+)\}", response)[-1])


@pytest.fixture
def data(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder after the stages up to fallback-merge, and evaluate of the base, all in this process."""
    shutil.copytree(ROOT / "models" / "micro", checkout / "models" / "micro")
    text = (checkout / "params.yaml").read_text()
    text = text.replace("  n: 768 ", f"  n: {N} ").replace("  n: 100 ", "  n: 2 ")
    text = re.sub(r"^(sample:.*\n.*\n  n: )\d+", rf"\g<1>{K}", text, flags=re.M)
    (checkout / "params.yaml").write_text(text)
    for stage, *words in (
        (prepare,),
        (verify, "expert"),
        (sample,),
        (verify, "sample"),
        (resolve, "solution"),
        (verify, "resolve-solution"),
        (fallback_merge,),
        (evaluate, "base", "1"),
    ):
        run_stage(stage, *words)
    return checkout / "data"


def test_a_benchmark_problem_too_long_for_the_context_counts_as_wrong(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In its place among the others, whose rows are what they were."""
    before = list(read(Evaluation, data / "evaluations" / "base-t1.jsonl"))
    file = data / "benchmarks" / "chain-short.jsonl"
    first, second = read_problems(file)
    write(file, [first, replace(second, id="long", problem="1 + " * 300 + "1 ="), second])
    run_stage(evaluate, "base", "1")
    rows = list(read(Evaluation, data / "evaluations" / "base-t1.jsonl"))
    added = [row for row in rows if row.id == "long"]
    expected = {"correct": False, "extracted": None, "reason": "too_long", "finish": "length", "tokens": 0}
    assert len(added) == 4 and all({**vars(row), **expected, "response": ""} == vars(row) for row in added)
    assert [row for row in rows if row.id != "long"] == before
    place = rows.index(added[0])
    assert (rows[place - 1].id, rows[place + 4].id) == (first.id, second.id)
    assert "4 too_long" in capsys.readouterr().out.splitlines()[-1]


def test_from_problems_to_training_sets(data: Path) -> None:
    problems = {row.id: row for row in read_problems(data / "problems.jsonl", need_solution=True)}
    samples = list(read(Rollout, data / "samples.jsonl"))
    judged = list(read(Verdict, data / "verdicts" / "sample.jsonl"))
    for row, verdict in zip(samples, judged, strict=True):
        right = "\\boxed{" in row.response and boxed(row.response) == value(problems[row.id].problem)
        assert verdict.correct == (row.finish == "stop" and right), row.response
    first = {row.id: row.index for row in reversed(judged) if row.correct}
    tries = {id_: 1 + first.get(id_, K - 1) for id_ in problems}
    assert [(row.id, row.index) for row in samples] == [
        (id_, k) for k in range(K) for id_ in problems if k < tries[id_]
    ]

    solved = {row.id for row in judged if row.correct}
    resolved = list(read(Rollout, data / "resolved" / "solution.jsonl"))
    assert {row.id for row in resolved} == problems.keys() - solved

    merged = {row.id: row for row in read(Merged, data / "merged.jsonl")}
    assert {row.source for row in merged.values()} >= {"self"}
    assert all((merged[id_].source == "self") == (id_ in solved) for id_ in problems)

    rewritten = list(read(TrainingRow, data / "train" / "rewritten.jsonl"))
    assert [row.id for row in rewritten] == list(problems)
    for row in rewritten:
        assert boxed(row.response) == value(row.problem) == int(row.answer)
        assert (row.response == problems[row.id].solution) == (row.source == "expert")
        assert "worked solution" not in row.problem

    rows = list(read(Evaluation, data / "evaluations" / "base-t1.jsonl"))
    assert len(rows) == 5 * 2 * 4 and len({row.benchmark for row in rows}) == 5
    assert all(row.correct == (row.reason == "equal") for row in rows)
