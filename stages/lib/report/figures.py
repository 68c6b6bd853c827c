"""The figures: one function each, from tidy data to a matplotlib figure, and `save` as SVG and PNG.

Colours are Okabe and Ito's, told apart under every common kind of colour blindness; dashes and markers differ too.
The same data give the same bytes: no dates, no versions, a fixed salt for the SVG's ids.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stages.lib.analysis.arms import BASE
from stages.lib.analysis.frames import parts, records, rows_where
from stages.lib.report.tables import marked

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
Style = dict[str, Any]
GREY = "#777777"
DATA = {"expert": RED, "rewritten": BLUE, "self": GREEN, "resolved": ORANGE, "fallback": PURPLE}
ARMS = {"base": GREY, "SFT": RED, "DFT": ORANGE, "DR+SFT": SKY, "DR+DFT": BLUE}
SPARE = [GREEN, PURPLE, BLACK, YELLOW]
DASHES = ["-", "--", "-.", ":"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "*"]

NLL = "−log p"
LABELS = {"ESS/N": "ESS/N of token probabilities", "Var(log w)": "Var(log p) (nats²)", NLL: "−log p (nats per token)"}
GROUPS = {"all": "all problems", "resolved": "re-solved", "fallback": "kept"}  # kept: the expert's on both sides

STYLE: dict[str, Any] = {
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
    figure.set_layout_engine("none")  # laid out by now; the second time costs as much as the first
    figure.savefig(folder / f"{name}.png", metadata={"Software": None})
    plt.close(figure)


def panels(rows: int, columns: int, width: float = 3.4, height: float = 2.7) -> tuple[Figure, np.ndarray]:
    matplotlib.rcdefaults()  # a user's own matplotlibrc changes no figure
    plt.rcParams.update(STYLE)  # type: ignore[arg-type]  # the stubs list every key
    return plt.subplots(rows, columns, figsize=(width * columns, height * rows), squeeze=False)


def colour(name: str, known: dict[str, str], names: Sequence[str]) -> str:
    """The name's own colour, or a spare one by its place among those without."""
    others = [item for item in names if item not in known]
    return known.get(name) or SPARE[others.index(name) % len(SPARE)]


def distributions(quantiles: pd.DataFrame) -> Figure:
    """Left: the share of tokens less probable than exp(-x), both axes logarithmic. Right: mean log p of responses.

    quantiles: group, level (token | response), quantile, logp.
    """
    figure, axes = panels(1, 2)
    left, right = axes[0]
    groups = list(quantiles["group"].unique())
    for (level, name), curve in quantiles.groupby(["level", "group"], sort=False):
        i = groups.index(name)
        style: Style = {
            "color": colour(str(name), DATA, groups),
            "linestyle": DASHES[i % 4],
            "linewidth": 1.5,
            "label": name,
        }
        if level == "token":
            left.plot(np.maximum(-curve["logp"], 1e-6), curve["quantile"], **style)
        else:
            right.plot(curve["logp"], curve["quantile"], **style)
    left.set(xscale="log", yscale="log", xlim=(1e-3, None), ylim=(4e-3, 1.1))
    left.set(xlabel="x: −log p of a token (nats)", ylabel="share of tokens above x")
    own = quantiles[(quantiles["level"] == "response") & (quantiles["quantile"] >= 0.01)]
    right.set(xlabel="mean log p of a response (nats per token)", ylabel="share of responses at or below", ylim=(0, 1))
    right.set_xlim(own["logp"].min(), 0.0)
    left.legend(fontsize=8)
    return figure


def differences(pairs: pd.DataFrame, means: pd.DataFrame) -> Figure:
    """Each problem's rewritten response against the expert's, and the distribution of their difference.

    pairs: source, expert, rewritten (mean log p per token), difference; means: problems (a source), value, low, high.
    """
    figure, axes = panels(1, 2)
    shown = pairs[pairs["source"] != "fallback"]
    by_source = {
        source: shown[shown["source"] == source] for source in ("self", "resolved") if source in set(shown["source"])
    }
    _scatter(axes[0, 0], by_source)
    _histogram(axes[0, 1], by_source, means.set_index("problems"))
    return figure


def _scatter(ax: Axes, by_source: dict[str, pd.DataFrame]) -> None:
    both = pd.concat([part[["expert", "rewritten"]] for part in by_source.values()]) if by_source else None
    lowest = -1.0 if both is None else float(both.to_numpy().min())
    ax.plot([lowest, 0], [lowest, 0], color=GREY, linewidth=0.8)
    for i, (source, part) in enumerate(by_source.items()):
        style: Style = {"color": DATA[source], "marker": MARKERS[i], "alpha": 0.6, "linewidths": 0}
        ax.scatter(part["expert"], part["rewritten"], s=10, label=source, **style)
    ax.set(xlabel="expert: mean log p (nats per token)", ylabel="rewritten: mean log p")
    ax.legend(title="rewritten by", fontsize=8, markerscale=1.5)


def _histogram(ax: Axes, by_source: dict[str, pd.DataFrame], means: pd.DataFrame) -> None:
    """Stacked counts of the differences; above them the mean of each source with its interval."""
    values = np.concatenate([[0.0], *(part["difference"] for part in by_source.values())])
    edges = np.linspace(values.min(), values.max() + 1e-9, 31)
    bottom = np.zeros(len(edges) - 1)
    for i, (source, part) in enumerate(by_source.items()):
        counts = np.histogram(part["difference"], edges)[0]
        style: Style = {"color": DATA[source], "edgecolor": "white", "linewidth": 0.3, "hatch": ["", "////"][i % 2]}
        ax.bar(edges[:-1], counts, np.diff(edges), bottom, align="edge", label=source, **style)
        bottom += counts
    for i, source in enumerate(by_source):
        value, low, high = (float(means[name][source]) for name in ("value", "low", "high"))
        marks: Style = {"color": DATA[source], "marker": MARKERS[i], "markeredgecolor": BLACK, "markersize": 5}
        ax.errorbar(value, bottom.max() * (1.08 + 0.08 * i), xerr=[[value - low], [high - value]], capsize=2.5, **marks)
    ax.axvline(0, color=GREY, linewidth=0.8)
    ax.set(xlabel="mean log p, rewritten − expert (nats)", ylabel="problems (marks: mean, interval)")


def by_group(frame: pd.DataFrame, figures: Sequence[str], label: str) -> Figure:
    """Expert's and rewritten responses side by side per group of problems, a panel a figure, with intervals.

    frame: group, side, figure, value, low, high. −log p is drawn as bars from 0; an axis that does not begin at 0 says
    so.
    """
    figure, axes = panels(1, len(figures))
    for ax, name in zip(axes[0], figures, strict=True):
        part = rows_where(frame, figure=name)
        groups = list(part["group"].unique())
        for i, side in enumerate(("expert", "rewritten")):
            rows = rows_where(part, side=side).set_index("group").reindex(groups)
            at = np.arange(len(groups)) + 0.18 * (2 * i - 1)
            if name == NLL:
                error = np.abs([rows["value"] - rows["low"], rows["high"] - rows["value"]])
                style: Style = {"color": DATA[side], "hatch": ["", "////"][i], "edgecolor": "white", "capsize": 2}
                ax.bar(at, rows["value"], 0.34, yerr=error, label=side, **style)
            else:
                _dots(ax, at, rows, DATA[side], MARKERS[i], side)
        ax.set_xticks(range(len(groups)), [GROUPS.get(str(group), str(group)) for group in groups])
        ax.set(xlabel=label, ylabel=LABELS.get(name, name))
        ax.grid(axis="x", visible=False)
        ax.margins(y=0.15)
        if part["value"].min() < 0.5 * part["value"].max():
            ax.set_ylim(bottom=0)
        elif name != NLL:
            ax.set_title("axis does not begin at 0", fontsize=7, color=GREY, loc="left")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), fontsize=8, ncols=2, loc="outside upper right")
    return figure


def training(curves: pd.DataFrame, measures: dict[str, str]) -> Figure:
    """Along training: the mean over seeds and the range from the lowest to the highest seed, a panel a measure.

    curves: arm, seed, step and a column a measure; measures: column -> title.
    """
    figure, axes = panels(1, len(measures), 2.6, 2.5)
    names = list(curves["arm"].unique())
    for ax, (measure, label) in zip(axes.flat, measures.items(), strict=False):
        for i, (arm, part) in enumerate(parts(curves, "arm")):
            steps = part.groupby("step")[measure].agg(["mean", "min", "max"])
            style: Style = {"color": colour(arm, ARMS, names)}
            ax.plot(steps.index, steps["mean"], linestyle=DASHES[i % 4], linewidth=1.4, label=arm, **style)
            ax.fill_between(steps.index, steps["min"], steps["max"], alpha=0.2, linewidth=0, **style)
        ax.set(xlabel="optimizer step")
        ax.set_title(label, fontsize=9, loc="left")
        ax.set_ylim(bottom=0)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), fontsize=8, ncols=len(names), loc="outside upper right")
    return figure


def gains(solved: pd.DataFrame, gain: pd.DataFrame, scale: str) -> Figure:
    """Left: training problems by how readily the policy solves them. Right: held-out problems by their gap.

    solved: group (on `scale`), side, value, low, high; gain: arm, gap, value, low, high (empty: no benchmark has
    demonstrations).
    """
    figure, axes = panels(1, 2)
    left, right = axes[0]
    groups = list(solved["group"].unique())[::-1]  # from the easiest
    for i, (side, part) in enumerate(parts(solved, "side")):
        rows = part.set_index("group").reindex(groups)
        _dots(left, np.arange(len(groups)) + 0.1 * (2 * i - 1), rows, DATA[side], MARKERS[i], side)
    left.set_xticks(range(len(groups)), groups)
    left.set(xlabel=scale, ylabel="−log p (nats per token)", ylim=(0, None))
    left.legend(fontsize=8)
    names = list(gain["arm"].unique())
    for i, (arm, part) in enumerate(parts(gain, "arm")):
        shift = 0.01 * (i - (len(names) - 1) / 2) * np.ptp(gain["gap"])
        _dots(right, part["gap"] + shift, part, colour(arm, ARMS, names), MARKERS[i % 8], arm, line=DASHES[i % 4])
    right.axhline(0, color=GREY, linewidth=0.8)
    right.set(xlabel="gap: −log p of expert (nats per token)", ylabel="accuracy − base (points)")
    if names:
        right.locator_params(axis="x", nbins=5)
        figure.legend(*right.get_legend_handles_labels(), fontsize=8, loc="outside right center")
    right.set_visible(bool(names))
    return figure


def _dots(
    ax: Axes, at: np.ndarray, rows: pd.DataFrame, colour: str, marker: str, label: str, line: str = "none"
) -> None:
    """Values with their intervals."""
    errors = np.abs([rows["value"] - rows["low"], rows["high"] - rows["value"]])
    ax.errorbar(at, rows["value"], yerr=errors, color=colour, marker=marker, markersize=4.5, linestyle=line,
                linewidth=1.2, capsize=2, label=label)  # fmt: skip


def accuracies(results: pd.DataFrame, average: str, in_distribution: Sequence[str]) -> Figure:
    """avg@n with intervals: per benchmark and arm; of more than seven arms the average alone, an arm a line.

    The base is a line through each benchmark; the average stands apart.
    """
    if results["arm"].nunique() > 7:
        return _forest(rows_where(results, benchmark=average))
    benchmarks, names = list(results["benchmark"].unique()), list(results["arm"].unique())
    figure, axes = panels(1, 1, max(5.0, 1.25 * len(benchmarks)), 3.0)
    ax = axes[0, 0]
    places = np.arange(len(benchmarks)) + 0.4 * (np.array(benchmarks) == average)
    for i, arm in enumerate(names):
        rows = rows_where(results, arm=arm).set_index("benchmark").reindex(benchmarks)
        if arm == BASE:
            ax.hlines(rows["value"], places - 0.42, places + 0.42, colors=GREY, linewidth=0.8, linestyles="--")
        at = places + 0.7 * ((i + 0.5) / len(names) - 0.5)
        _dots(ax, at, rows, colour(arm, ARMS, names), MARKERS[i % 8], arm)
    ax.axvline(places[-1] - 0.7, color=GREY, linewidth=0.5)
    ax.set_xticks(places, [marked(name, in_distribution).replace(" (", "\n(") for name in benchmarks])
    ax.set(ylabel="accuracy (%)", ylim=(0, None))
    ax.grid(axis="x", visible=False)
    figure.legend(*ax.get_legend_handles_labels(), fontsize=8, loc="outside right center")
    return figure


def _forest(rows: pd.DataFrame) -> Figure:
    figure, axes = panels(1, 1, 6.0, 0.8 + 0.22 * len(rows))
    ax = axes[0, 0]
    for i, row in enumerate(records(rows)):
        error = [[row["value"] - row["low"]], [row["high"] - row["value"]]]
        style: Style = {"color": ARMS.get(row["arm"], BLACK), "marker": MARKERS[i % 2], "markersize": 4.5, "capsize": 2}
        ax.errorbar(row["value"], i, xerr=error, **style)
    ax.set_yticks(range(len(rows)), rows["arm"])
    ax.invert_yaxis()
    ax.set(xlabel="accuracy, average over benchmarks (%)")
    return figure


def by_temperature(accuracies: pd.DataFrame) -> Figure:
    """The average over benchmarks against the temperature, an arm a line. accuracies: temperature, arm, value, ..."""
    figure, axes = panels(1, 1, 4.6, 3.0)
    ax, names = axes[0, 0], list(accuracies["arm"].unique())
    temperatures = sorted(accuracies["temperature"].unique())
    for i, (arm, part) in enumerate(parts(accuracies, "arm")):
        rows = part.sort_values("temperature")
        at = rows["temperature"] + 0.008 * (i - (len(names) - 1) / 2)
        _dots(ax, at.to_numpy(), rows, colour(arm, ARMS, names), MARKERS[i % 8], arm, line=DASHES[i % 4])
    ax.set_xticks(temperatures, ["greedy" if value == 0 else f"{value:g}" for value in temperatures])
    ax.set(xlabel="sampling temperature", ylabel="accuracy, average (%)", ylim=(0, None))
    figure.legend(*ax.get_legend_handles_labels(), fontsize=8, loc="outside right center")
    return figure


def ways(frame: pd.DataFrame) -> Figure:
    """Stacked bars: in whose way each arm's responses solve. frame: arm, measure, value, low, high."""
    figure, axes = panels(1, 1, 5.0, 0.9 + 0.3 * frame["arm"].nunique())
    ax, names = axes[0, 0], list(frame["arm"].unique())
    left = np.zeros(len(names))
    for measure, paint, hatch in (("own way", BLUE, ""), ("expert's way", RED, "////")):
        values = rows_where(frame, measure=measure).set_index("arm").reindex(names)["value"].to_numpy()
        ax.barh(range(len(names)), values, left=left, color=paint, hatch=hatch, edgecolor="white", label=measure)
        left += values
    ax.barh(range(len(names)), 100 - left, left=left, color="#cccccc", edgecolor="white", label="neither")
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set(xlabel="responses (%)", xlim=(0, 100))
    ax.grid(axis="y", visible=False)
    figure.legend(*ax.get_legend_handles_labels(), fontsize=8, ncols=3, loc="outside upper center")
    return figure


def ladder(results: pd.DataFrame, rungs: Sequence[str], losses: Mapping[str, list[str]], base: str) -> Figure:
    """Accuracy (average) of each data set of the ladder, the losses beside each other; the base is a line.

    results: arm, value, low, high; losses: loss -> the arms' names, one a rung.
    """
    figure, axes = panels(1, 1, 6.2, 3.0)
    ax = axes[0, 0]
    for i, (loss, arms) in enumerate(losses.items()):
        rows = results.set_index("arm").reindex(arms)
        at = np.arange(len(rungs)) + 0.12 * (2 * i - len(losses) + 1)
        _dots(ax, at, rows, [RED, BLUE, GREEN, ORANGE][i % 4], MARKERS[i % 8], loss, line=DASHES[i % 4])
    ax.axhline(float(rows_where(results, arm=base)["value"].iloc[0]), color=GREY, linestyle="--", linewidth=0.8)
    ax.set_xticks(range(len(rungs)), rungs)
    ax.set(ylabel="accuracy, average (%)", ylim=(0, None))
    figure.legend(*ax.get_legend_handles_labels(), fontsize=8, loc="outside right center")
    return figure


def pass_at_k(evaluation: pd.DataFrame) -> Figure:
    """pass@k and maj@k, averages over benchmarks, against k. evaluation: arm, measure, value, low, high."""
    figure, axes = panels(1, 2)
    names = list(evaluation["arm"].unique())
    for ax, kind in zip(axes[0], ("pass", "maj"), strict=True):
        for i, (arm, part) in enumerate(parts(evaluation, "arm")):
            own = part[part["measure"].str.match(rf"({kind}|avg)@\d+$")]
            k = own["measure"].str.extract(r"@(\d+)$")[0].astype(int).where(~own["measure"].str.startswith("avg"), 1)
            rows = own.assign(k=k).sort_values("k")
            _dots(ax, rows["k"].to_numpy(), rows, colour(arm, ARMS, names), MARKERS[i % 8], arm, line=DASHES[i % 4])
        ax.set_xscale("log", base=2)
        ax.set(xlabel="k", ylabel=f"{kind}@k, average (%)")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), fontsize=8, loc="outside right center")
    return figure
