"""The losses: token weights as pure functions, and the KL penalty to the reference policy.

    loss = scale * sum_t -w_t log p_t  +  kl_scale * sum_t KL_t          p_t = pi_theta(y_t | x, y_<t)

w_t comes from one function of WEIGHTS and is a constant to the gradient; KL_t is the divergence between the initial
policy pi_0 (the reference policy) and pi_theta over the whole vocabulary. The two factors carry the normalisation over
the whole optimizer step (scale = 1 / response tokens, kl_scale = beta / response tokens). To add a loss: a function
below, its line in WEIGHTS, a test; `grid.loss` may then name it.

Shapes: C tokens (one chunk, see fused_loss.py), V vocabulary.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import inf

import torch
from torch import Tensor

from stages.lib.run.config import from_dict
from stages.lib.run.params import Clip, Loss, ParamsError

TOP = 20  # how many of the most probable tokens EAFT's entropy looks at
NEEDS_REFERENCE = ("iw-sft",)  # these weights look at the initial policy,
NEEDS_BEHAVIOUR = ("ratio",)  # these at the recorded behaviour


class Tokens:
    """The quantities that a weight may use, one value per token; computed on first access."""

    def __init__(
        self, log_probs: Tensor, targets: Tensor, reference: Tensor | None = None, behaviour: Tensor | None = None
    ):
        self.log_probs = log_probs  # [C, V] of pi_theta
        self.targets = targets  # [C]
        self.reference = reference  # [C, V] of pi_0
        self.behaviour = behaviour  # [C] log b_t as recorded when the response was sampled, 0 where b is taken as 1

    @cached_property
    def logp(self) -> Tensor:
        """log p_t, [C]."""
        return _at(self.log_probs, self.targets)

    @cached_property
    def ref_logp(self) -> Tensor:
        """log pi_0(y_t | x, y_<t), [C]."""
        assert self.reference is not None, "this loss needs the initial policy"
        return _at(self.reference, self.targets)

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
    """w = clip(p_t / b_t, low, high): the importance weight with the recorded b_t (ours)."""
    assert tokens.behaviour is not None, "the ratio loss needs the recorded behaviour log-probabilities"
    return (tokens.logp - tokens.behaviour).exp().clamp(options.clip.low, options.clip.high)


def iw_sft(tokens: Tokens, options: Loss) -> Tensor:
    """w = clip(p_t / pi_0(y_t), low, high): the per-token form of importance-weighted SFT (arXiv 2507.12856)."""
    return (tokens.logp - tokens.ref_logp).exp().clamp(options.clip.low, options.clip.high)


def eaft(tokens: Tokens, options: Loss) -> Tensor:
    """w = (H_top20 / 3)^alpha; 3 is about ln 20, so confident tokens weigh less (EAFT, arXiv 2601.02151)."""
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


def named(name: str, options: Loss) -> tuple[str, Loss]:
    """Split a name of `grid.loss` into weights and options: `dft` takes loss.kl, `dft-kl0.05` sets it to 0.05.

    Raises:
        ParamsError: unknown weights, or no number of at least 0 after `-kl`.
    """
    weights, penalised, beta = name.partition("-kl")
    if weights not in WEIGHTS:
        raise ParamsError(f"loss {name!r} is unknown; there are {', '.join(WEIGHTS)}, each with or without -kl0.05")
    if not penalised:
        return weights, options
    try:
        return weights, from_dict(Loss, {**asdict(options), "kl": float(beta)}, "loss")
    except ValueError:
        raise ParamsError(f"loss {name!r}: behind -kl stands a number such as 0.05") from None


def divergence(tokens: Tokens, direction: str) -> Tensor:
    """KL(pi_0 || pi_theta) ("forward") or KL(pi_theta || pi_0) ("reverse") over the vocabulary, [C], nats."""
    assert tokens.reference is not None, "KL needs the initial policy"
    left, right = tokens.reference, tokens.log_probs
    if direction == "reverse":
        left, right = right, left
    return (left.exp() * (left - right)).sum(-1)


@dataclass(frozen=True)
class Objective:
    """A loss and its normalisation: the factors of the module's formula. `detail` measures more, for the log."""

    loss: str
    options: Loss
    scale: float = 1.0
    kl_scale: float = 0.0
    detail: bool = False

    def weights(self, tokens: Tokens) -> Tensor:
        return WEIGHTS[self.loss](tokens, self.options)

    def unclipped(self) -> "Objective":
        return replace(self, options=replace(self.options, clip=Clip(low=0.0, high=inf)))


def _at(log_probs: Tensor, targets: Tensor) -> Tensor:
    return log_probs.gather(-1, targets[:, None]).squeeze(-1)
