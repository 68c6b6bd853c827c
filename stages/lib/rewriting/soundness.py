"""Whether the steps of a right answer prove it: the check beyond the final answer, by the name in verify.steps.

    flaw("testbed", problem, "5 - 9 = -3\\n...")      # "wrong_step"; None where nothing is wrong, or nothing is known

A verifier of answers keeps a response whose wrong steps cancel. On the embedded problems steps are read exactly
(`testbed_steps`); for text there is no checker yet, and `none` finds no flaw.
"""

from stages.lib.data.testbed_steps import check
from stages.lib.records import Problem, TrainingRow
from stages.lib.run.params import Verify


def flaw(verify: Verify, problem: str, response: str) -> str | None:
    """Why the steps do not prove the answer: a reason for counts, or None."""
    return check(problem, response).flaw if verify.steps == "testbed" else None


def row_flaw(verify: Verify, row: TrainingRow) -> str | None:
    """`flaw` of a training row."""
    return flaw(verify, row.problem, row.response)


def unsound(verify: Verify, problem: Problem, response: str) -> str | None:
    """The reason for which a right answer is rejected, where verify.unsound says so."""
    return flaw(verify, problem.problem, response) if verify.unsound == "reject" else None
