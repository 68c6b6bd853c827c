"""Worker processes for the slow path: started when first needed, killed from outside, replaced when they end.

    with Workers(2) as workers:
        workers.ask("x", "y", seconds=5.0)      # "equal" | "different" | "unparsed" | "timeout" | "crashed"

Each thread that asks owns one process and speaks JSON lines with it, so nothing of a response is ever unpickled, no
method of starting processes is presumed of the calling program, and a worker that dies costs its own verdict only.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import IO

DECIMALS = 10  # decimals in which two numbers have to agree, where a question asks for no fewer
_ROOT = Path(__file__).resolve().parents[3]
_START = 180.0  # seconds that a worker may take to import its libraries
_WALL = 6.0  # wall-clock seconds granted per second of processor time, before the parent kills
_TASKS = 2_000  # tasks after which a worker is replaced: sympy's caches grow


class Workers:
    """At most `count` processes, at work on the tasks of as many threads."""

    def __init__(self, count: int):
        self.count = max(1, count)
        self.local = threading.local()
        self.lock = threading.Lock()
        self.all: list[_Worker] = []
        self.closed = False
        self.threads = ThreadPoolExecutor(self.count, "answers")

    def submit(self, reference: str, got: str, seconds: float, decimals: int = DECIMALS) -> "Future[str]":
        """Queue a comparison; the future's result is one of the words above."""
        return self.threads.submit(self._ask, reference, got, seconds, decimals)

    def ask(self, reference: str, got: str, seconds: float, decimals: int = DECIMALS) -> str:
        """Compare and wait."""
        return self.submit(reference, got, seconds, decimals).result()

    def _ask(self, reference: str, got: str, seconds: float, decimals: int) -> str:
        worker = getattr(self.local, "worker", None)
        if worker is None:
            worker = self.local.worker = _Worker()
            with self.lock:
                self.all.append(worker)
        word = worker.ask(reference, got, seconds, decimals)
        if word == "killed" and not self.closed:  # a verdict does not hang on who was in the way: once more
            word = worker.ask(reference, got, seconds, decimals)
        return "crashed" if word == "killed" else word

    def close(self) -> None:
        """End all processes; tasks not yet begun are dropped."""
        self.closed = True
        self.threads.shutdown(wait=False, cancel_futures=True)
        with self.lock:
            for worker in self.all:
                worker.kill()

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class _Worker:
    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.tasks = 0

    def ask(self, reference: str, got: str, seconds: float, decimals: int) -> str:
        process = self.running()
        self.tasks += 1
        task = json.dumps({"reference": reference, "got": got, "seconds": seconds, "decimals": decimals}) + "\n"
        tasks, _ = _pipes(process)
        try:
            tasks.write(task.encode())
            tasks.flush()
            reply = _line(process, seconds * _WALL + 10)
        except (OSError, ValueError):  # the process ended, or `close` took its pipes away
            reply = None
        return reply if reply is not None else self.ended(process)

    def running(self) -> "subprocess.Popen[bytes]":
        if self.process is None or self.process.poll() is not None or self.tasks >= _TASKS:
            self.kill()
            self.process = self.started()
            self.tasks = 0
            if _line(self.process, _START) != "ready":
                self.kill()
                raise RuntimeError("the verifier's worker did not start; is math-verify installed (requirements.txt)?")
        return self.process

    def started(self) -> "subprocess.Popen[bytes]":
        paths = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "stages.lib.verifier.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )

    def ended(self, process: "subprocess.Popen[bytes]") -> str:
        """What became of a task whose worker gave no reply: "timeout", "killed" (from outside) or "crashed"."""
        try:
            code = process.wait(0.5)
        except subprocess.TimeoutExpired:
            code = None
        self.kill()
        if code in (-signal.SIGKILL, -signal.SIGTERM):
            return "killed"
        return "timeout" if code in (None, -signal.SIGPROF) else "crashed"

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for pipe in _pipes(self.process):
                pipe.close()
            self.process = None


def _pipes(process: "subprocess.Popen[bytes]") -> tuple[IO[bytes], IO[bytes]]:
    """The ends of a worker's stdin and stdout."""
    assert process.stdin is not None and process.stdout is not None
    return process.stdin, process.stdout


def _line(process: "subprocess.Popen[bytes]", seconds: float) -> str | None:
    """The next reply, or None when the process ended or the wall clock ran out."""
    _, replies = _pipes(process)
    ready, _, _ = select.select([replies], [], [], seconds)
    reply = replies.readline() if ready else b""
    return json.loads(reply) if reply.endswith(b"\n") else None
