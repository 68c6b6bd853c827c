"""Figures that the default grid does not draw: the ladder of data sets, and pass@k of many responses."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from stages.lib.analysis.accuracy import evaluation
from stages.lib.analysis.bootstrap import Draws
from stages.lib.analysis.evaluations import Answers
from stages.lib.report import control_sentences, figures
from stages.lib.run.params import Grid

RUNGS = ["no-guide", "rewritten", "right-steps"]
ARMS = {loss: [f"{rung}+{loss}" for rung in RUNGS] for loss in ("sft", "dft")}


def test_the_ladder_has_a_line_a_loss_and_the_base() -> None:
    names = ["base", *ARMS["sft"], *ARMS["dft"]]
    frame = pd.DataFrame({"arm": names, "value": range(50, 57), "low": range(48, 55), "high": range(52, 59)})
    figure = figures.ladder(frame, RUNGS, ARMS, "base")
    lines = [container.lines[0] for container in figure.axes[0].containers]
    assert [line.get_ydata().tolist() for line in lines] == [[51, 52, 53], [54, 55, 56]]
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == RUNGS
    plt.close(figure)


def test_pass_at_k_rises_from_the_mean_over_responses() -> None:
    rng = np.random.default_rng(0)
    correct = rng.random((1, 40, 16)) < 0.4
    zeros = np.zeros(correct.shape, int)
    answers = Answers([str(i) for i in range(40)], correct, np.where(correct, 0, 1), zeros, zeros, zeros.astype(bool))
    frame = evaluation({"base": {"b": answers}}, Draws(200, 0.95, 0))
    figure = figures.pass_at_k(frame[frame["benchmark"] == "average"])
    line = figure.axes[0].containers[0].lines[0]
    assert line.get_xdata().tolist() == [1, 2, 4, 8, 16]
    assert line.get_ydata()[0] == 100 * correct.mean() and (np.diff(line.get_ydata()) > 0).all()
    plt.close(figure)


def test_the_ladder_is_told_rung_by_rung() -> None:
    grid = Grid(data=["expert", "no-guide", "rewritten"], loss=["dft"], seed=[0])
    rows = [("no-guide+DFT", "DFT", 20.0, 0.001), ("DR+DFT", "no-guide+DFT", 3.0, 0.3)]
    same = {"kind": "pair", "by": "", "benchmark": "average"}
    frame = pd.DataFrame(
        [
            {**same, "new": new, "old": old, "value": v, "low": v - 1, "high": v + 1, "p_holm": p}
            for new, old, v, p in rows
        ]
    )
    [line] = control_sentences.ladder(frame, grid, 0.05)
    assert "expert → no-guide up (20.0" in line and "no-guide → rewritten not told apart (3.0" in line
