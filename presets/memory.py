"""What a preset takes of memory and disk, from the shape of its model: `python presets/cost.py NAME` prints it.

A training step is the real one (stages.lib.training), run on fake tensors: shapes without numbers, so a model of any
size takes seconds and no memory. What is alive at its peak is counted by storage. The rest is arithmetic. Nothing here
was measured on a GPU; CONTEXT stands for what a driver, kernels and the holes between allocations take.
"""

import sys
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

sys.path.insert(0, str(Path(__file__).parent.parent))
from stages.lib.run.params import Params
from stages.lib.training import fused_loss, model
from stages.lib.training.batches import Example, collate
from stages.lib.training.losses import Objective

CONTEXT = 1.0e9  # bytes of a GPU: CUDA's context, kernels, fragmentation
LINE = 21.0  # bytes a token in a journal: id, log-probability, text
SCORED = 17.0  # bytes a token in data/scores.parquet


@dataclass(frozen=True)
class Shape:
    """Of a model's public config.json."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: int
    tied: bool
    llama: bool = False

    def build(self, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
        """The model, on the device and in the mode that are set."""
        words: dict[str, Any] = {
            "hidden_size": self.hidden, "num_hidden_layers": self.layers, "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads, "intermediate_size": self.intermediate,
            "vocab_size": self.vocabulary, "tie_word_embeddings": self.tied, "max_position_embeddings": 8192,
        }  # fmt: skip
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            return LlamaForCausalLM(LlamaConfig(**words)) if self.llama else Qwen2ForCausalLM(Qwen2Config(**words))
        finally:
            torch.set_default_dtype(before)

    def parameters(self) -> int:
        with torch.device("meta"):
            return self.build().num_parameters()

    def cached(self) -> int:
        """Bytes a token in vLLM's cache of keys and values, bf16."""
        return 2 * self.layers * self.kv_heads * (self.hidden // self.heads) * 2


SHAPES = {
    "qwen2.5-math-7b": Shape(3584, 28, 28, 4, 18944, 152064, tied=False),
    "llama-3.1-8b-instruct": Shape(4096, 32, 32, 8, 14336, 128256, tied=False, llama=True),
    "qwen2.5-math-1.5b": Shape(1536, 28, 12, 2, 8960, 151936, tied=True),
    "qwen2.5-0.5b-instruct-gsm8k": Shape(896, 24, 14, 2, 4864, 151936, tied=True),
    "smollm2-135m-gsm8k": Shape(576, 30, 9, 3, 1536, 49152, tied=True, llama=True),
}


class Peak(TorchDispatchMode):
    """Counts the bytes of the storages that are made under it and alive."""

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.now = self.most = 0
        self.alive = {tensor.untyped_storage()._cdata: 0 for tensor in known}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self.count(tensor.untyped_storage())
        return result

    def count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self.alive:
            self.alive[key] = storage.nbytes()
            self.now += storage.nbytes()
            self.most = max(self.most, self.now)
            weakref.finalize(storage, self.drop, key)

    def drop(self, key: int) -> None:
        self.now -= self.alive.pop(key, 0)


@dataclass(frozen=True)
class Step:
    """Bytes of one device at the peak of a micro-batch that is not its first, all of the model on it."""

    weights: float
    trained: float  # parameters that learn, in float32
    activations: float  # all else: activations, copies in bf16, logits, the gradients of a layer before they are added

    @property
    def total(self) -> float:
        return self.weights + 3 * self.trained + self.activations  # gradients, and two moments


def training_step(params: Params, shape: Shape, dtype: torch.dtype = torch.float32) -> Step:
    """The micro-batch that takes most: rows of the greatest length that the params allow, up to the token budget.

    dtype: of the weights that a layer computes with: float32, of which autocast makes copies, or bfloat16, the dtype in
    which shards are gathered.
    """
    length = params.train.max_length
    rows = max(1, params.hardware.train_tokens // length)
    with FakeTensorMode(allow_non_fake_inputs=True), as_on_a_gpu():
        with patch.object(torch.nn.Module, "_apply", lambda module, *_, **__: module):  # fake weights cannot be moved
            trained: Any = model.prepare(shape.build(dtype), params.train.lora)
        if params.hardware.gradient_checkpointing:
            trained.gradient_checkpointing_enable({"use_reentrant": False})
            trained.enable_input_require_grads()
        learning = [weight for weight in trained.parameters() if weight.requires_grad]
        weights = sum(weight.untyped_storage().nbytes() for weight in trained.parameters())
        example = Example("longest", [1] * (length // 4), [1] * (length - length // 4))
        for _ in range(2):  # in the second the gradients are there already, as they are between micro-batches
            known = [*trained.parameters(), *(weight.grad for weight in learning if weight.grad is not None)]
            with Peak(known) as peak:
                batch = model.arguments_of(collate([example] * rows))
                with torch.autocast("cpu", torch.bfloat16):
                    loss = trained.train()(**batch, objective=Objective("dft", replace(params.loss, kl=0.0)))["loss"]
                loss.backward()
                del loss
    return Step(weights, sum(weight.numel() * 4 for weight in learning), peak.most)


@contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """Replaces the three places where the step would look at numbers, which fake tensors have none of, or would go
    another way on a CPU."""

    def wide(hidden: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return torch.mm(hidden, weight.T, out_dtype=torch.float32)

    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        return (*ctx.grads, None, None, None, None)

    with (
        patch.object(fused_loss, "wide_logits", wide),
        patch.object(fused_loss._HeadLoss, "backward", staticmethod(backward)),
        patch.object(model, "check_head", lambda _: None),
    ):
        yield


def training(params: Params, shape: Shape, gpus: int) -> dict[str, float]:
    """Bytes a GPU while a cell trains: sharded over them if there are several and all weights learn."""
    whole, n = params.train.lora.rank == 0, shape.parameters()
    shards = gpus if whole else 1
    step = training_step(params, shape, torch.bfloat16 if shards > 1 else torch.float32)
    head = shape.vocabulary * shape.hidden
    layer = (n - head * (1 if shape.tied else 2)) / shape.layers
    seen = params.train.probe_n * min(params.train.max_length, 450) * shape.hidden * 4 / gpus
    parts = {
        "weights": step.weights if shards == 1 else 4 * n / shards,
        "moments": 2 * step.trained / shards,
        "gradients": step.trained / shards + (step.trained if shards > 1 else 0),  # whole between micro-batches
        "activations": step.activations,
        "gathered": 2 * (2 * layer + 2 * head) if shards > 1 else 0,
        "probe": seen + head * (2 if shards > 1 else 4),
        "context": CONTEXT,
    }
    if whole and (params.loss.kl or any("-kl" in name or name == "iw-sft" for name in params.grid.loss)):
        parts["reference"] = 4 * n / shards + (2 * head if shards > 1 else 0)
    return parts


def generation(params: Params, shape: Shape, gpus: int, card: float) -> dict[str, float]:
    """Bytes a GPU: vLLM takes its share of the card, and what weights leave of it is cache."""
    weights = 2 * shape.parameters() / params.hardware.tensor_parallel
    cache = params.hardware.gpu_memory_utilization * card - weights - CONTEXT
    return {"weights": weights, "cache": cache, "context": CONTEXT}


def scoring(params: Params, shape: Shape) -> dict[str, float]:
    """Bytes a GPU; the activations of one layer, by arithmetic."""
    tokens = params.hardware.score_batch * (params.train.max_length + params.resolve.max_new_tokens)
    layer = tokens * (6 * shape.hidden + 3 * shape.intermediate) * 2
    return {"weights": 2 * shape.parameters(), "activations": layer, "logits": 3 * 2**28, "context": CONTEXT}


def adapters(params: Params, shape: Shape) -> int:
    """Parameters that learn."""
    with torch.device("meta"):
        built = shape.build()
        if not params.train.lora.rank:
            return built.num_parameters()
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(r=params.train.lora.rank, target_modules="all-linear", task_type="CAUSAL_LM")
        return get_peft_model(built, config).get_nb_trainable_parameters()[0]


def disk(params: Params, shape: Shape, responses: float, tokens: float, scored: float) -> dict[str, tuple[float, str]]:
    """Bytes, and what they are. responses: of sample, resolve and evaluate in all, of `tokens` each."""
    n, cells = shape.parameters(), len(params.grid.data) * len(params.grid.loss) * len(params.grid.seed)
    learned = adapters(params, shape)
    point = 12 * learned
    steps = max(1, round(params.problems.n * params.train.epochs / params.train.batch_size))
    points = (steps - 1) // params.hardware.checkpoint_every
    policy = 2 * n if params.train.lora.save == "merged" or not params.train.lora.rank else 4 * learned
    return {
        "the policy from its hub": (2 * n, ""),
        "policies of the cells": (2 * cells * policy, f"{cells} in models/cells and in DVC's cache; half with links"),
        "finished policy in .scratch/": (policy, "until the next cell's is recorded; nothing with links"),
        "restart points": (
            min(3, points) * point,
            f"{points} a cell of {point / 1e9:.1f} GB (two are kept while one is written): "
            f"{cells * points * point / 1e12:.2f} TB written in all",
        ),
        "journals and outs of responses": (3 * responses * tokens * LINE, "journal, out, DVC's cache"),
        "scores of tokens": (3 * scored * SCORED, "parts, out, DVC's cache"),
    }
