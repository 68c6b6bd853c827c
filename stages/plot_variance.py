"""Plot-variance: the policy gap before training and along it, as figures, tidy data, a table and one page.

    python -m stages.plot_variance      # data/scores.parquet, data/training/*, reports/*.csv, ... -> reports/

reports/figures/*.svg and *.png, reports/curves/*.csv (the data of each figure), reports/gap.md and gap.csv, and
reports/index.html, which needs nothing beside it.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from stages.lib.analysis import accuracy, composition, figure_data, gap, gap_table, gap_vs_gain
from stages.lib.analysis.arms import arms, shown
from stages.lib.analysis.bootstrap import Draws
from stages.lib.analysis.evaluations import read_answers
from stages.lib.analysis.frames import read_csv, write_csv
from stages.lib.records import Merged, read_problems
from stages.lib.report import figures, formatting, page, sentences, tables
from stages.lib.run.params import Params, root
from stages.lib.run.stage import Stage, run

FIGURES = ("ESS/N", "Var(log w)", "Var(w)")
Frames = dict[str, pd.DataFrame]


def main(stage: Stage) -> None:
    params, folder, data = stage.params, root() / "reports", stage.data
    merged = composition.read_merged(data)
    table, shares, frames = measure(params, data, merged)
    frames["accuracy"] = read_csv(folder / "table.csv")
    write_csv(folder / "gap.csv", table)
    formatting.write(folder / "gap.md", page.gap_markdown(table, frames["paired"], params.report))
    for name, frame in frames.items():
        write_csv(folder / "curves" / f"{name}.csv", frame)
    for name, figure in draw(frames, params).items():
        figures.save(figure, folder / "figures", name)
    sections = write_up(frames, params, folder) | gap_section(table, shares, frames, params)
    sections |= data_section(data, merged, shares, params)
    formatting.write(folder / "index.html", page.page(sections, folder / "figures", params))
    print(f"plot-variance: {sections['gap_findings'][0]} -> {folder / 'index.html'}")


def measure(params: Params, data: Path, merged: dict[str, Merged]) -> tuple[pd.DataFrame, pd.DataFrame, Frames]:
    """The gap table, the composition of the rewritten set, and the tidy data of every figure."""
    draws = Draws(params.report.resamples, params.report.confidence, params.report.seed)
    clip, scores = (params.report.clip_low, params.report.clip_high), data / "scores.parquet"
    responses = gap.read_responses(scores, clip)
    pairs = gap.pair(responses, {row.id: row.source for row in merged.values()})
    tokens = gap.read_tokens(scores, pairs)
    table = gap_table.gap_table(pairs, tokens, draws, clip)
    found, names = gap_vs_gain.tables(responses, read_answers(params.grid)), [arm.name for arm in arms(params.grid)]
    return (
        table,
        composition.composition(merged, pairs),
        {
            "logp": figure_data.quantiles(tokens, pairs),
            "problems": figure_data.problems(pairs),
            "paired": gap_table.paired_table(pairs, draws),
            "source": figure_data.by_source(table),
            "length": figure_data.by_length(pairs, params.report.bins, draws),
            "training": figure_data.training(params.grid),
            "solved": gap_vs_gain.by_solved(pairs, merged, params.sample, draws),
            "gain": gap_vs_gain.by_gap(found, names, params.report.bins, draws),
            "correlation": gap_vs_gain.correlations(found, names, draws),
        },
    )


def draw(frames: Frames, params: Params) -> dict[str, figures.Figure]:
    return {
        "accuracy": figures.accuracies(frames["accuracy"], accuracy.AVERAGE),
        "logp": figures.distributions(frames["logp"]),
        "paired": figures.differences(frames["problems"], frames["paired"]),
        "source": figures.by_group(frames["source"], FIGURES, "rewritten by"),
        "length": figures.by_group(frames["length"], FIGURES, "response length (tokens)"),
        "training": figures.training(some(frames["training"]), figure_data.TRAINING),
        "gain": figures.gains(frames["solved"], some(frames["gain"]), gap_vs_gain.scale(params.sample)),
    }


def some(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of as many arms as a figure has room for."""
    return frame[frame["arm"].isin(shown(list(frame["arm"].unique())))]


def write_up(frames: Frames, params: Params, folder: Path) -> dict[str, Any]:
    """What the page says of accuracies, from tabulate's numbers and the gain."""
    effects = read_csv(folder / "effects.csv")
    main_effects, pairs = tables.effects(effects)
    return {
        "results": tables.results(frames["accuracy"]),
        "effects": main_effects,
        "pairs": pairs,
        "measures": tables.measures(read_csv(folder / "evaluation.csv")),
        "accuracy_findings": sentences.accuracy(effects, frames["accuracy"]),
        "control_findings": list(sentences.controls(effects, params.grid)),
        "accuracy_note": tables.accuracy_note(params.evaluate, params.report, len(params.grid.seed)),
        "effects_note": tables.effects_note(params.evaluate, params.report),
        "training_findings": sentences.training(some(frames["training"])),
        "gain_findings": [
            sentences.solved(frames["solved"], gap_vs_gain.scale(params.sample)),
            sentences.gain(frames["correlation"]),
        ],
        "correlations": tables.correlations(frames["correlation"]),
    }


def gap_section(table: pd.DataFrame, shares: pd.DataFrame, frames: Frames, params: Params) -> dict[str, Any]:
    """What it says of the gap."""
    return {
        "gap_findings": sentences.gap(table, frames["paired"], shares),
        "gap_all": tables.gap_all(table),
        "gap_sources": tables.gap_sources(table),
        "gap_known": tables.gap_known(table),
        "gap_paired": tables.gap_paired(frames["paired"]),
        "gap_note": tables.gap_note(params.report),
    }


def data_section(data: Path, merged: dict[str, Merged], shares: pd.DataFrame, params: Params) -> dict[str, Any]:
    """What it shows of the rewritten data."""
    problems = {row.id: row for row in read_problems(data / "problems.jsonl")}
    return {
        "testbed": params.problems.source == "testbed",
        "token_finding": sentences.tokens(shares),
        "composition": tables.composition(shares),
        "solved": tables.solved(composition.solved_rates(data / "verdicts", params.sample, params.resolve)),
        "composition_note": tables.COMPOSITION_NOTE,
        "counts": page.counts(data / "counts"),
        "examples": page.examples(data, merged, problems, params.report.examples),
    }


if __name__ == "__main__":
    run(main)
