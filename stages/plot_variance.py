"""Plot-variance: the policy gap before training and along it, the figures with their data, and one page.

    python -m stages.plot_variance      # data/scores.parquet, data/training/*, reports/*.csv, ... -> reports/

reports/figures/*.svg and *.png, reports/curves/*.csv (the data of each figure), reports/gap.md and gap.csv,
reports/index.html, which needs nothing beside it, and reports/problems.html, a browser of problems and responses.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from stages.lib.analysis import figure_data, gap, gap_table, gap_vs_gain, ways
from stages.lib.analysis.arms import BASE, Arm, arms, shown
from stages.lib.analysis.bootstrap import Draws
from stages.lib.analysis.composition import composition, read_merged
from stages.lib.analysis.evaluations import read_answers
from stages.lib.analysis.frames import read_csv, write_csv
from stages.lib.policy import load_tokenizer
from stages.lib.records import Merged, evaluation_name
from stages.lib.report import browser, figures, formatting, page, sections
from stages.lib.report.control_sentences import LADDER
from stages.lib.run.params import Grid, Params, root
from stages.lib.run.stage import Stage, run

FIGURES = (figures.NLL, "ESS/N", "Var(log w)")
READ = ("decoding", "decoding_effects", "effects", "ways")  # what tabulate wrote, by its name
Frames = dict[str, pd.DataFrame]


def main(stage: Stage) -> None:
    params, folder, data = stage.params, root() / "reports", stage.data
    merged = read_merged(data)
    table, curves = measure_gap(data, merged, params)
    curves |= measure_gain(data, merged, params)
    curves["accuracy"] = read_csv(folder / "table.csv")
    write_csv(folder / "gap.csv", table)
    formatting.write(folder / "gap.md", page.gap_markdown(table, curves["paired"], params.report))
    for name in sorted(curves.keys() - {"pairs"}):
        write_csv(folder / "curves" / f"{name}.csv", curves[name])
    frames = curves | {name: read_csv(folder / f"{name}.csv") for name in READ}
    frames["shares"] = composition(merged, frames.pop("pairs"))
    frames["flaws"] = ways.by_source(data / "train" / "rewritten.jsonl")
    frames["training"] = some(frames["training"])
    draw(frames, folder / "figures", params)
    write_page(table, frames, folder, merged, params)
    write_browser(data, folder, params)
    print(f"plot-variance: the page {folder / 'index.html'}")


def measure_gap(data: Path, merged: Mapping[str, Merged], params: Params) -> tuple[pd.DataFrame, Frames]:
    """The gap table; the tidy data of the gap's figures, and the pairs of responses."""
    draws = Draws(params.report.resamples, params.report.confidence, params.report.seed)
    clip, scores = (params.report.clip_low, params.report.clip_high), data / "scores.parquet"
    pairs = gap.pair(gap.read_responses(scores, clip), {row.id: row.source for row in merged.values()})
    tokens = gap.read_tokens(scores, pairs)
    table = gap_table.gap_table(pairs, tokens, draws, clip)
    return table, {
        "pairs": pairs,
        "logp": figure_data.quantiles(tokens, pairs),
        "problems": figure_data.problems(pairs),
        "paired": gap_table.paired_table(pairs, draws),
        "source": figure_data.by_source(table),
        "length": figure_data.by_length(pairs, params.report.bins, draws),
        "solved": gap_vs_gain.by_solved(pairs, dict(merged), params.sample, draws),
    }


def measure_gain(data: Path, merged: Mapping[str, Merged], params: Params) -> Frames:
    """The tidy data of the training curves, and of gain against gap."""
    draws = Draws(params.report.resamples, params.report.confidence, params.report.seed)
    clip = (params.report.clip_low, params.report.clip_high)
    responses = gap.read_responses(data / "scores.parquet", clip)
    answers = read_answers(params.grid, params.evaluate.temperatures[0])
    found, names = gap_vs_gain.tables(responses, answers), [arm.name for arm in arms(params.grid)]
    return {
        "training": figure_data.training(params.grid),
        "gain": gap_vs_gain.by_gap(found, names, params.report.bins, draws),
        "correlation": gap_vs_gain.correlations(found, names, draws),
    }


def draw(frames: Frames, folder: Path, params: Params) -> None:
    """Every figure, as SVG and PNG."""
    average, own = sections.average(frames["decoding"]), params.report.in_distribution
    drawn = {
        "accuracy": figures.accuracies(frames["accuracy"], "average", own),
        "decoding": figures.by_temperature(some(average)),
        "logp": figures.distributions(frames["logp"]),
        "paired": figures.differences(frames["problems"], frames["paired"]),
        "source": figures.by_group(frames["source"], FIGURES, "source of the rewritten response"),
        "length": figures.by_group(frames["length"], FIGURES, "response length (tokens)"),
        "training": figures.training(frames["training"], figure_data.TRAINING),
        "gain": figures.gains(frames["solved"], some(frames["gain"]), gap_vs_gain.scale(params.sample)),
    }
    if len(frames["ways"]):
        drawn["ways"] = figures.ways(some(frames["ways"]))
    if params.evaluate.n >= page.MANY:
        drawn["pass_at_k"] = figures.pass_at_k(some(sections.average(read_csv(folder.parent / "evaluation.csv"))))
    if len(rungs := [name for name in LADDER if name in params.grid.data]) > 2:
        drawn["ladder"] = figures.ladder(sections.average(frames["accuracy"]), rungs, ladder(params.grid, rungs), BASE)
    for name, figure in drawn.items():
        figures.save(figure, folder, name)


def ladder(grid: Grid, rungs: list[str]) -> dict[str, list[str]]:
    return {loss: [Arm(data, loss).name for data in rungs] for loss in grid.loss}


def some(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of as many arms as a figure has room for."""
    return frame[frame["arm"].isin(shown(list(frame["arm"].unique())))]


def write_page(table: pd.DataFrame, frames: Frames, folder: Path, merged: dict[str, Merged], params: Params) -> None:
    """reports/index.html."""
    data = root() / "data"
    sizes = {path.stem: len(path.read_bytes().splitlines()) for path in (data / "train").glob("*.jsonl")}
    parts = sections.opening(frames, params) | sections.accuracies(frames, folder, sizes, params)
    parts |= sections.rewritten_data(data, merged, frames, params) | sections.gap(table, frames, params)
    parts |= sections.along_training(frames, params)
    formatting.write(folder / "index.html", page.page(parts, folder / "figures", params))


def write_browser(data: Path, folder: Path, params: Params) -> None:
    """reports/problems.html: the policies are the base and each arm's first seed."""
    names = {BASE: BASE} | {arm.name: f"{arm.data}-{arm.loss}-{params.grid.seed[0]}" for arm in arms(params.grid)}
    first = params.evaluate.temperatures[0]
    files = {arm: data / "evaluations" / f"{evaluation_name(name, first)}.jsonl" for arm, name in names.items()}
    entries: list[browser.Entry] = []
    if most := params.report.browse:
        pieces = browser.pieces_of(load_tokenizer(params.policy))
        entries += browser.training_entries(data, params.resolve.guides[0], pieces, most)
        entries += browser.benchmark_entries(data, files, most)
    formatting.write(folder / "problems.html", browser.page(entries))


if __name__ == "__main__":
    run(main)
