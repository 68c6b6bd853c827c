"""Tabulate: the results table, the effects of data and loss, the composition of the rewritten set, metrics.json.

    python -m stages.tabulate      # data/evaluations/*, data/verdicts/*, data/scores.parquet, ... -> reports/

Accuracies are avg@n in per cent, means over seeds, with intervals from a bootstrap over problems and seeds.
"""

from pathlib import Path

import pandas as pd

from stages.lib import gap, tables
from stages.lib.arms import BASE, read_answers
from stages.lib.cli import run
from stages.lib.params import Params, load, root
from stages.lib.statistics import Draws


def main() -> None:
    params, folder, data = load(), root() / "reports", root() / "data"
    draws = Draws(params.report.resamples, params.report.confidence, params.report.seed)
    answers = read_answers(params)
    responses = gap.read_responses(data / "scores.parquet", (params.report.clip_low, params.report.clip_high))
    results, effects = tables.results(answers, draws), tables.effects(answers, params, draws)
    shares, solved = tables.composition(data, responses)
    pairs = gap.pair(responses, tables.chosen_sources(data))
    ess = {name: float(gap.token_figures(gap.side(pairs, name).sum(0))["ESS/N"]) for name in ("expert", "rewritten")}

    write_results(results, folder, params)
    write_effects(effects, folder, params)
    write_composition(shares, solved, folder)
    tables.write_csv(tables.evaluation(answers, draws), folder / "evaluation.csv")
    tables.write_json(folder / "metrics.json", tables.metrics(results, shares, ess))
    average = results[results["benchmark"] == tables.AVERAGE].set_index("arm")
    best = average["value"].idxmax()
    print(
        f"tabulate: {len(answers) - 1} arms x {len(params.grid.seed)} seeds against the base at "
        f"{average['value'][BASE]:.1f} %; highest {best} at {tables.interval(*average.loc[best, tables.BOUNDS])} % "
        f"-> {folder / 'table.md'}"
    )


def write_results(results: pd.DataFrame, folder: Path, params: Params) -> None:
    """table.csv (tidy), table.md, table.tex."""
    wide = tables.results_wide(results)
    note = (
        f"avg@{params.evaluate.n} in % at temperature {params.evaluate.temperature:g}, mean over "
        f"{len(params.grid.seed)} training seeds; in brackets {100 * params.report.confidence:g} % intervals from a "
        f"bootstrap over problems and seeds ({params.report.resamples} resamples), for the base over problems."
    )
    tables.write_csv(results, folder / "table.csv")
    tables.write_text(folder / "table.md", tables.markdown_frame(wide) + f"\n{note}\n")
    tables.write_text(folder / "table.tex", tables.latex(results, note))


def write_effects(effects: pd.DataFrame, folder: Path, params: Params) -> None:
    """effects.csv (every benchmark), effects.md (the average)."""
    note = (
        f"Percentage points of avg@{params.evaluate.n}, average over benchmarks. {100 * params.report.confidence:g} % "
        "intervals and p over problems and seeds; p (Holm) adjusted for all rows; Wilcoxon's p, d_z and the "
        "rank-biserial correlation over problems at these seeds. Every benchmark is in effects.csv."
    )
    average = effects[effects["benchmark"] == tables.AVERAGE]
    tables.write_csv(effects, folder / "effects.csv")
    tables.write_text(folder / "effects.md", tables.effects_markdown(average) + f"\n{note}\n")


def write_composition(shares: pd.DataFrame, solved: pd.DataFrame, folder: Path) -> None:
    """composition.csv and .md: where the rewritten rows come from, and what was solved on the way."""
    tidy = [
        shares.melt("source", var_name="measure").rename(columns={"source": "of"}),
        solved.melt("of", var_name="measure"),
    ]
    note = "Shares in %. Tokens are means per response, the end token included; the expert's on the same problems."
    text = (
        tables.markdown_frame(shares.set_index("source"), 1) + "\n" + tables.markdown_frame(solved.set_index("of"), 1)
    )
    tables.write_csv(pd.concat(tidy), folder / "composition.csv")
    tables.write_text(folder / "composition.md", f"{text}\n{note}\n")


if __name__ == "__main__":
    run(main)
