"""What the numbers show, in sentences: generated, with both outcomes written out, so that none can be wished away.

Every sentence names its figure and interval. An interval that includes 0 is reported as "not shown", in words that are
neither a gain nor the absence of one.
"""

from collections.abc import Iterator

import pandas as pd

from stages.lib.analysis.accuracy import AVERAGE
from stages.lib.analysis.arms import BASE, Arm
from stages.lib.analysis.frames import Row, parts, records, rows_where
from stages.lib.analysis.gap_table import B_ONE, DIFFERENCE, gap_rows
from stages.lib.report.formatting import interval, show
from stages.lib.run.params import Grid

SMALLER = {"ESS/N": 1, "CV²": -1, "Var(log w)": -1, "mean log w": 1, "MAD(log w)": -1, "top 1 % share": -1}
# which way a figure goes when the gap shrinks; Var(w), entropy and clipped figures go either way
CONTROLS = {  # (data, control): the question, and what a difference above, below or not told from 0 means
    ("rewritten", "self"): ("Is it the problems that no sample solved? Self only leaves them out.",
        "the problems that sampling did not solve add something", "leaving those problems out is better",
        "leaving those problems out is not told apart from keeping them"),
    ("rewritten", "no-guide"): ("Does guided re-solving add to self, else expert?",
        "guided re-solving adds to self-alignment alone", "guided re-solving costs accuracy here",
        "a contribution of guided re-solving is not shown"),
    ("rewritten", "answer-hint"): ("Does the worked solution matter, or would the answer alone do (STaR)?",
        "showing the worked solution is better than showing the answer", "showing the answer alone is better",
        "the worked solution is not told apart from the answer alone"),
    ("solved", "expert"): ("Is it selection? The expert's demonstrations of the problems that self solved.",
        "a part of the gain comes from selecting problems the policy can solve",
        "selection alone lowers accuracy, so that it does not explain a gain", "an effect of selection is not shown"),
    ("rewritten", "solved"): ("Does rewriting gain beyond that selection?",
        "rewriting gains beyond selection", "selection alone does better than rewriting",
        "a gain beyond selection is not shown"),
    ("matched", "expert"): ("Is it just more tokens? Rewritten rows cut to the expert's token count.",
        "rewriting gains with no more tokens than the expert's", "at matched tokens rewriting does worse",
        "at matched tokens a gain is not shown"),
    ("rewritten", "matched"): ("What do the further tokens add?",
        "the further tokens add something", "the further tokens cost accuracy", "an effect of them is not shown"),
}  # fmt: skip


def amount(row: Row, unit: str = "points") -> str:
    """ "38.3 points [34.7, 42.2]"."""
    value, ends = show(abs(row["value"]), digits=1), interval(row, 1).split(" ", 1)[1]
    return f"{value} {unit} {ends}"


def direction(row: Row) -> int:
    """1 or -1 where the interval lies above or below 0, else 0."""
    return (row["low"] > 0) - (row["high"] < 0)


def effect(rows: pd.DataFrame, subject: str) -> str:
    """One contrast on the average, then benchmark by benchmark; `rows`: its rows, a benchmark each."""
    [average] = records(rows_where(rows, benchmark=AVERAGE))
    verb = {1: "raises", -1: "lowers"}.get(direction(average))
    if verb:
        text = f"{subject} {verb} average accuracy by {amount(average)}."
    else:
        text = f"{subject}: neither a gain nor a loss in average accuracy is shown, {show_points(average)}."
    return f"{text} {by_benchmark(rows[rows['benchmark'] != AVERAGE])}"


def show_points(row: Row) -> str:
    return interval(row, 1) + " points"


def by_benchmark(rows: pd.DataFrame) -> str:
    """ "Benchmark by benchmark: up on a, b; down on c; not told apart on d." """
    signs = {row["benchmark"]: direction(row) for row in records(rows)}
    words = {1: "up on", -1: "down on", 0: "not told apart on"}
    parts = [f"{word} {', '.join(n for n, s in signs.items() if s == sign)}" for sign, word in words.items()
             if sign in signs.values()]  # fmt: skip
    return f"Benchmark by benchmark: {'; '.join(parts)}."


def accuracy(effects: pd.DataFrame, results: pd.DataFrame) -> list[str]:
    """The factors, their interaction, and where each arm stands against the base."""
    subjects = {
        "data": "Training on the {new} rather than the {old} data",
        "loss": "The {new} rather than the {old} loss",
    }
    factors = rows_where(effects, kind=list(subjects)).groupby(["kind", "new", "old"], sort=False)
    lines = [effect(rows, subjects[str(kind)].format(new=new, old=old)) for (kind, new, old), rows in factors]
    return [*lines, *interactions(effects), against_base(effects, results)]


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
        return f"That {data} data and {loss} do more or less together than apart is not shown: {show_points(row)}."
    word = "more" if direction(row) > 0 else "less"
    return f"The {data} data and {loss} together do {word} than the sum of both alone: by {amount(row)}."


def against_base(effects: pd.DataFrame, results: pd.DataFrame) -> str:
    rows = records(rows_where(effects, benchmark=AVERAGE, kind="base"))
    base = float(rows_where(results, arm=BASE, benchmark=AVERAGE)["value"].iloc[0])
    words = {1: "better than it", -1: "worse than it", 0: "not told apart from it"}
    parts = []
    for sign, word in words.items():
        own = [f"{row['new']} ({show(row['value'], digits=1)})" for row in rows if direction(row) == sign]
        parts += [f"{word}: {', '.join(own)}"] if own else []
    return f"Against the base's {show(base, digits=1)} %, in points: {'; '.join(parts)}."


def gap(table: pd.DataFrame, paired: pd.DataFrame, shares: pd.DataFrame) -> list[str]:
    """The gap before training, overall, by source, and where nothing was rewritten."""
    lines = [
        compare(table, "ESS/N", "ESS/N per token (b = 1)", higher="smaller", lower="wider"),
        compare(table, "Var(log w)", "Var(log p) per token", higher="wider", lower="smaller"),
        variance(table),
    ]
    for row in records(paired):
        if row["problems"] != "all":
            word = {1: "more", -1: "less"}.get(direction(row), "on average neither more nor less")
            lines.append(
                f"Problems rewritten by {row['problems']} ({row['count']}): the rewritten response is {word} probable "
                f"than the expert's to the same problem, by {show(row['value'], row['low'], row['high'])} nats per "
                f"token; it is more probable in {row['higher']:.0f} % of them."
            )
    lines.append(disagreeing(table))
    kept = float(rows_where(shares, source="expert")["share"].iloc[0])
    return [
        *lines,
        f"{show(kept, digits=1)} % of the problems keep the expert's response: there the gap is what it was.",
    ]


def _cells(table: pd.DataFrame, subset: str, figure: str) -> dict[str, Row]:
    part = gap_rows(table, problems=subset, figure=figure, level="token", behaviour=B_ONE)
    return {row["side"]: row for row in records(part)}


def compare(table: pd.DataFrame, figure: str, name: str, higher: str, lower: str) -> str:
    """One figure of both sides, and whether the gap is the smaller or the wider for it."""
    cells = _cells(table, "all", figure)
    values = [show(cells[side]["value"], cells[side]["low"], cells[side]["high"]) for side in ("expert", "rewritten")]
    sign = direction(cells["difference"])
    gap = {1: f"a {higher} gap", -1: f"a {lower} gap"}.get(sign, "not told apart")
    return f"{name}: {values[0]} for the expert's responses, {values[1]} for the rewritten ones: {gap}."


def variance(table: pd.DataFrame) -> str:
    cells = _cells(table, "all", "Var(w)")
    verb = {1: "rises", -1: "falls"}.get(direction(cells["difference"]), "does not change detectably")
    values = [show(cells[side]["value"], cells[side]["low"], cells[side]["high"]) for side in ("expert", "rewritten")]
    return (
        f"Var(w) per token, the figure that the method is usually argued with, {verb} with rewriting: {values[0]} to "
        f"{values[1]}. It is small for tokens of probability near 0 as for those near 1 and proves nothing by itself."
    )


def disagreeing(table: pd.DataFrame) -> str:
    """The figures at b = 1 that say nothing, or the opposite of a smaller gap."""
    part = gap_rows(table, problems="all", behaviour=B_ONE, side=DIFFERENCE)
    verdicts: dict[int, list[str]] = {1: [], -1: [], 0: []}
    for row in records(part):
        sign = SMALLER.get(row["figure"], 0)
        if sign:
            verdicts[direction(row) * sign].append(f"{row['figure']} per {row['level']}")
    agree = (
        f"{len(verdicts[1])} of {sum(map(len, verdicts.values()))} figures say that the gap is smaller after rewriting"
    )
    others = [f"{word}: {', '.join(verdicts[sign])}" for sign, word in ((-1, "the opposite"), (0, "not told apart"))
              if verdicts[sign]]  # fmt: skip
    return f"{agree}{'; ' if others else ''}{'; '.join(others)}."


def training(curves: pd.DataFrame) -> list[str]:
    """Per arm, what ESS/N, Var(log p) and KL did from the first to the last step, on the arm's own data."""
    lines = []
    for arm, part in parts(curves, "arm"):
        ends = part[part["step"].isin([part["step"].min(), part["step"].max()])]
        words = []
        for column, name in (("ess", "ESS/N"), ("logp_var", "Var(log p)"), ("nll", "−log p of the data")):
            first, last = ends.groupby("step")[column].mean()
            verb = "rises" if last > first else "falls"
            words.append(f"{name} {verb} from {show(first)} to {show(last)}")
        kl = ends[ends["step"] == ends["step"].max()]["kl"]
        seeds = f" ({show(kl.min())} to {show(kl.max())} over seeds)" if len(kl) > 1 else ""
        lines.append(f"{arm}: {', '.join(words)}; KL to the initial policy ends at {show(kl.mean())} nats{seeds}.")
    return lines


def tokens(shares: pd.DataFrame) -> str:
    row = shares.set_index("source").loc["all"]
    more = 100 * (row["tokens"] / row["expert tokens"] - 1)
    length = f"The rewritten set has {row['tokens']:.1f} tokens a response, the expert's {row['expert tokens']:.1f}"
    if more > 0:
        return (
            f"{length} ({more:+.0f} %): a part of a gain could come from more tokens; only a token-matched arm can say."
        )
    return f"{length} ({more:+.0f} %): more tokens are no explanation of a gain.".replace("(-", "(−")


def solved(frame: pd.DataFrame, scale: str) -> str:
    """Is the expert further away where the policy's own samples fail? scale: what the groups stand for."""
    rows = records(rows_where(frame, side="expert"))
    first, last = rows[0], rows[-1]
    texts = [f"{show(row['value'], row['low'], row['high'])} nats per token at {row['group']}" for row in (first, last)]
    if first["low"] > last["high"]:
        word = "The less readily samples solve a training problem, the less probable is the expert's response to it"
    elif first["high"] < last["low"]:
        word = "The less readily samples solve a training problem, the more probable is the expert's response to it"
    else:
        word = "That the expert's responses are less probable where samples fail is not shown"
    return f"{word}: −log p is {' and '.join(texts)} ({scale})."


def gain(correlations: pd.DataFrame) -> str:
    """What the gap of a held-out problem says about the gain on it."""
    if correlations.empty:
        return "No benchmark has the expert's solutions, so the gap of a held-out problem is not known."
    words = {1: "higher", -1: "lower"}
    parts = []
    for row in records(correlations):
        sign = words.get(direction(row))
        value = interval(row, 2)
        parts.append(f"{row['arm']} {sign or 'not shown to depend on the gap'} ({value})")
    return (
        "Gain over the base where the policy is further from the expert's solution (rank correlation within "
        f"benchmarks): {'; '.join(parts)}."
    )


def controls(effects: pd.DataFrame, grid: Grid) -> Iterator[str]:
    """One paragraph per control that the grid holds: the question, the difference under each loss, what it means."""
    for (new, old), (question, above, below, unclear) in CONTROLS.items():
        if new in grid.data and old in grid.data:
            rows = [(loss, contrast(effects, Arm(new, loss).name, Arm(old, loss).name)) for loss in grid.loss]
            meaning = {1: above, -1: below, 0: unclear}
            parts = [f"{loss}: {show_points(row)}, {meaning[direction(row)]}" for loss, row in rows]
            yield f"{question} {new} − {old}, under {'; under '.join(parts)}."
    yield from penalties(effects, grid)
    if "ratio" in grid.loss and "dft" in grid.loss and "rewritten" in grid.data:
        row = contrast(effects, Arm("rewritten", "ratio").name, Arm("rewritten", "dft").name)
        meaning = {1: "the known density helps", -1: "it does worse than DFT's convention", 0: "no difference is shown"}
        yield (
            "Does dividing by the known behaviour density help, on the same rewritten data? ratio − dft: "
            f"{show_points(row)}, {meaning[direction(row)]}."
        )


def penalties(effects: pd.DataFrame, grid: Grid) -> Iterator[str]:
    """Losses named after another with a KL penalty (dft-kl0.05): what the penalty does, on every data set."""
    meaning = {1: "the penalty helps", -1: "the penalty costs accuracy", 0: "an effect is not shown"}
    for loss in grid.loss:
        plain, found, beta = loss.partition("-kl")
        if found and plain in grid.loss:
            rows = [(data, contrast(effects, Arm(data, loss).name, Arm(data, plain).name)) for data in grid.data]
            parts = [f"on {data}: {show_points(row)}, {meaning[direction(row)]}" for data, row in rows]
            yield f"Does a KL penalty of {beta} to the initial policy help {plain}? {'; '.join(parts)}."


def contrast(effects: pd.DataFrame, new: str, old: str) -> Row:
    """The average row of new − old, whichever way round the table has it."""
    pairs = rows_where(effects, benchmark=AVERAGE, kind="pair")
    found = records(rows_where(pairs, new=new, old=old))
    if found:
        return found[0]
    [row] = records(rows_where(pairs, new=old, old=new))
    return {**row, "value": -row["value"], "low": -row["high"], "high": -row["low"]}
