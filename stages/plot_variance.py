"""Plot-variance: the policy gap before training and along it, as figures, tidy data, a table and one page.

    python -m stages.plot_variance      # data/scores.parquet, data/training/*, reports/*.csv, ... -> reports/

reports/figures/*.svg and *.png, reports/curves/*.csv (the data of each figure), reports/gap.md and gap.csv, and
reports/index.html, which needs nothing beside it.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from stages.lib import comparison, curves, figures, findings, gain, gap, report, tables, text, views
from stages.lib.arms import arms, read_answers, shown
from stages.lib.cli import run
from stages.lib.params import Params, load, root
from stages.lib.records import Merged, read_problems
from stages.lib.statistics import Draws

FIGURES = ("ESS/N", "Var(log w)", "Var(w)")
Frames = dict[str, pd.DataFrame]


def main() -> None:
    params, folder, data = load(), root() / "reports", root() / "data"
    merged = tables.read_merged(data)
    table, shares, frames = measure(params, data, merged)
    frames["accuracy"] = text.read_csv(folder / "table.csv")
    text.write_csv(folder / "gap.csv", table)
    text.write(folder / "gap.md", report.gap_markdown(table, frames["paired"], params))
    for name, frame in frames.items():
        text.write_csv(folder / "curves" / f"{name}.csv", frame)
    for name, figure in draw(frames, params).items():
        figures.save(figure, folder / "figures", name)
    sections = write_up(frames, params, folder) | gap_section(table, shares, frames, params)
    sections |= data_section(data, merged, shares, params)
    text.write(folder / "index.html", report.page(sections, folder / "figures", params))
    print(f"plot-variance: {sections['gap_findings'][0]} -> {folder / 'index.html'}")


def measure(params: Params, data: Path, merged: dict[str, Merged]) -> tuple[pd.DataFrame, pd.DataFrame, Frames]:
    """The gap table, the composition of the rewritten set, and the tidy data of every figure."""
    draws = Draws(params.report.resamples, params.report.confidence, params.report.seed)
    clip, scores = (params.report.clip_low, params.report.clip_high), data / "scores.parquet"
    responses = gap.read_responses(scores, clip)
    pairs = gap.pair(responses, {row.id: row.source for row in merged.values()})
    tokens = gap.read_tokens(scores, pairs)
    table = comparison.gap_table(pairs, tokens, draws, clip)
    found, names = gain.tables(responses, read_answers(params)), [arm.name for arm in arms(params)]
    return (
        table,
        tables.composition(merged, pairs),
        {
            "logp": curves.quantiles(tokens, pairs),
            "problems": curves.problems(pairs),
            "paired": comparison.paired_table(pairs, draws),
            "source": curves.by_source(table),
            "length": curves.by_length(pairs, params.report.bins, draws),
            "training": curves.training(params),
            "solved": gain.by_solved(pairs, merged, params.sample, draws),
            "gain": gain.by_gap(found, names, params.report.bins, draws),
            "correlation": gain.correlations(found, names, draws),
        },
    )


def draw(frames: Frames, params: Params) -> dict[str, figures.Figure]:
    return {
        "accuracy": figures.accuracies(frames["accuracy"], tables.AVERAGE),
        "logp": figures.distributions(frames["logp"]),
        "paired": figures.differences(frames["problems"], frames["paired"]),
        "source": figures.by_group(frames["source"], FIGURES, "rewritten by"),
        "length": figures.by_group(frames["length"], FIGURES, "response length (tokens)"),
        "training": figures.training(some(frames["training"]), curves.TRAINING),
        "gain": figures.gains(frames["solved"], some(frames["gain"]), gain.scale(params.sample)),
    }


def some(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of as many arms as a figure has room for."""
    return frame[frame["arm"].isin(shown(list(frame["arm"].unique())))]


def write_up(frames: Frames, params: Params, folder: Path) -> dict[str, Any]:
    """What the page says of accuracies, from tabulate's numbers and the gain."""
    effects = text.read_csv(folder / "effects.csv")
    main_effects, pairs = views.effects(effects)
    return {
        "results": views.results(frames["accuracy"]),
        "effects": main_effects,
        "pairs": pairs,
        "measures": views.measures(text.read_csv(folder / "evaluation.csv")),
        "accuracy_findings": findings.accuracy(effects, frames["accuracy"]),
        "control_findings": list(findings.controls(effects, params)),
        "accuracy_note": views.accuracy_note(params, len(params.grid.seed)),
        "effects_note": views.effects_note(params),
        "training_findings": findings.training(some(frames["training"])),
        "gain_findings": [
            findings.solved(frames["solved"], gain.scale(params.sample)),
            findings.gain(frames["correlation"]),
        ],
        "correlations": views.correlations(frames["correlation"]),
    }


def gap_section(table: pd.DataFrame, shares: pd.DataFrame, frames: Frames, params: Params) -> dict[str, Any]:
    """What it says of the gap."""
    return {
        "gap_findings": findings.gap(table, frames["paired"], shares),
        "gap_all": views.gap_all(table),
        "gap_sources": views.gap_sources(table),
        "gap_known": views.gap_known(table),
        "gap_paired": views.gap_paired(frames["paired"]),
        "gap_note": views.gap_note(params),
    }


def data_section(data: Path, merged: dict[str, Merged], shares: pd.DataFrame, params: Params) -> dict[str, Any]:
    """What it shows of the rewritten data."""
    problems = {row.id: row for row in read_problems(data / "problems.jsonl")}
    return {
        "testbed": params.problems.source == "testbed",
        "token_finding": findings.tokens(shares),
        "composition": views.composition(shares),
        "solved": views.solved(tables.solved_rates(data / "verdicts", params)),
        "composition_note": views.COMPOSITION_NOTE,
        "counts": report.counts(data / "counts"),
        "examples": report.examples(data, merged, problems, params.report.examples),
    }


if __name__ == "__main__":
    run(main)
