"""Stop one stage again and again, and compare whenever it gets to its end."""

import random
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.checks.reliability.disk import Finished, finished, names, tree
from tests.checks.reliability.processes import KILL, Ended, gone, run, stopper
from tests.checks.reliability.project import Task


@dataclass
class Tally:
    """What was done to one stage, and what it did."""

    stage: str
    seconds: float  # of an undisturbed run
    stops: dict[str, int] = field(default_factory=dict)  # by signal
    amid: int = 0  # stops that found finished work on disk
    ends: int = 0  # times that it got to its end and was compared
    redone: int | None = (
        0  # lines, parts, restart points finished before a stop, and lost or made again; None: not measured
    )
    mended: int = 0  # files of DVC's that a stop cut short, repaired as docs/restarts.md says
    faults: list[str] = field(default_factory=list)


def stage_trial(task: Task, root: Path, stops: list[int], rng: random.Random) -> Tally:
    """Stop a stage by each of `stops`, at moments spread over its life, and compare whenever it gets to its end."""
    whole, kept = tree(root), keep(task, root)
    forget(task, root)
    life = run(task.command, root, task.name, None, 0).seconds
    tally, scratch = Tally(task.name, round(life, 1)), names(root)
    tally.faults += differences(whole, tree(root))
    waiting = list(zip(stops, moments(len(stops), life, rng), strict=True))
    forget(task, root)
    while waiting:
        number, after = waiting.pop()
        before = finished(root)
        ended = run(task.command, root, task.name, stopper(number), after)
        tally.redone += made_again(before, finished(root), ended)
        if ended.status == 0:  # it was faster than the stop, which comes again, earlier
            compare(tally, whole, scratch, root)
            forget(task, root)
            waiting.insert(0, (number, after * rng.random()))
            continue
        tally.stops[signal.Signals(number).name] = tally.stops.get(signal.Signals(number).name, 0) + 1
        tally.amid += bool(finished(root))
        tally.faults += [f"{task.name}: {what}" for what in unclean(number, ended, root)]
        if rng.random() < 0.5:
            remove(task.outs)
    before = finished(root)
    ended = run(task.command, root, task.name, None, 0)
    tally.redone += made_again(before, finished(root), ended)
    if ended.status:
        tally.faults.append(f"{task.name}: the restart failed: {ended.errors[-300:]}")
    compare(tally, whole, scratch, root)
    if tally.faults:
        restore(task, kept)
    return tally


def moments(count: int, life: float, rng: random.Random) -> list[float]:
    """Random moments of a life, one in each of `count` equal parts of it, in random order."""
    spread = [life * (place + rng.random()) / count for place in range(count)]
    return rng.sample(spread, count)


def compare(tally: Tally, whole: dict[str, str], scratch: set[str], root: Path) -> None:
    tally.ends += 1
    tally.faults += differences(whole, tree(root))
    tally.faults += [f"left in .scratch/: {name}" for name in sorted(names(root) - scratch)]


def differences(whole: dict[str, str], found: dict[str, str]) -> list[str]:
    other = [f"other bytes: {name}" for name in whole.keys() & found.keys() if whole[name] != found[name]]
    lost, more = whole.keys() - found.keys(), found.keys() - whole.keys()
    return sorted([*other, *(f"missing: {name}" for name in lost), *(f"left behind: {name}" for name in more)])


def unclean(number: int, ended: Ended, root: Path) -> Iterator[str]:
    """What is wrong with the way a stopped stage ended."""
    yield from (f"process left after {signal.Signals(number).name}: {line}" for line in gone(root))
    if number == KILL:
        return
    if ended.status not in (128 + number, -number):  # Python ends itself by SIGINT where exec() was interrupted
        yield f"status {ended.status} after {signal.Signals(number).name}: {ended.errors[-300:]}"
    lines = [line for line in ended.errors.replace("\r", "\n").splitlines() if "error" in line.lower()]
    if len(lines) != 1 or "same command" not in lines[0] or "Traceback" in ended.errors:
        yield f"after {signal.Signals(number).name} not one line but: {ended.errors[-300:]}"


def forget(task: Task, root: Path) -> None:
    """As if the stage had never run."""
    remove(task.outs)
    shutil.rmtree(root / ".scratch", ignore_errors=True)


def remove(paths: list[Path]) -> None:
    for path in paths:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def keep(task: Task, root: Path) -> list[Path]:
    """Copies of the outs, so that one stage's fault does not spoil the trials of the next."""
    folder = root.parent / "kept"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return [
        Path((shutil.copytree if out.is_dir() else shutil.copy)(out, folder / str(place)))
        for place, out in enumerate(task.outs)
    ]


def restore(task: Task, kept: list[Path]) -> None:
    remove(task.outs)
    for out, copy in zip(task.outs, kept, strict=True):
        shutil.copytree(copy, out) if copy.is_dir() else shutil.copy(copy, out)


def made_again(before: Finished, after: Finished, ended: "Ended") -> int:
    """How much of the work that was finished before a run was lost in it or made again."""
    lost = sum(
        len(lines) if after.lines.get(name, [])[: len(lines)] != lines else ended.dropped.get(name, 0)
        for name, lines in before.lines.items()
    )
    parts = sum(after.parts.get(name) != written for name, written in before.parts.items())
    steps = sum(name in ended.begun and ended.begun[name] <= done for name, done in before.steps.items())
    return lost + parts + steps
