"""Data parallelism on one machine: `hardware.engines` engines, each in its own process with its own GPUs.

The processes are spawned, so the calling script needs `if __name__ == "__main__"`. Each process leads a process group
that holds its children. The parent kills the group on close(); a watcher thread kills it if the parent dies. With
`hardware.threads` 0 on more than four cores, N engines share the threads of one, and sums over a different number of
threads differ in their last bits.

A local Ray gives the same bytes (ray.py), but took 31 s to its first task on two busy cores, and it is a server with
open ports. That is too much for two engines in the test suite or on one machine.
"""

import atexit
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from stages.lib.generation.engine import OneEngine, Request, assign, in_order
from stages.lib.policy import PolicyError, gpu_count
from stages.lib.records import Rollout
from stages.lib.run.errors import StageError
from stages.lib.run.params import Decoding, Hardware, Policy

Reply = tuple[str, Any]  # ("done", value) | ("refused", StageError line) | ("failed", traceback) | ("ended", reason)


class ParallelEngine:
    """Deals batches to engines in processes; the rows are those of one engine, in the same order."""

    def __init__(self, engine_class: type[OneEngine], policy: Policy, hardware: Hardware):
        """`engine_class` is the engine that each process opens; StageError where one cannot."""
        self.workers: list[Worker] = []
        atexit.register(self.close)  # multiprocessing's own clean-up would wait for the processes to end
        shares = device_shares(hardware.engines, engine_class.gpus(hardware))
        try:
            self.workers.extend(Worker(engine_class, policy, hardware, share) for share in shares)
            self.each, self.batch = [worker.reply() for worker in self.workers][-1]
        except BaseException:
            self.close()
            raise
        self.chunk = hardware.engines * self.each

    def generate(self, requests: Sequence[Request], decoding: Decoding, seed: int) -> list[Rollout]:
        """One rollout per request, in their order; a StageError where an engine refuses or ends."""
        portions = assign(requests, self.each, self.batch, len(self.workers))
        try:
            return in_order(self._run(requests, portions, decoding, seed))
        except BaseException:
            self.close()
            raise

    def _run(
        self, requests: Sequence[Request], portions: list[Sequence[int]], decoding: Decoding, seed: int
    ) -> Iterator[tuple[Sequence[int], list[Rollout]]]:
        """Each portion with its rows, in the order in which they finish."""
        portions, idle = portions[::-1], list(self.workers)
        busy: dict[Worker, Sequence[int]] = {}
        while portions or busy:
            while portions and idle:
                worker = idle.pop(0)
                busy[worker] = portions.pop()
                worker.ask([requests[place] for place in busy[worker]], decoding, seed)
            for worker in ready(list(busy)):
                yield busy.pop(worker), worker.reply()
                idle.append(worker)

    def close(self) -> None:
        """Kill the processes and their children."""
        for worker in self.workers:
            worker.kill()
        self.workers = []
        atexit.unregister(self.close)


class Worker:
    """One engine in its own process."""

    def __init__(self, engine_class: type[OneEngine], policy: Policy, hardware: Hardware, devices: list[str]):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=serve, args=(theirs, engine_class, policy, hardware, devices, os.getpid())
        )
        self.process.start()
        theirs.close()

    def ask(self, *job: Any) -> None:
        """Hand over a job; if the process is gone, the next `reply` raises."""
        with suppress(OSError):
            self.pipe.send(job)

    def reply(self) -> Any:
        """The next reply's value; StageError if the engine refused or its process ended."""
        while not self.pipe.poll(1.0):
            if not self.process.is_alive() and not self.pipe.poll():
                break
        try:
            return value_of(self.pipe.recv())
        except (EOFError, OSError):
            self.process.join()
            return value_of(("ended", f"exit status {self.process.exitcode}"))

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            if self.process.pid:  # 0 would be this process's own group
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()  # it may not lead its group yet
        self.process.join()
        self.pipe.close()


def ready(workers: list[Worker]) -> list[Worker]:
    """Workers that have replied or ended. A dead worker's child may hold its pipe open, so the process is checked."""
    while True:
        heard = wait([worker.pipe for worker in workers], timeout=1.0)
        found = [worker for worker in workers if worker.pipe in heard or not worker.process.is_alive()]
        if found:
            return found


def serve(
    pipe: Connection, engine_class: type[OneEngine], policy: Policy, hardware: Hardware, devices: list[str], parent: int
) -> None:
    """The main function of a process: open the engine on its devices, then answer jobs."""
    os.setpgid(0, 0)
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()
    if devices:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(devices)  # before torch looks for GPUs
    opened: list[OneEngine] = []

    def facts() -> tuple[int, int | None]:
        engine = engine_class(policy, hardware)
        opened.append(engine)
        return engine.chunk, engine.batch

    pipe.send(attempt(facts))
    with suppress(EOFError):
        while opened:
            pipe.send(attempt(opened[0].generate, *pipe.recv()))


def end_with(parent: int) -> None:
    """Kill this process and its children once the parent is gone."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os.killpg(0, signal.SIGKILL)


def attempt(function: Callable[..., Any], *args: Any) -> Reply:
    """The result or error of a call, in a form that can be sent."""
    try:
        return "done", function(*args)
    except StageError as error:
        return "refused", str(error)
    except Exception:
        return "failed", traceback.format_exc()


def value_of(reply: Reply) -> Any:
    """The value of a reply; raises the error of one that holds an error."""
    what, content = reply
    if what == "refused":
        raise PolicyError(content)
    if what == "ended":
        raise PolicyError(
            f"an engine's process ended ({content}), killed from outside or for want of memory: lower hardware.engines "
            "or hardware.generation_batch; the same command goes on from what is in .scratch/"
        )
    if what == "failed":
        raise RuntimeError(f"an engine failed:\n{content}")
    return content


def device_shares(engines: int, each: int) -> list[list[str]]:
    """The GPUs of each engine: `each` of the visible ones, or none if the machine has none.

    Raises:
        PolicyError: fewer GPUs than the engines need.
    """
    count = gpu_count()
    if not count:
        return [[] for _ in range(engines)]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",")[:count] if visible else [str(number) for number in range(count)]
    if len(names) < engines * each:
        raise PolicyError(
            f"hardware.engines {engines} of {each} GPUs each (hardware.tensor_parallel) need {engines * each}; "
            f"{len(names)} are visible"
        )
    return [names[number * each : (number + 1) * each] for number in range(engines)]
