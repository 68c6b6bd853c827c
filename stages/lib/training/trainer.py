"""Fine-tuning: transformers' Trainer with this project's batches, losses and checkpoints.

    tuner = Finetuner(prepare(model, lora), TrainingTask(examples, steps, "dft", params.loss), args, tokens=8192)
    tuner.train(resume_from_checkpoint=last_checkpoint(folder))

One batch of the Trainer is one whole optimizer step; `training_step` loops over its micro-batches. So any batch size
splits over any number of devices, the loss is normalised over the step, and a step has the same rows on all hardware.
"""

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.utils.data import DataLoader
from transformers import (
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from stages.lib.policy import delivered_generation, gpu_count, load_model, load_tokenizer
from stages.lib.run.errors import StageError
from stages.lib.run.files import replacing_folder
from stages.lib.run.params import Hardware, Lora, Loss, Policy, Train
from stages.lib.run.restart import write_checksums
from stages.lib.training import batches
from stages.lib.training.batches import Example
from stages.lib.training.checkpoints import readable
from stages.lib.training.losses import NEEDS_REFERENCE, Objective
from stages.lib.training.model import Reference, arguments_of, prepare


@dataclass(frozen=True)
class TrainingTask:
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
    def needs_reference(self) -> bool:
        return self.options.kl > 0 or self.loss in NEEDS_REFERENCE


class Finetuner(Trainer):
    """A Trainer whose batches are whole optimizer steps."""

    def __init__(
        self, model: nn.Module, task: TrainingTask, args: TrainingArguments, tokens: int, *callbacks: TrainerCallback
    ):
        self.task = task
        self.tokens = tokens  # per device and micro-batch, padding included
        super().__init__(model=model, args=args, train_dataset=task.steps, callbacks=list(callbacks))
        self.remove_callback(PrinterCallback)
        self.set_precision()
        self.reference = Reference(model) if task.needs_reference else None
        if self.reference:
            self.check_resumable(self.reference)
            self.reference.place(self.accelerator)

    def set_precision(self) -> None:
        """Under FSDP2 in bf16: gradients are summed, and what the model returns is left, in float32.

        accelerate's own setting, which its YAML cannot change, rounds both to bf16: log-probabilities of the probe too.
        """
        if self.accelerator.is_fsdp2 and self.accelerator.mixed_precision == "bf16":
            policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32, output_dtype=None)
            self.accelerator.state.fsdp_plugin.mixed_precision_policy = policy

    def check_resumable(self, reference: Reference) -> None:
        """Refuse what FSDP2 could not go on with after a kill: the reference of an adapter, in bf16."""
        if self.accelerator.is_fsdp2 and reference.adapted and self.accelerator.mixed_precision == "bf16":
            raise StageError(
                "train.lora with loss.kl (or iw-sft) under fsdp2.yaml in bf16 cannot go on after a kill (a gradient of "
                "another dtype, says torch); an adapter needs no shards: launch with presets/accelerate/ddp.yaml"
            )

    def get_train_dataloader(self) -> DataLoader:
        """Steps in the given order; each process takes its share of every step."""
        return DataLoader(
            self.task.steps,  # type: ignore[arg-type]  # a list is data enough
            batch_size=1,
            shuffle=False,
            collate_fn=lambda items: self.collate(items[0]),
        )

    def collate(self, rows: list[int]) -> dict[str, Any]:
        examples = [self.task.examples[row] for row in rows]
        padding = 1.0 if self.is_fsdp_enabled else batches.PADDING
        lengths = [len(example) for example in examples]
        share = batches.plan(lengths, self.args.world_size, self.tokens, padding)
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
        self.step_loss = torch.stack(losses).sum()
        return self.step_loss

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], *_: Any, **__: Any) -> Tensor:
        tensors = {key: value for key, value in inputs.items() if key != "objective"}
        reference = self.reference(tensors) if self.reference else None
        outputs = model(**arguments_of(tensors), objective=inputs["objective"], reference=reference)
        return outputs["loss"]

    def step_objective(self, model: nn.Module, inputs: dict[str, Any]) -> Objective:
        """The loss normalised over the whole step, times the number of processes because gradients are averaged."""
        scale = self.accelerator.num_processes / inputs["tokens"]
        objective = self.task.objective(scale=scale, kl_scale=self.task.options.kl * scale)
        if self.task.options.weight_normalisation == "none":
            return objective
        return replace(objective, scale=self.accelerator.num_processes / self.weight_sum(model, inputs))

    @torch.no_grad()
    def weight_sum(self, model: nn.Module, inputs: dict[str, Any]) -> float:
        """Sum of the weights over the step; their mean must be known before the first gradient."""
        weights = torch.zeros((), device=self.args.device, dtype=torch.float64)
        for micro in inputs["micro"]:
            reference = self.reference(micro) if self.reference else None
            values = model(**arguments_of(micro), objective=self.task.objective(), reference=reference)
            weights += values["weight"].sum() if "weight" in values else 0.0
        return max(float(self.accelerator.reduce(weights)), torch.finfo(torch.float32).tiny)

    def no_sync(self, model: nn.Module, last: bool) -> AbstractContextManager:
        return nullcontext() if last else self.accelerator.no_sync(model)

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> float:
        """Stop at a loss or gradient that is not finite; the Trainer calls this before every update."""
        norm, loss = float(super()._get_grad_norm(model, grad_norm)), float(self.step_loss)
        if not (math.isfinite(norm) and math.isfinite(loss)):
            what = f"loss {loss}, gradient norm {norm}: not finite"
            raise StageError(f"step {self.state.global_step + 1}: {what}; its batch: {', '.join(self.step_ids)}")
        return norm

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        return 0

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            write_checksums(
                Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}", fsdp=self.is_fsdp_enabled
            )

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        with readable(resume_from_checkpoint):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        with readable(checkpoint):
            super()._load_optimizer_and_scheduler(checkpoint)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        with readable(checkpoint):
            super()._load_rng_state(checkpoint)


def arguments(train: Train, hardware: Hardware, steps: int, seed: int, folder: Path) -> TrainingArguments:
    """The Trainer's arguments: AdamW, linear warm-up and cosine decay, with the params' values."""
    cuda = gpu_count() > 0
    args = TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=1,
        seed=seed,
        optim="adamw_torch_fused",  # the other's square root is MKL's, which differs between processors
        learning_rate=train.learning_rate,
        lr_scheduler_type="cosine",
        # the first step of a warm-up has a learning rate of 0: of a single step it would leave nothing
        warmup_steps=min(math.ceil(train.warmup_ratio * steps), steps - 1),
        weight_decay=train.weight_decay,
        adam_beta1=train.adam_beta1,
        adam_beta2=train.adam_beta2,
        max_grad_norm=train.max_grad_norm,
        bf16=cuda and torch.cuda.is_bf16_supported(),
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


def save(tuner: Finetuner, policy: Policy, lora: Lora, dtype: torch.dtype, folder: Path) -> None:
    """Write the policy as a Hugging Face folder, atomically; the adapter only, if train.lora.save is adapter."""
    model = tuner.accelerator.unwrap_model(tuner.model_wrapped)
    if tuner.is_fsdp_enabled:
        state = tuner.accelerator.get_state_dict(tuner.model_wrapped)  # gathers the shards, on the first process
    if not tuner.is_world_process_zero():
        return
    if tuner.is_fsdp_enabled:
        model = prepare(load_model(policy), lora)
        model.load_state_dict(state)
    adapter = lora.rank and lora.save == "adapter"
    model = model.merge_and_unload() if lora.rank and not adapter else model
    if adapter:
        model.peft_config["default"].revision = policy.revision  # of the base, which is loaded with the adapter
    model.config.use_cache = True  # the Trainer switches it off
    tokenizer = load_tokenizer(policy)
    model.generation_config = delivered_generation(tokenizer, model.generation_config)
    with replacing_folder(folder) as partial:
        model.to(dtype).save_pretrained(partial)
        tokenizer.save_pretrained(partial)
