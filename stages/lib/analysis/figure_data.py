"""Tidy data behind the figures, a function a file of reports/curves/."""

import itertools

import numpy as np
import pandas as pd

from stages.lib.analysis import gap
from stages.lib.analysis.arms import arms
from stages.lib.analysis.bootstrap import Draws
from stages.lib.analysis.frames import read_csv, rows_where
from stages.lib.analysis.gap import Tokens
from stages.lib.analysis.gap_table import B_ONE, SUBSETS, gap_rows, summed
from stages.lib.records import Cell
from stages.lib.run.params import Grid, root

QUANTILES = np.linspace(0, 1, 201)
FEWEST = 5  # responses that make a distribution worth drawing
TRAINING = {  # columns of data/training/*.csv that are drawn, and what their axes say
    "nll": "−log p of the data (nats)",
    "logp_var": "Var(log p) (nats²)",
    "entropy": "entropy (nats)",
    "kl": "KL to the base (nats)",
}


def quantiles(tokens: dict[str, Tokens], pairs: pd.DataFrame) -> pd.DataFrame:
    """group (expert: all of them, then the rewritten by source), level (token | response), quantile, logp."""
    frames = []
    for name, source in SUBSETS.items():
        part = pairs if source is None else pairs[pairs["source"] == source]
        if len(part) < FEWEST:
            continue
        data = "expert" if source is None else "rewritten"
        by_token = gap.within(tokens[data], part.index.to_numpy()).logp
        label = "expert" if source is None else name
        for level, values in (("token", by_token), ("response", part[f"{data}_l"] / part[f"{data}_n"])):
            curve = np.quantile(values, QUANTILES)
            frames.append(pd.DataFrame({"group": label, "level": level, "quantile": QUANTILES, "logp": curve}))
    columns = ["group", "level", "quantile", "logp"]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


def problems(pairs: pd.DataFrame) -> pd.DataFrame:
    """A row a problem: mean log p per token and token count of both responses, and the difference."""
    frame = pd.DataFrame({"id": pairs["id"], "source": pairs["source"].replace("expert", "fallback")})
    for data in gap.SIDES:
        frame[data] = pairs[f"{data}_l"] / pairs[f"{data}_n"]
        frame[f"{data}_tokens"] = pairs[f"{data}_n"].astype(int)
    return frame.assign(difference=frame["rewritten"] - frame["expert"])


def by_source(table: pd.DataFrame) -> pd.DataFrame:
    """group, side, figure, value, low, high: the rows per token at b = 1, and −log p, mean log w negated."""
    part = gap_rows(table, level="token", behaviour=B_ONE, side=gap.SIDES)
    nll = rows_where(part, figure="mean log w")
    nll = nll.assign(figure="−log p", value=-nll["value"], low=-nll["high"], high=-nll["low"])
    part = pd.concat([part, nll])
    return part.assign(group=part["problems"])[["group", "side", "figure", "value", "low", "high"]]


def by_length(pairs: pd.DataFrame, bins: int, draws: Draws) -> pd.DataFrame:
    """The figures per token by response length, in bins of equally many responses of both sides together."""
    edges = np.unique(np.quantile(np.r_[pairs["expert_n"], pairs["rewritten_n"]], np.linspace(0, 1, bins + 1)))
    rows = []
    for low, high in itertools.pairwise(edges):
        last = high if high == edges[-1] else high - 1
        for side in gap.SIDES:
            sums = gap.side(pairs[pairs[f"{side}_n"].between(low, last)], side)
            found = summed([sums], gap.token_figures, draws) if len(sums) else ()
            for _, figure, item in found:
                rows.append([f"{low:.0f}–{last:.0f}", len(sums), side, figure, item.value, item.low, item.high])
    return pd.DataFrame(rows, columns=["group", "responses", "side", "figure", "value", "low", "high"])


def training(grid: Grid) -> pd.DataFrame:
    """Every cell's curve on the probe set of its own data: arm, data, loss, seed, step, tokens and the measures."""
    frames = []
    for arm in arms(grid):
        for seed in grid.seed:
            frame = read_csv(root() / f"data/training/{Cell(arm.data, arm.loss, seed).name}.csv")
            frame.insert(0, "arm", arm.name)
            frames.append(frame.drop(columns="probe"))
    return pd.concat(frames, ignore_index=True)
