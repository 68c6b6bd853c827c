"""Run by torchrun with two processes (see test_training): the training stage, then a policy in shards.

accelerate shards on GPUs only, so the second part calls the function that it would call (FSDP2) and checks that loss,
gradients and the divergence to an initial policy in shards are those of the whole model.
"""

import sys
from types import SimpleNamespace

import torch
import torch.distributed as dist
from accelerate.utils import FullyShardedDataParallelPlugin
from accelerate.utils.fsdp_utils import fsdp2_prepare_model
from transformers import AutoModelForCausalLM

from stages import train
from stages.lib.run.params import load
from stages.lib.training.batches import Example, collate, plan
from stages.lib.training.losses import Objective
from stages.lib.training.model import Reference, attach
from tests.run_stage import run_stage


def main() -> None:
    run_stage(train, *sys.argv[1:])
    check_shards(load().policy.name, dist.get_rank())
    dist.destroy_process_group()


def check_shards(folder: str, rank: int) -> None:
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2, auto_wrap_policy="transformer_based_wrap", cpu_ram_efficient_loading=False
    )
    accelerator = SimpleNamespace(
        state=SimpleNamespace(fsdp_plugin=plugin), mixed_precision="no", is_main_process=rank == 0, is_fsdp2=True,
        device=torch.device("cpu"),
    )  # fmt: skip
    examples = [Example(str(n), list(range(1, 4 + n)), list(range(9, 12 + 2 * n))) for n in range(5)]
    objective = Objective("dft", load().loss, scale=2 / 35, kl_scale=0.2 / 35)

    whole, base = policy(folder), policy(folder, shift=0.05)
    loss = run(whole, Reference(base), collate(examples), objective)
    sharded, reference = fsdp2_prepare_model(accelerator, policy(folder)), Reference(policy(folder, shift=0.05))
    reference.place(accelerator)
    shares = plan([len(example) for example in examples], 2, 40)[rank]
    losses = 0.0
    for number, group in enumerate(shares):
        sharded.set_requires_gradient_sync(number + 1 == len(shares))
        losses += run(sharded, reference, collate([examples[row] for row in group]), objective)
    total = torch.tensor(losses)
    dist.all_reduce(total)
    assert abs(total.item() - loss) < 1e-5 * abs(loss), (total.item(), loss)
    for (name, mine), its in zip(sharded.named_parameters(), whole.parameters(), strict=True):
        grad = mine.grad.full_tensor() * 2  # shards average over processes
        assert (grad - its.grad).abs().max() < 1e-5 * its.grad.abs().max(), name


def policy(folder: str, shift: float = 0.0) -> torch.nn.Module:
    model = attach(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32))
    with torch.no_grad():
        for weight in model.parameters():
            weight *= 1 + shift
    return model


def run(model: torch.nn.Module, reference: Reference, inputs: dict[str, torch.Tensor], objective: Objective) -> float:
    loss = model(**inputs, objective=objective, reference=reference(inputs))["loss"]
    loss.backward()
    return loss.item()


if __name__ == "__main__":
    main()
