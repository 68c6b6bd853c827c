"""Verdicts on responses, streaming: what the verify stage and evaluate share.

for verdict in judge(read(Rollout, path), {"train-17": "9"}, params.verify, workers=2): ...
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from stages.lib.records import RecordError, Rollout, Verdict
from stages.lib.run.params import Verify
from stages.lib.verifier import verify as answers

CUT_OFF = "cut_off"


def judge(
    rows: Iterable[Rollout], references: Mapping[str, str], verify: Verify, workers: int | None = None
) -> Iterator[Verdict]:
    """One verdict per row, in the rows' order; a row cut off at the length limit is wrong without being read.

    Raises:
        RecordError: a row's id has no reference answer.
    """
    waiting: deque[Rollout] = deque()
    pairs = _pairs(rows, references, waiting)
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
    rows: Iterable[Rollout], references: Mapping[str, str], waiting: deque[Rollout]
) -> Iterator[tuple[str, str]]:
    """The pairs to verify, while `waiting` keeps every row that has no verdict yet."""
    for row in rows:
        if row.id not in references:
            raise RecordError(f"response {row.id!r} answers no known problem; run the stage that made it again")
        waiting.append(row)
        if row.finish != "length":
            yield row.response, references[row.id]


def _cut_off(waiting: deque[Rollout]) -> Iterator[Verdict]:
    while waiting and waiting[0].finish == "length":
        row = waiting.popleft()
        yield Verdict(id=row.id, index=row.index, correct=False, extracted=None, reason=CUT_OFF)
