"""The numbers of the tables, as tidy DataFrames: accuracies, effects, measures of answers, composition, metrics.

Accuracies are in per cent, differences of accuracies in percentage points. How they are laid out is in `views`.
"""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from stages.lib.analysis.bootstrap import Draws, crossed, holm, paired
from stages.lib.analysis.evaluations import BASE, NAMES, Answers, Arm, arms, majority, pass_at
from stages.lib.records import Evaluation, Merged, RecordError, Verdict, read
from stages.lib.run.params import Params

AVERAGE = "average"
SOURCES = ("self", "resolved", "expert")
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
    """Named weights on arms: the factor effects, each arm against the base, pairs of arms."""
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
    pairs = [(b, a) for i, a in enumerate(grid) for b in grid[i + 1 :] if comparable(a, b)]
    named |= {f"{arm.name} − {BASE}": {arm.name: 1.0, BASE: -1.0} for arm in grid}
    return named | {f"{b.name} − {a.name}": {b.name: 1.0, a.name: -1.0} for b, a in pairs}


def kind(contrast: str) -> str:
    """ "factor", "base" or "pair": what the rows of a contrast table are adjusted and shown with."""
    return "factor" if ": " in contrast else "base" if contrast.endswith(f"− {BASE}") else "pair"


def comparable(a: Arm, b: Arm) -> bool:
    """Whether a difference of the two says something: they share a factor, or are corners of the paper's square."""
    return a.data == b.data or a.loss == b.loss or {(a.data, a.loss), (b.data, b.loss)} <= set(NAMES)


def _first(wanted: str, names: list[str]) -> str:
    return wanted if wanted in names else names[0]


def _mean_difference(pairs: list[tuple[Arm, Arm]]) -> dict[str, float]:
    return {arm.name: sign / len(pairs) for pair in pairs for arm, sign in zip(pair, (1.0, -1.0), strict=True)}


def effects(answers: AllAnswers, params: Params, draws: Draws) -> pd.DataFrame:
    """Every contrast, per benchmark and on average, in percentage points, with interval, tests and effect sizes.

    p: two-sided t test at the standard error over seeds and problems that the interval rests on; p_holm: adjusted for
    all contrasts of its kind on its benchmark; p_wilcoxon, d_z, rank_biserial: over problems, at these seeds.
    """
    named, order = contrasts(params), list(answers)
    weights = np.array([[weights.get(arm, 0.0) for arm in order] for weights in named.values()])
    most = PERCENT[1] * weights.clip(0).sum(1)  # the weights of a contrast add up to 0
    frames = []
    for scope, names in scopes(answers).items():
        tables = [np.einsum("ma,asp->msp", weights, table) for table in accuracy(answers, names)]
        estimates = crossed(tables, draws, (-most, most))
        frame = pd.DataFrame([vars(item) for item in estimates])
        kinds = pd.Series([kind(name) for name in named])
        frame["p_holm"] = frame["p"].groupby(kinds).transform(lambda p: holm(p.tolist()))
        by_problem = np.concatenate([table.mean(1) for table in tables], axis=1)
        frame = frame.join(pd.DataFrame([paired(row) for row in by_problem]))
        frame.insert(0, "benchmark", scope)
        frame.insert(0, "contrast", list(named))
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def evaluation(answers: AllAnswers, draws: Draws) -> pd.DataFrame:
    """Tidy: arm, benchmark, measure, value, low, high; shares and accuracies in per cent. The average gives every
    benchmark the same weight, however many problems it has."""
    rows = []
    for arm, benchmarks in answers.items():
        for scope, names in scopes(answers).items():
            columns = [measures(benchmarks[name]) for name in names]
            tables = [np.stack(list(column.values())) for column in columns]
            most = np.array([np.inf if measure == "tokens" else 100.0 for measure in columns[0]])
            for measure, e in zip(columns[0], crossed(tables, draws, (0.0, most)), strict=True):
                rows.append([arm, scope, measure, e.value, e.low, e.high])
    return pd.DataFrame(rows, columns=["arm", "benchmark", "measure", "value", "low", "high"])


def measures(answers: Answers) -> dict[str, np.ndarray]:
    """Each measure's table [S, P]. avg@n is pass@1 too; with one response there is no other k."""
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


def composition(merged: dict[str, Merged], pairs: pd.DataFrame) -> pd.DataFrame:
    """Per source of the rewritten set: problems, share, mean tokens of its response and of the expert's to the same."""
    counts = Counter(row.source for row in merged.values())
    rows = []
    for source in (*SOURCES, "all"):
        part = pairs if source == "all" else pairs[pairs["source"] == source]
        count = len(merged) if source == "all" else counts[source]
        rows.append([source, count, 100 * count / len(merged), part["rewritten_n"].mean(), part["expert_n"].mean()])
    return pd.DataFrame(rows, columns=["source", "problems", "share", "tokens", "expert tokens"])


def read_merged(folder: Path) -> dict[str, Merged]:
    """What became of each problem, by its id."""
    merged = {row.id: row for row in read(Merged, folder / "merged.jsonl")}
    if not merged:
        raise RecordError(f"{folder / 'merged.jsonl'}: no rows; run `dvc repro`")
    return merged


def solved_rates(folder: Path, params: Params) -> pd.DataFrame:
    """Per kind of response: how many problems and responses were judged, shares right and cut off, problems solved.

    The shares are of the first responses, those that every problem got whatever they say: further ones of adaptive
    sampling are responses to the harder problems. `first` says how many that are.
    """
    kinds = [("expert", "expert's demonstrations", 1), ("sample", "samples", params.sample.first)]
    kinds += [(f"resolve-{name}", f"re-solved, guide: {name}", params.resolve.first) for name in params.resolve.guides]
    rows = []
    for name, label, first in kinds:
        verdicts = list(read(Verdict, folder / f"{name}.jsonl"))
        solved, ids = {row.id for row in verdicts if row.correct}, {row.id for row in verdicts}
        every = [row for row in verdicts if row.index < first]
        shares = [sum(row.correct for row in every), sum(row.reason == "cut_off" for row in every)]
        shares = [100 * share / max(1, len(every)) for share in shares]
        rows.append([label, len(ids), len(verdicts), first, *shares, 100 * len(solved) / max(1, len(ids))])
    return pd.DataFrame(rows, columns=["of", "problems", "responses", "first", "right", "cut off", "problems solved"])


def verdict_reasons(data: Path, params: Params) -> pd.DataFrame:
    """How many verdicts had which reason: of the demonstrations, the samples, the re-solved, every policy's answers."""
    judged = ["expert", "sample", *(f"resolve-{guide}" for guide in params.resolve.guides)]
    files = {name: (Verdict, data / "verdicts" / f"{name}.jsonl") for name in judged}
    cells = [f"{arm.data}-{arm.loss}-{seed}" for arm in arms(params) for seed in params.grid.seed]
    files |= {f"evaluate-{name}": (Evaluation, data / "evaluations" / f"{name}.jsonl") for name in ("base", *cells)}
    counts = {name: Counter(row.reason for row in read(*kind)) for name, kind in files.items()}
    rows = [(name, reason, count) for name, found in counts.items() for reason, count in sorted(found.items())]
    return pd.DataFrame(rows, columns=["of", "reason", "responses"])


def tidy_composition(shares: pd.DataFrame, solved: pd.DataFrame) -> pd.DataFrame:
    """Both frames as one: of, measure, value."""
    return pd.concat([shares.rename(columns={"source": "of"}), solved]).melt("of", var_name="measure").dropna()


def metrics(results: pd.DataFrame, shares: pd.DataFrame, ess: dict[str, float]) -> dict[str, dict[str, float]]:
    """What `dvc exp show` shows: few numbers, rounded to what a terminal and their intervals bear."""
    average = results[results["benchmark"] == AVERAGE]
    share = shares[shares["source"] != "all"]
    return {
        "accuracy": {arm: round(value, 1) for arm, value in zip(average["arm"], average["value"], strict=True)},
        "share": {source: round(value, 1) for source, value in zip(share["source"], share["share"], strict=True)},
        "ess": {data: round(value, 3) for data, value in ess.items()},
    }
