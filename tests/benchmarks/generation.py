"""What the `sample` stage adds to the raw engine: the same requests through both, in interleaved pairs of one process.

    python -m tests.benchmarks.generation [--pairs 5] [--problems 512]    # of params.yaml and data/, about a minute
    python -m tests.benchmarks.generation vllm                            # where vLLM is installed
    python -m tests.benchmarks.generation side-by-side --pairs 3          # one engine against two, in processes

The stage: prompts from the chat template, streams, batches, text, checks, journal with its fsyncs, verdicts as between
two waves, the out. The raw engine: `model.generate` on the same padded batches, or `llm.generate` on the same prompts
with the same sampling parameters, ready made; the same tokens drawn. Loading the model is in neither. The second figure
of the first holds the sampler against transformers' own (do_sample), on responses of full length.
"""

import argparse
import collections
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessorList

from stages.lib.generation.engine import Engine, assign, chunks, stream_seed, uniforms
from stages.lib.generation.hf import SeededSampler, TransformersEngine
from stages.lib.generation.rollouts import Drawn, Request, fitting, open_engine, requests_for
from stages.lib.generation.vllm import VllmEngine
from stages.lib.policy import load_tokenizer
from stages.lib.prompts import plain_prompts
from stages.lib.records import Problem, read_problems
from stages.lib.run.journal import Journal
from stages.lib.run.params import Params, load, root
from stages.lib.verifier.verdicts import judge


def asked(tokenizer: Any, problems: list[Problem], params: Params) -> list[Request]:
    prompts = plain_prompts(tokenizer, {row.id: row.problem for row in problems}, params.prompt)
    return requests_for(fitting(prompts, params.sample, context=None), 2)


def stage(engine: Engine, tokenizer: Any, problems: list[Problem], params: Params) -> None:
    """What stages.sample does but for loading the policy and its tokenizer."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DVC_ROOT"] = folder
        with Journal("sample", "0" * 16) as journal:
            drawn, requests = Drawn(journal, lambda: engine, params.sample, 0), asked(tokenizer, problems, params)
            drawn.draw(requests)
            verdicts = judge(drawn.rows(requests), {row.id: row.answer for row in problems}, params.verify)
            collections.deque(verdicts, maxlen=0)
            journal.deliver(Path(folder) / "samples.jsonl")


def batches(engine: TransformersEngine, requests: list[Request]) -> list[tuple[list[Request], dict[str, torch.Tensor]]]:
    """The batches that the engine makes, padded."""
    portions = [[requests[place] for place in places] for places in assign(requests, engine.chunk, engine.batch)]
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


def vllm_inputs(engine: VllmEngine, requests: Sequence[Request], params: Params) -> tuple[list[Any], list[Any]]:
    """Prompts and sampling parameters as the engine makes them."""
    prompts = [{"prompt_token_ids": request.prompt_ids} for request in requests]
    return prompts, [engine._settings(request, params.sample, 0) for request in requests]


def raw_vllm(engine: VllmEngine, calls: list[tuple[Sequence[Request], list[Any], list[Any]]]) -> None:
    """`llm.generate` alone, with the tokens that the stage draws."""
    for requests, prompts, settings in calls:
        torch.manual_seed(stream_seed(0, requests[0]) % 2**63)
        engine.llm.generate(prompts, settings, use_tqdm=False)


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


def against_transformers(pairs: int, problems: list[Problem], params: Params) -> None:
    engine = TransformersEngine(params.policy, params.hardware)
    tokenizer = engine.tokenizer
    made = batches(engine, asked(tokenizer, problems, params))
    name = f"stage / model.generate, {2 * len(problems)} requests"
    ours, theirs = lambda: stage(engine, tokenizer, problems, params), lambda: raw(engine, made, params)
    compare(name, ours, theirs, pairs)
    inputs = next(chunks(made, 1))[0][1]
    own, theirs = (lambda own=own: full_length(engine, inputs, params, own) for own in (True, False))
    compare(f"our sampler / transformers' own, a batch of {len(inputs['input_ids'])}", own, theirs, pairs)


def against_vllm(pairs: int, problems: list[Problem], params: Params) -> None:
    engine, tokenizer = VllmEngine(params.policy, params.hardware), load_tokenizer(params.policy)
    made = list(chunks(asked(tokenizer, problems, params), engine.chunk))
    calls = [(rows, *vllm_inputs(engine, rows, params)) for rows in made]
    name = f"stage / llm.generate, {2 * len(problems)} requests"
    ours, theirs = lambda: stage(engine, tokenizer, problems, params), lambda: raw_vllm(engine, calls)
    compare(name, ours, theirs, pairs)


def side_by_side(pairs: int, problems: list[Problem], params: Params) -> None:
    hardware, tokenizer = replace(params.hardware, generation_batch=64), load_tokenizer(params.policy)
    one = open_engine("transformers", params.policy, hardware)
    two = open_engine("transformers", params.policy, replace(hardware, engines=2))
    both, alone = (lambda engine=engine: stage(engine, tokenizer, problems, params) for engine in (two, one))
    compare("two engines / one", both, alone, pairs)


MODES = {"transformers": against_transformers, "vllm": against_vllm, "side-by-side": side_by_side}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", nargs="?", choices=MODES, default="transformers")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--problems", type=int, default=512)
    options = parser.parse_args()
    MODES[options.mode](options.pairs, read_problems(root() / "data" / "problems.jsonl")[: options.problems], load())
