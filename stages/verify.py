"""Check final answers against the references: of the expert's demonstrations, of the samples, of the re-solved.

    python -m stages.verify expert | sample | resolve-solution (or another of guides.GUIDES)
    data/verdicts/sample.jsonl       {"id": "train-17", "index": 0, "correct": true, "extracted": "9", ...}
    data/counts/verify-sample.json   how many, and for which reasons

A response that was cut off at the length limit is not correct, whatever it says; nor is a re-solved one that copies the
solution that it was shown, or speaks of it (unless `copy.action` is flag or ignore). Rows stream through in order, so
memory does not grow with their number, and the number of workers changes no byte.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from stages.lib.records import Problem, Rollout, Verdict, dumps, read, read_problems
from stages.lib.rewriting.guides import known_guide
from stages.lib.rewriting.verdicts import judge_resolved
from stages.lib.run.files import write_counts
from stages.lib.run.params import Params
from stages.lib.run.stage import Stage, run
from stages.lib.verifier import verify
from stages.lib.verifier.verdicts import judge

BATCH = 512  # verdicts per append to the journal


def main(stage: Stage) -> None:
    [name] = stage.words
    guide = known_guide(stage.item["guide"]) if stage.item else None
    problems = {row.id: row for row in read_problems(stage.data / "problems.jsonl")}
    out = stage.data / "verdicts" / f"{name}.jsonl"
    with stage.journal() as journal:
        done = sum(1 for _ in journal.lines())
        rows = islice(responses(name, guide, stage.data), done, None)
        found = verdicts(rows, problems, guide, stage.params)
        bar = iter(tqdm(found, desc=f"verify {name}", unit="response", initial=done))
        while batch := list(islice(bar, BATCH)):
            journal.append(dumps(row) for row in batch)
        journal.deliver(out)
    count(name, read(Verdict, out))


def responses(name: str, guide: str | None, data: Path) -> Iterator[Rollout]:
    """The responses to check; a demonstration counts as the expert's only response, ended by itself."""
    if name == "expert":
        for row in read(Problem, data / "problems.jsonl"):
            yield Rollout(id=row.id, index=0, response=row.solution or "", finish="stop", token_ids=[], logprobs=[])
    else:
        yield from read(Rollout, data / (f"resolved/{guide}.jsonl" if guide else "samples.jsonl"))


def verdicts(
    rows: Iterator[Rollout], problems: dict[str, Problem], guide: str | None, params: Params
) -> Iterator[Verdict]:
    """The verdicts on the rows; `guide`: what re-solved ones were shown."""
    workers = params.hardware.workers or None
    if guide:
        return judge_resolved(rows, problems, guide, params.verify, params.copy, workers)
    return judge(rows, problems, params.verify, workers)


def count(name: str, rows: Iterator[Verdict]) -> None:
    """Count the verdicts by reason and say so."""
    reasons: Counter[str] = Counter()
    solved: set[str] = set()
    for row in rows:
        reasons[row.reason] += 1
        solved |= {row.id} if row.correct else set()
    counts = {"responses": reasons.total(), "problems_solved": len(solved), "reasons": dict(sorted(reasons.items()))}
    write_counts(f"verify-{name}", {**counts, "versions": verify.versions()})  # a verdict depends on them
    words = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    print(f"verify {name}: {reasons.total()} responses: {words or 'none'}; {len(solved)} problems solved")


if __name__ == "__main__":
    run(main, resumable=True)
