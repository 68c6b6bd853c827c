"""Each weight against its formula in plain Python; the chunked head against autograd on the whole logits."""

import math
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from stages.lib.policy import wide_logits
from stages.lib.run.params import Clip, Loss, Params, ParamsError
from stages.lib.training import fused_loss
from stages.lib.training.fused_loss import Batch, Behaviour, Head, ReferenceStates, head_loss
from stages.lib.training.losses import WEIGHTS, Objective, Tokens, divergence, named

N, D, V = 13, 4, 7
DIRECTIONS = ("forward", "reverse")


@pytest.fixture
def options(params: Params) -> Loss:
    return params.loss


@pytest.fixture
def batch() -> tuple[Batch, Head]:
    """Random hidden states in float64, under a policy and another initial policy."""
    made = torch.Generator().manual_seed(0)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=made, dtype=torch.float64)

    targets = torch.randint(0, V, (N,), generator=made)
    reference = ReferenceStates(randn(N, D), Head(randn(V, D), randn(V)))
    hidden = randn(N, D).requires_grad_()
    head = Head(randn(V, D).requires_grad_(), randn(V).requires_grad_())
    return Batch(hidden, targets, reference, Behaviour(-torch.rand(N, generator=made, dtype=torch.float64))), head


def one(probabilities: list[float], target: int, start: list[float] | None = None, behaviour: float = 0.0) -> Tokens:
    return Tokens(
        torch.tensor([probabilities], dtype=torch.float64).log(),
        torch.tensor([target]),
        None if start is None else torch.tensor([start], dtype=torch.float64).log(),
        torch.tensor([behaviour], dtype=torch.float64),
    )


P, Q = [0.5, 0.3, 0.2], [0.1, 0.6, 0.3]
PAIRS = list(zip(P, Q, strict=True))
H = -sum(p * math.log(p) for p in P)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("sft", 1.0),
        ("dft", 0.2),
        ("ratio", 0.2 / 0.25),
        ("iw-sft", 0.2 / 0.3),
        ("eaft", (H / 3) ** 0.5),
        ("idft", 0.2 ** math.exp(-(math.log(0.2) + H) / 2)),
    ],
)
def test_weight_is_its_formula(options: Loss, loss: str, expected: float) -> None:
    options = replace(options, eaft_alpha=0.5, idft_beta=2.0)
    assert WEIGHTS[loss](one(P, 2, Q, math.log(0.25)), options).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("behaviour", "expected"), [(0.01, 2.0), (0.25, 0.8), (0.9, 0.5)])
def test_ratio_is_clipped_and_says_what_it_was(options: Loss, behaviour: float, expected: float) -> None:
    objective = Objective("ratio", replace(options, clip=Clip(low=0.5, high=2.0)))
    tokens = one(P, 2, behaviour=math.log(behaviour))
    assert objective.weights(tokens).item() == pytest.approx(expected)
    assert objective.unclipped().weights(tokens).item() == pytest.approx(0.2 / behaviour)


@pytest.mark.parametrize(("target", "exponent"), [(0, 0.1), (2, 2.0)])
def test_idft_gate_is_bounded(options: Loss, target: int, exponent: float) -> None:
    weight = WEIGHTS["idft"](one(P, target), replace(options, idft_beta=0.01)).item()
    assert weight == pytest.approx(P[target] ** exponent)


def test_eaft_looks_at_twenty_tokens_only(options: Loss) -> None:
    flat = one([0.04] * 20 + [0.02] * 10, 0)
    assert flat.top_entropy.item() == pytest.approx(math.log(20))
    assert flat.entropy.item() > math.log(20)


def test_divergence_directions() -> None:
    tokens = one(P, 0, Q)
    assert divergence(tokens, "forward").item() == pytest.approx(sum(q * math.log(q / p) for p, q in PAIRS))
    assert divergence(tokens, "reverse").item() == pytest.approx(sum(p * math.log(p / q) for p, q in PAIRS))


@pytest.mark.parametrize("chunk", [V, 3 * V, 10**6], ids=["1 a chunk", "3 a chunk", "one chunk"])
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("loss", WEIGHTS)
@pytest.mark.parametrize("beta", [0.0, 0.2])
def test_loss_and_gradient_are_autograds(
    options: Loss,
    batch: tuple[Batch, Head],
    monkeypatch: pytest.MonkeyPatch,
    loss: str,
    direction: str,
    beta: float,
    chunk: int,
) -> None:
    monkeypatch.setattr(fused_loss, "CHUNK", chunk)
    data, head = batch
    objective = Objective(loss, replace(options, kl_direction=direction), scale=0.3, kl_scale=beta)
    leaves = (data.hidden, head.weight, head.bias)
    ours = head_loss(data, head, objective)["loss"]
    textbook = whole(data, head, objective)
    assert ours.item() == pytest.approx(textbook.item(), rel=1e-12)
    for mine, its in zip(torch.autograd.grad(7 * ours, leaves), torch.autograd.grad(7 * textbook, leaves), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-10, atol=1e-12)


def whole(data: Batch, head: Head, objective: Objective) -> torch.Tensor:
    """The textbook formula on the whole logits, left to autograd."""
    logq = torch.log_softmax(data.hidden @ head.weight.T + head.bias, -1)
    log0 = torch.log_softmax(data.reference.hidden @ data.reference.head.weight.T + data.reference.head.bias, -1)
    weight = WEIGHTS[objective.loss](Tokens(logq, data.targets, log0, data.behaviour.logp), objective.options).detach()
    nll = -logq[torch.arange(N), data.targets]
    forward = torch.nn.functional.kl_div(logq, log0, log_target=True, reduction="sum")
    reverse = torch.nn.functional.kl_div(log0, logq, log_target=True, reduction="sum")
    kl = forward if objective.options.kl_direction == "forward" else reverse
    return objective.scale * (weight * nll).sum() + objective.kl_scale * kl


def test_frozen_head_gets_no_gradient(options: Loss, batch: tuple[Batch, Head]) -> None:
    data, head = batch
    frozen = Head(head.weight.detach(), head.bias.detach())
    head_loss(data, frozen, Objective("dft", options))["loss"].backward()
    assert data.hidden.grad is not None and frozen.weight.grad is None


def test_no_tokens_is_a_loss_of_zero(options: Loss, batch: tuple[Batch, Head]) -> None:
    data, head = batch
    empty = Batch(data.hidden[:0], data.targets[:0])
    loss = head_loss(empty, head, Objective("sft", options))["loss"]
    loss.backward()
    assert loss.item() == 0 and head.weight.grad.abs().sum() == 0


class Largest(TorchDispatchMode):
    """The most elements that any operation returned."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out


@pytest.mark.parametrize("loss", WEIGHTS)
def test_nothing_of_tokens_times_vocabulary_exists(options: Loss, monkeypatch: pytest.MonkeyPatch, loss: str) -> None:
    tokens, wide = 256, 512
    monkeypatch.setattr(fused_loss, "CHUNK", 16 * wide)
    hidden, weight = torch.randn(tokens, 2, requires_grad=True), torch.randn(wide, 2, requires_grad=True)
    reference = ReferenceStates(torch.randn(tokens, 2), Head(torch.randn(wide, 2)))
    data = Batch(hidden, torch.randint(0, wide, (tokens,)), reference, Behaviour(torch.zeros(tokens)))
    with Largest() as largest:
        head_loss(data, Head(weight), Objective(loss, options, kl_scale=0.1, detail=True))["loss"].backward()
    assert largest.elements == 16 * wide


def test_log_probabilities_are_float32_under_autocast(options: Loss) -> None:
    hidden, weight = torch.randn(5, D, requires_grad=True), torch.randn(V, D, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        values = head_loss(Batch(hidden, torch.zeros(5, dtype=torch.long)), Head(weight), Objective("dft", options))
    values["loss"].backward()
    exact = (hidden.bfloat16().double() @ weight.bfloat16().double().T).log_softmax(-1)[:, 0]
    torch.testing.assert_close(values["logp"].double(), exact, rtol=1e-6, atol=1e-6)
    assert values["logp"].dtype == hidden.grad.dtype == weight.grad.dtype == torch.float32


def test_a_loss_may_name_its_own_penalty(params: Params) -> None:
    assert named("iw-sft", params.loss) == ("iw-sft", params.loss)
    assert named("iw-sft-kl0.05", params.loss) == ("iw-sft", replace(params.loss, kl=0.05))


@pytest.mark.parametrize("name", ["sftt", "kl0.05", "dft-kl", "dft-klx", "dft-kl-1", "dft-klnan"])
def test_an_unknown_loss_is_refused(name: str, params: Params) -> None:
    with pytest.raises(ParamsError):
        named(name, params.loss)


def test_logits_rounded_to_bf16_would_be_a_floor_under_the_gap() -> None:
    """Logits of 18 to 32 over a vocabulary of 152k: what a bf16 layer returns is off by some 0.015 nats a token."""
    made = torch.Generator().manual_seed(0)
    hidden = torch.randn(16, 64, generator=made).bfloat16()
    weight = (0.5 * torch.randn(151_936, 64, generator=made)).bfloat16()
    weight[:16] = 0.35 * hidden  # each position has a token with a logit of some 22
    exact = (hidden.double() @ weight.double().T).log_softmax(-1).diagonal()
    ours = wide_logits(hidden, weight).log_softmax(-1).diagonal()
    layer = torch.nn.functional.linear(hidden, weight).float().log_softmax(-1).diagonal()
    assert (ours - exact).abs().max() < 2e-4  # float32 sums of 152k terms
    assert (layer - exact).square().mean().sqrt() > 0.005
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(wide_logits(hidden, weight).log_softmax(-1).diagonal(), ours)
    assert torch.equal(wide_logits(hidden.float(), weight.float()), hidden.float() @ weight.float().T)
