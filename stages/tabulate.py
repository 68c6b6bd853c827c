"""Tabulate: the results table, the effects of data and loss, the composition of the rewritten set, metrics.json.

    python -m stages.tabulate      # data/evaluations/*, data/merged.jsonl, data/scores.parquet, ... -> reports/

Accuracies are avg@n in per cent, means over seeds, with intervals from a bootstrap over problems and seeds.
"""

from pathlib import Path

import pandas as pd

from stages.lib import gap, tables, text, views
from stages.lib.arms import BASE, read_answers
from stages.lib.cli import run
from stages.lib.params import Params, load, root
from stages.lib.statistics import Draws


def main() -> None:
    params, folder, data = load(), root() / "reports", root() / "data"
    draws = Draws(params.report.resamples, params.report.confidence, params.report.seed)
    answers, merged = read_answers(params), tables.read_merged(data)
    responses = gap.read_responses(data / "scores.parquet", (params.report.clip_low, params.report.clip_high))
    pairs = gap.pair(responses, {row.id: row.source for row in merged.values()})
    ess = {name: float(gap.token_figures(gap.side(pairs, name).sum(0))["ESS/N"]) for name in gap.SIDES}

    results, shares = tables.results(answers, draws), tables.composition(merged, pairs)
    write_results(results, folder, params)
    write_effects(tables.effects(answers, params, draws), folder, params)
    write_composition(shares, tables.solved_rates(data / "verdicts", params), folder)
    text.write_csv(folder / "evaluation.csv", tables.evaluation(answers, draws))
    text.write_csv(folder / "verdicts.csv", tables.verdict_reasons(data, params))
    text.write_json(folder / "metrics.json", tables.metrics(results, shares, ess))
    average = results[results["benchmark"] == tables.AVERAGE].set_index("arm")
    best = average["value"].idxmax()
    print(
        f"tabulate: {len(answers) - 1} arms x {len(params.grid.seed)} seeds; base {average['value'][BASE]:.1f} %, "
        f"highest {best} {text.show(*average.loc[best, views.BOUNDS], digits=1)} % -> {folder / 'table.md'}"
    )


def write_results(results: pd.DataFrame, folder: Path, params: Params) -> None:
    """table.csv (tidy), table.md, table.tex."""
    table, note = views.results(results), views.accuracy_note(params, len(params.grid.seed))
    text.write_csv(folder / "table.csv", results)
    text.write(folder / "table.md", f"{text.markdown(table)}\n{note}\n")
    text.write(folder / "table.tex", text.latex(table, views.best(results), note))


def write_effects(effects: pd.DataFrame, folder: Path, params: Params) -> None:
    """effects.csv (every benchmark), effects.md (the average)."""
    text.write_csv(folder / "effects.csv", effects)
    both = [text.markdown(table) for table in views.effects(effects) if table.rows]
    text.write(folder / "effects.md", "\n".join([*both, views.effects_note(params)]) + "\n")


def write_composition(shares: pd.DataFrame, solved: pd.DataFrame, folder: Path) -> None:
    """composition.csv (tidy) and composition.md: where the rewritten rows come from, what was solved on the way."""
    both = [text.markdown(views.composition(shares)), text.markdown(views.solved(solved))]
    text.write_csv(folder / "composition.csv", tables.tidy_composition(shares, solved))
    text.write(folder / "composition.md", "\n".join([*both, views.COMPOSITION_NOTE]) + "\n")


if __name__ == "__main__":
    run(main)
