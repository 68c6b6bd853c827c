"""Kill every stage again and again, start it again, and compare with a run that nobody touched.

    python tests/kills.py --kills 1 --stages sample,train --repro 1           # the short version, of .ci/run
    python tests/kills.py --kills 20 --json kills.json                        # the long one, every stage and dvc repro
    python tests/kills.py --from kills.json --report reports/reliability.md   # the report alone

The short version takes two minutes of processor time: five by the clock on two busy cores (load 5 to 7), a third of
these for dvc repro.

In a temporary clone and at a miniature of the params, the pipeline is run once undisturbed. Then each stage starts from
nothing and is stopped at random moments of its life, from the first import to the delivery of its outs: by SIGKILL to
its process group, by SIGTERM to its process, by Ctrl-C (SIGINT to the group); half of the times its outs are deleted
before it starts again, as DVC does. When it gets to its end, these must hold, or it is a fault:

- every file under data/, models/cells/ and reports/ has the bytes of the undisturbed run, and there are no others;
- .scratch/ holds the same names as after an undisturbed run;
- journal lines, parts and restart points that were on disk at a stop were neither lost nor made again: the files are
  watched while the stage works, and a journal that it shortens or replaces counts even if the same lines come back
  (one that it shortens in place and has filled again between two looks, 20 ms apart, goes unseen);
- after SIGTERM or Ctrl-C: one line, no traceback, status 143 or 130, no process left.

`dvc repro` is stopped likewise, also alone, so that the stage it had started lives on; it must end in the same files
and the same records in dvc.lock with nothing cleaned up by hand. DVC does not write dvc.lock at once: a stop that
empties it is counted, and dvc.lock taken back from git. A stage of a matrix is represented by one of its cells.
"""

import argparse
import contextlib
import hashlib
import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

import psutil
from dvc.repo import Repo
from ruamel.yaml import YAML

HERE = Path(__file__).parent.parent
sys.path[:0] = [str(HERE), str(HERE / "tests")]
import reliability  # noqa: E402

from presets.apply import applied  # noqa: E402

OUTPUTS = ("data", "models/cells", "reports")
SMALL = """
problems: {n: 48}
benchmarks: {n: 6}
grid: {seed: [0, 1]}
train: {batch_size: 4, probe_every: 4}
report: {resamples: 100}
hardware: {generation_batch: 4, checkpoint_every: 2}
"""
KILL, TERM, INT = signal.SIGKILL, signal.SIGTERM, signal.SIGINT
ALONE = "dvc alone"
POLL = 0.02  # seconds between two looks at a running stage


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
    mended: int = 0  # times that dvc.lock, cut short by a stop, had to be taken back from git
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Task:
    """A stage of dvc.yaml, its matrix filled in."""

    name: str
    command: str
    outs: list[Path]


def tasks(root: Path) -> list[Task]:
    """All stages of the root's dvc.yaml in an order that they can run in, as DVC reads them."""
    import networkx as nx

    graph = Repo(str(root)).index.graph
    stages = [stage for stage in nx.dfs_postorder_nodes(graph) if Path(stage.path) == root / "dvc.yaml"]
    return [Task(stage.name, stage.cmd, [Path(out.fs_path) for out in stage.outs]) for stage in stages]


# ------------------------------------------------------------------------------------------------ what is on disk


def tree(root: Path) -> dict[str, str]:
    """Every file where outputs belong, by path: a hash of its bytes."""
    files = (path for place in OUTPUTS for path in (root / place).rglob("*") if not path.is_dir())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def names(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in (root / ".scratch").rglob("*")}


@dataclass
class Finished:
    """The finished work in .scratch/: journal lines, parts (with the time they were written), training steps."""

    lines: dict[str, list[bytes]]
    parts: dict[str, int]
    steps: dict[str, float]  # of the newest restart point; infinite once the training has ended

    def __bool__(self) -> bool:
        return any(self.lines.values()) or bool(self.parts) or any(self.steps.values())


def finished(root: Path) -> Finished:
    scratch, work = root / ".scratch", Finished({}, {}, {})
    for path in (*scratch.glob("*.jsonl"), *scratch.glob("*.done")):
        work.lines[path.stem] = [line for line in path.read_bytes().splitlines(True) if line.endswith(b"\n")]
    for path in scratch.glob("*/*.parquet"):
        work.parts[str(path)] = path.stat().st_mtime_ns
    for folder in scratch.glob("train-*"):
        ended = (folder / "trained/complete").exists()
        work.steps[folder.name] = math.inf if ended else max(map(step, folder.glob("checkpoint-*/complete")), default=0)
    return work


def step(inside: Path) -> int:
    return int(inside.parent.name.split("-")[1])


class Watch:
    """The journals of .scratch/ as they are before a start: a stage that drops one and writes the same again is seen.

    Each is held open: renamed it stays the same file, and its inode is not given to another. Removed or replaced it
    has no name any more; shortened in place it is seen if it still is at a `look`.
    """

    def __init__(self, root: Path):
        self.files: dict[str, tuple[BinaryIO, list[int]]] = {}  # and where each whole line ends, in bytes
        self.least: dict[str, float] = {}  # the smallest size seen since
        for path in (*(root / ".scratch").glob("*.jsonl"), *(root / ".scratch").glob("*.done")):
            with contextlib.suppress(FileNotFoundError):  # of a stage that lives on and is delivering
                file = path.open("rb", buffering=0)
                whole = (len(line) for line in file.readall().splitlines(True) if line.endswith(b"\n"))
                self.files[path.stem], self.least[path.stem] = (file, list(accumulate(whole))), math.inf

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        for file, _ends in self.files.values():
            file.close()

    def look(self) -> None:
        for name, (file, _ends) in self.files.items():
            now = os.fstat(file.fileno())
            self.least[name] = min(self.least[name], now.st_size if now.st_nlink else 0)

    def dropped(self) -> dict[str, int]:
        """Per journal: the whole lines that were once not there any more."""
        return {name: sum(end > self.least[name] for end in ends) for name, (_file, ends) in self.files.items()}


def made_again(before: Finished, after: Finished, ended: "Ended") -> int:
    """How much of the work that was finished before a run was lost in it or made again."""
    lost = sum(
        len(lines) if after.lines.get(name, [])[: len(lines)] != lines else ended.dropped.get(name, 0)
        for name, lines in before.lines.items()
    )
    parts = sum(after.parts.get(name) != written for name, written in before.parts.items())
    steps = sum(name in ended.begun and ended.begun[name] <= done for name, done in before.steps.items())
    return lost + parts + steps


# ------------------------------------------------------------------------------------------------ processes


@dataclass
class Ended:
    """How a process ended: by itself or by a signal we sent."""

    status: int
    errors: str
    seconds: float
    begun: dict[str, int]  # per training: the first restart point it wrote
    dropped: dict[str, int]  # per journal: lines that were there when it started, and at some time were not
    stopped: bool  # it was at work when its stop was due


def start(command: str, root: Path, name: str, errors: Path) -> subprocess.Popen:
    """The command as DVC would start it, in a process group of its own."""
    environment = {**os.environ, "DVC_ROOT": str(root), "DVC_STAGE": name}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    if name == "dvc":
        del environment["DVC_ROOT"], environment["DVC_STAGE"]
    with errors.open("w") as file:
        return subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command}"],
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(INT, signal.default_int_handler),
        )


def run(command: str, root: Path, name: str, stop: Callable[[subprocess.Popen], None] | None, after: float) -> Ended:
    """Run a command; `after` seconds call `stop` if it is still at work."""
    errors = root.parent / "errors.txt"
    old = set((root / ".scratch").glob("train-*/checkpoint-*/complete"))
    with Watch(root) as watch:
        began, begun = time.monotonic(), {}
        process, stopped = start(command, root, name, errors), False
        while process.poll() is None:
            watch.look()
            for path in set((root / ".scratch").glob("train-*/checkpoint-*/complete")) - old:
                begun[path.parent.parent.name] = min(step(path), begun.get(path.parent.parent.name, step(path)))
            if stop and time.monotonic() - began >= after:
                stop(process)
                stop, stopped = None, True
            if time.monotonic() - began > 900:
                os.killpg(process.pid, KILL)
                raise SystemExit(f"{name} hangs:\n{errors.read_text(errors='replace')[-2000:]}")
            time.sleep(POLL)
        watch.look()
    seconds, said = time.monotonic() - began, errors.read_text(errors="replace")
    return Ended(process.returncode, said, seconds, begun, watch.dropped(), stopped)


def stopper(number: int) -> Callable[[subprocess.Popen], None]:
    """Sends the signal: to the process for SIGTERM, to the whole group for the others."""

    def send(process: subprocess.Popen) -> None:
        if number != KILL and not ready(process):
            return
        os.kill(process.pid, number) if number == TERM else os.killpg(process.pid, number)

    return send


def ready(process: subprocess.Popen) -> bool:
    """Wait until Python runs the stage's first line, which catches signals: before it the interpreter answers them."""
    while process.poll() is None:
        try:
            caught = next(x for x in Path(f"/proc/{process.pid}/status").read_text().splitlines() if "SigCgt" in x)
        except (OSError, StopIteration):
            return False
        if int(caught.split()[1], 16) >> (TERM - 1) & 1:
            return True
        time.sleep(0.01)
    return False


def left(root: Path) -> list[psutil.Process]:
    """Processes that still work in the clone."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and Path(process.cwd()).is_relative_to(root):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return [process for process in found if process.status() != psutil.STATUS_ZOMBIE]


def gone(root: Path, seconds: float = 10) -> list[str]:
    """The command lines of processes that live on after their stage; empty when all have ended in time."""
    until = time.monotonic() + seconds
    while (alive := left(root)) and time.monotonic() < until:
        time.sleep(0.05)
    return [" ".join(process.cmdline())[:80] for process in alive]


# ------------------------------------------------------------------------------------------------ stages


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


# ------------------------------------------------------------------------------------------------ dvc repro


def repro_trial(
    root: Path, whole: dict[str, str], lock: dict, targets: str, kills: int, life: float, rng: random.Random
) -> Tally:
    """Stop `dvc repro` on its way, by each kind of stop in turn, and start it again at once, with no word to DVC."""
    fresh(root)
    kinds = [ALONE, "SIGKILL", "SIGINT", "SIGTERM"]
    tally, command = Tally("dvc repro", round(life, 1), redone=None), f"dvc repro {targets}"
    waiting = [kinds[place % len(kinds)] for place in range(kills)]
    while waiting:
        kind = waiting.pop(0)
        ended = run(command, root, "dvc", lambda process, kind=kind: strike(process, kind), 2 + 14 * rng.random())
        if ended.status == 0:
            waiting.insert(0, kind)
            tally.ends += 1
            tally.faults += ended_in(root, whole, lock)
            fresh(root)
            continue
        if not ended.stopped:
            waiting.insert(0, kind)
            mend(tally, ended, root)
            continue
        tally.stops[kind] = tally.stops.get(kind, 0) + 1
        tally.amid += bool(finished(root))
        if kind == "SIGINT":
            tally.faults += [f"dvc repro: process left after Ctrl-C: {line}" for line in gone(root)]
        if "Traceback" in ended.errors:
            tally.faults.append(f"dvc repro: traceback after {kind}: {ended.errors[-300:]}")
    ended = run(command, root, "dvc", None, 0)
    if ended.status:
        mend(tally, ended, root)
        ended = run(command, root, "dvc", None, 0)
    tally.ends += 1
    tally.faults += [f"dvc repro failed: {ended.errors[-500:]}"] if ended.status else ended_in(root, whole, lock)
    return tally


def mend(tally: Tally, ended: Ended, root: Path) -> None:
    """Do what the README says where a stop cut dvc.lock short: DVC does not write it at once. All else is a fault."""
    if not re.search(r"dvc\.lock.*(validation failed|corrupted|invalid)", ended.errors):
        raise SystemExit(f"dvc repro failed: {ended.errors[-1000:]}")
    subprocess.run(["git", "checkout", "--quiet", "dvc.lock"], cwd=root, check=True)
    tally.mended += 1


def strike(process: subprocess.Popen, kind: str) -> None:
    """Stop dvc: alone by SIGKILL or SIGTERM, so that its stage lives on; or the group by SIGKILL or Ctrl-C."""
    if kind in (ALONE, "SIGTERM"):
        os.kill(process.pid, KILL if kind == ALONE else TERM)
    else:
        os.killpg(process.pid, KILL if kind == "SIGKILL" else INT)


def ended_in(root: Path, whole: dict[str, str], lock: dict) -> list[str]:
    wrong = [f"dvc repro: {line}" for line in differences(whole, tree(root))]
    now = recorded(root, lock)
    return wrong + [f"dvc repro: dvc.lock has another record of {name}" for name in lock if now.get(name) != lock[name]]


def recorded(root: Path, names: Iterable[str]) -> dict[str, Any]:
    """What dvc.lock says of the stages; it also holds cells that the miniature does not have."""
    found = YAML(typ="safe").load((root / "dvc.lock").read_text())["stages"]
    return {name: found.get(name) for name in names}


def fresh(root: Path) -> None:
    """As a new clone, with an empty cache."""
    for place in (*OUTPUTS, ".scratch", ".dvc/cache", ".dvc/tmp"):
        shutil.rmtree(root / place, ignore_errors=True)
    subprocess.run(["git", "checkout", "--quiet", "dvc.lock", "reports"], cwd=root, check=True)


# ------------------------------------------------------------------------------------------------ the whole


def clone(folder: Path) -> Path:
    """A clone with this working tree's changes, at the miniature's params."""
    root = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", str(HERE), str(root)], check=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--modified", "--others", "--exclude-standard"], cwd=HERE, check=True, text=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (HERE / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(HERE / name, root / name)
    params, preset = root / "params.yaml", root / "presets/ci.yaml"
    params.write_text(applied(applied(params.read_text(), preset.read_text()), SMALL))
    return root.resolve()


def chosen(all_tasks: list[Task], wanted: str) -> list[Task]:
    """One task per stage of dvc.yaml: of a matrix the last cell (the rewritten data)."""
    by_stage = {task.name.split("@")[0]: task for task in all_tasks}
    unknown = set(filter(None, wanted.split(","))) - by_stage.keys()
    if unknown:
        raise SystemExit(f"no such stage: {', '.join(sorted(unknown))}; there are {', '.join(by_stage)}")
    return [task for name, task in by_stage.items() if not wanted or name in wanted.split(",")]


def trials(options: argparse.Namespace, root: Path) -> list[Tally]:
    fresh(root)
    picked = chosen(tasks(root), options.stages)
    targets = "" if not options.stages else " ".join(task.name for task in picked)
    ended = run(f"dvc repro {targets}", root, "dvc", None, 0)
    if ended.status:
        raise SystemExit(f"the undisturbed run failed:\n{ended.errors[-3000:]}")
    whole, lock = tree(root), recorded(root, [task.name for task in (picked if options.stages else tasks(root))])
    print(f"undisturbed: {ended.seconds:.0f} s, {len(whole)} files", flush=True)
    found = []
    for task in picked:
        rng = random.Random(f"{options.seed}:{task.name}")
        stops = [KILL] * options.kills + [TERM, INT] * math.ceil(options.kills / 5)
        found.append(stage_trial(task, root, rng.sample(stops, len(stops)), rng))
        print(reliability.line(asdict(found[-1])), flush=True)
    if not options.stages or options.repro:
        kills = options.repro or options.kills
        found.append(
            repro_trial(root, whole, lock, targets, kills, ended.seconds, random.Random(f"{options.seed}:dvc"))
        )
        print(reliability.line(asdict(found[-1])), flush=True)
    return found


def measured(options: argparse.Namespace) -> dict:
    """Run the trials in a temporary clone; the figures, as they go into the report."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, check=True, text=True, capture_output=True
    )
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        began = time.monotonic()
        found = trials(options, clone(Path(folder)))
        for process in left(Path(folder).resolve()):
            process.kill()
    words = "python tests/kills.py " + " ".join(
        f"--{key} {value}" for key in ("kills", "stages", "repro", "seed") if (value := getattr(options, key))
    )
    minutes = round((time.monotonic() - began) / 60, 1)
    return {"commit": commit.stdout.strip(), "command": words, "minutes": minutes, "rows": list(map(asdict, found))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--kills", type=int, default=20, help="SIGKILLs per stage; a fifth as many of SIGTERM and Ctrl-C"
    )
    parser.add_argument("--repro", type=int, default=0, help="stops of dvc repro; as many as --kills without --stages")
    parser.add_argument(
        "--stages", default="", help="names separated by commas; all of dvc.yaml and dvc repro by default"
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument(
        "--from", type=Path, dest="earlier", help="take the figures of an earlier run instead of running"
    )
    parser.add_argument("--fuzz", type=Path, help="the figures of tests/fuzz.py, for the report")
    parser.add_argument("--report", type=Path, help="write the report here")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    figures = json.loads(options.earlier.read_text()) if options.earlier else measured(options)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    if options.report:
        fuzz = json.loads(options.fuzz.read_text()) if options.fuzz else {}
        options.report.write_text(reliability.report(figures, fuzz))
    faults = [fault for row in figures["rows"] for fault in row["faults"]]
    if faults or any(row["redone"] for row in figures["rows"]):
        sys.exit("\n".join(["error: not reliable", *faults]))


if __name__ == "__main__":
    main()
