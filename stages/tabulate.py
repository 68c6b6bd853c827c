"""Tabulate: accuracies and effects at every temperature, composition, soundness and ways, metrics.json.

    python -m stages.tabulate      # data/evaluations/*, data/merged.jsonl, data/scores.parquet, ... -> reports/

Accuracies are avg@n in per cent, means over order seeds, with intervals over problems and seeds. The tables are of the
first temperature of evaluate.temperatures; decoding.* has all of them.
"""

from pathlib import Path

import pandas as pd

from stages.lib.analysis import accuracy, composition, decoding, gap, ways
from stages.lib.analysis.arms import BASE
from stages.lib.analysis.bootstrap import Draws
from stages.lib.analysis.evaluations import AllAnswers, read_answers, reordered
from stages.lib.analysis.frames import records, rows_where, write_csv
from stages.lib.report import formatting, notes, tables
from stages.lib.run.params import Params, root
from stages.lib.run.stage import Stage, run


def main(stage: Stage) -> None:
    params, folder, data = stage.params, root() / "reports", stage.data
    draws = Draws(params.report.resamples, params.report.confidence, params.report.seed)
    answers = all_answers(params)
    main_answers = answers[params.evaluate.temperatures[0]]
    results = write_accuracies(answers, folder, params, draws)
    shares = write_composition(data, folder, params)
    write_ways(data, folder, params, draws)
    write_csv(folder / "evaluation.csv", accuracy.evaluation(main_answers, draws))
    reasons = composition.verdict_reasons(data, params.grid, params.resolve.guides, params.evaluate.temperatures)
    write_csv(folder / "verdicts.csv", reasons)
    formatting.write_json(folder / "metrics.json", accuracy.metrics(results, shares, ess(data, params)))
    average = {row["arm"]: row for row in records(rows_where(results, benchmark=accuracy.AVERAGE))}
    best = max(average, key=lambda arm: average[arm]["value"])
    print(
        f"tabulate: {len(average) - 1} arms x {len(params.grid.seed)} seeds; base {average[BASE]['value']:.1f} %, "
        f"highest {best} {formatting.interval(average[best], 1)} % -> {folder / 'table.md'}"
    )


def all_answers(params: Params) -> dict[float, AllAnswers]:
    """The answers at each temperature; the benchmarks in the order that the first gives them."""
    answers = {value: read_answers(params.grid, value) for value in params.evaluate.temperatures}
    order = accuracy.by_difficulty(answers[params.evaluate.temperatures[0]], params.report.in_distribution)
    return {value: reordered(item, order) for value, item in answers.items()}


def write_accuracies(answers: dict[float, AllAnswers], folder: Path, params: Params, draws: Draws) -> pd.DataFrame:
    """table.*, effects.*, base.md at the first temperature, decoding.* at all; returns the results of the first."""
    first, own = params.evaluate.temperatures[0], params.report.in_distribution
    accuracies, effects = decoding.accuracies(answers, draws), decoding.all_effects(answers, params.grid, draws)
    write_csv(folder / "decoding.csv", accuracies)
    write_csv(folder / "decoding_effects.csv", effects)
    both = [tables.decoding(accuracies), tables.decoding_effects(effects)]
    formatting.write(folder / "decoding.md", "\n".join([*map(formatting.markdown, both), notes.DECODING_NOTE]) + "\n")
    results, main_effects = (at(frame, first) for frame in (accuracies, effects))
    write_csv(folder / "table.csv", results)
    write_csv(folder / "effects.csv", main_effects)
    table = tables.results(results, own)
    note = notes.accuracy_note(params.evaluate, params.report, len(params.grid.seed))
    formatting.write(folder / "table.md", f"{formatting.markdown(table)}\n{note}\n")
    formatting.write(folder / "table.tex", formatting.latex(table, tables.best(results), note))
    both = [table for table in tables.effects(main_effects) if table.rows]
    note = notes.effects_note(params.evaluate, params.report)
    formatting.write(folder / "effects.md", "\n".join([*map(formatting.markdown, both), note]) + "\n")
    formatting.write(folder / "base.md", formatting.markdown(tables.against_base(main_effects, own)))
    return results


def at(frame: pd.DataFrame, temperature: float) -> pd.DataFrame:
    """The rows of one temperature, without that column."""
    return frame[frame["temperature"] == temperature].drop(columns="temperature").reset_index(drop=True)


def write_composition(data: Path, folder: Path, params: Params) -> pd.DataFrame:
    """composition.*: where the rewritten rows come from, what was solved on the way; returns the shares."""
    merged = composition.read_merged(data)
    shares = composition.composition(merged, pairs(data, params))
    solved = composition.solved_rates(data / "verdicts", params.sample, params.resolve)
    flaws = ways.by_source(data / "train" / "rewritten.jsonl") if params.verify.steps == "testbed" else None
    both = [formatting.markdown(tables.composition(shares, flaws)), formatting.markdown(tables.solved(solved))]
    write_csv(folder / "composition.csv", composition.tidy_composition(shares, solved, flaws))
    formatting.write(folder / "composition.md", "\n".join([*both, notes.COMPOSITION_NOTE]) + "\n")
    return shares


def pairs(data: Path, params: Params) -> pd.DataFrame:
    responses = gap.read_responses(data / "scores.parquet", (params.report.clip_low, params.report.clip_high))
    return gap.pair(responses, {row.id: row.source for row in composition.read_merged(data).values()})


def ess(data: Path, params: Params) -> dict[str, float]:
    """ESS/N per token at b = 1 of both sides."""
    found = pairs(data, params)
    return {name: float(gap.token_figures(gap.side(found, name).sum(0))["ESS/N"]) for name in gap.SIDES}


def write_ways(data: Path, folder: Path, params: Params, draws: Draws) -> None:
    """ways.*: in whose way each arm solves, and its right answers with flawed steps."""
    problems = ways.benchmark_texts(data / "benchmarks") if params.verify.steps == "testbed" else {}
    frame = ways.by_arm(params.grid, params.evaluate.temperatures[0], problems, draws)
    write_csv(folder / "ways.csv", frame)
    formatting.write(folder / "ways.md", f"{formatting.markdown(tables.ways(frame))}\n{notes.WAYS_NOTE}\n")


if __name__ == "__main__":
    run(main)
