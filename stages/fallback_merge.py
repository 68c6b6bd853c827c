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

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from stages.lib.policy import load_tokenizer, response_ids
from stages.lib.records import (
    RESOLVED,
    SELF,
    SOURCES,
    FailedDemonstration,
    Merged,
    Problem,
    TrainingRow,
    Verdict,
    read,
    read_problems,
    write,
)
from stages.lib.rewriting.choosing import first_samples, merge, rows_by_rule
from stages.lib.rewriting.soundness import row_flaw
from stages.lib.rewriting.training_sets import (
    Flaw,
    Ingredients,
    Rows,
    expert_row,
    training_sets,
)
from stages.lib.run.files import replacing_folder, write_counts
from stages.lib.run.params import Policy
from stages.lib.run.stage import Stage, run


def main(stage: Stage) -> None:
    params, data = stage.params, stage.data
    problems = read_problems(data / "problems.jsonl", need_solution=True)
    guide = params.resolve.guides[0]
    merged, own = merge(problems, data, guide, params.merge.seed, params.verify)
    by_answer: Rows = {}
    if ANSWER in params.resolve.guides:
        by_answer = merge(problems, data, ANSWER, params.merge.seed, params.verify)[1]
    made_of = Ingredients(
        expert={problem.id: expert_row(problem) for problem in problems},
        own=own,
        own_by_answer=by_answer,
        first=first_samples(problems, data),
        by_rule=rows_by_rule(problems),
    )
    flaw = partial(row_flaw, params.verify)
    sets = training_sets(made_of, flaw, params.merge.seed, token_counter(params.policy))
    write(data / "merged.jsonl", merged)
    with replacing_folder(data / "train") as folder:
        for name, rows in sets.items():
            write(folder / f"{name}.jsonl", rows.values())
    write(data / "failed_demonstrations.jsonl", failed_demonstrations(problems, data / "verdicts" / "expert.jsonl"))
    count(merged, own, flaw)


ANSWER = "answer"  # the guide of answer-hint


def token_counter(policy: Policy) -> Callable[[TrainingRow], int]:
    tokenizer = load_tokenizer(policy)
    return lambda row: len(response_ids(tokenizer, row.response, row.token_ids))


def failed_demonstrations(problems: list[Problem], verdicts: Path) -> Iterator[FailedDemonstration]:
    """The demonstrations whose final answer is not the reference, in the problems' order."""
    answers = {problem.id: problem.answer for problem in problems}
    for row in read(Verdict, verdicts):
        if not row.correct:
            yield FailedDemonstration(id=row.id, answer=answers[row.id], extracted=row.extracted, reason=row.reason)


def count(merged: list[Merged], own: Rows, flaw: Flaw) -> None:
    """Count the sources, and the policy's own rows with a flaw by its reason, and say so."""
    found = Counter(row.source for row in merged)
    failed = sum(not row.expert_correct for row in merged)
    flaws = {
        source: dict(
            sorted(Counter(why for row in own.values() if row.source == source and (why := flaw(row))).items())
        )
        for source in (SELF, RESOLVED)
    }
    write_counts("merge", {**{name: found[name] for name in SOURCES}, "expert_failed": failed, "flaws": flaws})
    words = ", ".join(f"{found[name]} {name}" for name in SOURCES)
    listed = ", listed in data/failed_demonstrations.jsonl" if failed else ""
    unsound_rows = sum(sum(reasons.values()) for reasons in flaws.values())
    print(
        f"fallback-merge: {len(merged)} problems: {words}; {failed} demonstrations fail verification{listed}; "
        f"{unsound_rows} own rows with a flaw in their steps"
    )


if __name__ == "__main__":
    run(main)
