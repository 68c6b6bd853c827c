"""The arms of the experiment and how their policies answered: evaluations as arrays [S, P, n].

    arm = Arm("rewritten", "dft"); arm.name     # "DR+DFT"
    answers = read_answers(params)              # {"base": {"chain": Answers, ...}, "SFT": {...}, ...}
    answers["SFT"]["chain"].correct             # bool [S, P, n]: seeds, problems, responses; base has S = 1

Only the cells of `params.grid` are read; files of other cells that lie about are none of this experiment's.
"""

from dataclasses import dataclass
from math import comb
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.lib.records import Cell, Evaluation, RecordError, read
from stages.lib.run.params import Params, root

BASE = "base"
NAMES = {  # the four corners, as the paper calls them
    ("expert", "sft"): "SFT",
    ("expert", "dft"): "DFT",
    ("rewritten", "sft"): "DR+SFT",
    ("rewritten", "dft"): "DR+DFT",
}


@dataclass(frozen=True)
class Arm:
    """A data set and a loss; `name` is what tables and figures call it."""

    data: str
    loss: str

    @property
    def name(self) -> str:
        return NAMES.get((self.data, self.loss), f"{self.data}+{self.loss.upper()}")


@dataclass(frozen=True)
class Answers:
    """An arm's responses to one benchmark: the problems' ids [P] and arrays [S, P, n]. `classes` numbers the distinct
    answers of a problem: 0 is the right one, -1 none."""

    ids: list[str]
    correct: NDArray[np.bool_]
    classes: NDArray[np.int64]
    tokens: NDArray[np.int64]
    cut_off: NDArray[np.bool_]


def shown(names: list[str], most: int = 6) -> list[str]:
    """The arms that a figure has room for: all, or of many the paper's four."""
    return names if len(names) <= most else [name for name in names if name in {BASE, *NAMES.values()}] or names[:most]


def arms(params: Params) -> list[Arm]:
    """In the paper's order: the data sets outside, the losses inside."""
    return [Arm(data, loss) for data in params.grid.data for loss in params.grid.loss]


def read_answers(params: Params) -> dict[str, dict[str, Answers]]:
    """Evaluations of the base and of every arm of the grid.

    Raises:
        RecordError: a file is missing, or does not hold the same problems and number of responses as base.jsonl.
    """
    folder = root() / "data/evaluations"
    base = _read(folder / "base.jsonl")
    result = {BASE: _stack([base], base)}
    for arm in arms(params):
        cells = [folder / f"{Cell(arm.data, arm.loss, seed).name}.jsonl" for seed in params.grid.seed]
        result[arm.name] = _stack([_same(_read(path), base, path) for path in cells], base)
    return result


Responses = dict[str, dict[str, list[Evaluation]]]  # benchmark -> problem id -> responses


def _read(path: Path) -> Responses:
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


def _same(cell: Responses, base: Responses, path: Path) -> Responses:
    shape = {(name, id, len(rows)) for name, problems in cell.items() for id, rows in problems.items()}
    wanted = {(name, id, len(rows)) for name, problems in base.items() for id, rows in problems.items()}
    if shape != wanted:
        name, id, _ = sorted(shape ^ wanted)[0]
        raise RecordError(f"{path}: does not match base.jsonl at {name!r}, problem {id!r}; evaluate both again")
    return cell


def _stack(cells: list[Responses], base: Responses) -> dict[str, Answers]:
    return {name: _answers([[cell[name][id] for id in base[name]] for cell in cells]) for name in base}


def _answers(rows: list[list[list[Evaluation]]]) -> Answers:
    """Nested rows [S][P][n] as arrays."""

    def array(pick) -> np.ndarray:
        return np.array([[[pick(row) for row in problem] for problem in seed] for seed in rows])

    return Answers(
        ids=[problem[0].id for problem in rows[0]],
        correct=array(lambda row: row.correct),
        classes=np.array([[_classes(problem) for problem in seed] for seed in rows]),
        tokens=array(lambda row: row.tokens),
        cut_off=array(lambda row: row.finish == "length"),
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


def pass_at(correct: NDArray[np.bool_], k: int) -> NDArray[np.float64]:
    """1 - C(n-c, k) / C(n, k), the unbiased pass@k of n responses of which c are right (Chen et al. 2021,
    arXiv 2107.03374). [..., n] -> [...]"""
    n = correct.shape[-1]
    table = np.array([1.0 - comb(n - c, k) / comb(n, k) for c in range(n + 1)])
    return table[correct.sum(-1)]


def majority(classes: NDArray[np.int64]) -> NDArray[np.float64]:
    """maj@n: whether the most frequent answer is right; a tie counts by the share of tied answers that are, as a
    fair coin would decide it. No answer is no vote. [..., n] -> [...]"""
    flat = classes.reshape(-1, classes.shape[-1])
    counts = np.stack([(flat == number).sum(-1) for number in range(flat.shape[-1] + 1)], axis=-1)
    top = counts.max(-1, keepdims=True)
    won = (counts == top) & (top > 0)
    score = won[:, 0] / np.maximum(won.sum(-1), 1)
    return score.reshape(classes.shape[:-1])
