"""Arms that repeat another, orders of benchmarks, maj@k, and the words for effects at several temperatures."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from stages.lib.analysis.accuracy import by_difficulty
from stages.lib.analysis.arms import contrasts
from stages.lib.analysis.bootstrap import Draws
from stages.lib.analysis.effects import effects
from stages.lib.analysis.evaluations import Answers, repeated
from stages.lib.analysis.measures import majority, majority_of
from stages.lib.report import sentences
from stages.lib.run.params import Params


def answers(correct: np.ndarray, digest: str) -> Answers:
    zeros = np.zeros(correct.shape, int)
    ids = [str(i) for i in range(correct.shape[1])]
    return Answers(ids, correct, np.where(correct, 0, 1), zeros, zeros, zeros.astype(bool), digest)


def experiment(params: Params, twin: bool) -> tuple[dict, Params]:
    """expert+RATIO answers as DFT does where `twin`; else as a policy of its own."""
    params = replace(params, grid=replace(params.grid, data=["expert", "rewritten"], loss=["sft", "dft", "ratio"]))
    rng = np.random.default_rng(0)
    rate = {
        "base": 0.5,
        "SFT": 0.5,
        "DFT": 0.5,
        "expert+RATIO": 0.5,
        "DR+SFT": 0.7,
        "DR+DFT": 0.8,
        "rewritten+RATIO": 0.75,
    }
    found = {arm: {"b": answers(rng.random((2, 60, 4)) < p, arm)} for arm, p in rate.items()}
    if twin:
        found["expert+RATIO"] = found["DFT"]
    return found, params


def test_an_arm_that_repeats_another_counts_once(params: Params) -> None:
    found, params = experiment(params, twin=True)
    assert repeated(found) == {"expert+RATIO"}
    frame = effects(found, params.grid, Draws(200, 0.95, 0))
    assert "expert+RATIO" not in set(frame["new"]) | set(frame["old"])
    ratio = next(
        item for item in contrasts(params.grid, {"expert+RATIO"}) if (item.kind, item.new) == ("loss", "ratio")
    )
    assert ratio.weights == {"rewritten+RATIO": 1.0, "DR+SFT": -1.0}, "its mean is over the data sets where it differs"
    apart, params = experiment(params, twin=False)
    assert not repeated(apart) and "expert+RATIO" in set(effects(apart, params.grid, Draws(200, 0.95, 0))["new"])


def test_benchmarks_stand_by_difficulty_those_in_distribution_first() -> None:
    base = {name: answers(np.arange(20).reshape(1, 10, 2) < 20 * p, name) for name, p in
            {"hard": 0.2, "own": 0.4, "easy": 0.9}.items()}  # fmt: skip
    assert by_difficulty({"base": base}, ["own"]) == ["own", "easy", "hard"]
    assert by_difficulty({"base": base}, []) == ["easy", "own", "hard"]


def test_majority_of_k_is_the_mean_over_groups() -> None:
    """Over all orders of the responses it is the mean over all subsets of k."""
    classes = np.array([0, 0, 1, 2])
    orders = np.array(list(itertools.permutations(classes)))
    subsets = np.array(list(itertools.combinations(classes, 2)))
    assert majority_of(orders, 2).mean() == pytest.approx(majority(subsets).mean())
    assert majority_of(orders, 4).mean() == pytest.approx(majority(classes[None])[0])


@pytest.mark.parametrize(
    ("lows", "highs", "words"),
    [
        ((1, 2), (5, 6), "is a gain at every temperature"),
        ((-5, -6), (-1, -2), "is a loss at every temperature"),
        ((1, -2), (5, 2), "is a gain at some temperatures only and depends on decoding"),
        ((-2, -5), (2, -1), "is a loss at some temperatures only and depends on decoding"),
        ((1, -5), (5, -1), "changes its sign with the temperature"),
        ((-1, -2), (1, 2), "is not shown at any temperature"),
    ],
)
def test_an_effect_at_two_temperatures_has_words_for_each_outcome(lows: tuple, highs: tuple, words: str) -> None:
    rows = [
        {"temperature": t, "kind": "loss", "new": "dft", "old": "sft", "by": "", "benchmark": "average",
         "value": (low + high) / 2, "low": low, "high": high}
        for t, low, high in zip((1.0, 0.0), lows, highs, strict=True)
    ]  # fmt: skip
    [line] = sentences.across_temperatures(pd.DataFrame(rows))
    assert words in line and "temperature 1: " in line and "greedy: " in line


@pytest.mark.parametrize(("low", "high", "words"), [(-9, -3, "Forgetting: "), (-3, 9, "No arm is shown to be worse")])
def test_what_was_forgotten_is_said_either_way(low: float, high: float, words: str) -> None:
    frame = pd.DataFrame([{"kind": "base", "new": "SFT", "old": "base", "by": "", "benchmark": "far", "value": -6.0,
                           "low": low, "high": high}])  # fmt: skip
    line = sentences.forgetting(frame, ["near"])
    assert words in line and ("out of distribution" in line) == (high < 0)
