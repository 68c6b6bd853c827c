"""Verdicts on re-solved responses, row by row; used by verify and by the waves of resolve.

    for verdict in judge_resolved(rows, {"train-17": problem}, "solution", params.verify, params.copy, workers=2): ...

A correct response is also checked for copying the guide and for mentioning it (copies.py), and for wrong steps if
verify.unsound is reject (soundness.py).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import tee

from stages.lib.records import Problem, Rollout, Verdict
from stages.lib.rewriting.copies import mentions, near_copy
from stages.lib.rewriting.guides import guide
from stages.lib.rewriting.soundness import unsound
from stages.lib.run.params import Copy, Verify
from stages.lib.verifier.verdicts import judge

NEAR_COPY = "near_copy"
MENTIONS_SOLUTION = "mentions_solution"
KEPT = "_kept"  # suffix of both reasons with copy.action flag: the verdict stays, the reason counts it


def judge_resolved(
    rows: Iterable[Rollout],
    problems: Mapping[str, Problem],
    kind: str,
    verify: Verify,
    copy: Copy,
    workers: int | None = None,
) -> Iterator[Verdict]:
    """As `judge`, for responses to guides of one kind. A response that copies or mentions its guide becomes incorrect
    (copy.action reject) or is counted under a separate reason (flag).

    Only correct answers are checked; a wrong one keeps its reason. The response is compared with the full guide even if
    the prompt showed a shortened one: text that was not shown cannot have been copied.

    Raises:
        RecordError: a row's id belongs to no problem.
    """
    to_judge, to_check = tee(rows)
    for verdict in judge(to_judge, problems, verify, workers):
        row = next(to_check)
        fault = _fault(row.response, problems[row.id], kind, copy) if verdict.correct else None
        verdict = _marked(verdict, fault, copy) if fault else verdict
        flaw = unsound(verify, problems[row.id], row.response) if verdict.correct else None
        yield replace(verdict, correct=False, reason=flaw) if flaw else verdict


def _fault(response: str, problem: Problem, kind: str, copy: Copy) -> str | None:
    """The reason to reject a correct response, or None. A guide with only the answer holds nothing to copy."""
    if copy.action == "ignore":
        return None
    if mentions(response):
        return MENTIONS_SOLUTION
    return NEAR_COPY if kind != "answer" and near_copy(response, guide(kind, problem), copy) else None


def _marked(verdict: Verdict, fault: str, copy: Copy) -> Verdict:
    if copy.action == "reject":
        return replace(verdict, correct=False, reason=fault)
    return replace(verdict, reason=fault + KEPT)
