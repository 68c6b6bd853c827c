"""The data variants: training sets of the expert's rows and the policy's own.

    training_sets(expert, own, seed, size)["rewritten"]    # {"train-17": TrainingRow(...), ...}

    expert        the demonstrations
    rewritten     a correct sample, else a correct re-solved response, else the demonstration: the method
    self          only the problems that a sample solved
    no-guide      a correct sample, else the demonstration
    solved        the demonstrations of the problems that a sample solved: is it the selection of problems?
    matched       rewritten rows up to the number of tokens of the expert's set: is it the number of tokens?

A new variant is one more line in `training_sets`; `grid.data` may then name it. fallback-merge adds `answer-hint`
(re-solved with the answer as the only guide) if resolve.guides has `answer`.
"""

import random
from collections.abc import Callable

from stages.lib.records import Problem, Rollout, TrainingRow

Rows = dict[str, TrainingRow]  # by problem id, in the problems' order


def training_sets(expert: Rows, own: Rows, seed: int, size: Callable[[TrainingRow], int]) -> dict[str, Rows]:
    """Every data variant by name. expert: the demonstrations of all problems; own: the policy's chosen responses; size:
    counts the response tokens of a row."""
    samples = {id_: row for id_, row in own.items() if row.source == "self"}
    rewritten = {**expert, **own}
    return {
        "expert": expert,
        "rewritten": rewritten,
        "self": samples,
        "no-guide": {**expert, **samples},
        "solved": {id_: expert[id_] for id_ in samples},
        "matched": matched(rewritten, sum(map(size, expert.values())), seed, size),
    }


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
