"""Gap against gain: does training gain more or less on problems where the policy is further from the expert?

    found = tables(responses, answers)     # per benchmark the gap [P] and each arm's gain [arms, S, P]
    by_gap(found, arms, 4, draws)          # gain by gap, in groups of equally many problems of each benchmark
    correlations(found, arms, draws)       # rank correlation of gap and gain within benchmarks

gap: -log p per token of the expert's solution to the problem under the reference policy. gain: avg@n of the arm minus
that of the base, in percentage points. The gap is measured on other text than the gain, so a policy's luck on a problem
cannot cause a correlation. (Gain against the base's own accuracy correlates for any two noisy policies.)
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stages.lib.analysis.arms import BASE
from stages.lib.analysis.bootstrap import Draws, bca, crossed
from stages.lib.analysis.evaluations import AllAnswers
from stages.lib.records import Merged
from stages.lib.run.params import Waves
from stages.lib.scoring.token_scores import BENCHMARK

Array = NDArray[np.float64]
Tables = dict[str, tuple[Array, Array]]  # benchmark -> gap [P], gain [arms, S, P]


def tables(responses: pd.DataFrame, answers: AllAnswers) -> Tables:
    """Gap and gain of every benchmark with expert solutions; empty if there is none."""
    scored = responses[responses["source"] == BENCHMARK].set_index("id")
    gaps = (-scored["l"] / scored["n"]).to_dict()
    found: Tables = {}
    for name, base in answers[BASE].items():
        rows = [i for i, id_ in enumerate(base.ids) if f"{name}/{id_}" in gaps]
        if len(rows) > 1:
            gain = [item[name].correct.mean(-1) - base.correct.mean(-1) for arm, item in answers.items() if arm != BASE]
            found[name] = (np.array([gaps[f"{name}/{base.ids[i]}"] for i in rows]), 100 * np.stack(gain)[..., rows])
    return found


def by_gap(found: Tables, arms: list[str], bins: int, draws: Draws) -> pd.DataFrame:
    """arm, group (1: smallest gap of its benchmark), gap (mean in the group), problems, value, low, high."""
    rows = []
    bins = bins if found else 0
    places = {name: _bins(gap, bins) for name, (gap, _) in found.items()}
    for number in range(bins):
        parts = {name: places[name] == number for name in found}
        gap = np.concatenate([found[name][0][part] for name, part in parts.items()])
        estimates = crossed([found[name][1][..., part] for name, part in parts.items()], draws)
        for arm, item in zip(arms, estimates, strict=True):
            rows.append([arm, number + 1, gap.mean(), len(gap), item.value, item.low, item.high])
    return pd.DataFrame(rows, columns=["arm", "group", "gap", "problems", "value", "low", "high"])


def _bins(gap: Array, bins: int) -> NDArray[np.int64]:
    return np.argsort(np.argsort(gap, kind="stable"), kind="stable") * bins // len(gap)


def correlations(found: Tables, arms: list[str], draws: Draws) -> pd.DataFrame:
    """Spearman's correlation of gap and gain within benchmarks, pooled: arm, value, low, high.

    Ranks are taken once, within each benchmark, and centred; the bootstrap over problems resamples the ranked problems.
    """
    from scipy.stats import rankdata

    rows = []
    for i, arm in enumerate(arms if found else ()):
        pairs = [(rankdata(gap), rankdata(gain[i].mean(0))) for gap, gain in found.values()]
        x, y = (np.concatenate([(pair[k] - pair[k].mean()) / len(pair[k]) for pair in pairs]) for k in (0, 1))
        item = bca(np.stack([x * x, y * y, x * y], -1), _correlation, draws)[0]
        rows.append([arm, item.value, item.low, item.high])
    return pd.DataFrame(rows, columns=["arm", "value", "low", "high"])


def _correlation(totals: Array) -> Array:
    """Correlation from sums of x², y², xy of centred ranks, [..., 3] -> [..., 1]; 0 if x or y is constant."""
    xx, yy, xy = np.moveaxis(totals, -1, 0)
    return np.divide(xy, np.sqrt(xx * yy), out=np.zeros_like(xy), where=xx * yy > 0)[..., None]


def by_solved(pairs: pd.DataFrame, merged: dict[str, Merged], sample: Waves, draws: Draws) -> pd.DataFrame:
    """Training problems by how readily samples solve them, the hardest first: -log p per token of both responses.

    Columns: group, side, problems, value, low, high. group is "2/4", the number of correct samples. With adaptive
    sampling it is the number of samples drawn until one was correct, or ">8" if none of 8 was.
    """
    groups = pairs["id"].map(lambda id_: readiness(merged[id_], sample))
    rows = []
    for (_, label), part in pairs.groupby(groups):
        for side in ("expert", "rewritten"):
            nll = (-part[f"{side}_l"] / part[f"{side}_n"]).to_numpy()
            item = bca(np.stack([np.ones_like(nll), nll], -1), lambda t: t[..., 1:] / t[..., :1], draws)[0]
            rows.append([label, side, len(part), item.value, item.low, item.high])
    return pd.DataFrame(rows, columns=["group", "side", "problems", "value", "low", "high"])


def readiness(row: Merged, sample: Waves) -> tuple[int, str]:
    """The sort key and the name of a problem's group in `by_solved`."""
    if not sample.adaptive:
        return row.samples_correct, f"{row.samples_correct}/{row.samples}"
    return (-row.samples, str(row.samples)) if row.samples_correct else (-sample.n - 1, f">{sample.n}")


def scale(sample: Waves) -> str:
    """The axis label for the groups of `by_solved`."""
    return "samples drawn until one is right" if sample.adaptive else "right samples of the training problem"
