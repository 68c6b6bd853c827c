"""What the `sample` stage adds to the raw engine: the same requests through both, in interleaved pairs of one process.

    python -m tests.benchmarks.generation [pairs=5] [problems=512]      # the policy of params.yaml, about a minute
    python -m tests.benchmarks.generation side-by-side [pairs=3]        # one engine against two, in processes

The stage: prompts from the chat template, streams, batches, text, checks, journal with its fsyncs, verdicts as between
two waves, the out. The raw engine: `model.generate` on the same padded batches with the same tokens drawn. Loading the
model is in neither. The second figure holds the sampler against transformers' own (do_sample), on responses of full
length.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from transformers import GenerationConfig, LogitsProcessorList

from stages.lib.engine.interface import chunks, deal, uniforms
from stages.lib.engine.transformers import SeededSampler, TransformersEngine
from stages.lib.generation import Request, open_engine, requests_for, rollouts
from stages.lib.journal import Journal
from stages.lib.judging import judge
from stages.lib.params import Params, load
from stages.lib.prompts import encode, plain
from stages.lib.records import Problem
from stages.lib.testbed import benchmarks
from stages.lib.waves import solved_by


def some(count: int) -> list[Problem]:
    """`count` problems of the testbed."""
    found = [row for rows in benchmarks(count, 1).values() for row in rows]
    return [replace(row, id=f"p{number}") for number, row in enumerate(found[:count])]


def asked(engine: TransformersEngine, problems: list[Problem], params: Params) -> list[Request]:
    prompts = [(row.id, encode(engine.tokenizer, plain(row.problem, params.prompt))) for row in problems]
    return requests_for(prompts, 2)


def stage(engine: TransformersEngine, problems: list[Problem], params: Params) -> None:
    """What stages.sample does once the engine is open."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DVC_ROOT"] = folder
        with Journal("sample", "0" * 16) as journal:
            rollouts(journal, asked(engine, problems, params), engine, params.sample, 0)
            verdicts = partial(judge, references={row.id: row.answer for row in problems}, verify=params.verify)
            solved_by(verdicts, journal, 0, 2 * len(problems))
            journal.deliver(Path(folder) / "samples.jsonl")


def batches(engine: TransformersEngine, requests: list[Request]) -> list[tuple[list[Request], dict[str, torch.Tensor]]]:
    """The batches that the engine makes, padded."""
    portions = [[requests[place] for place in places] for places in deal(requests, engine.chunk, engine.batch)]
    pad = engine.tokenizer.pad
    return [(rows, pad({"input_ids": [row.prompt_ids for row in rows]}, return_tensors="pt")) for rows in portions]


@torch.inference_mode()
def raw(engine: TransformersEngine, made: list[tuple[list[Request], dict[str, torch.Tensor]]], params: Params) -> None:
    """`model.generate` alone, with the tokens that the stage draws."""
    steps = params.sample.max_new_tokens
    for rows, inputs in made:
        engine.model.generation_config = settings(engine, params, eos_token_id=engine.stop)
        sampler = SeededSampler([uniforms(0, row, steps) for row in rows], params.sample)
        engine.model.generate(**inputs, logits_processor=LogitsProcessorList([sampler]))


@torch.inference_mode()
def full_length(engine: TransformersEngine, inputs: dict[str, torch.Tensor], params: Params, own: bool) -> None:
    """One batch, no end token: with our sampler or with transformers'."""
    engine.model.generation_config = settings(engine, params, do_sample=not own)
    steps, count = params.sample.max_new_tokens, len(inputs["input_ids"])
    streams = [uniforms(0, Request("p", number, []), steps) for number in range(count)]
    samplers = [SeededSampler(streams, params.sample)] if own else []
    engine.model.generate(**inputs, logits_processor=LogitsProcessorList(samplers))


def settings(engine: TransformersEngine, params: Params, **more: object) -> GenerationConfig:
    return GenerationConfig(
        max_new_tokens=params.sample.max_new_tokens, pad_token_id=engine.tokenizer.pad_token_id,
        **{"do_sample": False, "top_k": 0, **more},
    )  # fmt: skip


def compare(name: str, first: Callable[[], None], second: Callable[[], None], pairs: int) -> None:
    """Run both in turn, after a warm-up, and print the median of the paired ratios first / second.

    Beside the clock's the processor's time of this process: on a machine with other work it is the steadier figure.
    """
    first(), second()
    seconds = [(timed(first), timed(second)) for _ in range(pairs)]
    wall, processor = ([a[kind] / b[kind] for a, b in seconds] for kind in (0, 1))
    shown = ", ".join(f"{a[0]:.2f}/{b[0]:.2f}" for a, b in seconds)
    print(f"{name}: RATIO {statistics.median(wall):.3f}, of processor time {statistics.median(processor):.3f}")
    print(f"    medians of {pairs} pairs; seconds {shown}")


def timed(function: Callable[[], None]) -> tuple[float, float]:
    """Seconds on the clock, and of this process's processor time."""
    started, busy = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - started, time.process_time() - busy


def overhead(pairs: int, count: int) -> None:
    params = load()
    engine = TransformersEngine(params.policy, params.hardware)
    problems = some(count)
    made = batches(engine, asked(engine, problems, params))
    name = f"stage / raw engine, {2 * len(problems)} requests"
    compare(name, lambda: stage(engine, problems, params), lambda: raw(engine, made, params), pairs)
    inputs = next(chunks(made, 1))[0][1]
    own, theirs = (lambda own=own: full_length(engine, inputs, params, own) for own in (True, False))
    compare(f"our sampler / transformers' own, a batch of {len(inputs['input_ids'])}", own, theirs, pairs)


def side_by_side(pairs: int, count: int) -> None:
    params = load()
    hardware = replace(params.hardware, generation_batch=64)
    one = open_engine("transformers", params.policy, hardware)
    two = open_engine("transformers", params.policy, replace(hardware, engines=2))
    problems = some(count)
    compare("two engines / one", lambda: stage(two, problems, params), lambda: stage(one, problems, params), pairs)


if __name__ == "__main__":
    words = sys.argv[1:]
    run = side_by_side if words[:1] == ["side-by-side"] else overhead
    numbers = [int(word) for word in words if word.isdigit()]
    run(*(numbers + [5, 512][len(numbers) :]))
