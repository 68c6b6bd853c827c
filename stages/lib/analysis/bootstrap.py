"""Intervals, tests and effect sizes over problems and seeds.

    proportions([table_a, table_b], draws) # tables [M, S, P_b]: M quantities, S seeds, P_b problems of benchmark b
    crossed([table_a, table_b], draws)     # the same for what is no share: differences, lengths
    bca(sums, statistic, draws)            # sums [P, K] per problem, statistic maps totals [..., K] to [..., M]

The unit is the problem, never the token or the response: responses to one problem stand or fall together. The seeds of
a cell (of the order of its rows, and of LoRA's start) are a second, crossed level: every seed meets every problem. What
no interval here covers is another draw of the training data, another base or other benchmarks.

Coverage is simulated by tests/benchmarks/coverage.py; its table is reports/benchmarks/coverage.md.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Bounds = tuple[float | Array, float | Array]  # the least and the largest value possible, for all M or [M] each
CHUNK = 2**23  # counts held at once
BLOCKS = 4000  # units of the bootstrap at most
UNSEEN = 1.0  # problems added to those that tell a design effect: coverage.md has what 0.5 and 2 would give


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


def proportions(tables: Sequence[Array], draws: Draws, most: float = 100.0) -> list[Estimate]:
    """Mean share over seeds and problems, averaged over benchmarks, with Wilson's (1927) interval.

    tables: one [M, S, P_b] a benchmark, values in [0, most]. The interval is the one of n independent tries, n chosen
    so that their variance is the one over problems and seeds (`_of_problems`, `two_way`), with Student's t in place of
    the normal (Franco et al. 2019, doi 10.1093/jssam/smy019). So it is never empty, ends within [0, most], and moves
    up with the value: 0 of 48 has a lower end than 1 of 48. A benchmark of one problem has no interval.
    """
    from scipy import stats

    values = np.mean([table.mean(axis=(1, 2)) for table in tables], axis=0) / most
    if min(table.shape[2] for table in tables) < 2:
        return [Estimate(float(most * value), float("nan"), float("nan")) for value in values]
    smooth = np.mean([_smoothed(table / most) for table in tables], axis=0)
    parts = np.stack([_of_problems(table / most) for table in tables]) / len(tables) ** 2
    problem, seed, freedom = two_way([table / most for table in tables], parts)
    tries = smooth * (1 - smooth) / (problem + seed)
    square = stats.t.ppf(draws.tails[1], freedom) ** 2
    middle = (values + square / (2 * tries)) / (1 + square / tries)
    half = np.sqrt(square * (values * (1 - values) / tries + square / (4 * tries**2))) / (1 + square / tries)
    ends = np.clip([middle - half, middle + half], 0, 1) * most
    errors = np.sqrt(problem + seed) * most
    return [Estimate(*map(float, row)) for row in zip(values * most, *ends, errors, strict=True)]


def _smoothed(table: Array) -> Array:
    """The share as if one problem more had been asked and half solved, [M]: never 0 or 1."""
    n = table.shape[2]
    return (n * table.mean(axis=(1, 2)) + 0.5) / (n + 1)


def _of_problems(table: Array) -> Array:
    """Variance of the mean share over problems, [M], with the design effect drawn towards 1 where few problems tell it.

    Design effect: the variance between problems by the largest that this share allows, p (1 - p), when every problem is
    solved always or never. With no more than a few problems solved (or failed) it cannot be estimated, and is mostly
    underestimated; so UNSEEN further problems count as of the largest variance.
    """
    n, share, smooth = table.shape[2], table.mean(axis=(1, 2)), _smoothed(table)
    largest = share * (1 - share)
    between = table.mean(axis=1).var(axis=1, ddof=1)
    effect = np.divide(between, largest, out=np.ones_like(share), where=largest > 0)
    telling = n * np.minimum(share, 1 - share)
    effect = (telling * effect + UNSEEN) / (telling + UNSEEN)
    return effect * smooth * (1 - smooth) / n


def crossed(tables: Sequence[Array], draws: Draws, bounds: Bounds = (-np.inf, np.inf)) -> list[Estimate]:
    """Mean over seeds and problems, averaged over benchmarks, with bootstrap intervals over problems and seeds.

    tables: one [M, S, P_b] a benchmark. A benchmark of one problem says nothing of others: no interval. Problems are
    resampled within each benchmark, every seed meeting the same ones. Seeds are drawn from a normal with their unbiased
    variance component: three of them have no shape to resample, and resampling them understates their variance by a
    third, while what is left between seed and problem is counted up to three times (the pigeonhole bootstrap, Owen
    2007, arXiv 0712.1111). The deviations are widened from normal to Student's t at the degrees of freedom of
    `two_way`, as in Hesterberg (2014, arXiv 1411.5279); p is the t test at the same standard error. Where few problems
    vary, `_unseen` is added to the variance.
    """
    from scipy import stats

    values = np.mean([table.mean(axis=(1, 2)) for table in tables], axis=0)
    if min(table.shape[2] for table in tables) < 2:
        return [Estimate(float(value), float("nan"), float("nan")) for value in values]
    problem, seed, freedom = two_way(tables)
    unseen = np.sum([_unseen(table, draws, bounds) for table in tables], axis=0) / len(tables) ** 2
    deviations = _resampled(tables, draws) + draws.normal() * np.sqrt(seed + unseen)
    widen = stats.t.ppf(draws.tails[1], freedom) / stats.norm.ppf(draws.tails[1])
    low, high = np.clip(values + widen * np.quantile(deviations, draws.tails, axis=0), *bounds)
    errors = np.sqrt(problem + seed + unseen)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.where(errors > 1e-12, 2 * stats.t.sf(np.abs(values) / errors, freedom), values == 0)
    return [Estimate(*map(float, row)) for row in zip(values, low, high, errors, p, strict=True)]


def _unseen(table: Array, draws: Draws, bounds: Bounds) -> Array:
    """Variance of the mean for what a sample in which few problems vary cannot show, [M]; 0 where a bound is infinite.

    Of P problems without one of a kind the exact upper limit of that kind's share is 1 - tail^(1/P) (Clopper and
    Pearson 1934), each as far off as the bounds allow: two policies that differ on none of 30 problems differ by 0
    [-11.6, 11.6] points. Divided by 1 + the number of problems that vary, (sum x^2)^2 / sum x^4, so that it fades.
    """
    from scipy import stats

    n = table.shape[2]
    reach = np.minimum(*(np.abs(np.broadcast_to(bound, len(table))) for bound in bounds))
    limit = (1 - draws.tails[0] ** (1 / n)) * reach / stats.norm.ppf(draws.tails[1])
    off = table.mean(axis=1) - table.mean(axis=(1, 2))[:, None]
    fourth = (off**4).sum(axis=1)
    varying = np.divide((off**2).sum(axis=1) ** 2, fourth, out=np.zeros_like(fourth), where=fourth > 1e-12)
    return np.where(np.isfinite(limit), limit, 0.0) ** 2 / (1 + varying)


def _resampled(tables: Sequence[Array], draws: Draws) -> Array:
    """Deviations of the mean over resampled problems, [R, M], spread like P - 1 of P problems: without bias."""
    total = np.zeros((draws.resamples, len(tables[0])))
    for label, table in enumerate(tables):
        means, n = table.mean(axis=1), table.shape[2]
        counts = draws.counts(n, label=label)
        total = total + (counts @ means.T / n - means.mean(axis=1)) * np.sqrt(n / max(n - 1, 1))
    return total / len(tables)


def two_way(tables: Sequence[Array], parts: Array | None = None) -> tuple[Array, Array, Array]:
    """Variance of the mean over crossed seeds and problems: problems' part, seeds' part, degrees of freedom, [M] each.

    With x = mu + seed + problem + rest and variances s, p, r, the mean squares estimate V_problem = p/P + r/SP,
    V_seed = s/S + r/SP and V_rest = r/SP without bias, and Var(mean) = V_problem + (V_seed - V_rest), the bracket being
    0 at least. Degrees of freedom after Satterthwaite (1946), the mean square of the seeds counted even where the
    bracket is 0: that it is 0 was estimated from S seeds, too. One seed: over problems alone. A variance estimated from
    values of kurtosis k has 2 / (k - 1) as many degrees of freedom as from normal ones: few where few problems vary.

    parts: V_problem of each benchmark by its squared number, [B, M], if other than the variance between problems.
    """
    count, seeds, zero = len(tables), tables[0].shape[1], np.zeros(len(tables[0]))
    if parts is None:
        parts = np.stack([table.mean(1).var(1, ddof=1) / table.shape[2] for table in tables]) / count**2
        spread = np.stack([_tailed(table.mean(1)) for table in tables])
    else:
        spread = np.ones_like(parts)
    freedoms = np.array([[table.shape[2] - 1] for table in tables])
    problem, below = parts.sum(axis=0), (parts**2 * spread / freedoms).sum(axis=0)
    if seeds == 1:
        return problem, zero, _freedom(problem, below, 1)
    rest = np.sum([_interaction(table) / (seeds * table.shape[2]) for table in tables], axis=0) / count**2
    seed = np.mean([table.mean(axis=2) for table in tables], axis=0).var(axis=1, ddof=1) / seeds
    extra = np.maximum(seed - rest, 0.0)
    return problem, extra, _freedom(problem + extra, below + seed**2 / (seeds - 1), seeds - 1)


def _tailed(values: Array) -> Array:
    """(kurtosis - 1) / 2 of each row, at least 1, [M, P] -> [M]: 1 of a normal; 1 where nothing varies."""
    off = values - values.mean(axis=1, keepdims=True)
    second = (off**2).mean(axis=1)
    kurtosis = np.divide((off**4).mean(axis=1), second**2, out=np.full_like(second, 3.0), where=second > 1e-12)
    return np.maximum((kurtosis - 1) / 2, 1.0)


def _freedom(total: Array, below: Array, least: int) -> Array:
    return np.maximum(np.divide(total**2, below, out=np.full_like(total, np.inf), where=below > 0), least)


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
