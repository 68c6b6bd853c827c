"""Opens engines and draws responses into a journal.

    kept = fitting(prompts, params.sample, context_window(params.policy))          # before any weights are loaded
    engine = open_engine("auto", params.policy, params.hardware)
    rollouts(journal, requests_for(kept, n=4), engine, params.sample, seed=0)   # one row per request, in their order

engine.py defines the interface of an engine and the random stream of each request.
"""

import importlib.util
import math
from collections.abc import Sequence

from tqdm import tqdm

from stages.lib.generation import ray
from stages.lib.generation.engine import Engine, Request, chunks, requests_for
from stages.lib.generation.hf import TransformersEngine
from stages.lib.generation.processes import ParallelEngine
from stages.lib.generation.vllm import VllmEngine
from stages.lib.policy import PolicyError, gpu_count
from stages.lib.records import dumps
from stages.lib.run.errors import StageError
from stages.lib.run.journal import Journal
from stages.lib.run.params import Decoding, Hardware, Policy

__all__ = ["Engine", "Request", "chunks", "fitting", "open_engine", "requests_for", "rollouts"]


def fitting(
    prompts: Sequence[tuple[str, list[int]]], decoding: Decoding, context: int | None
) -> list[tuple[str, list[int]]]:
    """The prompts that leave room for a response of `max_new_tokens` in the context window.

    Longer ones are left out: one problem must not stop a run over fifty thousand.

    Raises:
        StageError: no prompt fits.
    """
    room = (context or math.inf) - decoding.max_new_tokens
    kept = [prompt for prompt in prompts if len(prompt[1]) <= room]
    if not kept and prompts:
        raise StageError(
            f"no prompt fits: the shortest has {min(len(ids) for _, ids in prompts)} tokens, and max_new_tokens "
            f"{decoding.max_new_tokens} leaves {room} of the context window; lower max_new_tokens"
        )
    return kept


def open_engine(name: str, policy: Policy, hardware: Hardware) -> Engine:
    """The engine by name; "auto" is vLLM if there is a GPU, else transformers.

    `hardware` says how many engines run at once, on this machine or in a Ray cluster. vLLM always has its own process,
    even a single engine: the process that holds the GPU then ends with the stage, however that ends.

    Raises:
        PolicyError: the policy cannot be loaded, vLLM or Ray is named but not installed, or there are too few GPUs.
    """
    gpus = ray.connect(hardware.engines) if hardware.ray else gpu_count()
    engine_class = VllmEngine if chosen(name, gpus) == "vllm" else TransformersEngine
    if hardware.ray:
        return ray.RayEngine(engine_class, policy, hardware)
    if hardware.engines > 1 or engine_class is VllmEngine:
        return ParallelEngine(engine_class, policy, hardware)
    return TransformersEngine(policy, hardware)


def chosen(name: str, gpus: float) -> str:
    """vllm or transformers, for the value of sample.engine.

    Raises:
        PolicyError: vLLM is named, or "auto" finds a GPU, and vLLM is not installed.
    """
    installed = importlib.util.find_spec("vllm") is not None
    if name == "auto" and gpus and not installed:
        raise PolicyError(
            f"{gpus:g} GPUs and no vLLM: pip install -r requirements-gpu.txt, or set sample.engine to transformers, "
            "which generates several times more slowly (each of its batches waits for its longest response)"
        )
    if name == "vllm" and not installed:
        raise PolicyError("sample.engine is vllm, which is not installed: pip install -r requirements-gpu.txt")
    return ("vllm" if gpus else "transformers") if name == "auto" else name


def rollouts(journal: Journal, requests: Sequence[Request], engine: Engine, decoding: Decoding, seed: int) -> None:
    """Fill `journal` with one row per request, in their order. Rows that it holds are kept, the others drawn."""
    done = sum(1 for _ in journal.lines())
    with tqdm(total=len(requests), initial=done, unit="response", desc=journal.stage, smoothing=0) as bar:
        for chunk in chunks(requests[done:], engine.chunk):
            journal.append(dumps(row) for row in engine.generate(chunk, decoding, seed))
            bar.update(len(chunk))
