"""How the numbers are laid out: the frames of analysis/ as tables of text.

The same tables make reports/*.md and reports/index.html, so that the two cannot differ.
"""

from collections.abc import Iterator, Sequence

import pandas as pd

from stages.lib import importance
from stages.lib.analysis.accuracy import AVERAGE
from stages.lib.analysis.frames import Row, parts, records, rows_where
from stages.lib.analysis.gap import SIDES
from stages.lib.analysis.gap_table import B_KNOWN, B_ONE, gap_rows
from stages.lib.analysis.measures import COUNTS
from stages.lib.report.formatting import Table, interval, p_value, show

BOUNDS = ["value", "low", "high"]
TOKEN_COLUMNS = ("share", "tokens", "expert tokens")
LEVELS = {"token": "per token", "response": "per response", "response / length": "per response, length-normalised"}


def results(frame: pd.DataFrame, in_distribution: Sequence[str] = ()) -> Table:
    """Arms down, benchmarks across, in the frame's order; in or out of distribution stands in the header."""
    names = [marked(name, in_distribution) for name in frame["benchmark"].unique()]
    rows = [[arm, *(interval(row, 1) for row in records(part))] for arm, part in parts(frame, "arm")]
    return Table(["arm", *names], rows)


def marked(benchmark: str, in_distribution: Sequence[str]) -> str:
    """ "chain (ID)", "chain-long (OOD)"; the average, and all where nothing is in distribution, without a mark."""
    if benchmark == AVERAGE or not in_distribution:
        return benchmark
    return f"{benchmark} ({'ID' if benchmark in in_distribution else 'OOD'})"


def against_base(effects: pd.DataFrame, in_distribution: Sequence[str]) -> Table:
    """Each arm less the base, per benchmark, in points: what an arm has gained, and what it has forgotten."""
    frame = rows_where(effects, kind="base")
    names = [marked(name, in_distribution) for name in frame["benchmark"].unique()]
    rows = [[f"{arm} − base", *(interval(row, 1) for row in records(part))] for arm, part in parts(frame, "new")]
    return Table(["points", *names], rows)


def decoding(accuracies: pd.DataFrame) -> Table:
    """The average over benchmarks, arms down, temperatures across."""
    average = rows_where(accuracies, benchmark=AVERAGE)
    header = ["arm", *_temperatures(average)]
    rows = []
    for arm, part in parts(average, "arm"):
        rows.append([arm, *(interval(row, 1) for row in sorted(records(part), key=_falling))])
    return Table(header, rows)


def decoding_effects(effects: pd.DataFrame) -> Table:
    """Factor effects and arms against the base, on the average, temperatures across."""
    average = rows_where(effects, benchmark=AVERAGE)
    average = average[average["kind"] != "pair"]
    average = average.assign(name=[contrast_name(row) for row in records(average)])
    rows = []
    for name, part in parts(average, "name"):
        rows.append([name, *(interval(row, 1) for row in sorted(records(part), key=_falling))])
    return Table(["contrast (points)", *_temperatures(average)], rows)


def _falling(row: Row) -> float:
    return -float(row["temperature"])


def _temperatures(frame: pd.DataFrame) -> list[str]:
    return ["greedy" if value == 0 else f"T = {value:g}" for value in sorted(frame["temperature"].unique())[::-1]]


def ways(frame: pd.DataFrame) -> Table:
    """Arms down, measures of ways and soundness across."""
    header = ["arm", *(f"{name} (%)" for name in frame["measure"].unique())]
    return Table(header, [[arm, *(interval(row, 1) for row in records(part))] for arm, part in parts(frame, "arm")])


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
    return Table(["", *(name if name in COUNTS else f"{name} (%)" for name in names)], rows)


def composition(frame: pd.DataFrame, ways: pd.DataFrame | None = None) -> Table:
    """Sources down; with `ways`, also how many rows are in the expert's way and how many have flawed steps."""
    header = ["source of the rewritten row", "problems", "share (%)", "tokens", "expert's tokens"]
    rows = [
        [row["source"], str(row["problems"]), *(show(row[c], digits=1) for c in TOKEN_COLUMNS)]
        for row in records(frame)
    ]
    if ways is None:
        return Table(header, rows)
    found = {row["source"]: row for row in records(ways)}
    extra = [[_share(found[row[0]], "expert way"), _share(found[row[0]], "flawed")] for row in rows]
    both = [[*row, *more] for row, more in zip(rows, extra, strict=True)]
    return Table([*header, "in the expert's way (%)", "flawed steps (%)"], both)


def _share(row: Row, column: str) -> str:
    return show(100 * row[column] / row["rows"], digits=1) if row["rows"] else "–"


def solved(frame: pd.DataFrame) -> Table:
    header = [
        "judged",
        "problems",
        "responses",
        "first responses per problem",
        "right (%)",
        "cut off (%)",
        "problems solved (%)",
    ]
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
    names = {"all": "self and re-solved", "self": "self", "resolved": "re-solved"}
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
