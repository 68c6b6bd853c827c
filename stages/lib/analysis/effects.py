"""Differences between arms, with intervals, tests and effect sizes, in percentage points."""

import numpy as np
import pandas as pd

from stages.lib.analysis.accuracy import PERCENT, accuracy, scopes
from stages.lib.analysis.arms import FACTORS, contrasts
from stages.lib.analysis.bootstrap import Draws, crossed, holm, paired
from stages.lib.analysis.evaluations import AllAnswers, repeated
from stages.lib.run.params import Grid


def effects(answers: AllAnswers, grid: Grid, draws: Draws) -> pd.DataFrame:
    """Every contrast of arms that differ, per benchmark and on average: kind, new, old, by, benchmark, estimate, tests.

    p: two-sided t test at the standard error over seeds and problems that the interval rests on; p_holm: adjusted for
    all contrasts of its family on its benchmark (the factors; arms against the base; pairs); p_wilcoxon, d_z,
    rank_biserial: over problems, at these seeds.
    """
    named, order = contrasts(grid, repeated(answers)), list(answers)
    weights = np.array([[item.weights.get(arm, 0.0) for arm in order] for item in named])
    most = PERCENT[1] * weights.clip(0).sum(1)  # the weights of a contrast add up to 0
    labels = pd.DataFrame([[c.kind, c.new, c.old, c.by] for c in named], columns=["kind", "new", "old", "by"])
    families = labels["kind"].replace(list(FACTORS), "factor")
    frames = []
    for scope, names in scopes(answers).items():
        tables = [np.einsum("ma,asp->msp", weights, table) for table in accuracy(answers, names)]
        frame = pd.DataFrame([vars(item) for item in crossed(tables, draws, (-most, most))])
        frame["p_holm"] = frame["p"].groupby(families).transform(lambda p: holm(p.tolist()))
        by_problem = np.concatenate([table.mean(1) for table in tables], axis=1)
        frame = frame.join(pd.DataFrame([paired(row) for row in by_problem]))
        frames.append(labels.assign(benchmark=scope).join(frame))
    return pd.concat(frames, ignore_index=True)
