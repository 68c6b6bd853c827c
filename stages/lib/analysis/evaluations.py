"""How the arms' policies answered: evaluations as arrays [S, P, n].

    answers = read_answers(params.grid, 1.0)    # {"base": {"chain": Answers, ...}, "SFT": {...}, ...}
    answers["SFT"]["chain"].correct             # bool [S, P, n]: seeds, problems, responses; base has S = 1

Only the cells of the grid are read; files of cells outside the current grid are ignored.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.lib.analysis.arms import BASE, arms
from stages.lib.records import Cell, Evaluation, RecordError, evaluation_name, read
from stages.lib.run.params import Grid, root


@dataclass(frozen=True)
class Answers:
    """An arm's responses to one benchmark: the problems' ids [P] and arrays [S, P, n]. `classes` numbers the distinct
    answers of a problem: 0 is the right one, -1 none; `texts` numbers its distinct responses; `digest` is of all."""

    ids: list[str]
    correct: NDArray[np.bool_]
    classes: NDArray[np.int64]
    texts: NDArray[np.int64]
    tokens: NDArray[np.int64]
    cut_off: NDArray[np.bool_]
    digest: str = ""


AllAnswers = dict[str, dict[str, Answers]]  # arm -> benchmark -> answers


def read_answers(grid: Grid, temperature: float) -> AllAnswers:
    """Evaluations of the base and of every arm of the grid at one temperature.

    Raises:
        RecordError: a file is missing, or does not hold the same problems and number of responses as the base's.
    """
    path = evaluations(BASE, temperature)
    base = read_cell(path)
    result = {BASE: _stack([base], base)}
    for arm in arms(grid):
        cells = [evaluations(Cell(arm.data, arm.loss, seed).name, temperature) for seed in grid.seed]
        result[arm.name] = _stack([_same(read_cell(cell), base, cell, path.name) for cell in cells], base)
    return result


def reordered(answers: AllAnswers, benchmarks: list[str]) -> AllAnswers:
    """The same answers, the benchmarks in this order."""
    return {arm: {name: item[name] for name in benchmarks} for arm, item in answers.items()}


def evaluations(cell: str, temperature: float) -> Path:
    """The file of one policy's evaluations at one temperature."""
    return root() / "data" / "evaluations" / f"{evaluation_name(cell, temperature)}.jsonl"


def repeated(answers: AllAnswers) -> set[str]:
    """The arms whose every response is an earlier arm's: expert+RATIO where DFT is, since the ratio of the expert's
    unknown density is p. Such arms count once."""
    first: dict[tuple[str, ...], str] = {}
    trained = {arm: benchmarks for arm, benchmarks in answers.items() if arm != BASE}
    for arm, benchmarks in trained.items():
        first.setdefault(tuple(item.digest for item in benchmarks.values()), arm)
    return set(trained) - set(first.values())


Responses = dict[str, dict[str, list[Evaluation]]]  # benchmark -> problem id -> responses


def read_cell(path: Path) -> Responses:
    cell: Responses = {}
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


def _same(cell: Responses, base: Responses, path: Path, base_name: str) -> Responses:
    shape = {(name, id, len(rows)) for name, problems in cell.items() for id, rows in problems.items()}
    wanted = {(name, id, len(rows)) for name, problems in base.items() for id, rows in problems.items()}
    if shape != wanted:
        name, id, _ = sorted(shape ^ wanted)[0]
        raise RecordError(f"{path}: does not match {base_name} at {name!r}, problem {id!r}; evaluate both again")
    return cell


def _stack(cells: list[Responses], base: Responses) -> dict[str, Answers]:
    return {name: _answers([[cell[name][id] for id in base[name]] for cell in cells]) for name in base}


def _answers(rows: list[list[list[Evaluation]]]) -> Answers:
    """Nested rows [S][P][n] as arrays."""

    def array(pick: Callable[[Evaluation], bool | int]) -> NDArray[Any]:
        return np.array([[[pick(row) for row in problem] for problem in seed] for seed in rows])

    return Answers(
        ids=[problem[0].id for problem in rows[0]],
        correct=array(lambda row: row.correct),
        classes=np.array([[_classes(problem) for problem in seed] for seed in rows]),
        texts=np.array([[_texts(problem) for problem in seed] for seed in rows]),
        tokens=array(lambda row: row.tokens),
        cut_off=array(lambda row: row.finish == "length"),
        digest=_digest(rows),
    )


def _classes(rows: list[Evaluation]) -> list[int]:
    """Equal answers share a number: all right ones are 0, an absent one is -1, wrong ones are equal where their
    canonical forms are."""
    numbers: dict[str, int] = {}
    result = []
    for row in rows:
        if row.correct:
            result.append(0)
        elif row.canonical is None:
            result.append(-1)
        else:
            result.append(numbers.setdefault(row.canonical, len(numbers) + 1))
    return result


def _texts(rows: list[Evaluation]) -> list[int]:
    numbers: dict[str, int] = {}
    return [numbers.setdefault(row.response, len(numbers)) for row in rows]


def _digest(rows: list[list[list[Evaluation]]]) -> str:
    digest = hashlib.sha256()
    for row in (row for seed in rows for problem in seed for row in problem):
        digest.update(row.response.encode() + b"\0")
    return digest.hexdigest()
