"""prepare: any source in one schema; what is left out is counted, what is tested is not trained on."""

import json
import re
from pathlib import Path

import pytest

from stages import prepare
from stages.lib.records import read_problems

BENCHMARKS = next((p / "shared/benchmarks" for p in Path(__file__).parents if (p / "shared/benchmarks").is_dir()), None)


def use(section: str, path: str) -> None:
    key = "source" if section == "problems" else "path"
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(re.sub(rf"{key}: testbed", f"{key}: {path}", text, count=1))


def test_testbed(checkout: Path) -> None:
    prepare.main()
    counts = json.loads(Path("data/counts/prepare.json").read_text())
    assert counts["problems"] == 768 and len(counts["benchmarks"]) == 5 and counts["left_out"] == []


def test_a_benchmark_problem_is_not_trained_on(checkout: Path) -> None:
    rows = [{"id": f"p{i}", "problem": f"{i}  + 1", "answer": "1", "solution": "s"} for i in range(3)]
    Path("mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("test.jsonl").write_text(json.dumps({"id": "t", "problem": "1 + 1", "answer": "2"}) + "\n")
    use("problems", "mine.jsonl")
    use("benchmarks", "test.jsonl")
    prepare.main()
    assert [row.id for row in read_problems("data/problems.jsonl")] == ["p0", "p2"]
    left_out = json.loads(Path("data/counts/prepare.json").read_text())["left_out"]
    assert left_out == ["p1: is benchmark problem t too"]


@pytest.mark.skipif(BENCHMARKS is None, reason="the benchmark files lie beside the repository, and are not here")
def test_real_files(checkout: Path) -> None:
    use("problems", f"{BENCHMARKS}/gsm8k.jsonl")
    names = ("math_oai", "minerva_math", "olympiadbench", "aime24", "amc23")
    use("benchmarks", "\n    - path: ".join(f"{BENCHMARKS}/{name}.jsonl" for name in names))
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("  n: 100 ", "  n: 1000 "))
    prepare.main()
    sizes = {name: len(read_problems(f"data/benchmarks/{name}.jsonl")) for name in names}
    assert sizes == {"math_oai": 500, "minerva_math": 272, "olympiadbench": 675, "aime24": 30, "amc23": 40}
    assert len(read_problems("data/problems.jsonl", need_solution=True)) == 768
