"""Intervals against simulations with a known truth, against scipy, and against tests worked out by hand."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from stages.lib.analysis.bootstrap import Draws, bca, crossed, holm, paired, proportions, two_way
from stages.lib.analysis.gap import response_figures, response_sums

DRAWS = Draws(resamples=1000, confidence=0.95, seed=0)
SIMULATIONS = 1500


def answers(rng: np.random.Generator, arm: float, difficulty: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """avg@4 of simulated policies, [M, S, P]: difficulty [M, 1, P] in [0, 1], seed effects [M, S, 1]."""
    own = rng.normal(0, 0.1, (len(seed), seed.shape[1], difficulty.shape[2]))
    return rng.binomial(4, np.clip(difficulty + arm + seed + own, 0, 1)) / 4


def experiment(rng: np.random.Generator, sd: float, shape: tuple[int, int, int]) -> tuple[list, list]:
    """Tables of M simulated experiments on two benchmarks: of one arm, and of its difference from another arm."""
    m, seeds, problems = shape
    one, other = (rng.normal(0, sd, (m, seeds, 1)) for _ in range(2))
    means, differences = [], []
    for _ in range(2):
        difficulty = rng.beta(1.2, 1.2, (m, 1, problems))
        first, second = answers(rng, 0.05, difficulty, one), answers(rng, 0.0, difficulty, other)
        means.append(first)
        differences.append(first - second)
    return means, differences


def coverage(estimates: list, truth: float) -> float:
    return float(np.mean([item.low <= truth <= item.high for item in estimates]))


@pytest.mark.slow
@pytest.mark.parametrize("sd", [0.0, 0.01, 0.03, 0.08], ids="seed-sd-{}".format)
def test_intervals_over_problems_and_three_seeds_cover(sd: float) -> None:
    """From seeds that do not differ to seeds that differ by eight points (sd). Where they do not differ at all, the
    intervals of differences are wide: three seeds cannot tell. At eight points they are too few for 95 %."""
    rng = np.random.default_rng(1)
    means, differences = experiment(rng, sd, (SIMULATIONS, 3, 100))
    large = experiment(rng, sd, (20_000, 1, 100))
    truths = [np.mean([table.mean() for table in tables]) for tables in large]
    assert (0.93 if sd < 0.05 else 0.905) <= coverage(crossed(means, DRAWS), truths[0]) <= 0.975
    assert 0.93 <= coverage(crossed(differences, DRAWS), truths[1]) <= 0.99


@pytest.mark.slow
def test_intervals_of_one_policy_cover() -> None:
    rng = np.random.default_rng(2)
    means, _ = experiment(rng, 0.0, (SIMULATIONS, 1, 100))
    large, _ = experiment(rng, 0.0, (20_000, 1, 100))
    assert 0.93 <= coverage(crossed(means, DRAWS), np.mean([table.mean() for table in large])) <= 0.97


@pytest.mark.slow
def test_resampling_three_seeds_would_not_cover() -> None:
    """Why seeds are not simply resampled: the plain two-way bootstrap of the same tables misses the truth too often."""
    rng = np.random.default_rng(1)
    (table, *_), _ = experiment(rng, 0.08, (300, 3, 100))
    truth = np.mean(experiment(rng, 0.08, (20_000, 1, 100))[0][0])
    seeds, problems = DRAWS.counts(3, label=1) / 3, DRAWS.counts(100) / 100
    low, high = np.quantile(np.einsum("rs,msp,rp->rm", seeds, table, problems, optimize=True), DRAWS.tails, axis=0)
    assert np.mean((low <= truth) & (truth <= high)) < 0.92


def test_two_way_variance_is_unbiased() -> None:
    rng = np.random.default_rng(3)
    means, _ = experiment(rng, 0.08, (20_000, 3, 20))
    problem, seed, _ = two_way(means)
    truth = np.mean([table.mean(axis=(1, 2)) for table in means], axis=0).var()
    assert np.mean(problem + seed) == pytest.approx(truth, rel=0.03)


def test_problems_alone_are_a_t_interval_in_the_large() -> None:
    table = np.random.default_rng(4).normal(1.0, 1.0, (1, 1, 400))
    [found] = crossed([table], Draws(20_000, 0.95, 0))
    low, high = stats.t.interval(0.95, 399, table.mean(), stats.sem(table.ravel()))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.01)
    assert found.p == pytest.approx(stats.ttest_1samp(table.ravel(), 0).pvalue)


def test_pairing_narrows_a_difference() -> None:
    rng = np.random.default_rng(5)
    hard = rng.normal(0, 1, (1, 1, 200))
    one, other = hard + rng.normal(0, 0.1, hard.shape), hard + 0.05 + rng.normal(0, 0.1, hard.shape)
    [paired_up] = crossed([other - one], DRAWS)
    assert paired_up.high - paired_up.low < 0.2 * (crossed([one], DRAWS)[0].high - crossed([one], DRAWS)[0].low)
    assert paired_up.low > 0


def test_constant_tables_have_no_width_and_bounds_hold() -> None:
    [same] = crossed([np.full((1, 3, 10), 50.0)], DRAWS)
    assert (same.low, same.high, same.p) == (50.0, 50.0, 0.0)
    [edge] = crossed([np.r_[np.zeros(29), 1.0].reshape(1, 1, 30)], DRAWS, bounds=(0.0, 1.0))
    assert edge.low >= 0.0


def solved(right: int, problems: int = 48) -> tuple[float, float]:
    """The interval, in per cent, of an arm that solves `right` of the problems in all of one response."""
    [found] = proportions([np.r_[np.full(right, 100.0), np.zeros(problems - right)].reshape(1, 1, -1)], DRAWS)
    return found.low, found.high


def test_shares_of_one_response_have_wilsons_interval() -> None:
    """With Student's t for the normal: near scipy's at 48 problems, and never narrower than it."""
    for right in (0, 1, 2, 24, 47, 48):
        theirs = stats.binomtest(right, 48).proportion_ci(method="wilson")
        low, high = solved(right)
        assert low == pytest.approx(100 * theirs.low, abs=0.6) and high == pytest.approx(100 * theirs.high, abs=0.6)
        assert low <= 100 * theirs.low + 1e-9 and high >= 100 * theirs.high - 1e-9


def test_the_interval_moves_up_with_the_value() -> None:
    ends = np.array([solved(right) for right in range(49)])
    assert (np.diff(ends, axis=0) >= 0).all()
    assert ends[0, 0] == 0 and ends[-1, 1] == 100 and (ends[:, 1] > ends[:, 0]).all()


@pytest.mark.parametrize("mean", [0.02, 0.08, 0.98])
def test_shares_cover_where_problems_are_very_unequal(mean: float) -> None:
    """30 problems, 16 responses, rates from Beta(0.3 m, 0.3 (1 - m)): a bootstrap of the same tables does not."""
    rng = np.random.default_rng(10)
    rate = rng.beta(0.3 * mean, 0.3 * (1 - mean), (800, 1, 30))
    table = 100 * rng.binomial(16, rate) / 16
    assert 0.94 <= coverage(proportions([table], DRAWS), 100 * mean) <= 1
    assert coverage(crossed([table], DRAWS), 100 * mean) < 0.92


@pytest.mark.parametrize("tables", [1, 2])
def test_a_difference_that_no_problem_shows_has_the_exact_reach(tables: int) -> None:
    """Clopper and Pearson's limit of 0 of 30 on either side: two policies may differ on so many problems unseen."""
    theirs = 100 * stats.binomtest(0, 30).proportion_ci(method="exact").high
    [found] = crossed([np.zeros((1, 3, 30))] * tables, Draws(20_000, 0.95, 0), (-100, 100))
    assert (-found.low, found.high) == pytest.approx((theirs / tables**0.5,) * 2, rel=0.03)
    [unbounded] = crossed([np.full((1, 3, 30), 50.0)] * tables, DRAWS)
    assert (unbounded.low, unbounded.high) == (50, 50)


def ratio(totals: np.ndarray) -> np.ndarray:
    return totals[..., 1:] / totals[..., :1]


def test_bca_is_scipys() -> None:
    rng = np.random.default_rng(6)
    n, x = rng.integers(1, 20, 200).astype(float), rng.lognormal(0, 1, 200)
    [found] = bca(np.stack([n, x], -1), ratio, Draws(20_000, 0.95, 0))
    theirs = stats.bootstrap(
        (n, x), lambda n, x, axis: x.sum(axis) / n.sum(axis), paired=True, method="BCa", n_resamples=20_000, rng=1
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx(tuple(theirs), rel=0.01)


def weights(log_w: np.ndarray) -> np.ndarray:
    return response_sums(log_w, (0.5, 2.0))


def figures(totals: np.ndarray) -> np.ndarray:
    return np.stack([response_figures(totals)[name] for name in ("ESS/N", "CV²", "mean log w")], -1)


def test_a_weight_that_outweighs_all_others_keeps_its_jackknife() -> None:
    """Against scipy, which leaves problems out one by one: subtracted from the total, the rest would be rounding."""
    log_w = np.r_[0.0, np.random.default_rng(9).normal(-45, 1, 40)]
    found = bca(weights(log_w), figures, Draws(20_000, 0.95, 0))[0]
    theirs = stats.bootstrap(
        (np.exp(log_w),), lambda w, axis: w.sum(axis) ** 2 / (w**2).sum(axis) / w.shape[axis], method="BCa",
        n_resamples=20_000, rng=1,
    ).confidence_interval  # fmt: skip
    assert (found.low, found.high) == pytest.approx(tuple(theirs), rel=0.05)


@pytest.mark.filterwarnings("error")
def test_weights_too_far_apart_for_an_interval_say_nan() -> None:
    """Without the first all weights underflow to 0, as of long responses of a real language model; no warning."""
    ess, cv2, mean = bca(weights(np.r_[-20.0, -900 - np.arange(30.0)]), figures, DRAWS)
    assert ess.value == pytest.approx(1 / 31) and cv2.value == pytest.approx(30)
    assert np.isnan([ess.low, ess.high, ess.se, cv2.low, cv2.high, cv2.se]).all()
    assert mean.low < mean.value < mean.high and mean.se > 0


def test_many_problems_are_resampled_in_blocks_to_the_same_interval() -> None:
    x = np.random.default_rng(8).lognormal(0, 1, 30_000)
    [found] = bca(np.stack([np.ones_like(x), x], -1), ratio, DRAWS)
    low, high = stats.t.interval(0.95, len(x) - 1, x.mean(), stats.sem(x))
    assert found.value == pytest.approx(x.mean())
    assert found.high - found.low == pytest.approx(high - low, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("problems", [60, 300])
def test_bca_covers_ess_of_tokens_clustered_in_problems(problems: int) -> None:
    """ESS/N of skewed weights that are alike within a problem: the interval over problems covers, over tokens not."""
    rng, draws = np.random.default_rng(7), Draws(300, 0.95, 0)

    def sums(count: int) -> tuple[np.ndarray, np.ndarray]:
        length = rng.integers(5, 30, count)
        level = np.repeat(rng.normal(-0.7, 0.4, count), length)
        w = np.exp(-np.abs(level + rng.normal(0, 0.3, len(level))))
        at = np.repeat(np.arange(count), length)
        return np.stack([np.bincount(at, v, count) for v in (np.ones_like(w), w, w**2)], -1), w

    def ess(totals: np.ndarray) -> np.ndarray:
        return (totals[..., 1] ** 2 / (totals[..., 0] * totals[..., 2]))[..., None]

    truth = ess(sums(200_000)[0].sum(0))[0]
    hits, naive = [], []
    for simulation in range(300):
        table, w = sums(problems)
        [item] = bca(table, ess, draws)
        hits.append(item.low <= truth <= item.high)
        if problems == 60 and simulation < 60:
            [item] = bca(np.stack([np.ones_like(w), w, w**2], -1), ess, draws)
            naive.append(item.low <= truth <= item.high)
    assert 0.92 <= np.mean(hits) <= 0.98
    assert not naive or np.mean(naive) < 0.85


def test_paired_is_exact_on_few_pairs() -> None:
    """Against all sign flips of the ranks."""
    differences = np.array([0.3, -0.1, 0.5, 0.7, 0.2])
    ranks = stats.rankdata(np.abs(differences))
    observed = abs((ranks * np.sign(differences)).sum())
    sums = [abs((ranks * signs).sum()) for signs in product((-1, 1), repeat=5)]
    found = paired(differences)
    assert found["p_wilcoxon"] == pytest.approx(np.mean([item >= observed for item in sums]))
    assert found["rank_biserial"] == pytest.approx((14 - 1) / 15)
    assert found["d_z"] == pytest.approx(differences.mean() / differences.std(ddof=1))


def test_pairs_that_do_not_differ() -> None:
    assert paired(np.zeros(5)) == {"p_wilcoxon": 1.0, "d_z": 0.0, "rank_biserial": 0.0}


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
