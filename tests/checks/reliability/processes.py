"""Processes of a run: started as DVC starts them, watched, stopped, and looked for afterwards."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.checks.reliability.disk import Watch, step

KILL, TERM, INT = signal.SIGKILL, signal.SIGTERM, signal.SIGINT
POLL = 0.02  # seconds between two looks at a running stage


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
