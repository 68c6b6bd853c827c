"""The policy gap before training, read from data/scores.parquet: sums per response, token arrays, pairs of responses.

    responses = read_responses(path, (0.5, 2.0))   # DataFrame, a row a response: id, source and the sums below
    pairs = pair(responses, chosen)                # the expert's and the rewritten response of each problem, aligned
    tokens = read_tokens(path, pairs)              # {"expert": Tokens, "rewritten": Tokens}

Nearly every figure is a function of sums per response, so the file is read a row group at a time and a bootstrap over
problems resamples sums. What is not (medians, tails, distributions) uses the tokens of at most so many problems that
they fit into memory.

Two conventions, told apart by the column `behaviour` of every table: "b = 1" takes the unknown density of the author as
1 (DFT's reading, w = p), for every response alike; "known" divides by the density the policy wrote its own response
with, r = p / b. The latter is exact up to what the scores leave out: selection by the verifier, and truncation.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stages.lib.records import RecordError
from stages.lib.scoring import token_scores

Array = NDArray[np.float64]
SUMS = ["n", "l", "l2", "w", "w2", "c", "c2", "h", "k", "d", "d2", "r", "r2", "rc", "rc2"]
# n tokens; l = log p; w = p; c = w clipped; h entropy; k tokens of known b; r = p / b, d = log r, rc = r clipped
TOKENS = 200_000  # held at once; beyond it medians, tails and distributions come from an even part of the problems
SIDES = ("expert", "rewritten")


class Tokens(NamedTuple):
    """Tokens of one side, problem by problem, [N] each: row of `pairs`, log p, log r (nan where b is unknown)."""

    problem: NDArray[np.int64]
    logp: Array
    log_r: Array


def read_responses(path: Path, clip: tuple[float, float]) -> pd.DataFrame:
    """Sums over the tokens of each response, one row a response in the order of the file."""
    columns = ["id", "source", "logp", "logp_behaviour", "entropy"]
    parts = [_sums(group.to_pandas(), clip) for group in token_scores.groups(path, columns)]
    if not parts:
        raise RecordError(f"{path}: no scores; run `python -m stages.score` again")
    return pd.concat(parts).groupby(["id", "source"], sort=False, as_index=False).sum()


def _sums(tokens: pd.DataFrame, clip: tuple[float, float]) -> pd.DataFrame:
    logp = tokens["logp"].to_numpy(np.float64)
    log_r = logp - tokens["logp_behaviour"].to_numpy(np.float64)
    known = ~np.isnan(log_r)
    w, r, d = np.exp(logp), np.where(known, np.exp(log_r), 0.0), np.where(known, log_r, 0.0)
    c, rc = np.clip(w, *clip), np.where(known, np.clip(r, *clip), 0.0)
    entropy = tokens["entropy"].to_numpy(np.float64)
    columns = [np.ones_like(w), logp, logp**2, w, w**2, c, c**2, entropy, known, d, d**2, r, r**2, rc, rc**2]
    frame = pd.DataFrame(dict(zip(SUMS, map(np.float64, columns), strict=True)))
    return frame.groupby([tokens["id"], tokens["source"]], sort=False).sum().reset_index()


def pair(responses: pd.DataFrame, chosen: Mapping[str, str]) -> pd.DataFrame:
    """One row a problem: `source` of its rewritten row, and the sums of both responses as expert_* and rewritten_*.

    chosen: problem id -> source of the row that rewriting put there. Problems without both scores are left out.
    """
    frame = pd.DataFrame({"id": chosen.keys(), "source": chosen.values()})
    expert = responses[responses["source"] == "expert"].drop(columns="source").add_prefix("expert_")
    frame = frame.merge(expert, left_on="id", right_on="expert_id").drop(columns="expert_id")
    renamed = responses.rename(columns={name: f"rewritten_{name}" for name in SUMS})
    frame = frame.merge(renamed, on=["id", "source"])
    if frame.empty:
        raise RecordError("data/scores.parquet and data/merged.jsonl have no problem in common; run `dvc repro`")
    return frame


def side(pairs: pd.DataFrame, data: str) -> Array:
    """The sums [P, K] of one side, columns as SUMS."""
    return pairs[[f"{data}_{name}" for name in SUMS]].to_numpy(np.float64)


def read_tokens(path: Path, pairs: pd.DataFrame) -> dict[str, Tokens]:
    """The tokens of both sides; of every m-th problem where all would be more than TOKENS."""
    total = pairs["expert_n"].sum() + pairs["rewritten_n"].sum()
    kept = pairs.iloc[:: int(-(-total // TOKENS))]
    rows = dict(zip(kept["id"], kept.index, strict=True))
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in SIDES}
    for group in token_scores.groups(path, ["id", "source", "logp", "logp_behaviour"]):
        frame = group.to_pandas()
        frame["problem"] = frame["id"].map(rows)
        frame = frame.dropna(subset="problem")
        own = frame["source"].to_numpy() == pairs["source"].reindex(frame["problem"]).to_numpy()
        parts["expert"].append(frame[frame["source"] == "expert"])
        parts["rewritten"].append(frame[own])
    return {name: _tokens(pd.concat(found)) for name, found in parts.items()}


def _tokens(frame: pd.DataFrame) -> Tokens:
    frame = frame.sort_values("problem", kind="stable")
    logp, behaviour = (frame[name].to_numpy(np.float64) for name in ("logp", "logp_behaviour"))
    return Tokens(frame["problem"].to_numpy(np.int64), logp, logp - behaviour)


def within(tokens: Tokens, rows: NDArray[np.int64]) -> Tokens:
    """The tokens of these problems, the problems renumbered 0, 1, ... in the order of `rows` (ascending)."""
    places = np.searchsorted(rows, tokens.problem)
    keep = (places < len(rows)) & (rows[np.minimum(places, len(rows) - 1)] == tokens.problem)
    return Tokens(places[keep], tokens.logp[keep], tokens.log_r[keep])


def token_figures(totals: Array) -> dict[str, Array]:
    """Figures per token of w = p from totals [..., K]; the formulas are those of `weights`, written with sums."""
    t = _named(totals)
    return {
        "ESS/N": t["w"] ** 2 / (t["n"] * t["w2"]),
        "ESS/N, clipped": t["c"] ** 2 / (t["n"] * t["c2"]),
        "CV²": t["n"] * t["w2"] / t["w"] ** 2 - 1,
        "Var(w)": t["w2"] / t["n"] - (t["w"] / t["n"]) ** 2,
        "Var(log w)": t["l2"] / t["n"] - (t["l"] / t["n"]) ** 2,
        "mean log w": t["l"] / t["n"],
        "entropy": t["h"] / t["n"],
    }


def known_figures(totals: Array) -> dict[str, Array]:
    """Figures per token of r = p / b over the tokens of known b, from totals [..., K].

    No KL and no chi^2: their estimators (k1, k3, r^2 - 1) are of a sample of b, where the mean of r is 1. Verified
    responses are a selection from b, so the mean of r is another, and is given instead.
    """
    t = _named(totals)
    return {
        "ESS/N": t["r"] ** 2 / (t["k"] * t["r2"]),
        "ESS/N, clipped": t["rc"] ** 2 / (t["k"] * t["rc2"]),
        "CV²": t["k"] * t["r2"] / t["r"] ** 2 - 1,
        "Var(w)": t["r2"] / t["k"] - (t["r"] / t["k"]) ** 2,
        "Var(log w)": t["d2"] / t["k"] - (t["d"] / t["k"]) ** 2,
        "mean log w": t["d"] / t["k"],
        "mean w": t["r"] / t["k"],
    }


def _named(totals: Array) -> dict[str, Array]:
    return dict(zip(SUMS, np.moveaxis(totals, -1, 0), strict=True))


def response_sums(log_w: Array, clip: tuple[float, float]) -> Array:
    """Per response 1, l, l², w, w², c, c², [P, 7], l = log w and c = w clipped.

    w is rescaled by the largest one, which no figure made of it depends on; c is not.
    """
    w = np.exp(log_w - log_w.max())
    c = np.exp(np.clip(log_w, np.log(max(clip[0], 1e-300)), np.log(clip[1])))
    return np.stack([np.ones_like(w), log_w, log_w**2, w, w**2, c, c**2], axis=-1)


def response_figures(totals: Array) -> dict[str, Array]:
    """Figures over responses from totals [..., 7] of `response_sums`."""
    n, l1, l2, w, w2, c, c2 = np.moveaxis(totals, -1, 0)
    return {
        "ESS/N": w**2 / (n * w2),
        "ESS/N, clipped": c**2 / (n * c2),
        "CV²": n * w2 / w**2 - 1,
        "Var(log w)": l2 / n - (l1 / n) ** 2,
        "mean log w": l1 / n,
    }
