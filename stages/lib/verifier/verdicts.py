"""Verdicts on responses, streaming: what the verify stage and evaluate share.

for verdict in judge(read(Rollout, path), {"train-17": problem}, params.verify, workers=2): ...
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from stages.lib.records import Problem, RecordError, Rollout, Verdict
from stages.lib.run.params import Verify
from stages.lib.verifier import verify as answers

CUT_OFF = "cut_off"


def judge(
    rows: Iterable[Rollout], problems: Mapping[str, Problem], verify: Verify, workers: int | None = None
) -> Iterator[Verdict]:
    """One verdict per row, in the rows' order: its answer against the problem's, read as the problem asks for it. A row
    cut off at the length limit is wrong without being read.

    Raises:
        RecordError: a row's id is no problem's.
    """
    waiting: deque[Rollout] = deque()
    pairs = _pairs(rows, problems, waiting)
    for verdict in answers.verify_stream(pairs, workers=workers, timeout=verify.timeout, markers=verify.markers):
        yield from _cut_off(waiting)
        row = waiting.popleft()
        yield Verdict(
            id=row.id,
            index=row.index,
            correct=verdict.correct,
            extracted=verdict.extracted,
            reason=verdict.reason.value,
        )
    yield from _cut_off(waiting)


def _pairs(
    rows: Iterable[Rollout], problems: Mapping[str, Problem], waiting: deque[Rollout]
) -> Iterator[tuple[str, str, str]]:
    """The response, answer and question to verify, while `waiting` keeps every row that has no verdict yet."""
    for row in rows:
        if row.id not in problems:
            raise RecordError(f"response {row.id!r} answers no known problem; run the stage that made it again")
        waiting.append(row)
        if row.finish != "length":
            yield row.response, problems[row.id].answer, problems[row.id].problem


def _cut_off(waiting: deque[Rollout]) -> Iterator[Verdict]:
    while waiting and waiting[0].finish == "length":
        row = waiting.popleft()
        yield Verdict(id=row.id, index=row.index, correct=False, extracted=None, reason=CUT_OFF)
