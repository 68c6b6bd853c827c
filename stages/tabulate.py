"""Tabulate: the results table, the effects of data and loss, the composition of the rewritten set, metrics.json.

    python -m stages.tabulate      # data/evaluations/*, data/merged.jsonl, data/scores.parquet, ... -> reports/

Accuracies are avg@n in per cent, means over seeds, with intervals from a bootstrap over problems and seeds.
"""

from pathlib import Path

import pandas as pd

from stages.lib.analysis import accuracy, composition, gap
from stages.lib.analysis.arms import BASE
from stages.lib.analysis.bootstrap import Draws
from stages.lib.analysis.effects import effects
from stages.lib.analysis.evaluations import read_answers
from stages.lib.analysis.frames import records, rows_where, write_csv
from stages.lib.report import formatting, tables
from stages.lib.run.params import Params, root
from stages.lib.run.stage import Stage, run


def main(stage: Stage) -> None:
    params, folder, data = stage.params, root() / "reports", stage.data
    draws = Draws(params.report.resamples, params.report.confidence, params.report.seed)
    answers, merged = read_answers(params.grid), composition.read_merged(data)
    responses = gap.read_responses(data / "scores.parquet", (params.report.clip_low, params.report.clip_high))
    pairs = gap.pair(responses, {row.id: row.source for row in merged.values()})
    ess = {name: float(gap.token_figures(gap.side(pairs, name).sum(0))["ESS/N"]) for name in gap.SIDES}

    results, shares = accuracy.results(answers, draws), composition.composition(merged, pairs)
    write_results(results, folder, params)
    write_effects(effects(answers, params.grid, draws), folder, params)
    write_composition(shares, composition.solved_rates(data / "verdicts", params.sample, params.resolve), folder)
    write_csv(folder / "evaluation.csv", accuracy.evaluation(answers, draws))
    write_csv(folder / "verdicts.csv", composition.verdict_reasons(data, params.grid, params.resolve.guides))
    formatting.write_json(folder / "metrics.json", accuracy.metrics(results, shares, ess))
    average = {row["arm"]: row for row in records(rows_where(results, benchmark=accuracy.AVERAGE))}
    best = max(average, key=lambda arm: average[arm]["value"])
    print(
        f"tabulate: {len(answers) - 1} arms x {len(params.grid.seed)} seeds; base {average[BASE]['value']:.1f} %, "
        f"highest {best} {formatting.interval(average[best], 1)} % -> {folder / 'table.md'}"
    )


def write_results(results: pd.DataFrame, folder: Path, params: Params) -> None:
    """table.csv (tidy), table.md, table.tex."""
    table, note = tables.results(results), tables.accuracy_note(params.evaluate, params.report, len(params.grid.seed))
    write_csv(folder / "table.csv", results)
    formatting.write(folder / "table.md", f"{formatting.markdown(table)}\n{note}\n")
    formatting.write(folder / "table.tex", formatting.latex(table, tables.best(results), note))


def write_effects(frame: pd.DataFrame, folder: Path, params: Params) -> None:
    """effects.csv (every benchmark), effects.md (the average)."""
    write_csv(folder / "effects.csv", frame)
    both = [formatting.markdown(table) for table in tables.effects(frame) if table.rows]
    formatting.write(
        folder / "effects.md", "\n".join([*both, tables.effects_note(params.evaluate, params.report)]) + "\n"
    )


def write_composition(shares: pd.DataFrame, solved: pd.DataFrame, folder: Path) -> None:
    """composition.csv (tidy) and composition.md: where the rewritten rows come from, what was solved on the way."""
    both = [formatting.markdown(tables.composition(shares)), formatting.markdown(tables.solved(solved))]
    write_csv(folder / "composition.csv", composition.tidy_composition(shares, solved))
    formatting.write(folder / "composition.md", "\n".join([*both, tables.COMPOSITION_NOTE]) + "\n")


if __name__ == "__main__":
    run(main)
