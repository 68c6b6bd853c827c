"""Check final answers against the references: of the expert's demonstrations, of the samples, of the re-solved.

    python -m stages.verify expert | sample | resolve-solution (or another of guides.GUIDES)
    data/verdicts/sample.jsonl       {"id": "train-17", "index": 0, "correct": true, "extracted": "9", ...}
    data/counts/verify-sample.json   how many, and for which reasons

A response that was cut off at the length limit is not correct, whatever it says; nor is a re-solved one that copies the
solution that it was shown, or speaks of it (unless `copy.action` is flag or ignore). Rows stream through in order, so
memory does not grow with their number, and the number of workers changes no byte.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from stages.lib.records import Problem, Rollout, Verdict, dumps, read, read_problems
from stages.lib.rewriting.guides import GUIDES
from stages.lib.rewriting.verdicts import judge_resolved
from stages.lib.run.files import replacing
from stages.lib.run.journal import Journal, identity, unchanged
from stages.lib.run.params import Params, ParamsError, load, root
from stages.lib.run.stage import run
from stages.lib.verifier import verify
from stages.lib.verifier.verdicts import judge

BATCH = 512  # verdicts per append to the journal


def main() -> None:
    params, name = load(), sys.argv[1] if len(sys.argv) == 2 else ""
    data = root() / "data"
    sources = {"expert": "problems.jsonl", "sample": "samples.jsonl"}
    sources |= {f"resolve-{guide}": f"resolved/{guide}.jsonl" for guide in GUIDES}
    if name not in sources:
        raise ParamsError(f"verify takes one of {', '.join(sources)}, not {name!r}")
    key = stage_identity(name, sources[name])
    problems = {row.id: row for row in read_problems(data / "problems.jsonl")}
    with Journal(f"verify-{name}", unchanged(key, stage_identity(name, sources[name]))) as journal:
        done = sum(1 for _ in journal.lines())
        rows = islice(responses(name, data / sources[name]), done, None)
        bar = iter(tqdm(verdicts(name, rows, problems, params), desc=f"verify {name}", unit="response", initial=done))
        while batch := list(islice(bar, BATCH)):
            journal.append(dumps(row) for row in batch)
        journal.deliver(data / "verdicts" / f"{name}.jsonl")
    write_counts(name, data)


def stage_identity(name: str, file: str) -> str:
    """Samples and demonstrations are one foreach stage of dvc.yaml, the guides are a matrix of another."""
    if name.startswith("resolve-"):
        return identity("verify-resolved", item={"guide": name.removeprefix("resolve-")})
    return identity("verify", key=name, item=file)


def verdicts(name: str, rows: Iterator[Rollout], problems: dict[str, Problem], params: Params) -> Iterator[Verdict]:
    workers = params.hardware.workers or None
    if name.startswith("resolve-"):
        guide = name.removeprefix("resolve-")
        return judge_resolved(rows, problems, guide, params.verify, params.copy, workers)
    return judge(rows, {id_: row.answer for id_, row in problems.items()}, params.verify, workers)


def responses(name: str, path: Path) -> Iterator[Rollout]:
    """The responses to check; a demonstration counts as the expert's only response, ended by itself."""
    if name != "expert":
        yield from read(Rollout, path)
        return
    for row in read(Problem, path):
        yield Rollout(id=row.id, index=0, response=row.solution or "", finish="stop", token_ids=[], logprobs=[])


def write_counts(name: str, data: Path) -> None:
    """Count the verdicts by reason and say so."""
    reasons: Counter[str] = Counter()
    solved: set[str] = set()
    for row in read(Verdict, data / "verdicts" / f"{name}.jsonl"):
        reasons[row.reason] += 1
        solved |= {row.id} if row.correct else set()
    counts = {"responses": reasons.total(), "problems_solved": len(solved), "reasons": dict(sorted(reasons.items()))}
    counts["versions"] = verify.versions()  # a verdict depends on them
    with replacing(data / "counts" / f"verify-{name}.json") as file:
        json.dump(counts, file, indent=2)
    words = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    print(f"verify {name}: {reasons.total()} responses: {words or 'none'}; {len(solved)} problems solved")


if __name__ == "__main__":
    run(main)
