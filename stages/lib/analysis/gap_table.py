"""The gap table: expert's against rewritten responses on the same problems, every figure with its interval.

    table = gap_table(pairs, tokens, draws, clip)
    # problems  count  level  behaviour  side        figure  value  low    high
    # all       768    token  b = 1      expert      ESS/N   0.614  0.605  0.622
    # all       768    token  b = 1      difference  ESS/N   0.190  0.181  0.199
    gap_rows(table, problems="all", level="token", behaviour=B_ONE)

problems: all, or those whose rewritten response is from a sample (self), from guided re-solving (resolved), or the
expert's (fallback: both sides are the same). level: token, response (sum of its log-weights), or response / length
(their mean). difference: rewritten - expert in the same resample.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from stages.lib import importance
from stages.lib.analysis import gap
from stages.lib.analysis.bootstrap import Draws, Estimate, bca, paired
from stages.lib.analysis.frames import rows_where
from stages.lib.analysis.gap import Array, Tokens

COLUMNS = ["problems", "count", "level", "behaviour", "side", "figure", "value", "low", "high"]
B_ONE, B_KNOWN = "b = 1", "known"  # behaviours
SUBSETS = {"all": None, "self": "self", "resolved": "resolved", "fallback": "expert"}
DIFFERENCE = "difference"
DATA = (*gap.SIDES, DIFFERENCE)
RESAMPLED = 200  # resamples for figures that are no function of sums: each costs a pass over the weights
ORDERED = {"MAD(log w)": importance.log_mad, "top 1 % share": importance.top_share, "k-hat": importance.k_hat}
BOUNDED = {name: figure for name, figure in ORDERED.items() if name != "k-hat"}  # for weights without a tail to fit
Clip = tuple[float, float]
Row = tuple[str, str, str, str, Estimate]  # level, behaviour, side, figure, estimate


def gap_table(pairs: pd.DataFrame, tokens: dict[str, Tokens], draws: Draws, clip: Clip) -> pd.DataFrame:
    """Every figure of every subset of problems."""
    rows = []
    for name, part in subsets(pairs):
        for *labels, item in _figures(part, tokens, draws, clip):
            rows.append([name, len(part), *labels, item.value, item.low, item.high])
    return pd.DataFrame(rows, columns=COLUMNS)


def gap_rows(table: pd.DataFrame, **wanted: str | Sequence[str]) -> pd.DataFrame:
    """The rows of a gap table with these values: gap_rows(table, level="token", side=("expert", "rewritten"))."""
    return rows_where(table, **wanted)


def subsets(pairs: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """All problems, then those of each source that there is."""
    for name, source in SUBSETS.items():
        part = pairs if source is None else pairs[pairs["source"] == source]
        if len(part):
            yield name, part


def _figures(part: pd.DataFrame, tokens: dict[str, Tokens], draws: Draws, clip: Clip) -> Iterator[Row]:
    sides = [gap.side(part, data) for data in gap.SIDES]
    for data, figure, item in summed(sides, gap.token_figures, draws):
        yield "token", B_ONE, data, figure, item
    by_token = [gap.within(tokens[data], part.index.to_numpy()) for data in gap.SIDES]
    pools = [(item.logp, item.problem) for item in by_token]
    for data, figure, item in ordered(pools, BOUNDED, draws):
        yield "token", B_ONE, data, figure, item
    for level, logps in response_levels(sides, "l", "n").items():
        yield from _responses(level, B_ONE, logps, draws, clip)
    known = part[part["rewritten_k"] > 0]
    if len(known):
        yield from _known(known, gap.within(tokens["rewritten"], known.index.to_numpy()), draws, clip)


def _known(part: pd.DataFrame, tokens: Tokens, draws: Draws, clip: Clip) -> Iterator[Row]:
    """Figures of r = p / b: for the responses that the policy wrote, where b is known."""
    own = gap.side(part, "rewritten")
    for _, figure, item in summed([own], gap.known_figures, draws):
        yield "token", B_KNOWN, "rewritten", figure, item
    for _, figure, item in ordered([(tokens.log_r, tokens.problem)], BOUNDED, draws):
        yield "token", B_KNOWN, "rewritten", figure, item
    for level, (log_r,) in response_levels([own], "d", "k").items():
        for row in _responses(level, B_KNOWN, [log_r], draws, clip):
            yield (row[0], row[1], "rewritten", *row[3:])


def response_levels(sides: Sequence[Array], log_w: str, count: str) -> dict[str, list[Array]]:
    """Each response's log-weight, and per token, for each side; `log_w` and `count` are columns of gap.SUMS."""
    sums = [(own[:, gap.SUMS.index(log_w)], own[:, gap.SUMS.index(count)]) for own in sides]
    return {"response": [total for total, _ in sums], "response / length": [total / n for total, n in sums]}


def _responses(level: str, behaviour: str, log_w: list[Array], draws: Draws, clip: Clip) -> Iterator[Row]:
    sums = [gap.response_sums(own, clip) for own in log_w]
    for data, figure, item in summed(sums, gap.response_figures, draws):
        yield level, behaviour, data, figure, item
    pools = [(own, np.arange(len(own))) for own in log_w]
    for data, figure, item in ordered(pools, ORDERED if level == "response" else BOUNDED, draws):
        yield level, behaviour, data, figure, item


def summed(
    sides: Sequence[Array], figures: Callable[[Array], dict[str, Array]], draws: Draws
) -> Iterator[tuple[str, str, Estimate]]:
    """(data, figure, estimate) for one or two sides [P, K] of sums, and for their difference; one paired bootstrap."""
    width, names = sides[0].shape[1], list(figures(sides[0].sum(0)))

    def statistic(totals: Array) -> Array:
        found = [np.stack(list(figures(totals[..., i : i + width]).values()), -1) for i in _starts(sides, width)]
        return np.concatenate(_with_difference(found), axis=-1)

    estimates = bca(np.hstack(sides), statistic, draws)
    return zip(*_labels(names, len(sides)), estimates, strict=True)


def _starts(sides: Sequence[Array], width: int) -> range:
    return range(0, width * len(sides), width)


def _with_difference(found: list[Array]) -> list[Array]:
    return [*found, found[1] - found[0]] if len(found) == 2 else found


def _labels(names: list[str], sides: int) -> tuple[list[str], list[str]]:
    data = DATA if sides == 2 else DATA[:1]
    return [name for name in data for _ in names], names * len(data)


def ordered(
    pools: Sequence[tuple[Array, np.ndarray]], figures: Mapping[str, Callable[[Array], float]], draws: Draws
) -> Iterator[tuple[str, str, Estimate]]:
    """As `summed`, for figures of the log-weights [N] themselves, each with its problem [N]: percentile intervals."""
    problems = 1 + max(problem.max() for _, problem in pools)

    def every(counts: np.ndarray | None) -> Array:
        drawn = [log_w if counts is None else np.repeat(log_w, counts[problem]) for log_w, problem in pools]
        found = [np.array([figure(log_w) for figure in figures.values()]) for log_w in drawn]
        return np.concatenate(_with_difference(found))

    counts = draws.counts(problems, resamples=min(RESAMPLED, draws.resamples)).astype(np.int64)
    resampled = np.stack([every(row) for row in counts])
    low, high = np.quantile(resampled, draws.tails, axis=0)
    estimates = [Estimate(*map(float, row)) for row in zip(every(None), low, high, strict=True)]
    return zip(*_labels(list(figures), len(pools)), estimates, strict=True)


def paired_table(pairs: pd.DataFrame, draws: Draws) -> pd.DataFrame:
    """Per subset: the mean difference in mean log p per token with interval, a paired test and effect sizes."""
    rows = []
    for name, part in subsets(pairs):
        if name == "fallback":
            continue  # both sides are the same response
        expert, rewritten = (part[f"{data}_l"] / part[f"{data}_n"] for data in gap.SIDES)
        difference = (rewritten - expert).to_numpy()
        item = bca(np.stack([np.ones(len(part)), difference], -1), lambda t: t[..., 1:] / t[..., :1], draws)[0]
        higher = 100 * float(np.mean(difference > 0))
        rows.append({"problems": name, "count": len(part), "value": item.value, "low": item.low, "high": item.high,
                     "higher": higher, **paired(difference)})  # fmt: skip
    return pd.DataFrame(rows)
