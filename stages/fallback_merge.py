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
from collections.abc import Callable, Container, Iterator
from functools import partial
from pathlib import Path

from stages.lib.data.testbed import own_solution
from stages.lib.data.testbed_steps import read_terms
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
from stages.lib.rewriting.soundness import row_flaw, unsound
from stages.lib.rewriting.training_sets import (
    Flaw,
    Ingredients,
    Rows,
    expert_row,
    own_row,
    row_by_rule,
    training_sets,
)
from stages.lib.run.files import replacing_folder, write_counts
from stages.lib.run.params import Policy, Verify
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


def merge(problems: list[Problem], data: Path, guide: str, seed: int, verify: Verify) -> tuple[list[Merged], Rows]:
    """One row per problem, where its response comes from and how many were right on the way; and the policy's own
    chosen rows."""
    names = ("sample", f"resolve-{guide}", "expert")
    samples, resolved, expert = (by_problem(data / "verdicts" / f"{name}.jsonl") for name in names)
    rejected = unsound_responses(problems, data, guide, verify)
    merged = [
        choose(p.id, samples.get(p.id, []), resolved.get(p.id, []), expert[p.id][0], seed, rejected) for p in problems
    ]
    return merged, chosen_rows(problems, merged, data, guide)


Response = tuple[str, str, int | None]  # source, problem id, index


def own_responses(data: Path, guide: str) -> Iterator[tuple[str, Rollout]]:
    """The policy's own responses with their source; they stream by."""
    for source, file in ((SELF, "samples.jsonl"), (RESOLVED, f"resolved/{guide}.jsonl")):
        for row in read(Rollout, data / file):
            yield source, row


def unsound_responses(problems: list[Problem], data: Path, guide: str, verify: Verify) -> set[Response]:
    """The responses that verify.unsound rejects for their steps."""
    if verify.unsound != "reject":
        return set()
    by_id = {problem.id: problem for problem in problems}
    return {
        (source, row.id, row.index)
        for source, row in own_responses(data, guide)
        if unsound(verify, by_id[row.id], row.response)
    }


def choose(
    id_: str,
    samples: list[Verdict],
    resolved: list[Verdict],
    expert: Verdict,
    seed: int,
    rejected: Container[Response] = (),
) -> Merged:
    """The source and index of the response that is kept for one problem."""
    drawn = {SELF: samples, RESOLVED: resolved}
    correct = {name: [row.index for row in rows if row.correct] for name, rows in drawn.items()}
    kept = {name: [i for i in found if (name, id_, i) not in rejected] for name, found in correct.items()}
    source = next((name for name, found in kept.items() if found), EXPERT)
    return Merged(
        id=id_,
        source=source,
        index=random.Random(f"{seed}:{id_}").choice(kept[source]) if source != EXPERT else None,
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
    """The policy's own chosen responses by problem id, in the problems' order."""
    chosen = {(row.source, row.id, row.index) for row in merged if row.source != EXPERT}
    found = {row.id: (s, row) for s, row in own_responses(data, guide) if (s, row.id, row.index) in chosen}
    return {problem.id: own_row(problem, *found[problem.id]) for problem in problems if problem.id in found}


def first_samples(problems: list[Problem], data: Path) -> Rows:
    """The first sample of every problem that was asked, whatever it says."""
    first = {row.id: row for row in read(Rollout, data / "samples.jsonl") if row.index == 0}
    return {problem.id: own_row(problem, SELF, first[problem.id]) for problem in problems if problem.id in first}


def rows_by_rule(problems: list[Problem]) -> Rows:
    """The policy's own way, written by rule: of embedded problems; none of others."""
    terms = {problem.id: read_terms(problem.problem) for problem in problems}
    return {
        problem.id: row_by_rule(problem, own_solution(found))
        for problem in problems
        if (found := terms[problem.id]) is not None and sum(found) == _number(problem.answer)
    }


def _number(answer: str) -> int | None:
    return int(answer) if answer.lstrip("-").isdigit() else None


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
