"""Generation: prompts in, responses out, through transformers or vLLM.

    engine = open_engine("auto", params.policy, params.hardware)
    rows = engine.generate([Request("train-17", 0, prompt_ids)], params.sample, seed=0)   # list[Rollout], same order

Each request draws from a random stream of its own, named by (seed, id, index), so a response does not depend on which
others share its batch (up to floating point), and a restarted stage ends in the rows of an uninterrupted one.
`rollouts` runs many requests through a journal.
"""

import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from tqdm import tqdm
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, TopPLogitsWarper

from stages.lib.journal import Journal
from stages.lib.params import Decoding, Hardware, Policy
from stages.lib.policy import PolicyError, load_model, load_tokenizer, set_threads, stop_ids
from stages.lib.records import Rollout, dumps


@dataclass(frozen=True)
class Request:
    """One response to draw: `index` counts the responses to the same problem."""

    id: str
    index: int
    prompt_ids: list[int]


class Engine(Protocol):
    """What sample, resolve and evaluate need of an engine."""

    tokenizer: Any
    context: int | None  # the context window in tokens, where there is one
    chunk: int  # requests that are worth handing over at once

    def generate(self, requests: Sequence[Request], decoding: Decoding, seed: int) -> list[Rollout]: ...


def open_engine(name: str, policy: Policy, hardware: Hardware) -> Engine:
    """The engine by name; "auto" is vLLM where it is installed and there is a GPU, else transformers.

    Raises:
        PolicyError: the policy cannot be loaded, or vLLM is asked for and not installed.
    """
    installed = importlib.util.find_spec("vllm") is not None
    if name == "auto":
        name = "vllm" if installed and torch.cuda.is_available() else "transformers"
    if name == "vllm" and not installed:
        raise PolicyError("sample.engine is vllm, which is not installed: pip install -r requirements-gpu.txt")
    return VllmEngine(policy, hardware) if name == "vllm" else TransformersEngine(policy, hardware)


def rollouts(journal: Journal, requests: Sequence[Request], engine: Engine, decoding: Decoding, seed: int) -> None:
    """Draw what the journal lacks of `requests`, chunk by chunk: it ends with one row per request, in their order."""
    done = sum(1 for _ in journal.lines())
    with tqdm(total=len(requests), initial=done, unit="response", desc=journal.stage, smoothing=0) as bar:
        for chunk in chunks(requests[done:], engine.chunk):
            journal.append(dumps(row) for row in engine.generate(chunk, decoding, seed))
            bar.update(len(chunk))


def check_context(requests: Sequence[Request], decoding: Decoding, limit: int | None) -> None:
    """PolicyError where a prompt and its response cannot fit the context window of `limit` tokens."""
    longest = max(requests, key=lambda request: len(request.prompt_ids), default=None)
    if longest and limit and len(longest.prompt_ids) + decoding.max_new_tokens > limit:
        raise PolicyError(
            f"{longest.id}: prompt of {len(longest.prompt_ids)} tokens and max_new_tokens {decoding.max_new_tokens} "
            f"exceed the context window of {limit}; lower max_new_tokens or drop the problem"
        )


class TransformersEngine:
    """transformers' generate on batches of similar prompt length."""

    def __init__(self, policy: Policy, hardware: Hardware):
        set_threads(hardware.threads)
        self.tokenizer = load_tokenizer(policy)
        self.tokenizer.padding_side = "left"
        self.model = load_model(policy)
        self.context = getattr(self.model.config, "max_position_embeddings", None)
        self.stop = stop_ids(self.tokenizer, self.model.generation_config)
        self.batch, self.chunk = hardware.generation_batch, 4 * hardware.generation_batch

    def generate(self, requests: Sequence[Request], decoding: Decoding, seed: int) -> list[Rollout]:
        """One rollout per request, in their order.

        Raises:
            PolicyError: a prompt with its response exceeds the context window.
        """
        check_context(requests, decoding, self.context)
        by_length = sorted(range(len(requests)), key=lambda i: len(requests[i].prompt_ids))
        rows: dict[int, Rollout] = {}
        for places in chunks(by_length, self.batch):
            rows.update(zip(places, self._batch([requests[i] for i in places], decoding, seed), strict=True))
        return [rows[i] for i in range(len(requests))]

    @torch.inference_mode()
    def _batch(self, requests: list[Request], decoding: Decoding, seed: int) -> list[Rollout]:
        inputs = self.tokenizer.pad({"input_ids": [r.prompt_ids for r in requests]}, return_tensors="pt")
        inputs = inputs.to(self.model.device)
        sampler = SeededSampler([uniforms(seed, r, decoding.max_new_tokens) for r in requests], decoding)
        # Set on the model: what a passed config leaves open, generate() fills from the model's own (penalties, top_k).
        self.model.generation_config = GenerationConfig(
            do_sample=False,
            max_new_tokens=decoding.max_new_tokens,
            eos_token_id=self.stop,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        output = self.model.generate(**inputs, logits_processor=LogitsProcessorList([sampler]))
        tokens = output[:, inputs["input_ids"].shape[1] :].tolist()
        logprobs = torch.stack(sampler.logprobs, dim=1).tolist()  # [batch, steps]
        return [self._row(*parts) for parts in zip(requests, tokens, logprobs, strict=True)]

    def _row(self, request: Request, tokens: list[int], logprobs: list[float]) -> Rollout:
        end = next((place for place, token in enumerate(tokens) if token in self.stop), None)
        count = len(tokens) if end is None else end + 1
        return rollout(self.tokenizer, request, tokens[:count], logprobs[:count], "length" if end is None else "stop")


class SeededSampler(LogitsProcessor):
    """Draws each row's next token from its own stream of uniforms by inverting the cumulative distribution.

    Token = first v with CDF(v) > u, CDF that of softmax(logits / temperature) cut to top_p: exact sampling with one
    uniform a token. Only the drawn token keeps a finite score, so greedy search takes it. `logprobs` collects the log
    of the probability that each token was drawn with, a [batch] tensor a step: temperature and top_p are in it.
    """

    def __init__(self, streams: list[np.ndarray], decoding: Decoding):
        self.streams = torch.from_numpy(np.stack(streams))  # [batch, steps]
        self.temperature = decoding.temperature
        self.top_p = TopPLogitsWarper(decoding.top_p) if decoding.top_p < 1 else None
        self.logprobs: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        logp = self._warped(input_ids, scores.float()).log_softmax(-1)  # [batch, vocabulary]
        cdf = logp.exp().double().cumsum(-1)
        u = self.streams[:, len(self.logprobs), None].to(cdf.device) * cdf[:, -1:]
        drawn = torch.searchsorted(cdf, u, right=True).clamp_max(scores.shape[-1] - 1)
        self.logprobs.append(logp.gather(1, drawn)[:, 0].cpu())
        return torch.full_like(scores, -torch.inf).scatter_(1, drawn, 0.0)

    def _warped(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if self.temperature == 0:
            return torch.full_like(scores, -torch.inf).scatter_(1, scores.argmax(-1, keepdim=True), 0.0)
        warm = scores / self.temperature
        return self.top_p(input_ids, warm) if self.top_p else warm


class VllmEngine:
    """vLLM's offline engine."""

    chunk = 8192

    def __init__(self, policy: Policy, hardware: Hardware):
        from vllm import LLM

        self.tokenizer = load_tokenizer(policy)
        self.llm = LLM(
            model=policy.name,
            revision=policy.revision,
            dtype=policy.dtype,
            trust_remote_code=policy.trust_remote_code,
            enable_prefix_caching=True,
            generation_config="vllm",  # the stage's params decide, not defaults that come with the model
            logprobs_mode="processed_logprobs",  # those of the distribution that is drawn from
            seed=0,
        )
        self.context = self.llm.llm_engine.model_config.max_model_len
        self.seeded = torch.cuda.is_available()  # the CPU build refuses per-request seeds: the engine's seed remains
        self.stop = stop_ids(self.tokenizer, GenerationConfig.from_pretrained(policy.name, revision=policy.revision))

    def generate(self, requests: Sequence[Request], decoding: Decoding, seed: int) -> list[Rollout]:
        """One rollout per request, in their order; PolicyError where one exceeds the context window."""
        from vllm import SamplingParams

        check_context(requests, decoding, self.context)
        settings = [
            SamplingParams(
                temperature=decoding.temperature,
                top_p=decoding.top_p,
                max_tokens=decoding.max_new_tokens,
                stop_token_ids=self.stop,
                logprobs=0,
                seed=stream_seed(seed, request) % 2**63 if self.seeded else None,
            )
            for request in requests
        ]
        prompts = [{"prompt_token_ids": request.prompt_ids} for request in requests]
        outputs = self.llm.generate(prompts, settings, use_tqdm=False)
        return [self._row(*pair) for pair in zip(requests, outputs, strict=True)]

    def _row(self, request: Request, output: Any) -> Rollout:
        best = output.outputs[0]
        tokens = list(best.token_ids)
        logprobs = [step[token].logprob for step, token in zip(best.logprobs, tokens, strict=True)]
        return rollout(
            self.tokenizer, request, tokens, logprobs, "length" if best.finish_reason == "length" else "stop"
        )


def rollout(tokenizer: Any, request: Request, tokens: list[int], logprobs: list[float], finish: str) -> Rollout:
    """The row of one drawn response; log-probabilities to six decimals."""
    text = tokenizer.decode(tokens[:-1] if finish == "stop" else tokens, skip_special_tokens=True)
    return Rollout(
        id=request.id,
        index=request.index,
        response=text,
        finish=finish,
        token_ids=tokens,
        logprobs=[round(value, 6) for value in logprobs],
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
