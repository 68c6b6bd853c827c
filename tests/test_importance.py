"""Every figure against exact enumeration on a tabular policy, where the truth is known."""

import math

import numpy as np
import pytest

from stages.lib import importance
from tests import oracle

P = np.array([0.5, 0.2, 0.2, 0.1])  # the policy over four tokens
B = np.array([0.1, 0.3, 0.2, 0.4])  # the behaviour policy
SAMPLE = np.repeat(np.arange(4), [1, 3, 2, 4])  # ten tokens in exactly b's proportions: sample means are expectations
LOG_R = np.log(P / B)[SAMPLE]
RATIOS = P / B


def expectation(values: np.ndarray) -> float:
    return float((B * values).sum())


def test_moments_are_the_exact_ones() -> None:
    second, mean = expectation(RATIOS**2), expectation(RATIOS)
    assert mean == pytest.approx(1.0)
    assert importance.variance(LOG_R) == pytest.approx(second - mean**2)
    assert oracle.cv2(LOG_R) == pytest.approx((second - mean**2) / mean**2)
    assert oracle.chi2(LOG_R) == pytest.approx(((P - B) ** 2 / B).sum()), "Pearson's definition"
    assert importance.ess_share(LOG_R) == pytest.approx(1 / (1 + ((P - B) ** 2 / B).sum()))
    assert importance.ess(LOG_R) == pytest.approx(10 * importance.ess_share(LOG_R))


def test_both_kl_estimators_are_the_exact_divergence() -> None:
    exact = float((B * np.log(B / P)).sum())
    assert oracle.kl_k1(LOG_R) == pytest.approx(exact)
    assert oracle.kl_k3(LOG_R) == pytest.approx(exact)


def test_k3_is_never_negative_where_k1_is() -> None:
    log_w = np.log([1.2, 1.1])
    assert oracle.kl_k1(log_w) < 0 < oracle.kl_k3(log_w)


def test_log_spread_by_hand() -> None:
    log_w = np.array([-4.0, -1.0, -0.5, 0.0])
    mean = -5.5 / 4
    assert importance.log_variance(log_w) == pytest.approx(((log_w - mean) ** 2).mean())
    assert importance.log_mad(log_w) == pytest.approx(0.5), "median −0.75, deviations 3.25, 0.25, 0.25, 0.75"


def test_clipping_hides_a_gap() -> None:
    """Lognormal weights of sigma 2: the exact ESS/N is exp(-4) = 0.018; clipped to [1/2, 2] they look harmless."""
    log_w = np.random.default_rng(1).normal(0, 2, 200_000)
    assert importance.ess_share(log_w) == pytest.approx(math.exp(-4), rel=0.5)
    assert importance.ess_share(oracle.clip(log_w, 0.5, 2.0)) > 0.65
    np.testing.assert_allclose(np.exp(oracle.clip(LOG_R, 0.5, 2.0)), np.clip(RATIOS, 0.5, 2.0)[SAMPLE])
    assert oracle.clip([-50.0, 5.0], 0.0, 2.0).tolist() == [-50.0, math.log(2)]


def test_variance_is_not_monotone_in_the_gap() -> None:
    near, middle, far = (np.log(np.array([0.5, 1.5]) * scale) for scale in (0.6, 0.3, 0.01))
    assert importance.variance(far) < importance.variance(middle) < importance.variance(near)
    assert oracle.cv2(far) == pytest.approx(oracle.cv2(near)), "relative spread does not see the scale"


def test_top_share_by_hand() -> None:
    log_w = np.log(np.r_[np.ones(99), 101.0])
    assert importance.top_share(log_w) == pytest.approx(101 / 200)
    assert importance.top_share(np.zeros(1000)) == pytest.approx(0.01)
    assert importance.top_share(np.log([3.0, 1.0])) == pytest.approx(0.02 * 0.75), "1 % of two weights: 0.02 of one"
    assert importance.top_share(np.log(np.r_[np.ones(149), 51.0])) == pytest.approx((51 + 0.5) / 200), "1.5 weights"
    assert all(importance.top_share(np.zeros(n)) == pytest.approx(0.01) for n in (1, 59, 727)), "whatever their number"


def test_nothing_overflows() -> None:
    log_w = np.array([800.0, 799.0, -900.0])
    assert importance.ess(log_w) == pytest.approx((1 + math.exp(-1)) ** 2 / (1 + math.exp(-2)))
    assert importance.top_share(log_w, 1 / 3) == pytest.approx(1 / (1 + math.exp(-1)))


@pytest.mark.parametrize("shape", [0.3, 0.6, 1.0])
def test_k_hat_is_the_pareto_tails_shape(shape: float) -> None:
    """Weights u^-k of uniform u have a Pareto tail of shape k exactly."""
    log_w = -shape * np.log(np.random.default_rng(2).uniform(size=50_000))
    assert importance.k_hat(log_w) == pytest.approx(shape, abs=0.12)


def test_k_hat_without_a_tail() -> None:
    assert math.isnan(importance.k_hat(np.zeros(100)))
    assert math.isnan(importance.k_hat(np.arange(10.0)))
    few = np.random.default_rng(4).normal(size=99)
    assert math.isnan(importance.k_hat(few)) and not math.isnan(importance.k_hat(np.r_[few, 0.0]))
    assert importance.k_hat(np.log(np.random.default_rng(3).uniform(size=5000))) < 0.1, "bounded weights"


def test_k_hat_is_not_fitted_to_excesses_over_a_tie() -> None:
    """1500 weights have a tail of 116: where only so many are not 1, its shape is that of excesses over the tie."""
    above = np.random.default_rng(5).exponential(0.3, 1500) + 3e-4
    assert not math.isnan(importance.k_hat(above))
    assert math.isnan(importance.k_hat(np.r_[np.zeros(1384), above[:116]]))


def test_k_threshold() -> None:
    assert importance.k_threshold(100) == pytest.approx(0.5)
    assert importance.k_threshold(10**6) == 0.7


def test_empty_is_refused() -> None:
    with pytest.raises(AssertionError, match="no weights"):
        importance.ess([])
