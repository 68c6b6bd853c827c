"""Every accuracy and effect at every temperature of evaluate.temperatures: is a result one of the policy or of how its
responses are drawn?"""

import pandas as pd

from stages.lib.analysis.accuracy import results
from stages.lib.analysis.bootstrap import Draws
from stages.lib.analysis.effects import effects
from stages.lib.analysis.evaluations import AllAnswers
from stages.lib.run.params import Grid

ByTemperature = dict[float, AllAnswers]


def accuracies(answers: ByTemperature, draws: Draws) -> pd.DataFrame:
    """temperature, arm, benchmark, value, low, high; accuracies in per cent."""
    frames = [results(item, draws).assign(temperature=value) for value, item in sorted(answers.items())]
    return _temperature_first(pd.concat(frames, ignore_index=True))


def all_effects(answers: ByTemperature, grid: Grid, draws: Draws) -> pd.DataFrame:
    """temperature and the columns of `effects`."""
    frames = [effects(item, grid, draws).assign(temperature=value) for value, item in sorted(answers.items())]
    return _temperature_first(pd.concat(frames, ignore_index=True))


def _temperature_first(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[["temperature", *(name for name in frame if name != "temperature")]]
