"""The policy gap before training: how the initial policy sees the expert's and the rewritten responses.

    responses = read_responses(path, clip)      # DataFrame, a row a response: id, source and the sums below
    pairs = pair(responses, chosen)             # the expert's and the rewritten response of each problem, aligned
    gap_table(pairs, draws)                     # tidy: subset, data, level, behaviour, figure, value, low, high

Everything but k-hat, MAD and the top share is a function of sums per response, so the scores file is read once, a row
group at a time, and the bootstrap over problems resamples sums.

Two conventions, told apart by the column `behaviour`: "b = 1" takes the unknown density of the author as 1 (DFT's
reading: w = p), for every response alike; "known" divides by the recorded density of the policy's own responses.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from stages.lib import scores
from stages.lib.statistics import Draws, Estimate, bca

SUMS = ["n", "l", "l2", "w", "w2", "c", "c2", "h", "k", "r", "r2", "d", "d2", "k3"]
# n tokens; l = log p; w = p; c = clip(p); h entropy; k tokens of known density b; r = p / b, d = log r; k3 = r - 1 - d


def read_responses(path: Path, clip: tuple[float, float]) -> pd.DataFrame:
    """Sums over the tokens of each response, one row a response in the order of the file."""
    columns = ["id", "source", "logp", "logp_behaviour", "entropy"]
    parts = [_sums(group.to_pandas(), clip) for group in scores.groups(path, columns)]
    return pd.concat(parts).groupby(["id", "source"], sort=False, as_index=False).sum()


def _sums(tokens: pd.DataFrame, clip: tuple[float, float]) -> pd.DataFrame:
    logp = tokens["logp"].to_numpy(np.float64)
    log_r = logp - tokens["logp_behaviour"].to_numpy(np.float64)
    known = ~np.isnan(log_r)
    w, r, d = np.exp(logp), np.where(known, np.exp(log_r), 0.0), np.where(known, log_r, 0.0)
    clipped = np.clip(w, *clip)
    values = [np.ones_like(w), logp, logp**2, w, w**2, clipped, clipped**2, tokens["entropy"].to_numpy(np.float64)]
    values += [known.astype(float), r, r**2, d, d**2, np.where(known, r - 1 - d, 0.0)]
    frame = pd.DataFrame(dict(zip(SUMS, values, strict=True)))
    return frame.groupby([tokens["id"], tokens["source"]], sort=False).sum().reset_index()


def pair(responses: pd.DataFrame, chosen: dict[str, str]) -> pd.DataFrame:
    """One row a problem: `source` of its rewritten row, and the sums of both responses as expert_* and rewritten_*.

    chosen: problem id -> source of the row that rewriting put there. Problems without both scores are left out.
    """
    frame = pd.DataFrame({"id": chosen.keys(), "source": chosen.values()})
    expert = responses[responses["source"] == "expert"].drop(columns="source").add_prefix("expert_")
    frame = frame.merge(expert, left_on="id", right_on="expert_id").drop(columns="expert_id")
    renamed = responses.rename(columns={name: f"rewritten_{name}" for name in SUMS})
    return frame.merge(renamed, on=["id", "source"])


def side(pairs: pd.DataFrame, data: str) -> np.ndarray:
    """The sums [P, K] of one side, columns as SUMS."""
    return pairs[[f"{data}_{name}" for name in SUMS]].to_numpy(np.float64)


def token_figures(totals: np.ndarray) -> dict[str, np.ndarray]:
    """Figures per token from totals [..., K] over tokens; formulas as in `weights`."""
    t = dict(zip(SUMS, np.moveaxis(totals, -1, 0), strict=True))
    return {
        "ESS/N": t["w"] ** 2 / (t["n"] * t["w2"]),
        "CV²": t["n"] * t["w2"] / t["w"] ** 2 - 1,
        "Var(w)": t["w2"] / t["n"] - (t["w"] / t["n"]) ** 2,
        "Var(log p)": t["l2"] / t["n"] - (t["l"] / t["n"]) ** 2,
        "mean log p": t["l"] / t["n"],
        "entropy": t["h"] / t["n"],
        "ESS/N clipped": t["c"] ** 2 / (t["n"] * t["c2"]),
        "tokens": t["n"],
    }


def known_figures(totals: np.ndarray) -> dict[str, np.ndarray]:
    """Figures per token of r = p / b where b is known, from totals [..., K]; all-unknown totals give nan."""
    t = dict(zip(SUMS, np.moveaxis(totals, -1, 0), strict=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "ESS/N": t["r"] ** 2 / (t["k"] * t["r2"]),
            "CV²": t["k"] * t["r2"] / t["r"] ** 2 - 1,
            "Var(w)": t["r2"] / t["k"] - (t["r"] / t["k"]) ** 2,
            "Var(log w)": t["d2"] / t["k"] - (t["d"] / t["k"]) ** 2,
            "χ²": t["r2"] / t["k"] - 1,
            "KL k1": -t["d"] / t["k"],
            "KL k3": t["k3"] / t["k"],
        }


def sequence_figures(totals: np.ndarray) -> dict[str, np.ndarray]:
    """Figures of M weights w from totals [..., 5] of 1, w, w², l, l²."""
    n, w, w2, l1, l2 = np.moveaxis(totals, -1, 0)
    return {
        "ESS/N": w**2 / (n * w2),
        "CV²": n * w2 / w**2 - 1,
        "Var(log p)": l2 / n - (l1 / n) ** 2,
        "mean log p": l1 / n,
    }


def sequence_sums(log_w: np.ndarray) -> np.ndarray:
    """Per response 1, w, w², l, l², [P, 5]; w rescaled by the largest, which none of the figures depends on."""
    w = np.exp(log_w - log_w.max())
    return np.stack([np.ones_like(w), w, w**2, log_w, log_w**2], axis=-1)


Figures = Callable[[np.ndarray], dict[str, np.ndarray]]


def compare(
    expert: np.ndarray, rewritten: np.ndarray, figures: Figures, draws: Draws
) -> Iterator[tuple[str, str, Estimate]]:
    """(data, figure, estimate) of both sides [P, K] and of their difference, from one paired bootstrap."""
    width = expert.shape[1]
    names: list[str] = []

    def statistic(totals: np.ndarray) -> np.ndarray:
        a, b = figures(totals[..., :width]), figures(totals[..., width:])
        names[:] = a
        return np.stack([*a.values(), *b.values(), *(b[name] - a[name] for name in a)], axis=-1)

    estimates = bca(np.hstack([expert, rewritten]), statistic, draws)
    for i, data in enumerate(("expert", "rewritten", "difference")):
        for j, name in enumerate(names):
            yield data, name, estimates[i * len(names) + j]


def gap_table(pairs: pd.DataFrame, draws: Draws) -> pd.DataFrame:
    """Every figure of every subset of problems (all, and by the source of the rewritten row), tidy."""
    rows = []
    for subset in subsets(pairs):
        part = pairs if subset == "all" else pairs[pairs["source"] == subset]
        for level, behaviour, data, figure, estimate in _figures(part, draws):
            rows.append(
                [subset, len(part), level, behaviour, data, figure, estimate.value, estimate.low, estimate.high]
            )
    columns = ["problems", "count", "level", "behaviour", "data", "figure", "value", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def subsets(pairs: pd.DataFrame) -> list[str]:
    return ["all", *(name for name in ("self", "resolved", "expert") if (pairs["source"] == name).any())]


def _figures(part: pd.DataFrame, draws: Draws) -> Iterator[tuple[str, str, str, str, Estimate]]:
    expert, rewritten = side(part, "expert"), side(part, "rewritten")
    for item in compare(expert, rewritten, token_figures, draws):
        yield "token", "b = 1", *item
    logp = [data[:, SUMS.index("l")] for data in (expert, rewritten)]
    mean_logp = [data[:, SUMS.index("l")] / data[:, SUMS.index("n")] for data in (expert, rewritten)]
    for level, (a, b) in (("response", logp), ("response / length", mean_logp)):
        for item in compare(sequence_sums(a), sequence_sums(b), sequence_figures, draws):
            yield level, "b = 1", *item
    if rewritten[:, SUMS.index("k")].any():
        names = list(known_figures(rewritten[0]))
        for name, estimate in zip(names, bca(rewritten, _stacked(known_figures), draws), strict=True):
            yield "token", "known", "rewritten", name, estimate


def _stacked(figures: Figures) -> Callable[[np.ndarray], np.ndarray]:
    return lambda totals: np.stack(list(figures(totals).values()), axis=-1)
