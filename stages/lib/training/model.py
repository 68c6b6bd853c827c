"""The policy for the trainer: a causal model whose call returns the loss, and the frozen reference policy.

model = prepare(load_model(params.policy), params.train.lora, seed)
model(**arguments_of(collate(examples)), objective=Objective("dft", params.loss, scale=1 / tokens))["loss"].backward()
"""

import copy
from contextlib import nullcontext
from types import MethodType
from typing import Any

import torch
from accelerate.accelerator import Accelerator
from accelerate.utils.fsdp_utils import fsdp2_prepare_model
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel, set_seed
from transformers.utils import logging

from stages.lib.policy import load_config, scaled_head
from stages.lib.run.config import short
from stages.lib.run.errors import StageError
from stages.lib.run.params import Lora, Policy
from stages.lib.training.fused_loss import Batch, Behaviour, Head, ReferenceStates, head_loss
from stages.lib.training.losses import Objective


def prepare(model: PreTrainedModel, lora: Lora, seed: int = 0) -> nn.Module:
    """The policy ready for training: float32 weights, our forward in place of its own, LoRA if `lora.rank` > 0."""
    logging.disable_progress_bar()  # one bar is enough
    check_head(model.float())
    attach(model)
    if not lora.rank:
        return model.requires_grad_(True)
    set_seed(seed)  # of the adapter's first values
    return adapted(model, lora)


def adapted(model: PreTrainedModel, lora: Lora) -> nn.Module:
    """The model with a new adapter on it.

    Raises:
        StageError: peft has none for this model.
    """
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # peft divides by the rank: a fraction is as good
        lora_dropout=lora.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise StageError(
            f"train.lora.rank {lora.rank}: peft puts no adapter on {type(model).__name__} ({short(error)}); "
            "set train.lora.rank to 0"
        ) from None


def check_adapter(policy: Policy, lora: Lora) -> None:
    """Refuse a policy that no adapter fits on: known from its config, without memory or weights."""
    with torch.device("meta"):
        adapted(AutoModelForCausalLM.from_config(load_config(policy)), lora)


def attach(model: PreTrainedModel) -> PreTrainedModel:
    """Make a causal model's call return the loss instead of logits.

    The loss must be computed inside model.forward and lm_head.forward: FSDP gathers weights, DDP synchronises gradients
    and autocast applies only there.
    """
    model.forward = MethodType(forward, model)
    layer = model.get_output_embeddings()
    layer.forward = MethodType(head_forward, layer)
    return model


def arguments_of(batch: dict[str, Tensor]) -> dict[str, Any]:
    """What `batches.collate` makes, as arguments of the model's call."""
    if "behaviour" not in batch:
        return dict(batch)
    return {**batch, "behaviour": Behaviour(batch["behaviour"])}


def forward(
    self: PreTrainedModel,
    input_ids: Tensor,
    predict_at: Tensor,
    targets: Tensor,
    position_ids: Tensor | None = None,  # of packed rows: they restart where a sequence does
    behaviour: Behaviour | None = None,
    objective: Objective | None = None,
    reference: ReferenceStates | None = None,
    **_: Any,
) -> dict[str, Tensor]:
    """What `head_forward` makes of the hidden states that predict the response; inputs by `arguments_of`."""
    trunk = getattr(self, self.base_model_prefix)
    hidden = trunk(input_ids=input_ids, position_ids=position_ids, use_cache=False).last_hidden_state  # [B, S, D]
    hidden = hidden.flatten(0, 1).index_select(0, predict_at)  # [N, D]
    return self.get_output_embeddings()(Batch(hidden, targets, reference, behaviour), objective)


def head_forward(self: nn.Module, batch: Batch, objective: Objective | None) -> dict[str, Tensor]:
    """The loss and what it is made of; without an objective what `ReferenceStates` needs: hidden states, this layer."""
    head = layer_head(self)
    if objective is not None:
        return head_loss(batch, head, objective)
    frozen = {"weight": head.weight, "bias": head.bias}
    return {"hidden": batch.hidden, **{name: value.detach() for name, value in frozen.items() if value is not None}}


def layer_head(layer: Any) -> Head:
    return Head(layer.weight, getattr(layer, "bias", None))


@torch.no_grad()
def check_head(model: PreTrainedModel) -> None:
    """Refuse a model that changes its logits after the output layer (soft caps, scales, ...)."""
    ids = torch.arange(8, device=model.device)[None]  # [1, 8]
    logits = model(input_ids=ids, use_cache=False).logits[0]
    hidden = getattr(model, model.base_model_prefix)(input_ids=ids, use_cache=False).last_hidden_state[0]
    if scaled_head(model.config.get_text_config()) or not torch.allclose(
        layer_head(model.get_output_embeddings()).log_probs(hidden), logits.log_softmax(-1), atol=1e-3
    ):
        name = type(model).__name__
        raise StageError(
            f"{name} changes its logits after the output layer; training supports a plain linear head only"
        )


class Reference:
    """The frozen reference policy: a copy, or with an adapter the policy itself with the adapter switched off."""

    def __init__(self, model: nn.Module):
        self.adapted = hasattr(model, "disable_adapter")
        self.model: Any = model if self.adapted else copy.deepcopy(model).requires_grad_(False).eval()

    def place(self, accelerator: Accelerator) -> None:
        """Put it on the device, or shard it over the devices, as the policy is."""
        if not self.adapted:
            sharded = accelerator.is_fsdp2
            self.model = (
                fsdp2_prepare_model(accelerator, self.model)
                if sharded
                else accelerator.prepare_model(self.model, evaluation_mode=True)
            )

    @torch.no_grad()
    def __call__(self, inputs: dict[str, Tensor]) -> ReferenceStates:
        with self.model.disable_adapter() if self.adapted else nullcontext():
            outputs = self.model(**arguments_of(inputs))
        return ReferenceStates(outputs["hidden"], Head(outputs["weight"], outputs.get("bias")))
