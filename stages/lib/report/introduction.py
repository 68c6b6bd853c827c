"""What a reader needs first: what was compared, the two numbers, the main caveat, and a glossary."""

from collections.abc import Iterator, Sequence

import pandas as pd

from stages.lib.analysis.accuracy import AVERAGE
from stages.lib.analysis.frames import Row, records, rows_where
from stages.lib.report.formatting import Table, interval
from stages.lib.report.sentences import direction, temperature_name
from stages.lib.run.params import Evaluate, Grid, Problems

ARMS = (
    ("base", "the policy before any training"),
    ("SFT, DFT", "trained on the expert's demonstrations with cross-entropy (sft), or with each token's loss weighted "
     "by its probability (dft)"),
    ("DR+SFT, DR+DFT", "trained on the rewritten set: DR is data rewriting"),
    ("rewritten", "of each problem a right sample of the policy (self), else a right response to the problem with the "
     "expert's solution shown (re-solved), else the expert's demonstration (kept, fallback)"),
)  # fmt: skip
CONTROLS = {
    "self": "the problems that a sample solved, alone",
    "no-guide": "a right sample, else the demonstration: rejection sampling without guided re-solving",
    "solved": "the demonstrations of the problems that a sample solved",
    "matched": "rewritten rows with the tokens of the expert's set",
    "answer-hint": "as rewritten, with the answer alone shown",
    "right-steps": "rewritten without the policy's rows that have a wrong step behind a right answer",
    "unfiltered": "the policy's first sample of every problem, right or wrong",
    "oracle": "the policy's own way, written by rule and always right",
}
BENCHMARKS = {
    "chain": "4 to 6 one-digit terms, as the training problems",
    "chain-short": "3 or 4 terms",
    "chain-words": "4 to 6 terms, the signs written as words",
    "chain-long": "7 or 8 terms",
    "chain-wide": "2 or 3 terms of two digits",
}
FIGURES = (
    ("p, −log p", "the probability of a token under the base, and its negative logarithm (nats): how surprising a text "
     "is to the policy"),
    ("b = 1", "the probability with which the author wrote a token is unknown and taken as 1, so that the importance "
     "weight w is p; where the policy wrote the text, r = p / b is known"),
    ("ESS/N", "the share of N tokens that they are worth under these weights: 1 is no gap; at 0.5 half are lost"),
    ("avg@n, pass@k, maj@n", "right responses (%); problems with a right one among k; problems whose most frequent "
     "answer of n is right"),
    ("ID, OOD", "benchmark problems drawn as the training problems are, or otherwise"),
)  # fmt: skip
TESTBED = (
    "Planted: the base slips in 55 % of its own steps below zero and in 3 % of the others; 30 % of its pre-training "
    "is retelling a shown solution, with 30 % slips below zero; 4 % of it is the expert's way. These shares were "
    "tuned while the experiment was built, so the size of the data effect is a choice: it shrinks as the expert's way "
    "gets more of the pre-training (docs/method.md)."
)


def compared(grid: Grid, evaluate: Evaluate, problems: Problems, benchmarks: Sequence[str]) -> list[str]:
    """What was compared, on what, and what an interval covers."""
    temperatures = ", ".join(temperature_name(value) for value in evaluate.temperatures)
    return [
        "A policy is fine-tuned on worked solutions of an expert. Where these are improbable under the policy, their "
        "gradients are noisy and what it could do is overwritten.",
        "The method rewrites the data before training: a right sample of the policy itself, else a right answer found "
        "with the expert's solution in view, else the expert's text.",
        f"Compared are {' and '.join(grid.data)} data under the losses {' and '.join(grid.loss)}, each trained with "
        f"{len(grid.seed)} {'order' if len(grid.seed) == 1 else 'orders'} of the rows, and the untrained base.",
        f"Measured on {len(benchmarks)} benchmarks ({', '.join(benchmarks)}), {evaluate.n} responses to a problem, "
        f"decoded at {temperatures}; at most {problems.n} training problems.",
    ]


def headline(effects: pd.DataFrame) -> Iterator[str]:
    """The two numbers, the data and the loss effect, at the highest temperature and at the lowest.

    effects: decoding_effects, at every temperature.
    """
    average = rows_where(effects, benchmark=AVERAGE, kind=["data", "loss"])
    for (kind, new, old), part in average.groupby(["kind", "new", "old"], sort=False):
        rows = sorted(records(part), key=lambda row: -row["temperature"])
        ends = [rows[0]] if len(rows) == 1 else [rows[0], rows[-1]]
        cells = " and ".join(f"{interval(row, 1)} ({temperature_name(row['temperature'])})" for row in ends)
        yield f"{new} − {old} ({kind}): {cells} points of average accuracy. {_verdict(ends)}"


def _verdict(rows: list[Row]) -> str:
    signs = [direction(row) for row in rows]
    if len(set(signs)) > 1:
        return "It depends on how responses are drawn."
    words = {1: "A gain", -1: "A loss", 0: "No effect is shown"}
    return f"{words[signs[0]]}{' at both' if len(rows) > 1 else ''}."


def caveat(testbed: bool) -> str:
    """The main caveat."""
    general = (
        "One base, one draw of the training data, one set of benchmarks: intervals cover problems and the order of the "
        "rows, nothing else."
    )
    if not testbed:
        return general
    return (
        f"{general} This is the embedded testbed, built so that the effect can be seen: its size is planted. {TESTBED}"
    )


def glossary(grid: Grid, benchmarks: Sequence[str]) -> Table:
    """A row a term."""
    rows = [list(row) for row in ARMS]
    rows += [[name, CONTROLS[name]] for name in grid.data if name in CONTROLS]
    rows += [[name, BENCHMARKS[name]] for name in benchmarks if name in BENCHMARKS]
    return Table(["term", "meaning"], [*rows, *(list(row) for row in FIGURES)])
