"""The losses: token weights as pure functions, and the head that applies them without keeping tokens x vocabulary.

    loss = a * sum_t -w_t log p_t  +  b * sum_t KL_t          p_t = pi_theta(y_t | x, y_<t)

w_t comes from one function of WEIGHTS and is a constant to the gradient; KL_t is the divergence between the initial
policy pi_0 and pi_theta over the whole vocabulary. a and b carry the normalisation over the whole optimizer step
(a = 1 / response tokens, b = beta / response tokens). To add a loss: a function below, its line in WEIGHTS, its name in
`params.LOSSES`, a test.

Shapes: N response tokens, C of them in a chunk, D hidden size, V vocabulary.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stages.lib.params import Clip, Loss

TOP = 20  # how many of the most probable tokens EAFT's entropy looks at
CHUNK = 2**24  # logits held at a time, 64 MiB in float32
NEEDS_START = ("iw-sft",)  # these weights look at the initial policy,
NEEDS_BEHAVIOUR = ("ratio",)  # these at the recorded behaviour


class Tokens:
    """What a weight may look at, one value per token; computed when first asked for."""

    def __init__(
        self, log_probs: Tensor, targets: Tensor, start: Tensor | None = None, behaviour: Tensor | None = None
    ):
        self.log_probs = log_probs  # [C, V] of pi_theta
        self.targets = targets  # [C]
        self.start = start  # [C, V] of pi_0
        self.behaviour = behaviour  # [C] log b_t as recorded when the response was sampled, 0 where b is taken as 1

    @cached_property
    def logp(self) -> Tensor:
        """log p_t, [C]."""
        return _at(self.log_probs, self.targets)

    @cached_property
    def start_logp(self) -> Tensor:
        """log pi_0(y_t | x, y_<t), [C]."""
        assert self.start is not None, "this loss needs the initial policy"
        return _at(self.start, self.targets)

    @cached_property
    def entropy(self) -> Tensor:
        """Entropy of pi_theta(. | x, y_<t) in nats, [C]."""
        return torch.special.entr(self.log_probs.exp()).sum(-1)

    @cached_property
    def top_entropy(self) -> Tensor:
        """Entropy of its TOP most probable tokens, renormalised, [C]."""
        top = self.log_probs.topk(min(TOP, self.log_probs.shape[-1]), dim=-1).values
        return torch.special.entr(top.softmax(-1)).sum(-1)


def sft(tokens: Tokens, options: Loss) -> Tensor:
    """w = 1: maximum likelihood."""
    return torch.ones_like(tokens.logp)


def dft(tokens: Tokens, options: Loss) -> Tensor:
    """w = p_t: the importance weight with the behaviour probability taken as 1 (DFT, arXiv 2508.05629)."""
    return tokens.logp.exp()


def ratio(tokens: Tokens, options: Loss) -> Tensor:
    """w = clip(p_t / b_t, low, high): the importance weight itself, b_t being known where we sampled (ours)."""
    assert tokens.behaviour is not None, "the ratio loss needs the recorded behaviour log-probabilities"
    return (tokens.logp - tokens.behaviour).exp().clamp(options.clip.low, options.clip.high)


def iw_sft(tokens: Tokens, options: Loss) -> Tensor:
    """w = clip(p_t / pi_0(y_t), low, high): the per-token form of importance-weighted SFT (arXiv 2507.12856)."""
    return (tokens.logp - tokens.start_logp).exp().clamp(options.clip.low, options.clip.high)


def eaft(tokens: Tokens, options: Loss) -> Tensor:
    """w = (H_top20 / 3)^alpha, ln 20 being about 3: confident tokens teach less (EAFT, arXiv 2601.02151)."""
    return (tokens.top_entropy / 3) ** options.eaft_alpha


def idft(tokens: Tokens, options: Loss) -> Tensor:
    """w = p_t^g, g = clip(exp(-(log p_t + H_t) / beta), 0.1, 2), H_t the entropy of pi_theta (IDFT)."""
    exponent = (-(tokens.logp + tokens.entropy) / options.idft_beta).exp().clamp(0.1, 2)
    return (exponent * tokens.logp).exp()


WEIGHTS: dict[str, Callable[[Tokens, Loss], Tensor]] = {
    "sft": sft,
    "dft": dft,
    "ratio": ratio,
    "iw-sft": iw_sft,
    "eaft": eaft,
    "idft": idft,
}


def divergence(tokens: Tokens, direction: str) -> Tensor:
    """KL(pi_0 || pi_theta) ("forward") or KL(pi_theta || pi_0) ("reverse") over the vocabulary, [C], nats."""
    assert tokens.start is not None, "KL needs the initial policy"
    left, right = (tokens.start, tokens.log_probs) if direction == "forward" else (tokens.log_probs, tokens.start)
    return (left.exp() * (left - right)).sum(-1)


@dataclass(frozen=True)
class Objective:
    """A loss and its normalisation: `a` and `b` of the module's formula. `detail` measures more, for the log."""

    loss: str
    options: Loss
    a: float = 1.0
    b: float = 0.0
    detail: bool = False

    def weights(self, tokens: Tokens) -> Tensor:
        return WEIGHTS[self.loss](tokens, self.options)

    def unclipped(self) -> "Objective":
        return replace(self, options=replace(self.options, clip=Clip(low=0.0, high=inf)))


@dataclass(frozen=True)
class Head:
    """The output layer: logits = hidden @ weight.T + bias."""

    weight: Tensor  # [V, D]
    bias: Tensor | None = None  # [V]

    def to(self, dtype: torch.dtype) -> "Head":
        return Head(self.weight.to(dtype), None if self.bias is None else self.bias.to(dtype))

    def log_probs(self, hidden: Tensor) -> Tensor:
        """[C, D] -> [C, V], in float32 or better whatever the precision of the product."""
        logits = F.linear(hidden, self.weight, self.bias)
        return torch.log_softmax(logits, dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32))


@dataclass(frozen=True)
class Start:
    """The initial policy on the same tokens."""

    hidden: Tensor  # [N, D]
    head: Head


@dataclass(frozen=True)
class Batch:
    """N response tokens as the head sees them, and everything the loss wants to know of them."""

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
    """The loss (a scalar with a gradient) and what it was made of (one value a token, without).

    Keys beside "loss": logp, weight; kl where there is an initial policy; with `objective.detail` also entropy,
    start_logp, unclipped (the weight before clipping) and best (is the target the most probable token?).
    """
    kind = batch.hidden.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else batch.hidden.dtype
    batch = replace(batch, hidden=batch.hidden.to(dtype))
    values: dict[str, Tensor] = {}
    loss = _HeadLoss.apply(batch.hidden, head.weight, head.bias, batch, objective, torch.is_grad_enabled(), values)
    return {"loss": loss, **values}


class _HeadLoss(torch.autograd.Function):
    """Head, loss and gradient together, a chunk of tokens at a time.

    The gradient by the logits is known in closed form, so it is taken while a chunk's logits exist; they are not kept,
    nor computed twice (the idea of fused linear cross-entropy, arXiv 2410.10989).
    """

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
    """The per-token values that the loss is made of and, in detail, those worth logging; each [C]."""
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
    """The module's formula over one chunk."""
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


def _at(log_probs: Tensor, targets: Tensor) -> Tensor:
    return log_probs.gather(-1, targets[:, None]).squeeze(-1)
