"""The arms of the experiment and what they are called, and the contrasts between them.

arm = Arm("rewritten", "dft"); arm.name     # "DR+DFT"
for contrast in contrasts(params.grid): contrast.kind, contrast.new, contrast.old, contrast.weights
"""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import combinations

from stages.lib.run.params import Grid

BASE = "base"
NAMES = {  # the four corners, as the paper calls them
    ("expert", "sft"): "SFT",
    ("expert", "dft"): "DFT",
    ("rewritten", "sft"): "DR+SFT",
    ("rewritten", "dft"): "DR+DFT",
}
FACTORS = ("data", "loss", "interaction")


@dataclass(frozen=True)
class Arm:
    """A data set and a loss; `name` is what tables and figures call it."""

    data: str
    loss: str

    @property
    def name(self) -> str:
        return NAMES.get((self.data, self.loss), f"{self.data}+{self.loss.upper()}")


@dataclass(frozen=True)
class Contrast:
    """A named difference: weights on arms that add up to 0.

    kind: "data" or "loss" (`new` and `old` are levels of that factor, the mean over the other one), "interaction" (the
    data effect new - old under the loss `by`, less that under the plain loss), "base" or "pair" (`new` and `old` are
    names of arms).
    """

    kind: str
    new: str
    old: str
    by: str
    weights: dict[str, float]


def arms(grid: Grid) -> list[Arm]:
    """In the paper's order: the data sets outside, the losses inside."""
    return [Arm(data, loss) for data in grid.data for loss in grid.loss]


def shown(names: list[str], most: int = 6) -> list[str]:
    """The arms that a figure has room for: all, or of many the paper's four."""
    return names if len(names) <= most else [name for name in names if name in {BASE, *NAMES.values()}] or names[:most]


def contrasts(grid: Grid, repeated: Set[str] = frozenset()) -> list[Contrast]:
    """The factor effects, each arm against the base, pairs of arms, in this order.

    repeated: arms whose policies answer as an earlier arm's do (`evaluations.repeated`). They count once: no contrast
    is of them alone, and no mean effect averages over them.
    """
    found = [*_factors(grid, repeated), *_against_base(grid), *_pairs(grid)]
    return [item for item in found if item.kind in FACTORS or not {item.new, item.old} & repeated]


def _factors(grid: Grid, repeated: Set[str]) -> Iterator[Contrast]:
    plain_data, plain_loss = _plain("expert", grid.data), _plain("sft", grid.loss)
    data = [name for name in grid.data if name != plain_data]
    losses = [name for name in grid.loss if name != plain_loss]
    for new in data:
        parts = [(Arm(new, loss), Arm(plain_data, loss)) for loss in grid.loss]
        parts = [(a, b) for a, b in parts if not {a.name, b.name} & repeated]
        if parts:
            yield Contrast("data", new, plain_data, "", _mean_difference(parts))
    for new in losses:
        parts = [(Arm(item, new), Arm(item, plain_loss)) for item in grid.data]
        parts = [(a, b) for a, b in parts if not {a.name, b.name} & repeated]
        if parts:
            yield Contrast("loss", new, plain_loss, "", _mean_difference(parts))
    for new in data:
        for loss in losses:
            signs = {(new, loss): 1.0, (new, plain_loss): -1.0, (plain_data, loss): -1.0, (plain_data, plain_loss): 1.0}
            weights = {Arm(*corner).name: sign for corner, sign in signs.items()}
            if Arm(new, loss).name not in repeated:
                yield Contrast("interaction", new, plain_data, loss, weights)


def _against_base(grid: Grid) -> Iterator[Contrast]:
    for arm in arms(grid):
        yield Contrast("base", arm.name, BASE, "", {arm.name: 1.0, BASE: -1.0})


def _pairs(grid: Grid) -> Iterator[Contrast]:
    for old, new in combinations(arms(grid), 2):
        if comparable(old, new):
            yield Contrast("pair", new.name, old.name, "", {new.name: 1.0, old.name: -1.0})


def comparable(a: Arm, b: Arm) -> bool:
    """Whether the two arms may be contrasted: they share a factor, or are corners of the paper's square."""
    return a.data == b.data or a.loss == b.loss or {(a.data, a.loss), (b.data, b.loss)} <= set(NAMES)


def _plain(wanted: str, names: Sequence[str]) -> str:
    return wanted if wanted in names else names[0]


def _mean_difference(pairs: list[tuple[Arm, Arm]]) -> dict[str, float]:
    return {arm.name: sign / len(pairs) for pair in pairs for arm, sign in zip(pair, (1.0, -1.0), strict=True)}
