"""What the accuracies show, in sentences, with a wording for each outcome that is fixed before the result is known.

Every sentence names its figure and interval. An interval that includes 0 is reported as "not shown", in words that are
neither a gain nor the absence of one. Sentences about controls, of which there are many, go by the adjusted p.
"""

from collections.abc import Iterator, Mapping

import pandas as pd

from stages.lib.analysis.accuracy import AVERAGE
from stages.lib.analysis.arms import BASE
from stages.lib.analysis.frames import Row, records, rows_where
from stages.lib.report.formatting import interval, show

WORDS = {1: "up on", -1: "down on", 0: "not told apart on"}
SUBJECTS = {
    "data": "Training on the {new} data in place of the {old} data",
    "loss": "Training with the {new} loss in place of the {old} loss",
}


def amount(row: Row, unit: str = "points") -> str:
    """ "38.3 points [34.7, 42.2]"."""
    value, ends = show(abs(row["value"]), digits=1), interval(row, 1).split(" ", 1)[1]
    return f"{value} {unit} {ends}"


def direction(row: Row) -> int:
    """1 or -1 where the interval lies above or below 0, else 0."""
    return int(row["low"] > 0) - int(row["high"] < 0)


def points(row: Row) -> str:
    return interval(row, 1) + " points"


def temperature_name(value: float) -> str:
    """ "greedy", or "temperature 0.6"."""
    return "greedy" if value == 0 else f"temperature {value:g}"


def effect(rows: pd.DataFrame, subject: str) -> str:
    """One contrast on the average, then benchmark by benchmark; `rows`: its rows, a benchmark each."""
    [average] = records(rows_where(rows, benchmark=AVERAGE))
    verb = {1: "raises", -1: "lowers"}.get(direction(average))
    if verb:
        text = f"{subject} {verb} average accuracy by {amount(average)}."
    else:
        text = f"{subject}: neither a gain nor a loss in average accuracy is shown, {points(average)}."
    return f"{text} {by_benchmark(rows[rows['benchmark'] != AVERAGE])}"


def by_benchmark(rows: pd.DataFrame) -> str:
    """ "Benchmark by benchmark: up on a, b; down on c; not told apart on d." """
    return f"Benchmark by benchmark: {_grouped({row['benchmark']: direction(row) for row in records(rows)})}."


def _grouped(signs: Mapping[str, int]) -> str:
    groups = {sign: [name for name, own in signs.items() if own == sign] for sign in WORDS}
    return "; ".join(f"{WORDS[sign]} {', '.join(names)}" for sign, names in groups.items() if names)


def factors(effects: pd.DataFrame) -> list[str]:
    """The main effects of data and loss, and their interactions."""
    found = rows_where(effects, kind=list(SUBJECTS)).groupby(["kind", "new", "old"], sort=False)
    lines = [effect(rows, SUBJECTS[str(kind)].format(new=new, old=old)) for (kind, new, old), rows in found]
    return [*lines, *interactions(effects)]


def across_temperatures(effects: pd.DataFrame) -> Iterator[str]:
    """Each main effect at every temperature: whether it is there at all of them, at some, or at none.

    effects: with a column temperature, several of them.
    """
    average = rows_where(effects, benchmark=AVERAGE, kind=["data", "loss", "interaction"])
    for (kind, new, _, by), part in average.groupby(["kind", "new", "old", "by"], sort=False):
        rows = sorted(records(part), key=lambda row: -row["temperature"])
        what = f"{new} x {by}" if kind == "interaction" else str(new)
        cells = "; ".join(f"{temperature_name(row['temperature'])}: {interval(row, 1)}" for row in rows)
        yield f"The {kind} effect ({what}) {_holding([direction(row) for row in rows])}: {cells}."


def _holding(signs: list[int]) -> str:
    """What the signs of one effect at several temperatures say, in every case."""
    if 1 in signs and -1 in signs:
        return "changes its sign with the temperature"
    if 0 not in signs:
        return f"is {'a gain' if signs[0] > 0 else 'a loss'} at every temperature"
    if not any(signs):
        return "is not shown at any temperature"
    return f"is {'a gain' if 1 in signs else 'a loss'} at some temperatures only and depends on decoding"


def interactions(effects: pd.DataFrame) -> Iterator[str]:
    """One sentence each, but for those of many that are not told apart from 0: these share one."""
    rows = records(rows_where(effects, benchmark=AVERAGE, kind="interaction"))
    told = [row for row in rows if len(rows) < 4 or direction(row)]
    yield from map(interaction, told)
    if len(told) < len(rows):
        other = " other" if told else ""
        yield f"No interaction is shown for {len(rows) - len(told)}{other} pairs of a data set and a loss."


def interaction(row: Row) -> str:
    data, loss = row["new"], row["by"]
    if not direction(row):
        return f"That {data} data and {loss} do more or less together than apart is not shown: {points(row)}."
    word = "more" if direction(row) > 0 else "less"
    return f"The {data} data and {loss} together do {word} than the sum of both alone: by {amount(row)}."


def against_base(effects: pd.DataFrame, results: pd.DataFrame) -> Iterator[str]:
    """Each arm against the base: on the average, and benchmark by benchmark."""
    base = float(rows_where(results, arm=BASE, benchmark=AVERAGE)["value"].iloc[0])
    words = {1: "better than it", -1: "worse than it", 0: "not told apart from it on average"}
    rows = records(rows_where(effects, kind="base", benchmark=AVERAGE))
    groups = {sign: [f"{row['new']} ({interval(row, 1)})" for row in rows if direction(row) == sign] for sign in words}
    parts = [f"{words[sign]}: {', '.join(names)}" for sign, names in groups.items() if names]
    yield f"Against the base's {show(base, digits=1)} %, in points: {'; '.join(parts)}."
    for row in rows:
        own = rows_where(effects, kind="base", new=row["new"])
        signs = {item["benchmark"]: direction(item) for item in records(own) if item["benchmark"] != AVERAGE}
        yield f"{row['new']} against the base: {_grouped(signs)}."


def forgetting(effects: pd.DataFrame, in_distribution: list[str]) -> str:
    """The benchmarks on which arms are worse than the base, which no comparison between arms shows."""
    rows = [row for row in records(rows_where(effects, kind="base")) if row["benchmark"] != AVERAGE]
    worse = [row for row in rows if direction(row) < 0]
    if not worse:
        return (
            "No arm is shown to be worse than the base on any benchmark; that none has forgotten is not shown either."
        )
    names = list(dict.fromkeys(row["benchmark"] for row in worse))
    parts = []
    for name in names:
        mark = "in distribution" if name in in_distribution else "out of distribution"
        arms = ", ".join(f"{row['new']} {interval(row, 1)}" for row in worse if row["benchmark"] == name)
        parts.append(f"{name} ({mark}): {arms}")
    return (
        f"Forgetting: training costs what the base could do on {len(names)} of "
        f"{len({row['benchmark'] for row in rows})} benchmarks. {'; '.join(parts)} points. An arm that is above "
        "another there has lost less, not gained."
    )


def forgetting_by_temperature(effects: pd.DataFrame, in_distribution: list[str]) -> Iterator[str]:
    """`forgetting` at each temperature, the highest first; effects: decoding_effects."""
    for value in sorted(effects["temperature"].unique())[::-1]:
        line = forgetting(effects[effects["temperature"] == value], in_distribution)
        yield f"At {temperature_name(value)}: {line}" if value else f"Greedy: {line}"
