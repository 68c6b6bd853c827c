"""Bring training problems, the expert's demonstrations and the benchmarks into one schema.

    python -m stages.prepare
    data/problems.jsonl          {"id": "train-17", "problem": "4 - 3 + 8 =", "answer": "9", "solution": "..."}
    data/benchmarks/NAME.jsonl   the same rows; a solution is not needed
    data/counts/prepare.json     how many, and what was left out

A source is "testbed" (generated, nothing to download), a file of such rows, in which a faulty row is an error, or a
public data set with a mapping (see `sources`), whose rows without problem or answer are left out and counted.
"""

import json

from stages.lib import sources, testbed
from stages.lib.cli import run
from stages.lib.params import Benchmark, Benchmarks, Problems, load, root
from stages.lib.records import Problem, RecordError, read_problems, replacing, replacing_folder, write


def main() -> None:
    params = load()
    left_out: list[str] = []
    problems = training_problems(params.problems, left_out)
    benchmarks = benchmark_problems(params.benchmarks, left_out)
    problems = apart(problems, benchmarks, left_out)
    data = root() / "data"
    write(data / "problems.jsonl", problems)
    with replacing_folder(data / "benchmarks") as folder:
        for name, rows in benchmarks.items():
            write(folder / f"{name}.jsonl", rows)
    sizes = {name: len(rows) for name, rows in benchmarks.items()}
    with replacing(data / "counts" / "prepare.json") as file:
        json.dump({"problems": len(problems), "benchmarks": sizes, "left_out": left_out}, file, indent=2)
    words = ", ".join(f"{name} {size}" for name, size in sizes.items())
    print(f"prepare: {len(problems)} training problems, {len(left_out)} rows left out; benchmarks {words}")


def training_problems(source: Problems, left_out: list[str]) -> list[Problem]:
    """The first `n` problems of the source, each with a demonstration."""
    if source.source == "testbed":
        return testbed.problems(source.n, source.seed)
    place = Benchmark(
        path=source.source,
        mapping=source.mapping,
        split=source.split,
        revision=source.revision,
        subset=source.subset,
    )
    return read(place, left_out, need_solution=True)[: source.n]


def benchmark_problems(source: Benchmarks, left_out: list[str]) -> dict[str, list[Problem]]:
    """The first `n` problems of every benchmark, by name."""
    found: dict[str, list[Problem]] = {}
    for place in source.sources:
        if place.path == "testbed":
            made = testbed.benchmarks(source.n, source.seed)
        else:
            made = {place.name or sources.stem(place.path): read(place, left_out)[: source.n]}
        twice = found.keys() & made.keys()
        if twice:
            raise RecordError(f"benchmarks.sources: two are called {min(twice)!r}; give one another name")
        found |= made
    return found


def read(source: Benchmark, left_out: list[str], need_solution: bool = False) -> list[Problem]:
    """A source's problems; what it leaves out is appended to `left_out`, a place and a reason each."""
    if source.path.endswith(".jsonl") and source.mapping is None and sources.known(source.path) is None:
        return read_problems(source.path, need_solution)
    loaded = sources.load(
        sources.Source(
            path=source.path,
            mapping=source.mapping,
            split=source.split,
            revision=source.revision,
            subset=source.subset,
            name=source.name,
        )
    )
    usable = [row for row in loaded.problems if not need_solution or row.solution]
    left_out += [f"{place}: {why}" for place, why in loaded.left_out]
    left_out += [f"{row.id}: no solution" for row in loaded.problems if need_solution and not row.solution]
    if not usable:
        raise RecordError(f"{source.path}: no problem has a solution; training needs demonstrations")
    return usable


def apart(problems: list[Problem], benchmarks: dict[str, list[Problem]], left_out: list[str]) -> list[Problem]:
    """The training problems that are not benchmark problems too, word for word."""
    held_out = {" ".join(row.problem.split()): row.id for rows in benchmarks.values() for row in rows}
    twins = {row.id: held_out.get(" ".join(row.problem.split())) for row in problems}
    left_out += [f"{id_}: is benchmark problem {twin} too" for id_, twin in twins.items() if twin]
    kept = [row for row in problems if twins[row.id] is None]
    if not kept:
        raise RecordError("every training problem is a benchmark problem too; use other problems")
    return kept


if __name__ == "__main__":
    run(main)
