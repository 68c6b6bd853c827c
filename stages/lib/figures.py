"""The figures: one function each, from tidy data to a matplotlib figure, and `save` as SVG and PNG.

Colours are Okabe and Ito's, told apart under every common kind of colour blindness; dashes and markers differ too.
The same data give the same bytes: no dates, no versions, a fixed salt for the SVG's ids.
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
GREY = "#777777"
DATA = {"expert": RED, "rewritten": BLUE, "self": GREEN, "resolved": ORANGE, "fallback": PURPLE}
ARMS = {"base": GREY, "SFT": RED, "DFT": ORANGE, "DR+SFT": SKY, "DR+DFT": BLUE}
SPARE = [GREEN, PURPLE, BLACK, YELLOW]
DASHES = ["-", "--", "-.", ":"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]

STYLE = {
    "svg.hashsalt": "guided re-solving",
    "svg.fonttype": "path",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 160,
}


def save(figure: Figure, folder: Path, name: str) -> None:
    """folder/name.svg and folder/name.png, without dates or versions inside."""
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})
    figure.savefig(folder / f"{name}.png", metadata={"Software": None})
    plt.close(figure)


def panels(rows: int, columns: int, width: float = 3.4, height: float = 2.7) -> tuple[Figure, np.ndarray]:
    plt.rcParams.update(STYLE)
    return plt.subplots(rows, columns, figsize=(width * columns, height * rows), squeeze=False)


def colour(name: str, known: dict[str, str], names: Sequence[str]) -> str:
    """The name's own colour, or a spare one by its place among those without."""
    others = [item for item in names if item not in known]
    return known.get(name) or SPARE[others.index(name) % len(SPARE)]


def distributions(quantiles: pd.DataFrame) -> Figure:
    """Cumulative distributions of log p: per token, and per response the mean over its tokens.

    quantiles: group, level (token | response), quantile, logp.
    """
    figure, axes = panels(1, 2)
    titles = {"token": "log p of a token (nats)", "response": "mean log p of a response (nats per token)"}
    for ax, (level, label) in zip(axes[0], titles.items(), strict=True):
        part = quantiles[quantiles["level"] == level]
        names = list(part["group"].unique())
        for i, (name, curve) in enumerate(part.groupby("group", sort=False)):
            style = {"color": colour(name.split(":")[0], DATA, names), "linestyle": DASHES[i % 4]}
            ax.plot(curve["logp"], curve["quantile"], label=name, linewidth=1.5, **style)
        ax.set(xlabel=label, ylabel="share at or below", ylim=(0, 1))
        ax.set_xlim(left=part.loc[part["quantile"] >= 0.01, "logp"].min(), right=0.0)
    axes[0, 0].legend(fontsize=8)
    return figure


def differences(pairs: pd.DataFrame, means: pd.DataFrame) -> Figure:
    """Each problem's rewritten response against the expert's, and the distribution of their difference.

    pairs: source, expert, rewritten (mean log p per token), difference; means: source, value, low, high.
    """
    figure, axes = panels(1, 2)
    left, right = axes[0]
    lowest = min(pairs["expert"].min(), pairs["rewritten"].min())
    left.plot([lowest, 0], [lowest, 0], color=GREY, linewidth=0.8)
    shown = pairs[pairs["source"] != "fallback"]
    edges = np.linspace(min(0.0, shown["difference"].min()), max(0.0, shown["difference"].max()), 31)
    bottom = np.zeros(len(edges) - 1)
    for i, (source, part) in enumerate(shown.groupby("source", sort=False)):
        left.scatter(
            part["expert"], part["rewritten"], s=8, color=DATA[source], marker=MARKERS[i], alpha=0.6, label=source
        )
        counts = np.histogram(part["difference"], edges)[0]
        right.bar(edges[:-1], counts, np.diff(edges), bottom, align="edge", color=DATA[source], edgecolor="white",
                  linewidth=0.3, hatch=["", "////"][i % 2], label=source)  # fmt: skip
        bottom += counts
    for i, row in enumerate(means.to_dict("records")):
        at = bottom.max() * (1.08 + 0.08 * i)
        right.errorbar(row["value"], at, xerr=[[row["value"] - row["low"]], [row["high"] - row["value"]]],
                       color=DATA[row["source"]], marker=MARKERS[i], markersize=4, capsize=2)  # fmt: skip
    right.axvline(0, color=GREY, linewidth=0.8)
    left.set(xlabel="expert: mean log p (nats per token)", ylabel="rewritten: mean log p")
    right.set(xlabel="difference in mean log p, rewritten − expert", ylabel="problems")
    left.legend(title="rewritten by", fontsize=8, markerscale=1.5)
    return figure


def by_group(frame: pd.DataFrame, figures: Sequence[str], label: str) -> Figure:
    """Expert's and rewritten responses side by side per group of problems, a panel a figure, with intervals.

    frame: group, data, figure, value, low, high.
    """
    figure, axes = panels(1, len(figures))
    for ax, name in zip(axes[0], figures, strict=True):
        part = frame[frame["figure"] == name]
        groups = list(part["group"].unique())
        for i, data in enumerate(("expert", "rewritten")):
            rows = part[part["data"] == data].set_index("group").reindex(groups)
            at = np.arange(len(groups)) + 0.16 * (2 * i - 1)
            errors = [rows["value"] - rows["low"], rows["high"] - rows["value"]]
            ax.errorbar(at, rows["value"], yerr=np.abs(errors), color=DATA[data], marker=MARKERS[i], markersize=5,
                        linestyle="none", capsize=2.5, label=data)  # fmt: skip
        ax.set_xticks(range(len(groups)), groups)
        ax.set(xlabel=label, ylabel=name)
        ax.grid(axis="x", visible=False)
        ax.set_ylim(bottom=0)
    axes[0, 0].legend(fontsize=8)
    return figure


def training(curves: pd.DataFrame, measures: dict[str, str]) -> Figure:
    """Along training: the mean over seeds and the range from the lowest to the highest seed, a panel a measure.

    curves: arm, seed, step and a column a measure; measures: column -> axis label.
    """
    columns = 3
    figure, axes = panels(-(-len(measures) // columns), columns, 3.0, 2.3)
    names = list(curves["arm"].unique())
    for ax, (measure, label) in zip(axes.flat, measures.items(), strict=False):
        for i, (arm, part) in enumerate(curves.groupby("arm", sort=False)):
            steps = part.groupby("step")[measure].agg(["mean", "min", "max"])
            style = {"color": colour(arm, ARMS, names)}
            ax.plot(steps.index, steps["mean"], linestyle=DASHES[i % 4], linewidth=1.4, label=arm, **style)
            ax.fill_between(steps.index, steps["min"], steps["max"], alpha=0.2, linewidth=0, **style)
        ax.set(xlabel="optimizer step", ylabel=label)
    for ax in list(axes.flat)[len(measures) :]:
        ax.set_visible(False)
    axes[0, 0].legend(fontsize=8)
    return figure


def accuracies(results: pd.DataFrame) -> Figure:
    """avg@n per benchmark and arm with intervals; the base as a line across."""
    benchmarks, names = list(results["benchmark"].unique()), list(results["arm"].unique())
    figure, axes = panels(1, 1, max(5.0, 1.25 * len(benchmarks)), 3.0)
    ax = axes[0, 0]
    for i, arm in enumerate(names):
        rows = results[results["arm"] == arm].set_index("benchmark").reindex(benchmarks)
        at = np.arange(len(benchmarks)) + 0.7 * ((i + 0.5) / len(names) - 0.5)
        errors = np.abs([rows["value"] - rows["low"], rows["high"] - rows["value"]])
        style = {"color": colour(arm, ARMS, names), "marker": MARKERS[i % 8], "markersize": 4.5}
        ax.errorbar(at, rows["value"], yerr=errors, linestyle="none", capsize=2, label=arm, **style)
    ax.set_xticks(range(len(benchmarks)), benchmarks)
    ax.set(ylabel="accuracy (%)", ylim=(0, None))
    ax.grid(axis="x", visible=False)
    figure.legend(*ax.get_legend_handles_labels(), fontsize=8, loc="outside right center")
    return figure
