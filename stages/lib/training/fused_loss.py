"""The output layer and the loss in one step, chunk by chunk: the [tokens, vocabulary] logits never exist at once.

    values = head_loss(Batch(hidden, targets), Head(weight), Objective("dft", params.loss, a=1 / tokens))
    values["loss"].backward()

The gradient with respect to the logits has a closed form. It is computed while a chunk's logits exist, so they are
neither kept nor computed twice (the idea of fused linear cross-entropy, arXiv 2410.10989).

Shapes: N response tokens, C of them in a chunk, D hidden size, V vocabulary.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

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
        """[C, D] -> [C, V], log-softmax in float32 or better, independent of the precision of the product."""
        logits = F.linear(hidden, self.weight, self.bias)
        return torch.log_softmax(logits, dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32))


@dataclass(frozen=True)
class Start:
    """The reference policy on the same tokens."""

    hidden: Tensor  # [N, D]
    head: Head


@dataclass(frozen=True)
class Batch:
    """N response tokens at the output layer, with the inputs of the loss."""

    hidden: Tensor  # [N, D] at the positions that predict the targets
    targets: Tensor  # [N]
    start: Start | None = None
    behaviour: Tensor | None = None  # [N]

    def chunks(self, head: Head, size: int) -> Iterator[tuple[slice, Tokens]]:
        start_head = self.start.head.to(head.weight.dtype) if self.start else None
        for at in range(0, len(self.targets), size):
            rows = slice(at, at + size)
            start = start_head.log_probs(self.start.hidden[rows].to(head.weight.dtype)) if start_head else None
            behaviour = None if self.behaviour is None else self.behaviour[rows]
            yield rows, Tokens(head.log_probs(self.hidden[rows]), self.targets[rows], start, behaviour)


def head_loss(batch: Batch, head: Head, objective: Objective) -> dict[str, Tensor]:
    """The loss, a scalar with a gradient, and its parts, [N] each and without one.

    Parts: logp, weight; kl if there is a reference policy; with `objective.detail` also entropy, start_logp, unclipped
    (the weight before clipping) and best (is the target the most probable token?).
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
        grads = [torch.zeros_like(x) if need else None for x, need in zip((hidden, weight, bias), needs, strict=True)]
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
    if tokens.start is not None and (objective.b or objective.detail):
        values["kl"] = divergence(tokens, objective.options.kl_direction)
    if objective.detail:
        values["entropy"] = tokens.entropy
        values["unclipped"] = objective.unclipped().weights(tokens)
        values["best"] = (tokens.log_probs.argmax(-1) == tokens.targets).float()
        if tokens.start is not None:
            values["start_logp"] = tokens.start_logp
    return values


def total(values: dict[str, Tensor], objective: Objective) -> Tensor:
    """The formula of `losses` over one chunk."""
    loss = objective.a * -(values["weight"] * values["logp"]).sum()
    return loss + objective.b * values["kl"].sum() if objective.b else loss


def logit_gradient(tokens: Tokens, values: dict[str, Tensor], objective: Objective) -> Tensor:
    """d loss / d logits, [C, V]; uses up `tokens.log_probs`.

    d(-w log p_t)/dz = w (p - onehot_t);  d KL(pi_0||p)/dz = p - pi_0;  d KL(p||pi_0)/dz = p (log p - log pi_0 - KL)
    """
    weight = objective.a * values["weight"][:, None]  # [C, 1]
    if not objective.b:
        grad = tokens.log_probs.exp_().mul_(weight)
    elif objective.options.kl_direction == "forward":
        grad = tokens.log_probs.exp_().mul_(weight + objective.b).sub_(tokens.start.exp().mul_(objective.b))
    else:
        slope = (tokens.log_probs - tokens.start).sub_(values["kl"][:, None]).mul_(objective.b).add_(weight)
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
