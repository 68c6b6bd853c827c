"""The transformers engine: batches of similar prompt length, a key-value cache, exact sampling (SeededSampler).

A row that has ended still costs computation until the last row of its batch ends.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, PreTrainedModel, TopPLogitsWarper

from stages.lib.generation.engine import Request, assign, in_order, memory_errors, rollout, uniforms
from stages.lib.policy import load_model, load_tokenizer, set_threads, stop_ids, wide_logits
from stages.lib.records import Rollout
from stages.lib.run.params import Decoding, Hardware, Policy

REMEDY = "lower hardware.generation_batch"


class TransformersEngine:
    """transformers' generate on batches of similar prompt length."""

    @memory_errors("the policy does not fit; a smaller one, policy.dtype bfloat16, or fewer hardware.engines may")
    def __init__(self, policy: Policy, hardware: Hardware):
        set_threads(policy, hardware.threads, hardware.engines)
        self.tokenizer = load_tokenizer(policy)
        self.tokenizer.padding_side = "left"
        self.model: Any = load_model(policy)
        widen_head(self.model)
        self.stop = stop_ids(self.tokenizer, self.model.generation_config)
        self.chunk = 4 * hardware.generation_batch
        self.batch: int | None = hardware.generation_batch

    @staticmethod
    def gpus(hardware: Hardware) -> int:
        return 1

    @memory_errors(REMEDY)
    def generate(self, requests: Sequence[Request], decoding: Decoding, seed: int) -> list[Rollout]:
        """One rollout per request, in their order.

        Raises:
            PolicyError: a batch exceeds the memory.
        """
        portions = assign(requests, self.chunk, self.batch)
        return in_order((places, self._batch([requests[i] for i in places], decoding, seed)) for places in portions)

    @torch.inference_mode()
    def _batch(self, requests: list[Request], decoding: Decoding, seed: int) -> list[Rollout]:
        inputs = self.tokenizer.pad({"input_ids": [r.prompt_ids for r in requests]}, return_tensors="pt")
        inputs = inputs.to(self.model.device)
        sampler = SeededSampler([uniforms(seed, r, decoding.max_new_tokens) for r in requests], decoding)
        # Set on the model: generate() fills the gaps of a passed config from the model's own (penalties, top_k).
        self.model.generation_config = GenerationConfig(
            do_sample=False,
            max_new_tokens=decoding.max_new_tokens,
            eos_token_id=self.stop,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        output = self.model.generate(**inputs, logits_processor=LogitsProcessorList([sampler]))
        tokens = output[:, inputs["input_ids"].shape[1] :].tolist()
        logprobs = rounded(torch.stack(sampler.logprobs, dim=1)).tolist()  # [batch, steps]
        return [self._row(*parts) for parts in zip(requests, tokens, logprobs, strict=True)]

    def _row(self, request: Request, tokens: list[int], logprobs: list[float]) -> Rollout:
        end = next((place for place, token in enumerate(tokens) if token in self.stop), None)
        count = len(tokens) if end is None else end + 1
        return rollout(self.tokenizer, request, tokens[:count], logprobs[:count], "length" if end is None else "stop")


def widen_head(model: PreTrainedModel) -> None:
    """Let a bf16 policy's logits be float32, as they are in scoring and training, and in vLLM as it is set."""
    head = model.get_output_embeddings()
    if type(head) is nn.Linear:
        head.forward = partial(wide_logits, weight=head.weight, bias=head.bias)  # type: ignore[method-assign]


def rounded(values: torch.Tensor) -> torch.Tensor:
    """float32 values rounded to six decimals, as float64. Equals Python's round: 24 bits times a million fit 53."""
    return values.double().mul(1e6).round().div(1e6)


class SeededSampler(LogitsProcessor):
    """Draws each row's next token from its own stream of uniforms by inverting the cumulative distribution.

    Token = first v with CDF(v) > u, where CDF is that of softmax(logits / temperature) cut to top_p. This is exact
    sampling with one uniform per token. Only the drawn token keeps a finite score, so greedy search takes it.
    `logprobs` collects the log-probability with which each token was drawn (temperature and top_p included), one
    [batch] tensor per step.
    """

    def __init__(self, streams: list[np.ndarray], decoding: Decoding):
        self.streams = torch.from_numpy(np.stack(streams))  # [batch, steps]
        self.temperature = decoding.temperature
        self.top_p = TopPLogitsWarper(decoding.top_p) if decoding.top_p < 1 else None
        self.logprobs: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        logp = self._warped(input_ids, scores.float()).log_softmax(-1)  # [batch, vocabulary]
        cdf = logp.exp().cumsum(-1, dtype=torch.float64)
        u = self.streams[:, len(self.logprobs), None].to(cdf.device) * cdf[:, -1:]
        drawn = torch.searchsorted(cdf, u, right=True).clamp_max(scores.shape[-1] - 1)
        self.logprobs.append(logp.gather(1, drawn)[:, 0].cpu())
        return torch.full_like(scores, -torch.inf).scatter_(1, drawn, 0.0)

    def _warped(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if self.temperature == 0:
            return torch.full_like(scores, -torch.inf).scatter_(1, scores.argmax(-1, keepdim=True), 0.0)
        warm = scores / self.temperature
        return self.top_p(input_ids, warm) if self.top_p else warm
