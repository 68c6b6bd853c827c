"""Log-probability and entropy of every response token under a policy, in float32.

    scorer = Scorer(model)
    scorer.score([[1, 5, 9]], [[7, 8, 2]])  # [(log p, entropy)], two float32 arrays of 3 each

Logits are made a slice at a time and only where a response token is predicted, so a vocabulary of 150,000 does not
decide how many responses fit into a batch. They are float32 where the policy is bf16, too (`wide_logits`), except for
models that change them after the output layer.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from stages.lib.policy import wide_logits

SLICE = 2**26  # logits held in float32 at once: 256 MB

Scores = tuple[np.ndarray, np.ndarray]
Pair = tuple[list[int], list[int]]  # token ids of a prompt and of a response


class Scorer:
    """Scores responses [T_b] after prompts [P_b] under one model."""

    def __init__(self, model: PreTrainedModel):
        self.model = model
        self.sliced = _head_is_plain(model)

    @torch.inference_mode()
    def score(
        self, prompts: Sequence[list[int]], responses: Sequence[list[int]], temperature: float = 1.0
    ) -> list[Scores]:
        """log softmax(logits / temperature) of each response token and the entropy of the same distribution, in nats.

        Padding is on the right: under a causal mask no scored token sees it.
        """
        ids, mask, predicts = _pad(prompts, responses, self.model.device)
        targets = torch.tensor([token for response in responses for token in response], device=self.model.device)
        logp, entropy = self._score(ids, mask, predicts, targets, temperature)
        ends = np.cumsum([len(response) for response in responses])[:-1]
        return list(zip(np.split(logp, ends), np.split(entropy, ends), strict=True))

    def batched(self, pairs: list[Pair], size: int, temperature: float = 1.0) -> list[Scores]:
        """`score` for any number of (prompt, response) pairs, in batches of `size` similar lengths; order is kept."""
        order = sorted(range(len(pairs)), key=lambda i: -sum(map(len, pairs[i])))
        done: dict[int, Scores] = {}
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            prompts = [pairs[i][0] for i in batch]
            responses = [pairs[i][1] for i in batch]
            done.update(zip(batch, self.score(prompts, responses, temperature), strict=True))
        return [done[i] for i in range(len(pairs))]

    def _score(self, ids: Tensor, mask: Tensor, predicts: Tensor, targets: Tensor, temperature: float) -> Scores:
        if self.sliced:
            states = self.model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
            states, head = states[predicts], self.model.get_output_embeddings()
            width = max(1, SLICE // head.weight.shape[0])
            bias = getattr(head, "bias", None)
            logits = (wide_logits(part, head.weight, bias) for part in states.split(width))
        else:
            logits = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits[predicts]
            width = max(1, SLICE // logits.shape[-1])
            logits = iter(logits.split(width))
        parts = [_gather(part, wanted, temperature) for part, wanted in zip(logits, targets.split(width), strict=True)]
        logp = torch.cat([part[0] for part in parts])
        entropy = torch.cat([part[1] for part in parts])
        return logp.cpu().numpy(), entropy.cpu().numpy()


def _gather(logits: Tensor, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Per row: log p of the target and the entropy. [N, V], [N] -> [N], [N]"""
    logp = torch.log_softmax(logits.float() / temperature, dim=-1)
    return logp.gather(-1, targets[:, None])[:, 0], -(logp.exp() * logp).sum(-1)


def _pad(
    prompts: Sequence[list[int]], responses: Sequence[list[int]], device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids, attention mask, and whether the next token is a response token; all [B, T]."""
    rows = [prompt + response for prompt, response in zip(prompts, responses, strict=True)]
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=device)
    at = torch.arange(width, device=device)
    ends = torch.tensor([len(row) for row in rows], device=device)[:, None]
    starts = torch.tensor([len(prompt) for prompt in prompts], device=device)[:, None]
    return ids, (at < ends).long(), (at >= starts - 1) & (at < ends - 1)


@torch.inference_mode()
def _head_is_plain(model: PreTrainedModel) -> bool:
    """Whether logits equal the output layer on the last hidden state; some models scale or cap them afterwards."""
    ids = torch.arange(4, device=model.device)[None]
    head = model.get_output_embeddings()
    if head is None:
        return False
    states = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
    return torch.equal(head(states), model(input_ids=ids, use_cache=False).logits)
