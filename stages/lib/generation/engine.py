"""What an engine is: prompts in, responses out. The engines: hf.py, vllm.py; several of them at work: processes.py (of
this machine), ray.py (a Ray cluster).

    rows = engine.generate([Request("train-17", 0, prompt_ids)], params.sample, seed=0)   # list[Rollout], same order

Prompts fit the policy's context window: the stages check this before they open an engine (rollouts.fitting).
Each request draws from its own random stream, named by (seed, id, index). So a response does not depend on the others
in its batch (up to floating point), and a restarted stage ends with the rows of an uninterrupted one.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol

import numpy as np
import torch

from stages.lib.policy import PolicyError, out_of_memory
from stages.lib.records import Rollout
from stages.lib.run.params import Decoding, Hardware, Policy


@dataclass(frozen=True)
class Request:
    """One response to draw: `index` counts the responses to the same problem."""

    id: str
    index: int
    prompt_ids: list[int]


class Engine(Protocol):
    """The members of an engine that sample, resolve and evaluate use."""

    chunk: int  # requests to hand over at once
    batch: int | None  # requests that are computed together; None: the engine decides

    def generate(self, requests: Sequence[Request], decoding: Decoding, seed: int) -> list[Rollout]:
        """One rollout per request, in their order."""
        ...


class OneEngine(Engine, Protocol):
    """An engine that processes.py and ray.py can open several of: it holds one copy of the policy."""

    def __init__(self, policy: Policy, hardware: Hardware): ...

    @staticmethod
    def gpus(hardware: Hardware) -> int:
        """How many GPUs it uses, where there are any."""
        ...


def assign(requests: Sequence[Request], chunk: int, batch: int | None, engines: int = 1) -> list[Sequence[int]]:
    """The places in `requests` of the portions in which they are computed.

    Where `batch` is given: within each chunk, batches of similar prompt length; the same batches, hence the same bits,
    however many engines share them. Else a portion for each engine, problem by problem in turn: the responses to one
    prompt stay together, so its cached prefix serves them all, and no engine gets all of a benchmark whose responses
    are long.
    """
    if batch is None:
        problems = [list(run) for _, run in groupby(range(len(requests)), key=lambda place: requests[place].id)]
        shares = [[place for run in problems[engine::engines] for place in run] for engine in range(engines)]
        return [share for share in shares if share]
    by_length = (
        sorted(places, key=lambda place: len(requests[place].prompt_ids))
        for places in chunks(range(len(requests)), chunk)
    )
    return [places for chunk_places in by_length for places in chunks(chunk_places, batch)]


def in_order(portions: Iterable[tuple[Sequence[int], list[Rollout]]]) -> list[Rollout]:
    """The rows of all portions (positions, rows), sorted by position."""
    rows = {place: row for places, found in portions for place, row in zip(places, found, strict=True)}
    return [rows[place] for place in sorted(rows)]


@contextmanager
def memory_errors(remedy: str) -> Iterator[None]:
    """Turn running out of memory (GPU or CPU) into a PolicyError of one line that names the remedy."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise PolicyError(
            f"generation ran out of memory: {remedy} (the same command goes on from what is in .scratch/)"
        ) from error


def rollout(tokenizer: Any, request: Request, tokens: list[int], logprobs: list[float], finish: str) -> Rollout:
    """The row of one drawn response; `logprobs` are already rounded to six decimals."""
    text = tokenizer.decode(tokens[:-1] if finish == "stop" else tokens, skip_special_tokens=True)
    return Rollout(
        id=request.id,
        index=request.index,
        response=text,
        finish=finish,
        token_ids=tokens,
        logprobs=logprobs,
    )


def stream_seed(seed: int, request: Request) -> int:
    """The 128-bit name of a request's random stream."""
    name = f"{seed}:{request.index}:{request.id}".encode()
    return int.from_bytes(hashlib.sha256(name).digest()[:16], "big")


def uniforms(seed: int, request: Request, count: int) -> np.ndarray:
    """The request's stream: `count` uniforms in [0, 1), float64."""
    return np.random.Generator(np.random.Philox(key=stream_seed(seed, request))).random(count)


def requests_for(prompts: Sequence[tuple[str, list[int]]], n: int) -> list[Request]:
    """n requests per (id, prompt ids)."""
    return [Request(id_, index, ids) for id_, ids in prompts for index in range(n)]


def chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Consecutive slices of at most `size` items."""
    for at in range(0, len(items), size):
        yield items[at : at + size]
