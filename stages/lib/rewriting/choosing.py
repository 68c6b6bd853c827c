"""Which response of each problem becomes its training row, and the rows that the data variants are made of.

merged, own = merge(problems, data, "solution", seed=0, verify=params.verify)
"""

import random
from collections.abc import Container, Iterator
from pathlib import Path

from stages.lib.data.testbed import own_solution
from stages.lib.data.testbed_steps import read_terms
from stages.lib.records import EXPERT, RESOLVED, SELF, Merged, Problem, Rollout, Verdict, read
from stages.lib.rewriting.soundness import unsound
from stages.lib.rewriting.training_sets import Rows, own_row, row_by_rule
from stages.lib.run.params import Verify

Response = tuple[str, str, int | None]  # source, problem id, index


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
