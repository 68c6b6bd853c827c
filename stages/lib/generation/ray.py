"""Data parallelism over a Ray cluster: Ray Data deals batches to `hardware.engines` engines, which are actors.

RAY_ADDRESS names the cluster. All its nodes need the same file system at the same path and the same packages. Without
RAY_ADDRESS, Ray starts on this machine and ends with the stage. Tensor parallelism stays within a node.
"""

import atexit
import importlib.util
import json
import logging
import os
import signal
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from stages.lib.generation.engine import OneEngine, Request, assign, in_order
from stages.lib.generation.processes import Reply, attempt, value_of
from stages.lib.generation.ray_task import drive
from stages.lib.policy import PolicyError
from stages.lib.records import Rollout
from stages.lib.run.params import Decoding, Hardware, Policy

CODE = Path(__file__).resolve().parents[3]
STORE = 512 << 20  # bytes of a local Ray's object store; what does not fit goes to disk


class RayEngine:
    """Ray Data over engines that stay open between calls; the rows are those of one engine, in the same order."""

    def __init__(self, engine_class: type[OneEngine], policy: Policy, hardware: Hardware):
        """Each actor opens an `engine_class`; StageError where one cannot, or the cluster is too small."""
        import ray

        remote: Any = ray.remote
        actor = remote(**resources(hardware.engines, engine_class.gpus(hardware)))(Actor)
        nodes = sum(node["Alive"] for node in ray.nodes())
        each = replace(hardware, engines=-(-hardware.engines // nodes))  # those that share a machine's cores
        self.engines = [actor.remote(engine_class, policy, each, os.getcwd()) for _ in range(hardware.engines)]
        try:
            facts = [value_of(reply) for reply in ray.get([engine.facts.remote() for engine in self.engines])]
        except ray.exceptions.RayActorError as error:
            facts = [value_of(("ended", type(error).__name__))]
        self.each, self.batch = facts[0]
        self.chunk = hardware.engines * self.each

    def generate(self, requests: Sequence[Request], decoding: Decoding, seed: int) -> list[Rollout]:
        """One rollout per request, in their order; StageError if an engine refuses or ends."""
        import ray.data

        portions = assign(requests, self.each, self.batch, len(self.engines))
        if not portions:
            return []
        words = {field.name: getattr(decoding, field.name) for field in fields(Decoding)}
        jobs = [
            {"portion": number, "job": json.dumps([[vars(requests[place]) for place in places], words, seed])}
            for number, places in enumerate(portions)
        ]
        replies = ray.data.from_items(jobs, override_num_blocks=len(jobs)).map_batches(
            drive,  # type: ignore[arg-type]  # Ray's own type of a function on batches names none of its arguments
            fn_kwargs={"engines": self.engines},
            batch_size=1,
            num_cpus=0,  # it waits; the engines have the processors
            concurrency=min(len(self.engines), len(jobs)),
        )
        return in_order((portions[row["portion"]], rows_of(json.loads(row["reply"]))) for row in replies.iter_rows())


def rows_of(reply: Reply) -> list[Rollout]:
    return [Rollout(**row) for row in value_of(reply)]


class Actor:
    """One engine in a Ray actor. Ray sets CUDA_VISIBLE_DEVICES."""

    def __init__(self, engine_class: type[OneEngine], policy: Policy, hardware: Hardware, folder: str):
        os.chdir(folder)
        self.opened = attempt(engine_class, policy, hardware)

    def facts(self) -> Reply:
        return attempt(self._facts)

    def _facts(self) -> tuple[int, int | None]:
        engine = value_of(self.opened)
        return engine.chunk, engine.batch

    def generate(self, job: str) -> str:
        """The reply to [requests, decoding, seed], both in JSON."""
        return json.dumps(attempt(self._generate, *json.loads(job)))

    def _generate(self, requests: list[dict], decoding: dict, seed: int) -> list[dict]:
        asked = [Request(**request) for request in requests]
        return [vars(row) for row in value_of(self.opened).generate(asked, Decoding(**decoding), seed)]


def connect(engines: int) -> float:
    """Join the cluster that RAY_ADDRESS names, or start Ray here; returns the number of its GPUs.

    Raises:
        PolicyError: Ray is not installed, or the cluster cannot be reached.
    """
    if importlib.util.find_spec("ray") is None:
        raise PolicyError("hardware.ray is true, but Ray is not installed: pip install -r requirements.txt")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    import ray.data

    if not ray.is_initialized():
        terminated = signal.getsignal(signal.SIGTERM)  # Ray puts its own in place
        try:
            ray.init(**options(engines))
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise PolicyError(f"RAY_ADDRESS {os.environ.get('RAY_ADDRESS')}: Ray does not start: {error}") from None
        signal.signal(signal.SIGTERM, terminated)
        atexit.register(ray.shutdown)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray.cluster_resources().get("GPU", 0.0)


def options(engines: int) -> dict[str, Any]:
    """Arguments of ray.init: workers find this code and the repository's root; no dashboard, no chatter."""
    paths = os.pathsep.join(filter(None, [str(CODE), os.environ.get("PYTHONPATH", "")]))
    variables = {"PYTHONPATH": paths, "DVC_ROOT": os.environ.get("DVC_ROOT", os.getcwd())}
    common = {"runtime_env": {"env_vars": variables}, "logging_level": logging.ERROR, "log_to_driver": False}
    if os.environ.get("RAY_ADDRESS"):
        return common
    return {
        **common,
        "address": "local",
        "num_cpus": engines,
        "include_dashboard": False,
        "object_store_memory": STORE,
    }


def resources(engines: int, gpus: int) -> dict[str, int]:
    """The resources that each engine reserves: its GPUs, or one processor if the cluster has no GPU.

    Raises:
        PolicyError: the cluster is too small; Ray would wait forever.
    """
    import ray

    what, each = ("GPU", gpus) if ray.cluster_resources().get("GPU") else ("CPU", 1)
    there = ray.cluster_resources().get(what, 0)
    if there < engines * each:
        raise PolicyError(
            f"hardware.engines {engines} of {each} {what}s each need {engines * each}; Ray's cluster has {there:g}"
        )
    return {"num_gpus": each, "num_cpus": 0} if what == "GPU" else {"num_cpus": 1}
