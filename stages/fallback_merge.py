"""Choose one response per problem: a correct sample, else a correct re-solved one, else the expert's demonstration.

    python -m stages.fallback_merge
    data/merged.jsonl            {"id": "train-17", "source": "self", "index": 2, "samples": 4, ...}
    data/train/expert.jsonl      the demonstrations as they came
    data/train/rewritten.jsonl   the method's training set
    data/failed_demonstrations.jsonl   {"id": "train-17", "answer": "9", "extracted": "8", "reason": "different"}

Controls for ablations, in data/train too: see `training_sets`.

Among several correct responses one is chosen at random, by a generator seeded per problem, so that adding problems
changes no other choice. (Adaptive sampling leaves one or few to choose among; the law of what is kept is the same.)
Demonstrations that fail verification are listed and kept: all sets hold the same problems.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from stages.lib.policy import load_tokenizer, response_ids
from stages.lib.records import (
    EXPERT,
    RESOLVED,
    SELF,
    SOURCES,
    FailedDemonstration,
    Merged,
    Problem,
    Rollout,
    TrainingRow,
    Verdict,
    read,
    read_problems,
    write,
)
from stages.lib.rewriting.training_sets import Rows, expert_row, own_row, training_sets
from stages.lib.run.files import replacing_folder, write_counts
from stages.lib.run.params import Policy
from stages.lib.run.stage import Stage, run


def main(stage: Stage) -> None:
    params, data = stage.params, stage.data
    problems = read_problems(data / "problems.jsonl", need_solution=True)
    expert = {problem.id: expert_row(problem) for problem in problems}
    guides = params.resolve.guides
    merged = {guide: merge(problems, data / "verdicts", guide, params.merge.seed) for guide in guides}
    own = {guide: chosen_rows(problems, merged[guide], data, guide) for guide in guides}
    size = token_counter(params.policy)
    sets = training_sets(expert, own[guides[0]], params.merge.seed, size)
    if "answer" in own:
        sets["answer-hint"] = {**expert, **own["answer"]}
    write(data / "merged.jsonl", merged[guides[0]])
    with replacing_folder(data / "train") as folder:
        for name, rows in sets.items():
            write(folder / f"{name}.jsonl", rows.values())
    write(data / "failed_demonstrations.jsonl", failed_demonstrations(problems, data / "verdicts" / "expert.jsonl"))
    count(merged[guides[0]])


def token_counter(policy: Policy) -> Callable[[TrainingRow], int]:
    tokenizer = load_tokenizer(policy)
    return lambda row: len(response_ids(tokenizer, row.response, row.token_ids))


def merge(problems: list[Problem], verdicts: Path, guide: str, seed: int) -> list[Merged]:
    """One row per problem: where its response comes from, and how many were correct on the way."""
    names = ("sample", f"resolve-{guide}", "expert")
    samples, resolved, expert = (by_problem(verdicts / f"{name}.jsonl") for name in names)
    return [choose(p.id, samples.get(p.id, []), resolved.get(p.id, []), expert[p.id][0], seed) for p in problems]


def choose(id_: str, samples: list[Verdict], resolved: list[Verdict], expert: Verdict, seed: int) -> Merged:
    """The source and index of the response that is kept for one problem."""
    drawn = {SELF: samples, RESOLVED: resolved}
    correct = {name: [row.index for row in rows if row.correct] for name, rows in drawn.items()}
    source = next((name for name, found in correct.items() if found), EXPERT)
    return Merged(
        id=id_,
        source=source,
        index=random.Random(f"{seed}:{id_}").choice(correct[source]) if source != EXPERT else None,
        samples=len(samples),
        samples_correct=len(correct[SELF]),
        resolved=len(resolved),
        resolved_correct=len(correct[RESOLVED]),
        expert_correct=expert.correct,
    )


def by_problem(path: Path) -> dict[str, list[Verdict]]:
    rows: dict[str, list[Verdict]] = {}
    for row in read(Verdict, path):
        rows.setdefault(row.id, []).append(row)
    return rows


def chosen_rows(problems: list[Problem], merged: list[Merged], data: Path, guide: str) -> Rows:
    """The policy's own chosen responses by problem id, in the problems' order; the rollouts stream by."""
    chosen = {(row.source, row.id, row.index) for row in merged if row.source != EXPERT}
    found: dict[str, tuple[str, Rollout]] = {}
    for source, file in ((SELF, "samples.jsonl"), (RESOLVED, f"resolved/{guide}.jsonl")):
        for row in read(Rollout, data / file):
            if (source, row.id, row.index) in chosen:
                found[row.id] = (source, row)
    return {problem.id: own_row(problem, *found[problem.id]) for problem in problems if problem.id in found}


def failed_demonstrations(problems: list[Problem], verdicts: Path) -> Iterator[FailedDemonstration]:
    """The demonstrations whose final answer is not the reference, in the problems' order."""
    answers = {problem.id: problem.answer for problem in problems}
    for row in read(Verdict, verdicts):
        if not row.correct:
            yield FailedDemonstration(id=row.id, answer=answers[row.id], extracted=row.extracted, reason=row.reason)


def count(merged: list[Merged]) -> None:
    """Count the sources and say so."""
    found = Counter(row.source for row in merged)
    failed = sum(not row.expert_correct for row in merged)
    write_counts("merge", {**{name: found[name] for name in SOURCES}, "expert_failed": failed})
    words = ", ".join(f"{found[name]} {name}" for name in SOURCES)
    listed = ", listed in data/failed_demonstrations.jsonl" if failed else ""
    print(f"fallback-merge: {len(merged)} problems: {words}; {failed} demonstrations fail verification{listed}")


if __name__ == "__main__":
    run(main)
