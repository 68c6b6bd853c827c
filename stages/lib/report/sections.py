"""The parts of the page, each a dictionary of the template's variables."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from stages.lib.analysis import gap_vs_gain
from stages.lib.analysis.accuracy import AVERAGE
from stages.lib.analysis.composition import solved_rates
from stages.lib.analysis.frames import read_csv, rows_where
from stages.lib.records import Merged, read_problems
from stages.lib.report import control_sentences, gap_sentences, introduction, notes, page, sentences, tables
from stages.lib.run.params import Params

Frames = Mapping[str, pd.DataFrame]
Section = dict[str, Any]


def opening(frames: Frames, params: Params) -> Section:
    """What was compared, the two numbers, the caveat, the glossary."""
    benchmarks = [name for name in frames["accuracy"]["benchmark"].unique() if name != AVERAGE]
    testbed = params.problems.source == "testbed"
    return {
        "compared": introduction.compared(params.grid, params.evaluate, params.problems, benchmarks),
        "headline": list(introduction.headline(frames["decoding_effects"])),
        "caveat": introduction.caveat(testbed),
        "glossary": introduction.glossary(params.grid, benchmarks),
    }


def accuracies(frames: Frames, folder: Path, sizes: Mapping[str, int], params: Params) -> Section:
    """Accuracy, decoding, effects, controls, the arms against the base."""
    effects, results, own = frames["effects"], frames["accuracy"], params.report.in_distribution
    main_effects, pairs = tables.effects(effects)
    level = 1 - params.report.confidence
    return {
        "results": tables.results(results, own),
        "accuracy_note": notes.accuracy_note(params.evaluate, params.report, len(params.grid.seed)),
        "decoding_findings": list(sentences.across_temperatures(frames["decoding_effects"])),
        "decoding": tables.decoding(frames["decoding"]),
        "decoding_effects": tables.decoding_effects(frames["decoding_effects"]),
        "decoding_note": notes.DECODING_NOTE,
        "effect_findings": sentences.factors(effects),
        "effects": main_effects,
        "pairs": pairs,
        "effects_note": notes.effects_note(params.evaluate, params.report),
        "base_findings": list(sentences.against_base(effects, results)),
        "forgetting": list(sentences.forgetting_by_temperature(frames["decoding_effects"], own)),
        "base_table": tables.against_base(effects, own),
        "measures": tables.measures(read_csv(folder / "evaluation.csv")),
        "controls": control_sentences.controls(effects, params.grid, sizes, level),
        "ladder_findings": list(control_sentences.ladder(effects, params.grid, level)),
    }


def rewritten_data(data: Path, merged: Mapping[str, Merged], frames: Frames, params: Params) -> Section:
    """Where the rewritten rows come from, how sound they are, and in whose way the arms solve."""
    problems = {row.id: row for row in read_problems(data / "problems.jsonl")}
    checked = params.verify.steps != "none"
    flaws = frames["flaws"] if checked else None
    shares = frames["shares"]
    return {
        "token_finding": gap_sentences.tokens(shares),
        "soundness_findings": [gap_sentences.soundness(flaws), gap_sentences.mixture(flaws)]
        if flaws is not None
        else [],
        "composition": tables.composition(shares, flaws),
        "solved": tables.solved(solved_rates(data / "verdicts", params.sample, params.resolve)),
        "composition_note": notes.COMPOSITION_NOTE,
        "counts": page.counts(data / "counts"),
        "ways": tables.ways(frames["ways"]) if checked else None,
        "ways_note": notes.WAYS_NOTE,
        "examples": page.examples(data, merged, problems, params.report.examples, params.verify),
    }


def gap(table: pd.DataFrame, frames: Frames, params: Params) -> Section:
    """The gap before training."""
    return {
        "gap_findings": gap_sentences.gap(table, frames["paired"], frames["shares"]),
        "gap_all": tables.gap_all(table),
        "gap_sources": tables.gap_sources(table),
        "gap_known": tables.gap_known(table),
        "gap_paired": tables.gap_paired(frames["paired"]),
        "gap_note": notes.gap_note(params.report),
    }


def along_training(frames: Frames, params: Params) -> Section:
    """The curves, and gap against gain."""
    scale = gap_vs_gain.scale(params.sample)
    return {
        "training_findings": gap_sentences.training(frames["training"]),
        "gain_findings": [gap_sentences.solved(frames["solved"], scale), gap_sentences.gain(frames["correlation"])],
        "correlations": tables.correlations(frames["correlation"]),
    }


def average(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the average over benchmarks."""
    return rows_where(frame, benchmark=AVERAGE)
