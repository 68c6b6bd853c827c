"""Bring training problems, the expert's demonstrations and the benchmarks into one schema.

    python -m stages.prepare
    data/problems.jsonl          {"id": "train-17", "problem": "4 - 3 + 8 =", "answer": "9", "solution": "..."}
    data/benchmarks/NAME.jsonl   the same rows; a solution is not needed
    data/counts/prepare.json     how many, and what was left out: unusable rows, repeated problems, near-duplicates

A source is "testbed" (generated, nothing to download), a JSONL file of such rows, in which a faulty row is an error, or
anything that `sources` reads, whose unusable rows are left out and listed.

Of a problem that the training set holds twice the first is kept: copies would count twice in every interval over
problems, which takes problems to be independent. Training problems equal to a benchmark's are dropped, near-duplicates
(see `overlap`) too unless benchmarks.overlap.action is `report`.
"""

import re
from dataclasses import asdict
from itertools import chain

from stages.lib.data import sources, testbed
from stages.lib.data.near_duplicates import near_duplicates, repeated
from stages.lib.data.readers import sliced, split_of, stem
from stages.lib.records import Problem, RecordError, read_problems, write
from stages.lib.run.files import replacing_folder, write_counts
from stages.lib.run.params import Benchmarks, Overlap, Problems, Source
from stages.lib.run.stage import Stage, run


def main(stage: Stage) -> None:
    params, data = stage.params, stage.data
    left_out: list[str] = []
    problems = training_problems(params.problems, left_out)
    benchmarks = benchmark_problems(params.benchmarks, left_out)
    copies, twins = repeated(problems), resembling(problems, benchmarks, params.benchmarks.overlap)
    gone = copies.keys() | {twin["id"] for twin in twins if twin["dropped"]}
    kept = [row for row in problems if row.id not in gone]
    if not kept:
        raise RecordError("problems.source: every training problem is a benchmark problem too; use other problems")
    write(data / "problems.jsonl", kept)
    with replacing_folder(data / "benchmarks") as folder:
        for name, rows in benchmarks.items():
            write(folder / f"{name}.jsonl", rows)
    count(len(kept), {name: len(rows) for name, rows in benchmarks.items()}, left_out, copies, twins)


def resembling(problems: list[Problem], benchmarks: dict[str, list[Problem]], overlap: Overlap) -> list[dict]:
    """The training problems that equal or nearly equal a benchmark's, and whether they are dropped."""
    found = near_duplicates(problems, list(chain(*benchmarks.values())), overlap.words, overlap.share)
    return [{**asdict(twin), "dropped": twin.equal or overlap.action == "drop"} for twin in found]


def count(size: int, sizes: dict[str, int], left_out: list[str], copies: dict, twins: list[dict]) -> None:
    """List what was left out and why, and say how much."""
    counts = {
        "problems": size,
        "benchmarks": sizes,
        "left_out": left_out,
        "repeated": [{"id": id_, "first": first} for id_, first in copies.items()],
        "near_duplicates": twins,
    }
    write_counts("prepare", counts)
    near = f"{len(twins)} nearly a benchmark's ({sum(twin['dropped'] for twin in twins)} dropped)"
    words = ", ".join(f"{name} {number}" for name, number in sizes.items())
    print(
        f"prepare: {size} training problems; {len(left_out)} rows left out, {len(copies)} repeated, {near}; "
        f"benchmarks {words}"
    )


def training_problems(source: Problems, left_out: list[str]) -> list[Problem]:
    """The first `n` problems of the source, each with a demonstration."""
    if source.source == "testbed":
        return testbed.problems(source.n, source.seed)
    place = Source(
        path=source.source,
        mapping=source.mapping,
        split=source.split,
        revision=source.revision,
        subset=source.subset,
    )
    return read(place, source.n, left_out, need_solution=True)


def benchmark_problems(source: Benchmarks, left_out: list[str]) -> dict[str, list[Problem]]:
    """The first `n` problems of every benchmark, by name."""
    found: dict[str, list[Problem]] = {}
    for place in source.sources:
        if place.path == "testbed":
            made = testbed.benchmarks(source.n, source.seed)
        else:
            made = {file_name(place.name or stem(place.path)): read(place, source.n, left_out)}
        twice = found.keys() & made.keys()
        if twice:
            raise RecordError(f"benchmarks.sources: two are called {min(twice)!r}; give one another name")
        found |= made
    return found


def file_name(name: str) -> str:
    """A benchmark's name, which becomes a file's name and a table's column."""
    if not re.fullmatch(r"[\w+][\w .+-]{0,99}", name):
        what = "a name is up to 100 letters, digits, spaces and any of _ . + -"
        raise RecordError(f"benchmarks.sources: {name[:100]!r} cannot name a file; {what}; set `name`")
    return name


def read(source: Source, n: int, left_out: list[str], need_solution: bool = False) -> list[Problem]:
    """A source's first `n` problems; what it leaves out before is appended to `left_out`, a place and a reason each."""
    if source.path.endswith(".jsonl") and source.mapping is None and sources.known(source.path) is None:
        _, low, high = sliced(split_of(source))
        rows = read_problems(source.path, need_solution)[low:high][:n]
        if not rows:
            raise RecordError(
                f"{source.path} (split {split_of(source)}): the slice holds no rows; name rows of the file"
            )
        return rows
    loaded = sources.load(source, n, need_solution)
    left_out += [f"{place}: {why}" for place, why in loaded.left_out]
    return loaded.problems


if __name__ == "__main__":
    run(main)
