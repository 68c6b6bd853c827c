"""`dvc repro`, with the cells of the grid side by side where that is sure to change no byte: `make repro` runs this.

    python -m tools.side_by_side        # as many cells at once as there are cores, four at most
    python -m tools.side_by_side 1      # one after another: nothing but `dvc repro`

DVC runs one stage after another, but several `dvc repro` on stages that do not touch each other's outs may run in one
checkout: each does some of the cells, and waits for the others while DVC's own files are written. A last `dvc repro`
does what is left, and says what failed. Where `policy.deterministic` is false there is only that last one: a large
model fills the machine, and shares its threads and GPUs by `hardware` and LAUNCH.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from stages.lib.run.errors import StageError
from stages.lib.run.params import Evaluate, Grid, load

MOST = 4  # at once: DVC's own lock is waited for, and memory is shared
BEFORE = ("fallback-merge", "verify@expert")  # what every cell depends on
ALONGSIDE = "score"  # no cell depends on it, nor it on any; as evaluate-base, at each temperature


def main(wanted: list[str]) -> int:
    try:
        params = load()
        count = int(wanted[0]) if wanted else min(os.cpu_count() or 1, MOST)
        shares = (
            portions(params.grid, params.evaluate, count)
            if params.policy.deterministic and "LAUNCH" not in os.environ
            else []
        )
    except StageError:
        shares = []  # dvc repro says what is wrong
    if len(shares) > 1 and subprocess.call(["dvc", "repro", *BEFORE]) == 0:
        together(shares)
    return subprocess.call(["dvc", "repro"])


def portions(grid: Grid, evaluate: Evaluate, count: int) -> list[list[str]]:
    """The stages that may run side by side, in `count` shares of nearly the same work."""
    cells = [f"{data}-{loss}-{seed}" for data in grid.data for loss in grid.loss for seed in grid.seed]
    words = [f"{value:g}" for value in evaluate.temperatures]
    stages = {cell: [f"train@{cell}", *(f"evaluate@{cell}-{word}" for word in words)] for cell in cells}
    shares = [[stage for cell in cells[i::count] for stage in stages[cell]] for i in range(count)]
    for number, stage in enumerate((ALONGSIDE, *(f"evaluate-base@{word}" for word in words))):
        shares[-1 - number % count].insert(0, stage)  # the last shares have the fewest cells
    return shares


def together(shares: list[list[str]]) -> None:
    """One `dvc repro` a share, all at once, to their end; what one of them cannot do is left.

    Their progress bars would overwrite each other: standard error goes to .scratch/, the stages' lines are shown.
    """
    begun: list[subprocess.Popen] = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    Path(".scratch").mkdir(exist_ok=True)
    try:
        for number, stages in enumerate(shares, 1):
            command = ["dvc", "--wait-for-lock", "repro", "--single-item", "--quiet", *stages]
            with Path(f".scratch/side-by-side-{number}.txt").open("w", encoding="utf-8") as said:
                begun.append(subprocess.Popen(command, stderr=said))
        for process in begun:
            process.wait()
    finally:
        for process in begun:
            end(process)


def end(process: subprocess.Popen) -> None:
    """And the stage that it has started, which would outlive it."""
    with suppress(psutil.NoSuchProcess):
        own = psutil.Process(process.pid)
        for part in [*own.children(recursive=True), own]:
            part.terminate()
    process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
