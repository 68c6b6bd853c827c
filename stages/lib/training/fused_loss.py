"""The output layer and the loss in one step, chunk by chunk: the [tokens, vocabulary] logits never exist at once.

    values = head_loss(Batch(hidden, targets), Head(weight), Objective("dft", params.loss, scale=1 / tokens))
    values["loss"].backward()

The gradient with respect to the logits has a closed form. It is computed while a chunk's logits exist, so they are
neither kept nor computed twice (the idea of fused linear cross-entropy, arXiv 2410.10989).

Shapes: N response tokens, C of them in a chunk, D hidden size, V vocabulary.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from stages.lib.policy import wide_logits
from stages.lib.training.losses import Objective, Tokens, divergence

CHUNK = 2**24  # logits held at once: 64 MiB in float32


@dataclass(frozen=True)
class Head:
    """The output layer: logits = hidden @ weight.T + bias."""

    weight: Tensor  # [V, D]
    bias: Tensor | None = None  # [V]

    def to(self, dtype: torch.dtype) -> "Head":
        return Head(self.weight.to(dtype), None if self.bias is None else self.bias.to(dtype))

    def log_probs(self, hidden: Tensor) -> Tensor:
        """[C, D] -> [C, V], in float32 or better: logits are never rounded to bf16."""
        return torch.log_softmax(wide_logits(hidden, self.weight, self.bias), dim=-1)


@dataclass(frozen=True)
class ReferenceStates:
    """The reference policy on the same tokens."""

    hidden: Tensor  # [N, D]
    head: Head


@dataclass(frozen=True)
class Behaviour:
    """What the responses were sampled with. An object, since FSDP makes bf16 of every tensor among a call's arguments,
    and does not look into objects."""

    logp: Tensor  # [N], float32


@dataclass(frozen=True)
class Batch:
    """N response tokens at the output layer, with the inputs of the loss."""

    hidden: Tensor  # [N, D] at the positions that predict the targets
    targets: Tensor  # [N]
    reference: ReferenceStates | None = None
    behaviour: Behaviour | None = None

    def chunks(self, head: Head, size: int) -> Iterator[tuple[slice, Tokens]]:
        frozen = self.reference
        ref_head = frozen.head.to(head.weight.dtype) if frozen else None
        for at in range(0, len(self.targets), size):
            rows = slice(at, at + size)
            reference = None
            if frozen and ref_head:
                reference = ref_head.log_probs(frozen.hidden[rows].to(head.weight.dtype))
            behaviour = None if self.behaviour is None else self.behaviour.logp[rows]
            yield rows, Tokens(head.log_probs(self.hidden[rows]), self.targets[rows], reference, behaviour)


def head_loss(batch: Batch, head: Head, objective: Objective) -> dict[str, Tensor]:
    """The loss, a scalar with a gradient, and its parts, [N] each and without one.

    Keys beside "loss": logp, weight; kl where there is an initial policy; with `objective.detail` also entropy,
    ref_logp, unclipped (the weight before clipping) and best (is the target the most probable token?).
    """
    kind = batch.hidden.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else batch.hidden.dtype
    batch = replace(batch, hidden=batch.hidden.to(dtype))
    values: dict[str, Tensor] = {}
    loss = _HeadLoss.apply(batch.hidden, head.weight, head.bias, batch, objective, torch.is_grad_enabled(), values)
    return {"loss": loss, **values}


class _HeadLoss(torch.autograd.Function):
    """The loss; its gradients are computed in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        batch: Batch,
        objective: Objective,
        grad: bool,
        values: dict[str, Tensor],
    ) -> Tensor:
        needs = [grad and need for need in ctx.needs_input_grad[:3]]
        inputs = zip((hidden, weight, bias), needs, strict=True)
        grads = [torch.zeros_like(tensor) if need and tensor is not None else None for tensor, need in inputs]
        head = Head(weight, bias).to(hidden.dtype)
        losses, details = [], []
        for rows, tokens in Batch.chunks(replace(batch, hidden=hidden), head, max(1, CHUNK // len(weight))):
            detail = measure(tokens, objective)
            losses.append(total(detail, objective))
            details.append(detail)
            if any(needs):
                _accumulate(grads, logit_gradient(tokens, detail, objective).to(hidden.dtype), hidden, head, rows)
        values |= {key: torch.cat([detail[key] for detail in details]) for key in (details[0] if details else {})}
        ctx.grads = grads
        return torch.stack(losses).sum() if losses else hidden.new_zeros(())

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        scaled = ctx.grads if grad.item() == 1.0 else [None if g is None else g * grad.to(g.dtype) for g in ctx.grads]
        return (*scaled, None, None, None, None)


def measure(tokens: Tokens, objective: Objective) -> dict[str, Tensor]:
    """The per-token parts of the loss, [C] each; with `objective.detail` also the values for the log."""
    values = {"logp": tokens.logp, "weight": objective.weights(tokens)}
    if tokens.reference is not None and (objective.kl_scale or objective.detail):
        values["kl"] = divergence(tokens, objective.options.kl_direction)
    if objective.detail:
        values["entropy"] = tokens.entropy
        values["unclipped"] = objective.unclipped().weights(tokens)
        values["best"] = (tokens.log_probs.argmax(-1) == tokens.targets).float()
        if tokens.reference is not None:
            values["ref_logp"] = tokens.ref_logp
    return values


def total(values: dict[str, Tensor], objective: Objective) -> Tensor:
    """The formula of `losses` over one chunk."""
    loss = objective.scale * -(values["weight"] * values["logp"]).sum()
    return loss + objective.kl_scale * values["kl"].sum() if objective.kl_scale else loss


def logit_gradient(tokens: Tokens, values: dict[str, Tensor], objective: Objective) -> Tensor:
    """d loss / d logits, [C, V]; uses up `tokens.log_probs`.

    d(-w log p_t)/dz = w (p - onehot_t);  d KL(pi_0||p)/dz = p - pi_0;  d KL(p||pi_0)/dz = p (log p - log pi_0 - KL)
    """
    weight = objective.scale * values["weight"][:, None]  # [C, 1]
    if not objective.kl_scale or tokens.reference is None:
        grad = tokens.log_probs.exp_().mul_(weight)
    elif objective.options.kl_direction == "forward":
        grad = tokens.log_probs.exp_().mul_(weight + objective.kl_scale)
        grad.sub_(tokens.reference.exp().mul_(objective.kl_scale))
    else:
        slope = (tokens.log_probs - tokens.reference).sub_(values["kl"][:, None]).mul_(objective.kl_scale).add_(weight)
        grad = tokens.log_probs.exp_().mul_(slope)
    return grad.scatter_add_(1, tokens.targets[:, None], -weight)


def _accumulate(grads: list[Tensor | None], by_logits: Tensor, hidden: Tensor, head: Head, rows: slice) -> None:
    by_hidden, by_weight, by_bias = grads
    if by_hidden is not None:
        torch.mm(by_logits, head.weight, out=by_hidden[rows])
    if by_weight is not None and by_weight.dtype == by_logits.dtype:
        by_weight.addmm_(by_logits.T, hidden[rows])
    elif by_weight is not None:
        by_weight += by_logits.T @ hidden[rows]
    if by_bias is not None:
        by_bias += by_logits.sum(0)
