"""Accuracies with their intervals, as tidy frames. Accuracies are in per cent."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stages.lib.analysis.arms import BASE
from stages.lib.analysis.bootstrap import Draws, Estimate, crossed, proportions
from stages.lib.analysis.evaluations import AllAnswers
from stages.lib.analysis.measures import COUNTS, measures

AVERAGE = "average"
PERCENT = (0.0, 100.0)
Array = NDArray[np.float64]


def by_difficulty(answers: AllAnswers, in_distribution: list[str]) -> list[str]:
    """The benchmarks' names: those like the training problems first, the others behind, each from the easiest for the
    base to the hardest."""
    base = {name: item.correct.mean() for name, item in answers[BASE].items()}
    return sorted(base, key=lambda name: (name not in in_distribution, -base[name], name))


def scopes(answers: AllAnswers) -> dict[str, list[str]]:
    """Each benchmark alone, then the average over all: what every accuracy is given for."""
    names = list(answers[BASE])
    return {**{name: [name] for name in names}, AVERAGE: names}


def accuracy(answers: AllAnswers, benchmarks: list[str]) -> list[Array]:
    """Per benchmark a table [arms, S, P] of avg@n in per cent; the base is repeated for every seed."""
    seeds = max(next(iter(item.values())).correct.shape[0] for item in answers.values())
    return [np.stack([_percent(item[name].correct, seeds) for item in answers.values()]) for name in benchmarks]


def _percent(correct: NDArray[np.bool_], seeds: int) -> Array:
    table: Array = 100.0 * correct.mean(-1)
    return np.broadcast_to(table, (seeds, table.shape[1])) if len(table) == 1 else table


def results(answers: AllAnswers, draws: Draws) -> pd.DataFrame:
    """avg@n of the base and of each arm, per benchmark and on average: arm, benchmark, value, low, high."""
    rows = []
    for scope, names in scopes(answers).items():
        estimates = proportions(accuracy(answers, names), draws)
        rows += [[arm, scope, e.value, e.low, e.high] for arm, e in zip(answers, estimates, strict=True)]
    frame = pd.DataFrame(rows, columns=["arm", "benchmark", "value", "low", "high"])
    order = {arm: i for i, arm in enumerate(answers)}
    return frame.sort_values("arm", key=lambda arm: arm.map(order), kind="stable", ignore_index=True)


def evaluation(answers: AllAnswers, draws: Draws) -> pd.DataFrame:
    """Tidy: arm, benchmark, measure, value, low, high; shares and accuracies in per cent. The average gives every
    benchmark the same weight, however many problems it has."""
    rows = []
    for arm, benchmarks in answers.items():
        for scope, names in scopes(answers).items():
            for measure, e in _estimates([measures(benchmarks[name]) for name in names], draws):
                rows.append([arm, scope, measure, e.value, e.low, e.high])
    return pd.DataFrame(rows, columns=["arm", "benchmark", "measure", "value", "low", "high"])


def _estimates(columns: list[dict[str, Array]], draws: Draws) -> Iterator[tuple[str, Estimate]]:
    """Each measure with its estimate, from its tables [S, P], a benchmark a column."""
    for measure in columns[0]:
        tables = [column[measure][None] for column in columns]
        [item] = crossed(tables, draws, (0.0, np.inf)) if measure in COUNTS else proportions(tables, draws)
        yield measure, item


def metrics(results: pd.DataFrame, shares: pd.DataFrame, ess: dict[str, float]) -> dict[str, dict[str, float]]:
    """What `dvc exp show` shows: few numbers, rounded to what a terminal and their intervals bear."""
    average = results[results["benchmark"] == AVERAGE]
    share = shares[shares["source"] != "all"]
    return {
        "accuracy": {arm: round(value, 1) for arm, value in zip(average["arm"], average["value"], strict=True)},
        "share": {source: round(value, 1) for source, value in zip(share["source"], share["share"], strict=True)},
        "ess": {data: round(value, 3) for data, value in ess.items()},
    }
