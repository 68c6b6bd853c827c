"""Bring training problems, the expert's demonstrations and the benchmarks into one schema.

    python -m stages.prepare
    data/problems.jsonl          {"id": "train-17", "problem": "4 - 3 + 8 =", "answer": "9", "solution": "..."}
    data/benchmarks/NAME.jsonl   the same rows; a solution is not needed

A source is "testbed" (generated, nothing to download) or a path: a JSONL file of such rows for `problems.source`, a
folder with one such file per benchmark for `benchmarks.source`.
"""

import json
from pathlib import Path

from stages.lib import testbed
from stages.lib.cli import run
from stages.lib.params import Benchmarks, Problems, load, root
from stages.lib.records import Problem, RecordError, read_problems, replacing, replacing_folder, write


def main() -> None:
    params = load()
    problems = training_problems(params.problems)
    benchmarks = benchmark_problems(params.benchmarks)
    check_apart(problems, benchmarks)
    data = root() / "data"
    write(data / "problems.jsonl", problems)
    with replacing_folder(data / "benchmarks") as folder:
        for name, rows in benchmarks.items():
            write(folder / f"{name}.jsonl", rows)
    sizes = {name: len(rows) for name, rows in benchmarks.items()}
    with replacing(data / "counts" / "prepare.json") as file:
        json.dump({"problems": len(problems), "benchmarks": sizes}, file, indent=2)
    print(f"prepare: {len(problems)} training problems with demonstrations; benchmarks " + describe(sizes))


def training_problems(source: Problems) -> list[Problem]:
    """The first `n` problems of the source, each with a demonstration."""
    if source.source == "testbed":
        return testbed.problems(source.n, source.seed)
    return read_problems(source.source, need_solution=True)[: source.n]


def benchmark_problems(source: Benchmarks) -> dict[str, list[Problem]]:
    """The first `n` problems of every benchmark, by name."""
    if source.source == "testbed":
        return testbed.benchmarks(source.n, source.seed)
    files = sorted(Path(source.source).glob("*.jsonl"))
    if not files:
        raise RecordError(f"benchmarks.source {source.source}: no *.jsonl there; give a folder with one per benchmark")
    return {file.stem: read_problems(file)[: source.n] for file in files}


def check_apart(problems: list[Problem], benchmarks: dict[str, list[Problem]]) -> None:
    """RecordError where a benchmark problem is a training problem too."""
    trained = {problem.problem.strip(): problem.id for problem in problems}
    for name, rows in benchmarks.items():
        for row in rows:
            if row.problem.strip() in trained:
                twin = trained[row.problem.strip()]
                raise RecordError(f"benchmark {name}: {row.id} is also training problem {twin}; drop one of them")


def describe(sizes: dict[str, int]) -> str:
    return ", ".join(f"{name} {size}" for name, size in sizes.items())


if __name__ == "__main__":
    run(main)
