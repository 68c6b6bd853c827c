"""The data variants: training sets of the expert's rows and the policy's own.

    training_sets(expert, own, seed, size)["rewritten"]    # {"train-17": TrainingRow(...), ...}

    expert        the demonstrations
    rewritten     a correct sample, else a correct re-solved response, else the demonstration: the method
    self          the problems that a sample solved, alone
    no-guide      a correct sample, else the expert's demonstration
    solved        the expert's demonstrations of the problems that a sample solved: is it selection?
    matched       as many of the rewritten as have the tokens of the expert's set: is it more tokens?
    right-steps   the rewritten without the policy's own rows that have a wrong step behind the right answer
    unfiltered    the policy's first sample of every problem, right or wrong: on-policy text without the verifier
    oracle        the policy's own way written by rule, always right (embedded problems only): the upper end
    answer-hint   as rewritten, re-solved with the answer as the only guide (where resolve.guides has `answer`)

A new variant is one more line in `training_sets`; `grid.data` may then name it.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from stages.lib.records import Problem, Rollout, TrainingRow

Rows = dict[str, TrainingRow]  # by problem id, in the problems' order
Flaw = Callable[[TrainingRow], str | None]


@dataclass(frozen=True)
class Ingredients:
    """What the variants are made of, each by problem id: the demonstrations of all problems; the policy's chosen
    responses; those for the guide `answer` (empty: not asked for); the first samples, whatever they say; rows written
    by rule (empty: no rule is known)."""

    expert: Rows
    own: Rows
    own_by_answer: Rows
    first: Rows
    by_rule: Rows


def training_sets(made_of: Ingredients, flaw: Flaw, seed: int, size: Callable[[TrainingRow], int]) -> dict[str, Rows]:
    """Every data variant by name. flaw: why the steps of a row do not prove its answer, or None; size: the response
    tokens of a row."""
    expert, own = made_of.expert, made_of.own
    samples = {id_: row for id_, row in own.items() if row.source == "self"}
    rewritten = {**expert, **own}
    sets = {
        "expert": expert,
        "rewritten": rewritten,
        "self": samples,
        "no-guide": {**expert, **samples},
        "solved": {id_: expert[id_] for id_ in samples},
        "matched": matched(rewritten, sum(map(size, expert.values())), seed, size),
        "right-steps": {id_: row for id_, row in rewritten.items() if row.source == "expert" or not flaw(row)},
        "unfiltered": made_of.first,
        "oracle": made_of.by_rule,
    }
    if made_of.own_by_answer:
        sets["answer-hint"] = {**expert, **made_of.own_by_answer}
    return {name: rows for name, rows in sets.items() if rows or name in ("self", "solved")}


def matched(rows: Rows, budget: int, seed: int, size: Callable[[TrainingRow], int]) -> Rows:
    """A random choice of rows with at most `budget` response tokens, in their original order.

    Rows are taken in a random order until the next one would exceed the budget.
    """
    order, kept, used = list(rows), set(), 0
    random.Random(f"{seed}:matched").shuffle(order)
    for id_ in order:
        used += size(rows[id_])
        if used > budget:
            break
        kept.add(id_)
    return {id_: row for id_, row in rows.items() if id_ in kept}


def expert_row(problem: Problem) -> TrainingRow:
    """The expert's demonstration as a training row: text without token ids, which the trainer tokenizes."""
    return TrainingRow(
        id=problem.id,
        source="expert",
        index=None,
        problem=problem.problem,
        answer=problem.answer,
        response=problem.solution or "",
        token_ids=None,
    )


def own_row(problem: Problem, source: str, rollout: Rollout) -> TrainingRow:
    """A rollout of the policy's as a training row, with the token ids and log-probabilities it was sampled with."""
    return TrainingRow(
        id=problem.id,
        source=source,
        index=rollout.index,
        problem=problem.problem,
        answer=problem.answer,
        response=rollout.response,
        token_ids=rollout.token_ids,
        logprobs=rollout.logprobs,
    )


def row_by_rule(problem: Problem, solution: str) -> TrainingRow:
    """A row whose response is written by a rule: no sample, so no tokens or log-probabilities of the policy's."""
    return replace(expert_row(problem), response=solution)
