"""How often the report's intervals hold the truth, in simulated experiments: reports/benchmarks/coverage.md.

    python -m tests.benchmarks.coverage > reports/benchmarks/coverage.md     # some minutes on one core

Problem rates are drawn from Beta(c m, c (1 - m)): m is the mean, and c says how equal the problems are: at 0.3 nearly
every problem is solved always or never, at 2.4 their rates spread over [0, 1], at 8 they lie around the mean. Seeds
shift all rates of a policy by a normal effect. A difference is of two policies on the same problems, some share of
which the second one solves at a rate of its own.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

from stages.lib.analysis.bootstrap import Draws, Estimate, crossed, proportions

Array = NDArray[np.float64]
DRAWS = Draws(resamples=1000, confidence=0.95, seed=0)
EXPERIMENTS = 2000
DESIGNS = ((30, 16, 1), (30, 16, 3), (100, 4, 1), (100, 4, 3))  # problems, responses, seeds
MEANS = (0.02, 0.08, 0.3, 0.5, 0.92, 0.98)


def rates(rng: np.random.Generator, mean: float, equal: float, problems: int) -> Array:
    return rng.beta(equal * mean, equal * (1 - mean), (EXPERIMENTS, 1, problems))


def answers(rng: np.random.Generator, rate: Array, n: int, seeds: int, sd: float) -> Array:
    """avg@n in per cent, [M, S, P]."""
    own = rng.normal(0, sd, (len(rate), seeds, 1)) if sd else np.zeros((len(rate), seeds, 1))
    return 100 * rng.binomial(n, np.clip(rate + own, 0, 1)) / n


def covered(estimates: list[Estimate], truth: float) -> tuple[float, float, float]:
    """Shares that hold the truth, that lie below it, that lie above it."""
    low, high = np.array([item.low for item in estimates]), np.array([item.high for item in estimates])
    return float(np.mean((low <= truth) & (truth <= high))), float(np.mean(high < truth)), float(np.mean(low > truth))


def arms(rng: np.random.Generator) -> Iterator[list[str]]:
    for (problems, n, seeds), equal, mean in product(DESIGNS, (0.3, 2.4, 8.0), MEANS):
        table = answers(rng, rates(rng, mean, equal, problems), n, seeds, 0.0)
        new = covered(proportions([table], DRAWS), 100 * mean)
        plain = covered(crossed([table], DRAWS), 100 * mean)
        yield [f"{problems} x {n} x {seeds}", f"{equal:g}", f"{100 * mean:g}", *cells(new), f"{plain[0]:.3f}"]


def differences(rng: np.random.Generator) -> Iterator[list[str]]:
    for (problems, n, seeds), mean, changed in product(DESIGNS, (0.02, 0.3, 0.92), (0.02, 0.1, 0.5)):
        first, other = rates(rng, mean, 0.3, problems), rates(rng, min(mean + 0.2, 0.98), 0.3, problems)
        second = np.where(rng.random(first.shape) < changed, other, first)
        table = answers(rng, second, n, seeds, 0.0) - answers(rng, first, n, seeds, 0.0)
        truth = 100 * changed * (min(mean + 0.2, 0.98) - mean)
        found = covered(crossed([table], DRAWS, (-100.0, 100.0)), truth)
        yield [f"{problems} x {n} x {seeds}", f"{100 * mean:g}", f"{100 * changed:g}", *cells(found)]


def seeds_differ(rng: np.random.Generator) -> Iterator[list[str]]:
    """Two benchmarks of 100 problems, rates Beta(1.2, 1.2): the range of the earlier simulations."""
    for seeds, sd in product((3, 5), (0.0, 0.01, 0.03, 0.08)):
        tables: tuple[list[Array], list[Array]] = ([], [])
        shifts = [rng.normal(0, sd, (EXPERIMENTS, seeds, 1)) for _ in range(2)]
        for _ in range(2):
            rate = 0.1 + 0.8 * rates(rng, 0.5, 2.4, 100)
            one, two = (100 * rng.binomial(4, np.clip(rate + shift, 0, 1)) / 4 for shift in shifts)
            tables[0].append(one)
            tables[1].append(two - one)
        arm = covered(proportions(tables[0], DRAWS), 50.0)
        difference = covered(crossed(tables[1], DRAWS, (-100.0, 100.0)), 0.0)
        yield [str(seeds), f"{100 * sd:g}", f"{arm[0]:.3f}", f"{difference[0]:.3f}"]


def cells(found: tuple[float, float, float]) -> list[str]:
    return [f"{share:.3f}" for share in found]


def table(header: list[str], rows: Iterator[list[str]]) -> None:
    print("| " + " | ".join(header) + " |\n|" + " --: |" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)
    print()


def main() -> None:
    rng = np.random.default_rng(0)
    print(f"Coverage of 95 % intervals, {EXPERIMENTS} simulated experiments a row.\n")
    print("An arm on one benchmark (problems x responses x seeds):\n")
    table(["design", "c", "mean (%)", "covers", "too low", "too high", "bootstrap covers"], arms(rng))
    print("A difference of two policies on one benchmark, c = 0.3, some problems solved at another rate:\n")
    table(["design", "mean (%)", "changed (%)", "covers", "too low", "too high"], differences(rng))
    print("Seeds that differ, two benchmarks of 100 problems:\n")
    table(["seeds", "sd (points)", "arm covers", "difference covers"], seeds_differ(rng))


if __name__ == "__main__":
    main()
