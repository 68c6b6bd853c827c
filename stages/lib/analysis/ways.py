"""In whose way each arm's policy solves, and how many of its right answers have a flaw in their steps.

For embedded problems alone, whose steps are read exactly (`testbed_steps`); shares are in per cent of all responses.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stages.lib.analysis.arms import BASE, arms
from stages.lib.analysis.bootstrap import Draws, proportions
from stages.lib.analysis.evaluations import Responses, evaluations, read_cell
from stages.lib.data.testbed_steps import EXPERTS, OWN, Steps, check
from stages.lib.records import SOURCES, Cell, Evaluation, TrainingRow, read, read_problems
from stages.lib.run.params import Grid

MEASURES = ("own way", "expert's way", "right, expert's way", "right, flawed steps")
Problems = Mapping[str, Mapping[str, str]]  # benchmark -> id -> problem


def benchmark_texts(folder: Path) -> Problems:
    """The problems of every benchmark."""
    return {path.stem: {row.id: row.problem for row in read_problems(path)} for path in sorted(folder.glob("*.jsonl"))}


def by_arm(grid: Grid, temperature: float, problems: Problems, draws: Draws) -> pd.DataFrame:
    """arm, measure, value, low, high: averages over benchmarks, over all responses; no rows without problems."""
    if not problems:
        return pd.DataFrame(columns=["arm", "measure", "value", "low", "high"])
    cells = {BASE: [BASE]}
    cells |= {arm.name: [Cell(arm.data, arm.loss, seed).name for seed in grid.seed] for arm in arms(grid)}
    rows = []
    for arm, names in cells.items():
        read_cells = [read_cell(evaluations(name, temperature)) for name in names]
        tables = [_table(read_cells, benchmark, texts) for benchmark, texts in problems.items()]
        for measure, item in zip(MEASURES, proportions(tables, draws), strict=True):
            rows.append([arm, measure, item.value, item.low, item.high])
    return pd.DataFrame(rows, columns=["arm", "measure", "value", "low", "high"])


def _table(cells: list[Responses], benchmark: str, problems: Mapping[str, str]) -> NDArray[np.float64]:
    """Per cent of each problem's responses, [measures, S, P]."""
    shares = [[_shares(cell[benchmark][id_], text) for id_, text in problems.items()] for cell in cells]
    return 100.0 * np.moveaxis(np.array(shares), -1, 0)


def _shares(rows: list[Evaluation], problem: str) -> list[float]:
    found = [(row.correct, check(problem, row.response)) for row in rows]
    counts = [
        sum(steps.way == OWN for _, steps in found),
        sum(steps.way == EXPERTS for _, steps in found),
        sum(right and steps.way == EXPERTS for right, steps in found),
        sum(right and steps.flaw is not None for right, steps in found),
    ]
    return [count / len(rows) for count in counts]


def by_source(path: Path) -> pd.DataFrame:
    """Of the rows of a training set, by source and altogether: source, rows, and of them in the policy's own way, in
    the expert's, with a flaw in their steps (counts)."""
    found = [(row.source, check(row.problem, row.response)) for row in read(TrainingRow, path)]
    parts = {source: [steps for name, steps in found if name == source] for source in SOURCES}
    rows = [[source, *_counts(steps)] for source, steps in (*parts.items(), ("all", [steps for _, steps in found]))]
    return pd.DataFrame(rows, columns=["source", "rows", "own way", "expert way", "flawed"])


def _counts(steps: Iterable[Steps]) -> list[int]:
    steps = list(steps)
    ways = [sum(item.way == way for item in steps) for way in (OWN, EXPERTS)]
    return [len(steps), *ways, sum(item.flaw is not None for item in steps)]
