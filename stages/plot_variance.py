"""Plot-variance: the policy gap before training and along it, as figures, tidy data, a table and one page.

    python -m stages.plot_variance      # data/scores.parquet, data/training/*, reports/*.csv -> reports/

reports/figures/*.svg and *.png, reports/curves/*.csv (the data of each figure), reports/gap.md and gap.csv, and
reports/index.html, which needs nothing beside it.
"""

import pandas as pd

from stages.lib import curves, figures, gap, report, tables
from stages.lib.cli import run
from stages.lib.params import load, root
from stages.lib.statistics import Draws


def main() -> None:
    params, folder, data = load(), root() / "reports", root() / "data"
    draws = Draws(params.report.resamples, params.report.confidence, params.report.seed)
    chosen = tables.chosen_sources(data)
    pairs = gap.pair(
        gap.read_responses(data / "scores.parquet", (params.report.clip_low, params.report.clip_high)), chosen
    )

    table = gap.gap_table(pairs, draws)
    tables.write_csv(table, folder / "gap.csv")
    tables.write_text(folder / "gap.md", report.gap_markdown(table, params))

    frames = {
        "logp": curves.quantiles(curves.token_logps(data / "scores.parquet", chosen), pairs),
        "problems": curves.problems(pairs),
        "source": curves.by_source(table),
        "length": curves.by_length(pairs, params.report.length_bins, draws),
        "training": curves.training(params),
    }
    for name, frame in frames.items():
        tables.write_csv(frame, folder / "curves" / f"{name}.csv")
    shown = ("ESS/N", "Var(log p)", "Var(w)")
    drawn = {
        "logp": figures.distributions(frames["logp"]),
        "paired": figures.differences(frames["problems"], curves.mean_differences(frames["problems"], draws)),
        "source": figures.by_group(frames["source"], shown, "rewritten by"),
        "length": figures.by_group(frames["length"], shown, "response length (tokens)"),
        "training": figures.training(frames["training"], curves.TRAINING),
        "accuracy": figures.accuracies(pd.read_csv(folder / "table.csv")),
    }
    for name, figure in drawn.items():
        figures.save(figure, folder / "figures", name)
    tables.write_text(folder / "index.html", report.page(params, folder, data))
    ess = table[(table["problems"] == "all") & (table["figure"] == "ESS/N") & (table["level"] == "token")]
    value = ess[ess["behaviour"] == "b = 1"].set_index("data")["value"]
    print(
        f"plot-variance: ESS/N per token {value['expert']:.3f} for the expert's responses, {value['rewritten']:.3f} "
        f"for the rewritten ones; {len(drawn)} figures -> {folder / 'index.html'}"
    )


if __name__ == "__main__":
    run(main)
