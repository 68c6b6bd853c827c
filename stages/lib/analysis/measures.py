"""Measures of the answers to one benchmark: avg@n, pass@k, maj@n, lengths. Shares are in per cent."""

from math import comb

import numpy as np
from numpy.typing import NDArray

from stages.lib.analysis.evaluations import Answers

Array = NDArray[np.float64]
COUNTS = ("tokens", "distinct")  # measures that are no shares


def measures(answers: Answers) -> dict[str, Array]:
    """Each measure's table [S, P]. avg@n is pass@1 too; with one response there is no other k. distinct: how many of
    the n responses to a problem are different texts."""
    n = answers.correct.shape[-1]
    ks = [k for k in (2**i for i in range(1, 20)) if k < n] + [n] * (n > 1)
    return {
        f"avg@{n}": 100.0 * answers.correct.mean(-1),
        **{f"pass@{k}": 100.0 * pass_at(answers.correct, k) for k in ks},
        **{f"maj@{k}": 100.0 * majority_of(answers.classes, k) for k in (ks[1:] or [n])},
        "distinct": (answers.texts.max(-1) + 1).astype(np.float64),
        "tokens": answers.tokens.mean(-1),
        "cut off": 100.0 * answers.cut_off.mean(-1),
        "no answer": 100.0 * (answers.classes == -1).mean(-1),
    }


def pass_at(correct: NDArray[np.bool_], k: int) -> Array:
    """1 - C(n-c, k) / C(n, k), the unbiased pass@k of n responses of which c are right (Chen et al. 2021,
    arXiv 2107.03374). [..., n] -> [...]"""
    n = correct.shape[-1]
    table = np.array([1.0 - comb(n - c, k) / comb(n, k) for c in range(n + 1)])
    return table[correct.sum(-1)]


def majority_of(classes: NDArray[np.int64], k: int) -> Array:
    """maj@k from n responses: the mean over n // k groups of k, in their order, which is without bias. [..., n] ->
    [...]"""
    groups = classes.shape[-1] // k
    parts = classes[..., : groups * k].reshape(*classes.shape[:-1], groups, k)
    return majority(parts).mean(-1)


def majority(classes: NDArray[np.int64]) -> Array:
    """maj@n: whether the most frequent answer is right; a tie counts by the share of tied answers that are, as a
    fair coin would decide it. No answer is no vote. [..., n] -> [...]"""
    flat = classes.reshape(-1, classes.shape[-1])
    counts = np.stack([(flat == number).sum(-1) for number in range(flat.shape[-1] + 1)], axis=-1)
    top = counts.max(-1, keepdims=True)
    won = (counts == top) & (top > 0)
    score: Array = won[:, 0] / np.maximum(won.sum(-1), 1)
    return score.reshape(classes.shape[:-1])
