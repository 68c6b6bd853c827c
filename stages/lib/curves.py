"""Tidy data behind the figures: distributions, pairs, length bins and training curves."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd

from stages.lib import gap, scores
from stages.lib.arms import arms
from stages.lib.params import Params, root
from stages.lib.records import RecordError
from stages.lib.statistics import Draws, bca

QUANTILES = np.linspace(0, 1, 201)
TOKENS = 2_000_000  # beyond these a distribution is drawn from an even part of the problems
TRAINING = {  # columns of data/training/*.csv that are drawn, and what their axes say
    "ess": "ESS/N, b = 1",
    "weight_var": "Var(w), b = 1",
    "logp_var": "Var(log p)",
    "kl": "KL to the initial policy (nats)",
    "nll": "−log p of the data (nats)",
    "entropy": "entropy (nats)",
}


def token_logps(path: Path, chosen: dict[str, str]) -> dict[str, np.ndarray]:
    """log p of every token, by group: expert, self, resolved, fallback (the expert's where rewriting failed)."""
    found: dict[str, list[np.ndarray]] = {}
    for group in scores.groups(path, ["id", "source", "logp"]):
        frame = group.to_pandas()
        frame["fallback"] = (frame["source"] == "expert") & (frame["id"].map(chosen) == "expert")
        for source, part in frame.groupby("source"):
            found.setdefault(str(source), []).append(part["logp"].to_numpy())
        found.setdefault("fallback", []).append(frame.loc[frame["fallback"], "logp"].to_numpy())
    joined = {name: np.concatenate(parts) for name, parts in found.items()}
    return {name: joined[name] for name in ("expert", "self", "resolved", "fallback") if len(joined.get(name, ()))}


def quantiles(tokens: dict[str, np.ndarray], pairs: pd.DataFrame) -> pd.DataFrame:
    """group, level (token | response), quantile, logp."""
    by_response = {"expert": pairs["expert_l"] / pairs["expert_n"]}
    own = pairs["rewritten_l"] / pairs["rewritten_n"]
    by_response |= {name: own[pairs["source"] == name] for name in ("self", "resolved")}
    by_response["fallback"] = own[pairs["source"] == "expert"]
    frames = []
    for level, groups in (("token", tokens), ("response", by_response)):
        for name, values in groups.items():
            if len(values):
                row = {"group": name, "level": level, "quantile": QUANTILES, "logp": np.quantile(values, QUANTILES)}
                frames.append(pd.DataFrame(row))
    return pd.concat(frames, ignore_index=True)


def problems(pairs: pd.DataFrame) -> pd.DataFrame:
    """A row a problem: mean log p per token and token count of both responses, and the difference."""
    frame = pd.DataFrame({"id": pairs["id"], "source": pairs["source"].replace("expert", "fallback")})
    for data in ("expert", "rewritten"):
        frame[data] = pairs[f"{data}_l"] / pairs[f"{data}_n"]
        frame[f"{data}_tokens"] = pairs[f"{data}_n"].astype(int)
    return frame.assign(difference=frame["rewritten"] - frame["expert"])


def mean_differences(frame: pd.DataFrame, draws: Draws) -> pd.DataFrame:
    """Mean difference in mean log p per token, by source: source, value, low, high."""
    rows = []
    for source, part in frame[frame["source"] != "fallback"].groupby("source", sort=False):
        sums = np.stack([np.ones(len(part)), part["difference"].to_numpy()], axis=-1)
        estimate = bca(sums, lambda total: total[..., 1:] / total[..., :1], draws)[0]
        rows.append([source, estimate.value, estimate.low, estimate.high])
    return pd.DataFrame(rows, columns=["source", "value", "low", "high"])


def by_source(table: pd.DataFrame) -> pd.DataFrame:
    """The gap table's rows per token, b = 1, that the figure by source shows."""
    part = table[(table["level"] == "token") & (table["behaviour"] == "b = 1") & (table["data"] != "difference")]
    named = part["problems"].replace("expert", "fallback")
    return part.assign(group=named)[["group", "data", "figure", "value", "low", "high"]]


def by_length(pairs: pd.DataFrame, bins: int, draws: Draws) -> pd.DataFrame:
    """ESS/N and Var(log p) by response length, bins of equally many responses of both kinds together."""
    lengths = np.concatenate([pairs["expert_n"], pairs["rewritten_n"]])
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, bins + 1)))
    rows = []
    for low, high in itertools.pairwise(edges):
        for data in ("expert", "rewritten"):
            n = pairs[f"{data}_n"]
            sums = gap.side(pairs[(n >= low) & ((n < high) | (high == edges[-1]))], data)
            if len(sums):
                last = high if high == edges[-1] else high - 1
                rows += [[f"{low:.0f}–{last:.0f}", len(sums), data, *row] for row in _figures(sums, draws)]
    return pd.DataFrame(rows, columns=["group", "responses", "data", "figure", "value", "low", "high"])


def _figures(sums: np.ndarray, draws: Draws) -> list[list]:
    names = list(gap.token_figures(sums[0]))
    estimates = bca(sums, lambda totals: np.stack(list(gap.token_figures(totals).values()), axis=-1), draws)
    return [[name, e.value, e.low, e.high] for name, e in zip(names, estimates, strict=True)]


def training(params: Params) -> pd.DataFrame:
    """Every cell's curve on the probe set of its own data: arm, data, loss, seed, step, tokens and the measures."""
    frames = []
    for arm in arms(params):
        for seed in params.grid.seed:
            path = root() / f"data/training/{arm.data}-{arm.loss}-{seed}.csv"
            try:
                frame = pd.read_csv(path)
            except (FileNotFoundError, pd.errors.EmptyDataError):
                raise RecordError(f"{path}: no training curve there; `dvc repro` makes it") from None
            own = "expert" if arm.data == "expert" else "rewritten"
            frame = frame[frame["probe"] == own].drop(columns="probe")
            frame.insert(0, "arm", arm.name)
            frames.append(frame)
    return pd.concat(frames, ignore_index=True)
