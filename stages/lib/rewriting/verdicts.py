"""Verdicts on re-solved responses, streaming: what verify and resolve's waves share.

    for verdict in judge_resolved(rows, {"train-17": problem}, "solution", params.verify, params.copy, workers=2): ...

Beyond the final answer they are checked for copying the guide and for speaking of it (`copies`), and where
verify.unsound is reject for wrong steps (`soundness`).
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
KEPT = "_kept"  # behind either, where copy.action is flag: the verdict stays and the reason counts it


def judge_resolved(
    rows: Iterable[Rollout],
    problems: Mapping[str, Problem],
    kind: str,
    verify: Verify,
    copy: Copy,
    workers: int | None = None,
) -> Iterator[Verdict]:
    """As `judge`, for responses to the guide of a kind: what copies it or speaks of it is not correct (copy.action
    reject), or is counted under a reason of its own (flag).

    Only right answers are checked: a wrong one keeps its reason. The response is compared with the guide in full, also
    where the prompt showed less of it: what was not shown cannot have been copied.

    Raises:
        RecordError: a row's id is no problem's.
    """
    to_judge, to_check = tee(rows)
    references = {id_: problem.answer for id_, problem in problems.items()}
    for verdict in judge(to_judge, references, verify, workers):
        row = next(to_check)
        fault = _fault(row.response, problems[row.id], kind, copy) if verdict.correct else None
        verdict = _marked(verdict, fault, copy) if fault else verdict
        flaw = unsound(verify, problems[row.id], row.response) if verdict.correct else None
        yield replace(verdict, correct=False, reason=flaw) if flaw else verdict


def _fault(response: str, problem: Problem, kind: str, copy: Copy) -> str | None:
    """The reason that the copy check has against a response, if any. A guide of the answer alone holds nothing that
    could be copied."""
    if copy.action == "ignore":
        return None
    if mentions(response):
        return MENTIONS_SOLUTION
    return NEAR_COPY if kind != "answer" and near_copy(response, guide(kind, problem), copy) else None


def _marked(verdict: Verdict, fault: str, copy: Copy) -> Verdict:
    if copy.action == "reject":
        return replace(verdict, correct=False, reason=fault)
    return replace(verdict, reason=fault + KEPT)
