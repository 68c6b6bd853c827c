"""The interface of an engine: prompts in, responses out. hf.py and vllm.py are engines; processes.py (this machine)
and ray.py (a Ray cluster) run several of them.

    rows = engine.generate([Request("train-17", 0, prompt_ids)], params.sample, seed=0)   # list[Rollout], same order

Prompts fit the policy's context window: the stages check this before they open an engine (rollouts.fitting).
Each request draws from its own random stream, named by (seed, id, index). So a response does not depend on the others
in its batch (up to floating point), and a restarted stage ends with the rows of an uninterrupted one.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from stages.lib.policy import PolicyError, out_of_memory
from stages.lib.records import Rollout
from stages.lib.run.params import Decoding, Hardware


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

    @staticmethod
    def gpus(hardware: Hardware) -> int: ...  # number that one engine uses if the machine has GPUs

    def generate(self, requests: Sequence[Request], decoding: Decoding, seed: int) -> list[Rollout]: ...


def deal(requests: Sequence[Request], chunk: int, batch: int | None, engines: int = 1) -> list[Sequence[int]]:
    """Split requests into portions, each a list of positions in `requests`.

    With `batch`: batches of similar prompt length within each chunk. The batches, and so the bits, are the same for any
    number of engines. Without: one run of neighbours per engine, so responses to one prompt stay together and share
    its cached prefix.
    """
    if batch is None:
        return list(chunks(range(len(requests)), max(1, -(-len(requests) // engines))))
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
