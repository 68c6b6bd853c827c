"""The tables of reports/: what goes into them (DataFrames) and how they are written (Markdown, LaTeX, CSV, JSON).

Accuracies are in per cent, differences of accuracies in percentage points. Tidy CSVs hold every figure; the Markdown
tables are the part of them that a reader wants first.
"""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from stages.lib import gap
from stages.lib.arms import BASE, Answers, Arm, arms, majority, pass_at
from stages.lib.params import Params
from stages.lib.records import Judgement, Merged, RecordError, read, replacing
from stages.lib.statistics import Draws, Estimate, crossed, holm, paired

AVERAGE = "average"
PERCENT = (0.0, 100.0)
BOUNDS = ["value", "low", "high"]
AllAnswers = dict[str, dict[str, Answers]]


def scopes(answers: AllAnswers) -> dict[str, list[str]]:
    """Each benchmark alone, then the average over all: what every accuracy is given for."""
    names = list(answers[BASE])
    return {**{name: [name] for name in names}, AVERAGE: names}


def accuracy(answers: AllAnswers, benchmarks: list[str]) -> list[np.ndarray]:
    """Per benchmark a table [arms, S, P] of avg@n in per cent; the base is repeated for every seed."""
    seeds = max(next(iter(item.values())).correct.shape[0] for item in answers.values())
    return [np.stack([_percent(item[name].correct, seeds) for item in answers.values()]) for name in benchmarks]


def _percent(correct: np.ndarray, seeds: int) -> np.ndarray:
    table = 100.0 * correct.mean(-1)
    return np.broadcast_to(table, (seeds, table.shape[1])) if len(table) == 1 else table


def results(answers: AllAnswers, draws: Draws) -> pd.DataFrame:
    """avg@n of the base and of each arm, per benchmark and on average: arm, benchmark, value, low, high."""
    rows = []
    for scope, names in scopes(answers).items():
        estimates = crossed(accuracy(answers, names), draws, PERCENT)
        rows += [[arm, scope, e.value, e.low, e.high] for arm, e in zip(answers, estimates, strict=True)]
    frame = pd.DataFrame(rows, columns=["arm", "benchmark", "value", "low", "high"])
    order = {arm: i for i, arm in enumerate(answers)}
    return frame.sort_values("arm", key=lambda arm: arm.map(order), kind="stable", ignore_index=True)


def contrasts(params: Params) -> dict[str, dict[str, float]]:
    """Named weights on arms: the factor effects, then every pair of arms, then each arm against the base."""
    grid = arms(params)
    plain_data, plain_loss = _first("expert", params.grid.data), _first("sft", params.grid.loss)
    data = [name for name in params.grid.data if name != plain_data]
    losses = [name for name in params.grid.loss if name != plain_loss]
    named = {}
    for name in data:
        parts = [(Arm(name, loss), Arm(plain_data, loss)) for loss in params.grid.loss]
        named[f"data: {name} − {plain_data}"] = _mean_difference(parts)
    for name in losses:
        parts = [(Arm(item, name), Arm(item, plain_loss)) for item in params.grid.data]
        named[f"loss: {name} − {plain_loss}"] = _mean_difference(parts)
    for a in data:
        for b in losses:
            signs = {(a, b): 1.0, (a, plain_loss): -1.0, (plain_data, b): -1.0, (plain_data, plain_loss): 1.0}
            named[f"interaction: {a} × {b}"] = {Arm(*key).name: sign for key, sign in signs.items()}
    pairs = [(b, a) for i, a in enumerate(grid) for b in grid[i + 1 :]]
    named |= {f"{b.name} − {a.name}": {b.name: 1.0, a.name: -1.0} for b, a in pairs}
    return named | {f"{arm.name} − {BASE}": {arm.name: 1.0, BASE: -1.0} for arm in grid}


def _first(wanted: str, names: list[str]) -> str:
    return wanted if wanted in names else names[0]


def _mean_difference(pairs: list[tuple[Arm, Arm]]) -> dict[str, float]:
    return {arm.name: sign / len(pairs) for pair in pairs for arm, sign in zip(pair, (1.0, -1.0), strict=True)}


def effects(answers: AllAnswers, params: Params, draws: Draws) -> pd.DataFrame:
    """Every contrast, per benchmark and on average, in percentage points, with interval, tests and effect sizes.

    p: two-sided t test at the standard error over seeds and problems that the interval rests on; p_holm: adjusted for
    all the contrasts of its benchmark; p_wilcoxon, d_z, rank_biserial: over problems, at these seeds.
    """
    named, order = contrasts(params), list(answers)
    weights = np.array([[weights.get(arm, 0.0) for arm in order] for weights in named.values()])
    frames = []
    for scope, names in scopes(answers).items():
        tables = [np.einsum("ma,asp->msp", weights, table) for table in accuracy(answers, names)]
        estimates = crossed(tables, draws)
        frame = pd.DataFrame([vars(item) for item in estimates])
        frame["p_holm"] = holm(frame["p"].tolist())
        by_problem = np.concatenate([table.mean(1) for table in tables], axis=1)
        frame = frame.join(pd.DataFrame([paired(row) for row in by_problem]))
        frame.insert(0, "benchmark", scope)
        frame.insert(0, "contrast", list(named))
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def evaluation(answers: AllAnswers, draws: Draws) -> pd.DataFrame:
    """Tidy: arm, benchmark, measure, value, low, high; shares and accuracies in per cent."""
    rows = []
    for arm, benchmarks in answers.items():
        for scope, names in scopes(answers).items():
            columns = [measures(benchmarks[name]) for name in names]
            tables = [np.stack(list(column.values())) for column in columns]
            estimates = crossed(tables, draws)
            for measure, item in zip(columns[0], estimates, strict=True):
                rows.append([arm, scope, measure, *_bounded(item, measure)])
    return pd.DataFrame(rows, columns=["arm", "benchmark", "measure", "value", "low", "high"])


def measures(answers: Answers) -> dict[str, np.ndarray]:
    """Each measure's table [S, P]."""
    n = answers.correct.shape[-1]
    ks = [k for k in (2**i for i in range(1, 20)) if k < n] + [n] * (n > 1)
    return {
        f"avg@{n}": 100.0 * answers.correct.mean(-1),
        **{f"pass@{k}": 100.0 * pass_at(answers.correct, k) for k in ks},
        f"maj@{n}": 100.0 * majority(answers.classes),
        "tokens": answers.tokens.mean(-1),
        "cut off": 100.0 * answers.cut_off.mean(-1),
        "no answer": 100.0 * (answers.classes == -1).mean(-1),
    }


def _bounded(item: Estimate, measure: str) -> tuple[float, float, float]:
    high = np.inf if measure == "tokens" else 100.0
    return item.value, max(0.0, item.low), min(high, item.high)


def composition(folder: Path, responses: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(per source of the rewritten set: count, share, mean tokens; solved rates of samples, re-solving, the expert)."""
    chosen = chosen_sources(folder)
    pairs = gap.pair(responses, chosen)
    rows = []
    for source in (*(name for name in ("self", "resolved", "expert")), "all"):
        part = pairs if source == "all" else pairs[pairs["source"] == source]
        count = len(chosen) if source == "all" else Counter(chosen.values())[source]
        rows.append([source, count, 100 * count / len(chosen), part["rewritten_n"].mean(), part["expert_n"].mean()])
    columns = ["source", "problems", "share", "tokens", "expert tokens"]
    return pd.DataFrame(rows, columns=columns), solved_rates(folder / "verdicts")


def chosen_sources(folder: Path) -> dict[str, str]:
    """Problem id -> source of its row in the merged set."""
    chosen = {row.id: row.source for row in read(Merged, folder / "merged.jsonl")}
    if not chosen:
        raise RecordError(f"{folder / 'merged.jsonl'}: no rows; run `dvc repro`")
    return chosen


def solved_rates(folder: Path) -> pd.DataFrame:
    """Per kind of response: how many problems and responses were judged, shares right and cut off, problems solved."""
    rows = []
    for name, label in (("expert", "expert's demonstrations"), ("sample", "samples"), ("resolve", "guided re-solving")):
        verdicts = list(read(Judgement, folder / f"{name}.jsonl"))
        solved = {row.id for row in verdicts if row.correct}
        ids, count = {row.id for row in verdicts}, max(1, len(verdicts))
        right = 100 * sum(row.correct for row in verdicts) / count
        cut = 100 * sum(row.reason == "cut_off" for row in verdicts) / count
        rows.append([label, len(ids), len(verdicts), right, cut, 100 * len(solved) / max(1, len(ids))])
    return pd.DataFrame(rows, columns=["of", "problems", "responses", "right", "cut off", "problems solved"])


def metrics(results: pd.DataFrame, shares: pd.DataFrame, ess: dict[str, float]) -> dict[str, dict[str, float]]:
    """What `dvc exp show` shows: few numbers, rounded to what a terminal and their intervals bear."""
    average = results[results["benchmark"] == AVERAGE]
    share = shares[shares["source"] != "all"]
    return {
        "accuracy": {arm: round(value, 1) for arm, value in zip(average["arm"], average["value"], strict=True)},
        "share": {source: round(value, 1) for source, value in zip(share["source"], share["share"], strict=True)},
        "ess": {data: round(value, 3) for data, value in ess.items()},
    }


def results_wide(results: pd.DataFrame) -> pd.DataFrame:
    """Arms down, benchmarks across, cells like "55.1 [52.0, 58.3]"."""
    cells = results.assign(cell=[interval(*row) for row in results[BOUNDS].itertuples(index=False)])
    wide = cells.pivot(index="arm", columns="benchmark", values="cell")
    return wide.loc[results["arm"].unique(), results["benchmark"].unique()]


def interval(value: float, low: float, high: float, digits: int = 1) -> str:
    """ "55.1 [52.0, 58.3]", a minus sign for a hyphen; "–" for what is not defined."""
    if np.isnan(value):
        return "–"
    shown = f"{value:.{digits}f}" + (f" [{low:.{digits}f}, {high:.{digits}f}]" if not np.isnan(low) else "")
    return shown.replace("-", "−")


def write_text(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text)


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    write_text(path, frame.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def write_json(path: Path, values: object) -> None:
    write_text(path, json.dumps(values, indent=2, ensure_ascii=False) + "\n")


def markdown(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A pipe table, the first column left, the others right."""
    header = list(header)
    lines = ["| " + " | ".join(header) + " |", "|" + "|".join([" :-- ", *[" --: "] * (len(header) - 1)]) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


def markdown_frame(frame: pd.DataFrame, digits: int = 1) -> str:
    """A DataFrame with its index as the first column; floats with `digits` decimals."""
    header = [frame.index.name or "", *map(str, frame.columns)]
    rows = zip(*(frame[name] for name in frame.columns), strict=True)
    return markdown(
        header, [[str(label), *(_cell(v, digits) for v in row)] for label, row in zip(frame.index, rows, strict=True)]
    )


def _cell(value: object, digits: int) -> str:
    return interval(value, np.nan, np.nan, digits) if isinstance(value, float) else str(value)


def effects_markdown(effects: pd.DataFrame) -> str:
    """Contrast, difference with interval, p values and effect sizes."""
    header = ["contrast", "difference", "p", "p (Holm)", "p (Wilcoxon)", "d_z", "rank-biserial"]
    rows = []
    for row in effects.to_dict("records"):
        cells = [interval(row["value"], row["low"], row["high"])]
        cells += [p_value(row[name]) for name in ("p", "p_holm", "p_wilcoxon")]
        rows.append([row["contrast"], *cells, *(interval(row[n], np.nan, np.nan, 2) for n in ("d_z", "rank_biserial"))])
    return markdown(header, rows)


def p_value(p: float) -> str:
    """ "0.032", or "< 0.001"."""
    return "–" if np.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def latex(results: pd.DataFrame, note: str) -> str:
    """A booktabs table; the highest value of each column in bold."""
    names = list(results["benchmark"].unique())
    best = results.groupby("benchmark")["value"].max()
    lines = [r"% needs \usepackage{booktabs}", r"\begin{tabular}{l" + "r" * len(names) + "}", r"\toprule"]
    lines += [" & ".join(["", *map(tex, names)]) + r" \\", r"\midrule"]
    for arm, rows in results.groupby("arm", sort=False):
        cells = []
        for value, low, high, name in rows[[*BOUNDS, "benchmark"]].itertuples(index=False):
            number = rf"\textbf{{{value:.1f}}}" if value == best[name] else f"{value:.1f}"
            cells.append(rf"{number} {{\scriptsize [{low:.1f}, {high:.1f}]}}")
        lines.append(" & ".join([tex(str(arm)), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", f"% {note}"]) + "\n"


def tex(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(char, f"\\{char}" if char in "&%$#_{}" else char) for char in text)
