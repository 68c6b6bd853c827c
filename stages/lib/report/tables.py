"""How the numbers are laid out: the frames of analysis/ as tables of text.

The same tables make reports/*.md and reports/index.html, so that the two cannot differ.
"""

from collections.abc import Iterator

import pandas as pd

from stages.lib import importance
from stages.lib.analysis.accuracy import AVERAGE
from stages.lib.analysis.frames import Row, parts, records, rows_where
from stages.lib.analysis.gap import SIDES
from stages.lib.analysis.gap_table import B_KNOWN, B_ONE, gap_rows
from stages.lib.report.formatting import Table, interval, p_value, show
from stages.lib.run.params import Decoding, Report

BOUNDS = ["value", "low", "high"]
LEVELS = {"token": "per token", "response": "per response", "response / length": "per response, length-normalised"}


def results(frame: pd.DataFrame) -> Table:
    """Arms down, benchmarks across."""
    names = list(frame["benchmark"].unique())
    rows = []
    for arm, part in parts(frame, "arm"):
        rows.append([arm, *(interval(row, 1) for row in records(part))])
    return Table(["", *names], rows)


def best(frame: pd.DataFrame) -> set[tuple[int, int]]:
    """The (row, column) of the highest value of each column of `results`."""
    wide = frame.pivot(index="arm", columns="benchmark", values="value")
    wide = wide.loc[frame["arm"].unique(), frame["benchmark"].unique()]
    return {(int(row), column + 1) for column, row in enumerate(wide.to_numpy().argmax(axis=0))}


def effects(frame: pd.DataFrame) -> tuple[Table, Table]:
    """On the average over benchmarks, with tests and effect sizes: factors and arms against the base; pairs of arms."""
    average = rows_where(frame, benchmark=AVERAGE)
    return _effects(average[average["kind"] != "pair"]), _effects(rows_where(average, kind="pair"))


def contrast_name(row: Row) -> str:
    """ "data: rewritten − expert", "interaction: rewritten × dft", "DR+SFT − SFT"."""
    if row["kind"] == "interaction":
        return f"interaction: {row['new']} × {row['by']}"
    factor = f"{row['kind']}: " if row["kind"] in ("data", "loss") else ""
    return f"{factor}{row['new']} − {row['old']}"


def _effects(frame: pd.DataFrame) -> Table:
    header = ["contrast", "points", "p", "p (Holm)", "p (Wilcoxon)", "d_z", "rank-biserial"]
    rows = []
    for row in records(frame):
        tests = [p_value(row[name]) for name in ("p", "p_holm", "p_wilcoxon")]
        sizes = [show(row[name], digits=2) for name in ("d_z", "rank_biserial")]
        rows.append([contrast_name(row), interval(row, 1), *tests, *sizes])
    return Table(header, rows)


def measures(frame: pd.DataFrame) -> Table:
    """Every measure of the answers, on the average over benchmarks."""
    part = frame[frame["benchmark"] == AVERAGE]
    names = list(part["measure"].unique())
    rows = []
    for arm, own in parts(part, "arm"):
        rows.append([arm, *(interval(row, 1) for row in records(own))])
    return Table(["", *(name if name == "tokens" else f"{name} (%)" for name in names)], rows)


def composition(frame: pd.DataFrame) -> Table:
    header = ["source of the rewritten row", "problems", "share (%)", "tokens", "expert's tokens"]
    columns = ["share", "tokens", "expert tokens"]
    rows = [[r["source"], str(r["problems"]), *(show(r[c], digits=1) for c in columns)] for r in records(frame)]
    return Table(header, rows)


def solved(frame: pd.DataFrame) -> Table:
    header = ["judged", "problems", "responses", "first", "right (%)", "cut off (%)", "problems solved (%)"]
    columns = ["right", "cut off", "problems solved"]
    rows = []
    for row in records(frame):
        shares = [show(row[name], digits=1) for name in columns]
        rows.append([row["of"], *(str(row[name]) for name in ("problems", "responses", "first")), *shares])
    return Table(header, rows)


def gap_all(table: pd.DataFrame) -> Table:
    """All problems, b = 1: every figure, expert's against rewritten and the paired difference."""
    part = gap_rows(table, problems="all", behaviour=B_ONE)
    rows = []
    for (level, figure), own in part.groupby(["level", "figure"], sort=False):
        cells = {row["side"]: interval(row) for row in records(own)}
        label = f"{figure} {LEVELS[str(level)]}" + threshold(str(figure), own["count"].iloc[0])
        rows.append([label, *(cells[name] for name in ("expert", "rewritten", "difference"))])
    return Table(["w = p (b = 1)", "expert", "rewritten", "difference"], rows)


def threshold(figure: str, count: int) -> str:
    """What k-hat has to stay below for this many weights."""
    return f" (to trust: < {importance.k_threshold(count):.2f})" if figure == "k-hat" and count > 10 else ""


def gap_sources(table: pd.DataFrame) -> Table:
    """Per token, b = 1, by the source of the rewritten response: the problems are the same in both rows of a source."""
    names = ["mean log w", "ESS/N", "Var(log w)", "Var(w)"]
    part = gap_rows(table, level="token", behaviour=B_ONE, side=SIDES)
    rows = []
    for (subset, side), own in part.groupby(["problems", "side"], sort=False):
        cells = own.set_index("figure").loc[names, BOUNDS]
        label = [f"{subset} (n = {own['count'].iloc[0]}): {side}"]
        rows.append([*label, *(show(*row) for row in cells.itertuples(index=False))])
    return Table(["w = p (b = 1), per token", *names], rows)


def gap_known(table: pd.DataFrame) -> Table:
    """The policy's own responses, whose density is known: figures down, sources across."""
    part = gap_rows(table, behaviour=B_KNOWN)
    subsets = list(part["problems"].unique())
    rows = []
    for (level, figure), own in part.groupby(["level", "figure"], sort=False):
        cells = {row["problems"]: interval(row) for row in records(own)}
        rows.append([f"{figure} {LEVELS[str(level)]}", *(cells.get(name, "–") for name in subsets)])
    names = {"all": "self and resolved", "self": "self", "resolved": "resolved"}
    return Table(["w = p / b (b known)", *(names[subset] for subset in subsets)], rows)


def gap_paired(frame: pd.DataFrame) -> Table:
    header = ["problems", "count", "difference in mean log p", "higher (%)", "p (Wilcoxon)", "d_z", "rank-biserial"]
    rows = []
    for row in records(frame):
        sizes = [show(row[name], digits=2) for name in ("d_z", "rank_biserial")]
        difference = interval(row)
        tests = [show(row["higher"], digits=1), p_value(row["p_wilcoxon"]), *sizes]
        rows.append([row["problems"], str(row["count"]), difference, *tests])
    return Table(header, rows)


def correlations(frame: pd.DataFrame) -> Table:
    rows = [[row["arm"], interval(row, 2)] for row in records(frame)]
    return Table(["", "rank correlation of gap and gain"], rows)


def counts(values: object, label: str = "") -> Iterator[list[str]]:
    """Nested counts as rows [label, number]."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield from counts(value, f"{label} · {key}" if label else str(key))
    else:
        yield [label, f"{values:g}" if isinstance(values, float) else str(values)]


def accuracy_note(evaluate: Decoding, report: Report, seeds: int) -> str:
    return (
        f"avg@{evaluate.n} in % at temperature {evaluate.temperature:g}, mean over {seeds} training "
        f"{'seed' if seeds == 1 else 'seeds'}; in brackets {100 * report.confidence:g} % intervals from a "
        f"bootstrap over problems and seeds ({report.resamples} resamples); the base's over problems."
    )


def effects_note(evaluate: Decoding, report: Report) -> str:
    return (
        f"Percentage points of avg@{evaluate.n}, average over benchmarks. {100 * report.confidence:g} % "
        "intervals and p over problems and seeds; p (Holm) adjusted "
        "for all rows of a kind (factors, against the base, pairs); Wilcoxon's p, d_z and the "
        "rank-biserial correlation over problems at these seeds. Every benchmark is in effects.csv."
    )


COMPOSITION_NOTE = (
    "Shares in %. Tokens are means per response, the end token included; the expert's are those of the same problems. "
    "Right, cut off: of the first responses to each problem, as many as `first` says, which were drawn whatever they "
    "say; adaptive sampling draws further ones only where these are wrong. A problem counts as solved when at least "
    "one of all responses to it is right."
)


def gap_note(report: Report) -> str:
    return (
        f"The same problems on both sides; {100 * report.confidence:g} % intervals from a bootstrap over problems. "
        "b = 1: the unknown density of the author is taken as 1 for every response, so that w = p, as DFT does. "
        "b known: divided by the density the policy wrote its own response with, exact up to the verifier's selection "
        f"and truncation. Clipped: weights clipped to [{report.clip_low:g}, {report.clip_high:g}], beside the "
        "unclipped. Length-normalised: the mean log-weight of a response's tokens in place of their sum. Var(w) is not "
        "monotone in the gap: it is small for weights near 0 as for weights near 1."
    )
