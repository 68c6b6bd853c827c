"""Importance weights: measures of the gap between a policy and the writer of its data, as pure functions on arrays.

A weight is w = p / b: p is the probability of a token (or a response) under the policy, b under the behaviour policy
that wrote it. All functions take log-weights and flatten any array to [N]. If b is known, log w = log p - log b. If not
(the expert's), DFT's convention b := 1 gives log w = log p; a figure that uses it must say so.

    log_w = np.log([0.5, 0.5, 1.0])
    ess_share(log_w)     # 0.889: these three count like 2.67 equally weighted ones
    top_share(log_w)     # 0.5: the largest weight's share of all

Weights are rescaled by the largest one if the figure does not depend on their scale, so nothing overflows.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
TIE = 0.01  # in log-weights: one per cent


def ess(log_w: ArrayLike) -> float:
    """Effective sample size (sum w)^2 / sum w^2 (Kish 1965): N for equal weights, 1 when one weight is everything."""
    w = _scaled(log_w)
    return float(w.sum() ** 2 / (w**2).sum())


def ess_share(log_w: ArrayLike) -> float:
    """ESS / N, between 1/N and 1."""
    return ess(log_w) / np.size(log_w)


def variance(log_w: ArrayLike) -> float:
    """Var(w), divided by N. Small both where the policy likes the data and where it gives it almost no probability."""
    return float(np.exp(_flat(log_w)).var())


def log_variance(log_w: ArrayLike) -> float:
    """Var(log w), divided by N. With b := 1 this is Var(log p)."""
    return float(_flat(log_w).var())


def log_mad(log_w: ArrayLike) -> float:
    """Median absolute deviation of log w from its median, unscaled: a spread that a few tokens cannot move."""
    log_w = _flat(log_w)
    return float(np.median(np.abs(log_w - np.median(log_w))))


def top_share(log_w: ArrayLike, share: float = 0.01) -> float:
    """The part of the total weight that the largest `share` of the weights hold: `share` itself where all are equal.

    Where share * N is no whole number, the last weight counts by its fraction, so that sets of any size compare.
    """
    w = np.sort(_scaled(log_w))[::-1]
    count = share * w.size
    whole = int(count)
    last = (count - whole) * w[whole] if whole < w.size else 0.0
    return float((w[:whole].sum() + last) / w.sum())


def k_hat(log_w: ArrayLike) -> float:
    """Shape of the generalised Pareto fitted to the largest weights (PSIS, arXiv 1507.02646), by arviz-stats.

    Above `k_threshold` an importance-sampling estimate with these weights cannot be trusted at this sample size. nan
    where the fit would be of noise or of a tie: of fewer than 100 weights (a tail of 20), and where the tail begins
    within TIE of the median, so that its shape is that of small excesses over equal weights.
    """
    log_w = _flat(log_w)
    if log_w.size < 100:
        return float("nan")
    tail = min(0.2, 3 / np.sqrt(log_w.size))  # as PSIS takes it
    if np.quantile(log_w, 1 - tail) - np.median(log_w) < TIE:
        return float("nan")
    from arviz_stats.base import array_stats  # here: importing it takes longer than most stages need

    try:
        with np.errstate(divide="ignore", invalid="ignore"):  # it divides by a tail quantile that ties can make 0
            return float(array_stats.psislw(-log_w)[1])  # it takes log-likelihoods, whose negative is the log-weight
    except ValueError:  # its way to say that the largest weights are all equal
        return float("nan")


def k_threshold(n: int) -> float:
    """min(1 - 1 / log10 N, 0.7): the largest k-hat at which N weights are enough (arXiv 1507.02646)."""
    return min(1.0 - 1.0 / np.log10(n), 0.7)


def _flat(log_w: ArrayLike) -> Array:
    array = np.asarray(log_w, dtype=np.float64).ravel()
    assert array.size, "no weights: a figure of an empty set is not defined"
    return array


def _scaled(log_w: ArrayLike) -> Array:
    log_w = _flat(log_w)
    return np.exp(log_w - log_w.max())
