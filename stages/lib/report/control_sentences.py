"""What the controls say: the question of each, and words for a difference above, below, or not told from 0."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import pandas as pd

from stages.lib.analysis.accuracy import AVERAGE
from stages.lib.analysis.arms import Arm
from stages.lib.analysis.frames import Row, records, rows_where
from stages.lib.report.formatting import Table, interval, p_value
from stages.lib.run.params import Grid

CONTROLS = {  # (data, control): the question, and what a difference above, below or not told from 0 means
    ("rewritten", "self"): ("Do the problems that no sample solved add something?",
        "they do", "leaving them out is better", "not shown"),
    ("rewritten", "no-guide"): ("Does guided re-solving add to rejection sampling?",
        "it adds", "it costs accuracy", "a contribution is not shown"),
    ("no-guide", "expert"): ("Is rejection sampling alone worth something?",
        "it gains", "it loses", "a gain is not shown"),
    ("rewritten", "answer-hint"): ("Does the worked solution matter, or would the answer alone do (STaR)?",
        "the worked solution is better", "the answer alone is better", "not told apart"),
    ("right-steps", "rewritten"): ("What do rows with a wrong step behind a right answer cost?",
        "they cost accuracy", "leaving them out costs accuracy", "a cost is not shown"),
    ("rewritten", "unfiltered"): ("Is it on-policy text, or the filter of right answers?",
        "the filter gains", "unfiltered samples are better", "an effect of the filter is not shown"),
    ("oracle", "right-steps"): ("What is left to gain with flawless rows for all problems?",
        "there is more to gain", "rows by rule are worse", "not shown that anything is left"),
    ("solved", "expert"): ("Is it selection? The expert's solutions of the problems that samples solved.",
        "selection gains", "selection lowers accuracy", "an effect of selection is not shown"),
    ("rewritten", "solved"): ("Does rewriting gain beyond that selection?",
        "it does", "selection alone is better", "a gain beyond it is not shown"),
    ("matched", "expert"): ("Does rewriting gain with no more tokens than the expert's?",
        "it does", "it does worse", "a gain is not shown"),
    ("rewritten", "matched"): ("What do the further tokens add?",
        "they add", "they cost accuracy", "an effect is not shown"),
}  # fmt: skip
LADDER = ("expert", "unfiltered", "no-guide", "rewritten", "right-steps", "oracle")  # the rungs, as far as the grid has


def contrast(effects: pd.DataFrame, new: str, old: str) -> Row | None:
    """The average row of new − old, whichever way round the table has it; None where one of them repeats an arm."""
    pairs = rows_where(effects, benchmark=AVERAGE, kind="pair")
    if found := records(rows_where(pairs, new=new, old=old)):
        return found[0]
    if found := records(rows_where(pairs, new=old, old=new)):
        row = found[0]
        return {**row, "value": -row["value"], "low": -row["high"], "high": -row["low"]}
    return None


def verdict(row: Row, level: float) -> int:
    """1 or -1 where the difference is told from 0 at `level` after Holm's adjustment, else 0."""
    if not row["p_holm"] < level:
        return 0
    return 1 if row["value"] > 0 else -1


def controls(effects: pd.DataFrame, grid: Grid, sizes: Mapping[str, int], level: float) -> Table:
    """Question, difference, loss, points, adjusted p, and what it means; a set of another size is marked.

    sizes: rows of each training set; level: of the tests, 0.05 for 95 % intervals.
    """
    header = ["question", "difference", "loss", "points", "p (Holm)", "answer"]
    rows = [*_data_controls(effects, grid, sizes, level), *_loss_controls(effects, grid, level)]
    return Table(header, rows)


def _data_controls(effects: pd.DataFrame, grid: Grid, sizes: Mapping[str, int], level: float) -> Iterator[list[str]]:
    for (new, old), (question, *meaning) in CONTROLS.items():
        for loss in grid.loss if {new, old} <= set(grid.data) else ():
            if row := contrast(effects, Arm(new, loss).name, Arm(old, loss).name):
                yield _line(question, f"{new} − {old}", loss, row, meaning, level, confounded(new, old, sizes))


def _loss_controls(effects: pd.DataFrame, grid: Grid, level: float) -> Iterator[list[str]]:
    penalty = ("it helps", "it costs accuracy", "an effect is not shown")
    for loss in grid.loss:
        plain, found, beta = loss.partition("-kl")
        for data in grid.data if found and plain in grid.loss else ():
            if row := contrast(effects, Arm(data, loss).name, Arm(data, plain).name):
                yield _line(
                    f"Does a KL penalty of {beta} help {plain}?", f"{loss} − {plain}", data, row, penalty, level
                )
    if {"ratio", "dft"} <= set(grid.loss) and "rewritten" in grid.data:
        if row := contrast(effects, Arm("rewritten", "ratio").name, Arm("rewritten", "dft").name):
            meaning = ("the known density helps", "it does worse than taking it as 1", "no difference is shown")
            yield _line("Does dividing by the known density help?", "ratio − dft", "rewritten", row, meaning, level)


def _line(
    question: str, difference: str, under: str, row: Row, meaning: Sequence[str], level: float, note: str = ""
) -> list[str]:
    above, below, unclear = meaning
    answer = {1: above, -1: below, 0: unclear}[verdict(row, level)]
    return [question, difference, under, interval(row, 1), p_value(row["p_holm"]), answer + note]


def confounded(new: str, old: str, sizes: Mapping[str, int]) -> str:
    """ " (687 rows against 768: confounded with size)" where the sets differ by more than one per cent."""
    a, b = sizes.get(new, 0), sizes.get(old, 0)
    if not a or not b or abs(a - b) <= 0.01 * max(a, b):
        return ""
    return f" ({a} rows against {b}: confounded with size)"


def ladder(effects: pd.DataFrame, grid: Grid, level: float) -> Iterator[str]:
    """From rung to rung under each loss; nothing where the grid has fewer than three rungs."""
    rungs = [name for name in LADDER if name in grid.data]
    for loss in grid.loss if len(rungs) > 2 else ():
        steps = [
            (old, new, contrast(effects, Arm(new, loss).name, Arm(old, loss).name)) for old, new in pairwise(rungs)
        ]
        words = {1: "up", -1: "down", 0: "not told apart"}
        parts = [f"{old} → {new} {words[verdict(row, level)]} ({interval(row, 1)})" for old, new, row in steps if row]
        yield f"Under {loss}: {'; '.join(parts)}."
