"""Where the rewritten rows come from, what was solved on the way, and which verdicts there were."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from stages.lib.analysis.arms import arms
from stages.lib.records import SOURCES, Cell, Evaluation, Merged, RecordError, Verdict, evaluation_name, read
from stages.lib.run.params import Grid, Resolve, Sample


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


def solved_rates(folder: Path, sample: Sample, resolve: Resolve) -> pd.DataFrame:
    """Per kind of response: how many problems and responses were judged, shares right and cut off, problems solved.

    The shares are of the first responses, those that every problem got whatever they say: further ones of adaptive
    sampling are responses to the harder problems. `first` says how many that are.
    """
    kinds = [("expert", "expert's demonstrations", 1), ("sample", "samples", sample.first)]
    kinds += [(f"resolve-{name}", f"re-solved, guide: {name}", resolve.first) for name in resolve.guides]
    rows = [[label, *_rates(list(read(Verdict, folder / f"{name}.jsonl")), first)] for name, label, first in kinds]
    return pd.DataFrame(rows, columns=["of", "problems", "responses", "first", "right", "cut off", "problems solved"])


def _rates(verdicts: list[Verdict], first: int) -> list[float]:
    solved, ids = {row.id for row in verdicts if row.correct}, {row.id for row in verdicts}
    every = [row for row in verdicts if row.index < first]
    counts = [sum(row.correct for row in every), sum(row.reason == "cut_off" for row in every)]
    shares = [100 * count / max(1, len(every)) for count in counts]
    return [len(ids), len(verdicts), first, *shares, 100 * len(solved) / max(1, len(ids))]


def verdict_reasons(data: Path, grid: Grid, guides: Sequence[str], temperatures: Sequence[float]) -> pd.DataFrame:
    """How many verdicts had which reason: of the demonstrations, the samples, the re-solved, every policy's answers."""
    counts: dict[str, Counter[str]] = {}
    for name in ("expert", "sample", *(f"resolve-{guide}" for guide in guides)):
        counts[name] = Counter(row.reason for row in read(Verdict, data / "verdicts" / f"{name}.jsonl"))
    cells = [Cell(arm.data, arm.loss, seed).name for arm in arms(grid) for seed in grid.seed]
    for name in (evaluation_name(cell, value) for cell in ("base", *cells) for value in temperatures):
        found = read(Evaluation, data / "evaluations" / f"{name}.jsonl")
        counts[f"evaluate-{name}"] = Counter(row.reason for row in found)
    rows = [(name, reason, count) for name, found in counts.items() for reason, count in sorted(found.items())]
    return pd.DataFrame(rows, columns=["of", "reason", "responses"])


def tidy_composition(shares: pd.DataFrame, solved: pd.DataFrame, flaws: pd.DataFrame | None = None) -> pd.DataFrame:
    """All frames as one: of, measure, value."""
    by_source = shares if flaws is None else shares.merge(flaws, on="source")
    return pd.concat([by_source.rename(columns={"source": "of"}), solved]).melt("of", var_name="measure").dropna()
