"""Fine-tuning: transformers' Trainer with this project's batches, losses and restart points.

    model = prepare(load_model(params.policy), params.train, seed)
    tuner = Finetuner(model, examples, work, params, args)
    tuner.train(resume_from_checkpoint=last_checkpoint(folder))

What the Trainer counts as a batch is one whole optimizer step; `training_step` walks over its micro-batches. So any
batch size splits over any number of devices, the loss is normalised over the step, and the same rows make up a step
whatever the hardware.
"""

import copy
import math
import shutil
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils.fsdp_utils import fsdp2_prepare_model
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.utils import logging

from stages.lib import batches
from stages.lib.batches import Example
from stages.lib.errors import StageError
from stages.lib.losses import NEEDS_START, Batch, Head, Objective, Start, head_loss
from stages.lib.params import Hardware, Lora, Loss, Params, Train
from stages.lib.policy import load_model, load_tokenizer

COMPLETE = "complete"  # a file in every checkpoint that was written to its end


@dataclass(frozen=True)
class Work:
    """What is learned: the examples, which of them each optimizer step takes, and the loss."""

    examples: list[Example]
    steps: list[list[int]]
    loss: str
    options: Loss

    def tokens(self) -> list[int]:
        """Response tokens seen after each number of steps."""
        seen = [0]
        for step in self.steps:
            seen.append(seen[-1] + sum(len(self.examples[row].response) for row in step))
        return seen

    def objective(self, **more: Any) -> Objective:
        return Objective(self.loss, self.options, **more)

    @property
    def needs_start(self) -> bool:
        return self.options.kl > 0 or self.loss in NEEDS_START


def prepare(model: PreTrainedModel, lora: Lora, seed: int = 0) -> nn.Module:
    """The policy ready to be trained: our forward in place of its own, float32 weights, an adapter if asked for."""
    logging.disable_progress_bar()  # one bar is enough
    check_head(model.float())
    attach(model)
    if not lora.rank:
        return model.requires_grad_(True)
    from peft import LoraConfig, get_peft_model

    set_seed(seed)  # of the adapter's first values
    shape = {"r": lora.rank, "lora_alpha": lora.alpha, "lora_dropout": lora.dropout}
    return get_peft_model(model, LoraConfig(**shape, target_modules="all-linear", task_type="CAUSAL_LM"))


def attach(model: PreTrainedModel) -> PreTrainedModel:
    """Let a causal model's call end in the loss instead of logits.

    Replacing its forward, and its head's, keeps the head's product inside the calls of both: there sharded weights are
    gathered, gradients synchronised and autocast is on, whatever wraps the model.
    """
    model.forward = MethodType(forward, model)
    layer = model.get_output_embeddings()
    layer.forward = MethodType(head_forward, layer)
    return model


def forward(
    self: PreTrainedModel,
    input_ids: Tensor,
    where: Tensor,
    targets: Tensor,
    position_ids: Tensor | None = None,  # of packed rows: they restart where a sequence does
    behaviour: Tensor | None = None,
    objective: Objective | None = None,
    start: Start | None = None,
    **_: Any,
) -> dict[str, Tensor]:
    """What `head_forward` makes of the hidden states that predict the response; inputs as in `batches.collate`."""
    trunk = getattr(self, self.base_model_prefix)
    hidden = trunk(input_ids=input_ids, position_ids=position_ids, use_cache=False).last_hidden_state  # [B, S, D]
    hidden = hidden.flatten(0, 1).index_select(0, where)  # [N, D]
    return self.get_output_embeddings()(Batch(hidden, targets, start, behaviour), objective)


def head_forward(self: nn.Module, batch: Batch, objective: Objective | None) -> dict[str, Tensor]:
    """The loss and what it is made of; without an objective what `Start` needs: hidden states and this layer."""
    head = layer_head(self)
    if objective is not None:
        return head_loss(batch, head, objective)
    frozen = {"weight": head.weight, "bias": head.bias}
    return {"hidden": batch.hidden, **{name: value.detach() for name, value in frozen.items() if value is not None}}


def layer_head(layer: nn.Module) -> Head:
    return Head(layer.weight, getattr(layer, "bias", None))


@torch.no_grad()
def check_head(model: PreTrainedModel) -> None:
    """Refuse a model whose logits are more than its head on its last hidden state (soft caps, scales, ...)."""
    ids = torch.arange(8, device=model.device)[None]  # [1, 8]
    logits = model(input_ids=ids, use_cache=False).logits[0]
    hidden = getattr(model, model.base_model_prefix)(input_ids=ids, use_cache=False).last_hidden_state[0]
    if not torch.allclose(
        layer_head(model.get_output_embeddings()).log_probs(hidden), logits.log_softmax(-1), atol=1e-3
    ):
        name = type(model).__name__
        raise StageError(
            f"{name} changes its logits after the output layer; training supports a plain linear head only"
        )


class Reference:
    """The frozen initial policy: a copy, or with an adapter the policy itself with the adapter switched off."""

    def __init__(self, model: nn.Module):
        self.adapted = hasattr(model, "disable_adapter")
        self.model = model if self.adapted else copy.deepcopy(model).requires_grad_(False).eval()

    def place(self, accelerator: Accelerator) -> None:
        """To the device, or in shards over the devices, as the policy is."""
        if not self.adapted:
            sharded = accelerator.is_fsdp2
            self.model = (
                fsdp2_prepare_model(accelerator, self.model)
                if sharded
                else accelerator.prepare_model(self.model, evaluation_mode=True)
            )

    @torch.no_grad()
    def __call__(self, inputs: dict[str, Tensor]) -> Start:
        with self.model.disable_adapter() if self.adapted else nullcontext():
            outputs = self.model(**inputs)
        return Start(outputs["hidden"], Head(outputs["weight"], outputs.get("bias")))


class Finetuner(Trainer):
    """A Trainer whose batches are whole optimizer steps."""

    def __init__(self, model: nn.Module, work: Work, args: TrainingArguments, limit: int, *watch: TrainerCallback):
        self.work = work
        self.limit = limit  # responses per device and micro-batch
        super().__init__(model=model, args=args, train_dataset=work.steps, callbacks=list(watch))
        self.remove_callback(PrinterCallback)
        self.reference = Reference(model) if work.needs_start else None
        if self.reference:
            self.reference.place(self.accelerator)

    def get_train_dataloader(self) -> DataLoader:
        """Steps in their given order; each process takes its own share of every step."""
        return DataLoader(
            self.train_dataset, batch_size=1, shuffle=False, collate_fn=lambda items: self.collate(items[0])
        )

    def collate(self, rows: list[int]) -> dict[str, Any]:
        examples = [self.work.examples[row] for row in rows]
        share = batches.plan([len(example) for example in examples], self.args.world_size, self.limit)
        micro = [[examples[row] for row in group] for group in share[self.args.process_index]]
        return {
            "ids": [example.id for example in examples],
            "tokens": sum(len(example.response) for example in examples),
            "micro": [batches.collate(group) for group in micro],
        }

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        model.train()
        self.step_ids = inputs["ids"]
        inputs = self._prepare_inputs(inputs)
        objective = self.step_objective(model, inputs)
        losses = []
        for number, micro in enumerate(inputs["micro"]):
            with self.no_sync(model, last=number + 1 == len(inputs["micro"])):
                loss = self.compute_loss(model, {**micro, "objective": objective})
                self.accelerator.backward(loss)
            losses.append(loss.detach())
        return torch.stack(losses).sum()

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], *_: Any, **__: Any) -> Tensor:
        tensors = {key: value for key, value in inputs.items() if key != "objective"}
        start = self.reference(tensors) if self.reference else None
        outputs = model(**inputs, start=start)
        return outputs["loss"]

    def step_objective(self, model: nn.Module, inputs: dict[str, Any]) -> Objective:
        """The loss, normalised over the whole step; times the processes, over which gradients are averaged."""
        scale = self.accelerator.num_processes / inputs["tokens"]
        objective = self.work.objective(a=scale, b=self.work.options.kl * scale)
        if self.work.options.weight_normalisation == "none":
            return objective
        return self.work.objective(a=self.accelerator.num_processes / self.weight_sum(model, inputs), b=objective.b)

    @torch.no_grad()
    def weight_sum(self, model: nn.Module, inputs: dict[str, Any]) -> float:
        """Sum of the weights over the step, which their mean needs before the first gradient is taken."""
        weights = torch.zeros((), device=self.args.device, dtype=torch.float64)
        for micro in inputs["micro"]:
            start = self.reference(micro) if self.reference else None
            weights += (
                model(**micro, objective=self.work.objective(), start=start).get("weight", weights.new_zeros(1)).sum()
            )
        return max(float(self.accelerator.reduce(weights)), torch.finfo(torch.float32).tiny)

    def no_sync(self, model: nn.Module, last: bool) -> AbstractContextManager:
        return nullcontext() if last else self.accelerator.no_sync(model)

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> float:
        """Called before every update: the place to stop before a broken gradient reaches the weights."""
        norm = float(super()._get_grad_norm(model, grad_norm))
        if not math.isfinite(norm):
            ids = ", ".join(self.step_ids)
            raise StageError(
                f"step {self.state.global_step + 1}: the gradient is not finite ({norm}); its batch: {ids}"
            )
        return norm

    def clean(self) -> None:
        """Drop the restart points of a finished run."""
        shutil.rmtree(self.args.output_dir, ignore_errors=True)

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        return 0

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            (Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}" / COMPLETE).touch()


def last_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end."""
    complete = [path.parent for path in folder.glob(f"checkpoint-*/{COMPLETE}")]
    return str(max(complete, key=lambda path: int(path.name.split("-")[1]))) if complete else None


def arguments(train: Train, hardware: Hardware, steps: int, seed: int, folder: Path) -> TrainingArguments:
    """The Trainer's arguments: AdamW, linear warm-up and cosine decay, as the params say."""
    cuda = torch.cuda.is_available()
    args = TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=1,
        seed=seed,
        learning_rate=train.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=math.ceil(train.warmup_ratio * steps),
        weight_decay=train.weight_decay,
        adam_beta1=train.adam_beta1,
        adam_beta2=train.adam_beta2,
        max_grad_norm=train.max_grad_norm,
        bf16=cuda,
        use_cpu=not cuda,
        gradient_checkpointing=hardware.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        save_steps=hardware.checkpoint_every,
        save_total_limit=2,
        logging_strategy="no",
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        log_level="error",
        report_to=[],
        remove_unused_columns=False,
        ddp_find_unused_parameters=False,
    )
    args._n_gpu = min(1, args.n_gpu)  # several devices are several processes, never DataParallel
    return args


def save(tuner: Finetuner, params: Params, dtype: torch.dtype, folder: Path) -> None:
    """Write the policy as a Hugging Face folder, whole or not at all; the adapter alone if the params say so."""
    model = tuner.accelerator.unwrap_model(tuner.model_wrapped)
    if tuner.is_fsdp_enabled:
        state = tuner.accelerator.get_state_dict(tuner.model_wrapped)  # gathers the shards, on the first process
    if not tuner.is_world_process_zero():
        return
    if tuner.is_fsdp_enabled:
        model = prepare(load_model(params.policy), params.train.lora)
        model.load_state_dict(state)
    adapter = params.train.lora.rank and params.train.lora.save == "adapter"
    model = model.merge_and_unload() if params.train.lora.rank and not adapter else model
    model.config.use_cache = True  # the Trainer switches it off
    partial = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(partial, ignore_errors=True)
    model.to(dtype).save_pretrained(partial)
    load_tokenizer(params.policy).save_pretrained(partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
