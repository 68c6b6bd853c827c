"""How the arms' policies answered: evaluations as arrays [S, P, n].

    answers = read_answers(params.grid)         # {"base": {"chain": Answers, ...}, "SFT": {...}, ...}
    answers["SFT"]["chain"].correct             # bool [S, P, n]: seeds, problems, responses; base has S = 1

Only the cells of the grid are read; files of cells outside the current grid are ignored.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.lib.analysis.arms import BASE, arms
from stages.lib.records import Evaluation, RecordError, read
from stages.lib.run.params import Grid, root
from stages.lib.verifier.exact import Irrational, Undefined, exact
from stages.lib.verifier.limits import Guarded, Unparsed
from stages.lib.verifier.normalize import readings, squeeze, tidy
from stages.lib.verifier.parser import parse


@dataclass(frozen=True)
class Answers:
    """An arm's responses to one benchmark: the problems' ids [P] and arrays [S, P, n]. `classes` numbers the distinct
    answers of a problem: 0 is the right one, -1 none."""

    ids: list[str]
    correct: NDArray[np.bool_]
    classes: NDArray[np.int64]
    tokens: NDArray[np.int64]
    cut_off: NDArray[np.bool_]


AllAnswers = dict[str, dict[str, Answers]]  # arm -> benchmark -> answers


def read_answers(grid: Grid) -> AllAnswers:
    """Evaluations of the base and of every arm of the grid.

    Raises:
        RecordError: a file is missing, or does not hold the same problems and number of responses as base.jsonl.
    """
    folder = root() / "data/evaluations"
    base = _read(folder / "base.jsonl")
    result = {BASE: _stack([base], base)}
    for arm in arms(grid):
        cells = [folder / f"{arm.data}-{arm.loss}-{seed}.jsonl" for seed in grid.seed]
        result[arm.name] = _stack([_same(_read(path), base, path) for path in cells], base)
    return result


Cell = dict[str, dict[str, list[Evaluation]]]  # benchmark -> problem id -> responses


def _read(path: Path) -> Cell:
    cell: Cell = {}
    for row in read(Evaluation, path):
        cell.setdefault(row.benchmark, {}).setdefault(row.id, []).append(row)
    if not cell:
        raise RecordError(f"{path}: no evaluations; run `dvc repro`")
    for name, problems in cell.items():
        sizes = {len(rows) for rows in problems.values()}
        if len(sizes) > 1:
            raise RecordError(
                f"{path}: benchmark {name!r} has problems with {min(sizes)} and with {max(sizes)} responses"
            )
    return cell


def _same(cell: Cell, base: Cell, path: Path) -> Cell:
    shape = {(name, id, len(rows)) for name, problems in cell.items() for id, rows in problems.items()}
    wanted = {(name, id, len(rows)) for name, problems in base.items() for id, rows in problems.items()}
    if shape != wanted:
        name, id, _ = sorted(shape ^ wanted)[0]
        raise RecordError(f"{path}: does not match base.jsonl at {name!r}, problem {id!r}; evaluate both again")
    return cell


def _stack(cells: list[Cell], base: Cell) -> dict[str, Answers]:
    return {name: _answers([[cell[name][id] for id in base[name]] for cell in cells]) for name in base}


def _answers(rows: list[list[list[Evaluation]]]) -> Answers:
    """Nested rows [S][P][n] as arrays."""

    def array(pick: Callable[[Evaluation], bool | int]) -> NDArray[Any]:
        return np.array([[[pick(row) for row in problem] for problem in seed] for seed in rows])

    return Answers(
        ids=[problem[0].id for problem in rows[0]],
        correct=array(lambda row: row.correct),
        classes=np.array([[_classes(problem) for problem in seed] for seed in rows]),
        tokens=array(lambda row: row.tokens),
        cut_off=array(lambda row: row.finish == "length"),
    )


def _classes(rows: list[Evaluation]) -> list[int]:
    """Equal answers share a number: all right ones are 0, an absent one is -1. Wrong ones are equal as `vote` says."""
    numbers: dict[Fraction | str, int] = {}
    result = []
    for row in rows:
        if row.correct:
            result.append(0)
        elif row.extracted is None:
            result.append(-1)
        else:
            result.append(numbers.setdefault(vote(row.extracted), len(numbers) + 1))
    return result


@lru_cache(maxsize=65_536)
def vote(answer: str) -> Fraction | str:
    r"""What an answer votes for: its value if it is rational (1/2, 0.5 and \frac12 vote alike), else its spelling.

    The verifier's equality would unite a few more (sums of roots, sets in another order), but it compares two answers
    at a time, and is not transitive where it rounds.
    """
    try:
        text = tidy(answer)
    except Guarded:
        return answer
    try:
        return exact(parse(readings(text)[0]))
    except (Guarded, Unparsed, Irrational, Undefined, RecursionError, OverflowError):
        return squeeze(text)
