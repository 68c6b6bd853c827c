"""Intervals, tests and effect sizes over problems and seeds.

    crossed([table_a, table_b], draws)     # tables [M, S, P_b]: M quantities, S seeds, P_b problems of benchmark b
    bca(sums, statistic, draws)            # sums [P, K] per problem, statistic maps totals [..., K] to [..., M]

The unit is the problem, never the token or the response: responses to one problem stand or fall together. Training
seeds are a second, crossed level: every seed meets every problem.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
CHUNK = 2**23  # counts held at once
BLOCKS = 4000  # units of the bootstrap at most


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; se and p (two-sided, of the value being 0) are nan where no method gives one."""

    value: float
    low: float
    high: float
    se: float = float("nan")
    p: float = float("nan")


@dataclass(frozen=True)
class Draws:
    """How to resample: the number of resamples, the confidence and the seed, the same for every figure of a report."""

    resamples: int
    confidence: float
    seed: int

    @cached_property
    def tails(self) -> Array:
        return np.array([(1 - self.confidence) / 2, (1 + self.confidence) / 2])

    def counts(self, n: int, label: int = 0, resamples: int | None = None) -> Array:
        """How often each of n units is drawn in each resample, [R, n]."""
        return np.concatenate(list(self.chunks(n, label, resamples)))

    def normal(self) -> Array:
        """Standard normal draws, [R, 1]: the same for every quantity, so that equal ones get equal intervals."""
        return np.random.default_rng([self.seed, 0]).standard_normal((self.resamples, 1))

    def chunks(self, n: int, label: int = 0, resamples: int | None = None) -> Iterator[Array]:
        """The same counts, some resamples at a time."""
        resamples = resamples or self.resamples
        if resamples * n <= CHUNK:
            yield _counts(self.seed, label, n, resamples)
            return
        rng = np.random.default_rng([self.seed, label, n])
        for start in range(0, resamples, max(1, CHUNK // n)):
            yield _draw(rng, n, min(resamples - start, max(1, CHUNK // n)))


@lru_cache(maxsize=16)
def _counts(seed: int, label: int, n: int, resamples: int) -> Array:
    """Counts that fit into one chunk: many figures ask for the same ones."""
    return _draw(np.random.default_rng([seed, label, n]), n, resamples)


def _draw(rng: np.random.Generator, n: int, resamples: int) -> Array:
    return rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)


Bounds = tuple[float | Array, float | Array]  # the least and the largest value possible, for all M or [M] each


def crossed(tables: Sequence[Array], draws: Draws, bounds: Bounds = (-np.inf, np.inf)) -> list[Estimate]:
    """Mean over seeds and problems, averaged over benchmarks, with bootstrap intervals over problems and seeds.

    tables: one [M, S, P_b] a benchmark. A benchmark of one problem says nothing of others: no interval. Problems are
    resampled within each benchmark, every seed meeting the same ones. Seeds are drawn from a normal with their unbiased
    variance component: three of them have no shape to resample, and resampling them understates their variance by a
    third, while what is left between seed and problem is counted up to three times (the pigeonhole bootstrap, Owen
    2007, arXiv 0712.1111). The deviations are widened from normal to Student's t at the degrees of freedom of
    `two_way`, as in Hesterberg (2014, arXiv 1411.5279); p is the t test at the same standard error.

    Coverage of 95 % intervals in simulations (4000 experiments of 3 seeds, 2 x 100 problems, 4 responses; seeds of
    standard deviation 0, 1, 3 and 8 points): 0.956, 0.964, 0.943, 0.919 for an arm, 0.987, 0.974, 0.946, 0.943 for a
    difference of two; with 5 seeds 0.954, 0.955, 0.955, 0.936 and 0.982, 0.971, 0.955, 0.946.
    """
    from scipy import stats

    values = np.mean([table.mean(axis=(1, 2)) for table in tables], axis=0)
    if min(table.shape[2] for table in tables) < 2:
        return [Estimate(float(value), float("nan"), float("nan")) for value in values]
    problem, seed, freedom = two_way(tables)
    deviations = _resampled(tables, draws) + draws.normal() * np.sqrt(seed)
    widen = stats.t.ppf(draws.tails[1], freedom) / stats.norm.ppf(draws.tails[1])
    low, high = np.clip(values + widen * np.quantile(deviations, draws.tails, axis=0), *bounds)
    low, high = _unvaried(tables, draws, bounds, low, high)
    errors = np.sqrt(problem + seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.where(errors > 1e-12, 2 * stats.t.sf(np.abs(values) / errors, freedom), values == 0)
    return [Estimate(*map(float, row)) for row in zip(values, low, high, errors, p, strict=True)]


def _unvaried(tables: Sequence[Array], draws: Draws, bounds: Bounds, low: Array, high: Array) -> tuple[Array, Array]:
    """The interval where all P problems of a benchmark have one value, and resampling has nothing to vary.

    Of none among P the exact upper limit is a share 1 - tail^(1/P) (Clopper and Pearson 1934): so many problems may
    have another value, each as far away as the bounds allow. 0 of 30 solved reads [0, 11.6] %; two policies that differ
    on none of 30 problems, 0 [-11.6, 11.6] points. Unchanged where some table varies, or a bound is infinite.
    """
    same, floor, ceiling = np.bool_(True), 0.0, 0.0
    for table in tables:
        value, share = table[:, 0, 0], 1 - draws.tails[0] ** (1 / table.shape[2])
        same = same & (table == value[:, None, None]).all((1, 2))
        floor = floor + (value - share * (value - bounds[0])) / len(tables)
        ceiling = ceiling + (value + share * (bounds[1] - value)) / len(tables)
    known = same & np.isfinite(floor) & np.isfinite(ceiling)
    return np.where(known, floor, low), np.where(known, ceiling, high)


def _resampled(tables: Sequence[Array], draws: Draws) -> Array:
    """Deviations of the mean over resampled problems, [R, M], spread like P - 1 of P problems: without bias."""
    total = np.zeros((draws.resamples, len(tables[0])))
    for label, table in enumerate(tables):
        means, n = table.mean(axis=1), table.shape[2]
        counts = draws.counts(n, label=label)
        total = total + (counts @ means.T / n - means.mean(axis=1)) * np.sqrt(n / max(n - 1, 1))
    return total / len(tables)


def two_way(tables: Sequence[Array]) -> tuple[Array, Array, Array]:
    """Variance of the mean over crossed seeds and problems: problems' part, seeds' part, degrees of freedom, [M] each.

    With x = mu + seed + problem + rest and variances s, p, r, the mean squares estimate V_problem = p/P + r/SP,
    V_seed = s/S + r/SP and V_rest = r/SP without bias, and Var(mean) = V_problem + (V_seed - V_rest), the bracket being
    0 at least. Degrees of freedom after Satterthwaite (1946), the mean square of the seeds counted even where the
    bracket is 0: that it is 0 was estimated from S seeds, too. One seed: over problems alone.
    """
    count, seeds, zero = len(tables), tables[0].shape[1], np.zeros(len(tables[0]))
    parts = np.stack([table.mean(1).var(1, ddof=1) / table.shape[2] for table in tables]) / count**2
    problem, below = parts.sum(axis=0), (parts**2 / [[table.shape[2] - 1] for table in tables]).sum(axis=0)
    if seeds == 1:
        return problem, zero, _freedom(problem, below, 1)
    rest = np.sum([_interaction(table) / (seeds * table.shape[2]) for table in tables], axis=0) / count**2
    seed = np.mean([table.mean(axis=2) for table in tables], axis=0).var(axis=1, ddof=1) / seeds
    extra = np.maximum(seed - rest, 0.0)
    return problem, extra, _freedom(problem + extra, below + seed**2 / (seeds - 1), seeds - 1)


def _freedom(total: Array, below: Array, least: int) -> Array:
    return np.maximum(np.divide(total**2, below, out=np.ones_like(total), where=below > 0), least)


def _interaction(table: Array) -> Array:
    """Mean square of what seed and problem leave unexplained, [M, S, P] -> [M]."""
    _, seeds, n = table.shape
    rest = table - table.mean(1, keepdims=True) - table.mean(2, keepdims=True) + table.mean((1, 2), keepdims=True)
    return (rest**2).sum((1, 2)) / max((seeds - 1) * (n - 1), 1)


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def bca(sums: Array, statistic: Callable[[Array], Array], draws: Draws, label: int = 0) -> list[Estimate]:
    """Bootstrap over problems of M figures that are functions of sums: BCa intervals (Efron 1987).

    sums: [P, K], a row a problem; statistic: totals [..., K] -> figures [..., M]. A resample is a row of counts, its
    totals are counts @ sums. More than BLOCKS problems are resampled in that many blocks of neighbours, whose sums are
    as independent of each other as the problems are. A figure that some resample gives no finite value (weights so far
    apart that without the largest they are all 0) has no interval: low, high and se are nan.
    """
    from scipy.special import ndtr, ndtri

    sums = _blocks(sums)
    values = np.asarray(statistic(sums.sum(axis=0)))
    if len(sums) < 2:
        return [Estimate(float(value), float("nan"), float("nan")) for value in values]
    resampled = np.concatenate([statistic(part @ sums) for part in draws.chunks(len(sums), label)])
    left_out = statistic(_without_each(sums))
    off = left_out.mean(axis=0) - left_out
    acceleration = (off**3).sum(0) / (6 * (off**2).sum(0) ** 1.5)
    acceleration = np.where(np.isfinite(acceleration), acceleration, 0.0)
    below = ((resampled < values).mean(0) + (resampled <= values).mean(0)) / 2
    bias = ndtri(np.clip(below, 1 / draws.resamples, 1 - 1 / draws.resamples))
    shifted = bias + ndtri(draws.tails)[:, None]
    levels = ndtr(bias + shifted / (1 - acceleration * shifted))
    ends = [np.quantile(column, level) for column, level in zip(resampled.T, levels.T, strict=True)]
    rows = np.column_stack([ends, resampled.std(axis=0)])  # low, high, se
    rows[~np.isfinite(resampled).all(axis=0)] = np.nan
    return [Estimate(float(value), *map(float, row)) for value, row in zip(values, rows, strict=True)]


def _without_each(sums: Array) -> Array:
    """The totals with each row left out, [P, K]: sums of what is before and behind it, for in a subtraction a weight
    that outweighs all others would leave rounding errors alone."""
    zero = np.zeros((1, sums.shape[1]))
    before, behind = np.cumsum(sums, axis=0), np.cumsum(sums[::-1], axis=0)[::-1]
    return np.concatenate([zero, before[:-1]]) + np.concatenate([behind[1:], zero])


def _blocks(sums: Array) -> Array:
    if len(sums) <= BLOCKS:
        return sums
    return np.add.reduceat(sums, np.arange(BLOCKS) * len(sums) // BLOCKS)


def paired(differences: Array) -> dict[str, float]:
    """Differences of pairs, [P] -> the Wilcoxon signed-rank p, Cohen's d_z and the rank-biserial correlation.

    d_z = mean / sd of the differences; rank-biserial = (W+ - W-) / (W+ + W-), from -1 to 1 (Kerby 2014).
    """
    from scipy import stats

    nonzero = differences[differences != 0]
    if len(nonzero) == 0:
        return {"p_wilcoxon": 1.0, "d_z": 0.0, "rank_biserial": 0.0}
    ranks = stats.rankdata(np.abs(nonzero))
    spread = differences.std(ddof=1) if len(differences) > 1 else 0.0
    return {
        "p_wilcoxon": float(stats.wilcoxon(nonzero).pvalue),
        "d_z": float(differences.mean() / spread) if spread > 0 else float("nan"),
        "rank_biserial": float((ranks * np.sign(nonzero)).sum() / ranks.sum()),
    }


def holm(p: Sequence[float]) -> list[float]:
    """Holm's (1979) adjustment of p values for as many comparisons as there are."""
    order = np.argsort(p)
    steps = np.asarray(p)[order] * (len(p) - np.arange(len(p)))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted.tolist()
