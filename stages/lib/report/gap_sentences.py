"""What the gap, the training curves and the composition show, in sentences with a wording for each outcome."""

import pandas as pd

from stages.lib.analysis.frames import Row, parts, records, rows_where
from stages.lib.analysis.gap_table import B_ONE, DIFFERENCE, gap_rows
from stages.lib.report.formatting import interval, show
from stages.lib.report.sentences import direction

SMALLER = {"ESS/N": 1, "Var(log w)": -1, "mean log w": 1, "MAD(log w)": -1, "top 1 % share": -1}
# which way a figure goes when the gap shrinks; Var(w), entropy and clipped figures go either way


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
                f"than the expert's to the same problem, by {interval(row)} nats per "
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
    values = [interval(cells[side]) for side in ("expert", "rewritten")]
    sign = direction(cells["difference"])
    gap = {1: f"a {higher} gap", -1: f"a {lower} gap"}.get(sign, "not told apart")
    return f"{name}: {values[0]} for the expert's responses, {values[1]} for the rewritten ones: {gap}."


def variance(table: pd.DataFrame) -> str:
    cells = _cells(table, "all", "Var(w)")
    verb = {1: "rises", -1: "falls"}.get(direction(cells["difference"]), "does not change detectably")
    values = [interval(cells[side]) for side in ("expert", "rewritten")]
    return (
        f"Var(w) per token, the figure that the method is usually argued with, {verb} with rewriting: {values[0]} to "
        f"{values[1]}. It is small for tokens of probability near 0 as for those near 1 and proves nothing by itself."
    )


def disagreeing(table: pd.DataFrame) -> str:
    """The figures at b = 1 that say nothing, or the opposite of a smaller gap. No vote: they depend on each other."""
    part = gap_rows(table, problems="all", behaviour=B_ONE, side=DIFFERENCE)
    names: dict[int, list[str]] = {1: [], -1: [], 0: []}
    for row in records(part):
        if sign := SMALLER.get(row["figure"], 0):
            names[direction(row) * sign].append(f"{row['figure']} per {row['level']}")
    words = {1: "say that the gap is smaller", -1: "say the opposite", 0: "do not tell"}
    groups = [f"{words[sign]}: {', '.join(found)}" for sign, found in names.items() if found]
    return f"Of the figures at b = 1, which depend on each other, these {'; these '.join(groups)}."


def mixture(ways: pd.DataFrame) -> str:
    """Why figures per response can disagree with those per token: rows of two ways in one set."""
    row = records(rows_where(ways, source="all"))[0]
    if not row["expert way"]:
        return "No rewritten row is in the expert's way."
    share = 100 * row["expert way"] / row["rows"]
    kept = records(rows_where(ways, source="expert"))[0]["rows"]
    return (
        f"{share:.1f} % of the rewritten rows are in the expert's way: {kept} that were kept from the expert and "
        f"{row['expert way'] - kept} that the policy wrote. The set is a mixture of two ways, which widens the "
        "spread between its responses, and with it every variance per response."
    )


def soundness(ways: pd.DataFrame) -> str:
    """How many right answers of the policy have a flaw in their steps."""
    rows = [row for row in records(ways) if row["source"] in ("self", "resolved") and row["rows"]]
    parts = [f"{row['flawed']} of {row['rows']} {row['source']} rows ({100 * row['flawed'] / row['rows']:.0f} %)"
             for row in rows]  # fmt: skip
    if not any(row["flawed"] for row in rows):
        return f"No right answer among the policy's own rows has a flaw in its steps: {'; '.join(parts)}."
    return (
        f"The verifier checks answers. With a flaw in their steps behind a right answer are {'; '.join(parts)}. What "
        "they cost is the difference of the data sets right-steps and rewritten (presets/ladder.yaml)."
    )


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
        lines.append(f"{arm}: {', '.join(words)}; KL to the reference policy ends at {show(kl.mean())} nats{seeds}.")
    return lines


def tokens(shares: pd.DataFrame) -> str:
    row = shares.set_index("source").loc["all"]
    more = 100 * (row["tokens"] / row["expert tokens"] - 1)
    length = f"The rewritten set has {row['tokens']:.1f} tokens a response, the expert's {row['expert tokens']:.1f}"
    if more > 0:
        return (
            f"{length} ({more:+.0f} %): a part of a gain could come from more tokens. The data set matched tests it "
            "(presets/ablation.yaml)."
        )
    return f"{length} ({more:+.0f} %): more tokens are no explanation of a gain.".replace("(-", "(−")


def solved(frame: pd.DataFrame, scale: str) -> str:
    """Is the expert further away where the policy's own samples fail? scale: what the groups stand for."""
    rows = records(rows_where(frame, side="expert"))
    first, last = rows[0], rows[-1]
    texts = [f"{interval(row)} nats per token at {row['group']}" for row in (first, last)]
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
    rows = records(correlations)
    words = {1: "higher", -1: "lower", 0: "not shown to depend on the gap"}
    cells = [f"{row['arm']} {words[direction(row)]} ({interval(row, 2)})" for row in rows]
    verdict = "in some arms only" if any(map(direction, rows)) else "in no arm"
    verdict = "in every arm" if all(map(direction, rows)) else verdict
    return (
        f"The gain on a held-out problem is shown to go with its gap {verdict}. Gain over the base where the policy is "
        f"further from the expert's solution (rank correlation within benchmarks): {'; '.join(cells)}."
    )
