"""prepare: any source in one schema; what is left out is counted, what is tested is not trained on."""

import json
import re
from pathlib import Path

import pytest

from stages import prepare
from stages.lib.records import read_problems
from tests.run_stage import run_stage

BENCHMARKS = next((p / "shared/benchmarks" for p in Path(__file__).parents if (p / "shared/benchmarks").is_dir()), None)


def use(section: str, path: str, files: str | None = None) -> None:
    """Name a source, and what DVC watches of it."""
    key = "source" if section == "problems" else "path"
    text = re.sub(rf"{key}: testbed", f"{key}: {path}", Path("params.yaml").read_text(), count=1)
    watched = rf"^({section}:.*\n(?:.*\n)*?  files: )\S+"
    Path("params.yaml").write_text(re.sub(watched, rf"\g<1>{files or path}", text, flags=re.M))


def test_preparing_the_testbed(checkout: Path) -> None:
    run_stage(prepare)
    counts = json.loads(Path("data/counts/prepare.json").read_text())
    assert counts["problems"] == 768 and len(counts["benchmarks"]) == 5 and counts["left_out"] == []
    assert counts["near_duplicates"] == [] and counts["repeated"] == []


def prepared(problems: list[dict], benchmark: list[dict]) -> tuple[list[str], dict]:
    """The ids that are trained on, and the counts."""
    for name, rows in (("mine", problems), ("test", benchmark)):
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    use("problems", "mine.jsonl")
    use("benchmarks", "test.jsonl")
    run_stage(prepare)
    ids = [row.id for row in read_problems("data/problems.jsonl")]
    return ids, json.loads(Path("data/counts/prepare.json").read_text())


def row(id_: str, problem: str) -> dict:
    return {"id": id_, "problem": problem, "answer": "1", "solution": "s"}


LONG = "A farmer has 12 cows, 5 goats and a dog; every evening all of them walk home over the old bridge, one by one"


@pytest.mark.parametrize("action", ["drop", "report"])
def test_near_duplicates_are_listed_and_dropped_if_asked(
    checkout: Path, action: str, capsys: pytest.CaptureFixture[str]
) -> None:
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("action: drop", f"action: {action}"))
    ids, counts = prepared([row("equal", "1  + 1"), row("near", LONG + ". Why?"), row("own", "2 + 2")],
                           [row("t0", "$1+1$"), row("t1", LONG)])  # fmt: skip
    assert ids == (["own"] if action == "drop" else ["near", "own"])
    assert counts["near_duplicates"] == [
        {"id": "equal", "benchmark": "t0", "share": 1.0, "equal": True, "dropped": True},
        {"id": "near", "benchmark": "t1", "share": 1.0, "equal": False, "dropped": action == "drop"},
    ]
    assert f"2 nearly a benchmark's ({3 - len(ids)} dropped)" in capsys.readouterr().out


def test_the_first_of_equal_problems_is_kept(checkout: Path) -> None:
    ids, counts = prepared([row("a", "1 + 1"), row("b", "2 + 2"), row("c", "1+1.")], [row("t", "3")])
    assert ids == ["a", "b"] and counts["repeated"] == [{"id": "c", "first": "a"}]
    assert counts["problems"] == 2 and counts["near_duplicates"] == [] and counts["left_out"] == []


def test_a_slice_of_a_file_of_plain_rows(checkout: Path) -> None:
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("split: train", "split: train[1:3]"))
    assert prepared([row(str(i), f"{i}?") for i in range(5)], [row("t", "x")])[0] == ["1", "2"]


def test_fields_of_ones_own(checkout: Path) -> None:
    own = '{problem: text, answer: "work:box", solution: work}'
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("mapping: null", f"mapping: {own}"))
    prepared([{"text": "1+1", "work": r"two: \boxed{2}", "x": 1}, {"text": "?", "work": "none"}], [row("t", "x")])
    assert read_problems("data/problems.jsonl")[0].answer == "2"
    assert json.loads(Path("data/counts/prepare.json").read_text())["left_out"] == ["mine-1: no answer"]


@pytest.mark.skipif(BENCHMARKS is None, reason="the benchmark files lie beside the repository, and are not here")
def test_real_files(checkout: Path) -> None:
    use("problems", f"{BENCHMARKS}/gsm8k.jsonl")
    names = ("math_oai", "minerva_math", "olympiadbench", "aime24", "amc23")
    use("benchmarks", "\n    - path: ".join(f"{BENCHMARKS}/{name}.jsonl" for name in names), f"{BENCHMARKS}")
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("  n: 100 ", "  n: 1000 "))
    run_stage(prepare)
    sizes = {name: len(read_problems(f"data/benchmarks/{name}.jsonl")) for name in names}
    assert sizes == {"math_oai": 500, "minerva_math": 272, "olympiadbench": 675, "aime24": 30, "amc23": 40}
    assert len(read_problems("data/problems.jsonl", need_solution=True)) == 768


@pytest.mark.skipif(BENCHMARKS is None, reason="the benchmark files lie beside the repository, and are not here")
def test_two_slices_of_a_real_file(checkout: Path) -> None:
    path = f"{BENCHMARKS}/gsm8k.jsonl"
    use("problems", path)
    use("benchmarks", f'{path}\n      split: "[900:1000]"', path)
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("split: train ", 'split: "[850:950]"'))
    run_stage(prepare)
    counts = json.loads(Path("data/counts/prepare.json").read_text())
    assert [row.id for row in read_problems("data/problems.jsonl")] == [f"gsm8k-{i}" for i in range(850, 900)]
    assert counts["benchmarks"] == {"gsm8k": 100}
    assert [twin["id"] for twin in counts["near_duplicates"]] == [f"gsm8k-{i}" for i in range(900, 950)]
