"""Fine-tune the policy: one cell of the grid, a data set x a loss x a seed.

python -m stages.train rewritten dft 0
accelerate launch --config_file presets/accelerate/ddp.yaml -m stages.train rewritten dft 0

models/cells/rewritten-dft-0/            the policy, as a Hugging Face folder
data/training/rewritten-dft-0.csv        what the probe saw along training: one row per step and probe
Killed and started again it goes on from its last checkpoint in .scratch/, and a finished training is not repeated.
"""

import os
import sys
import time
from pathlib import Path

from stages.lib.policy import load_model, load_tokenizer, memory, set_threads
from stages.lib.records import TrainingRow, read
from stages.lib.run.errors import StageError
from stages.lib.run.files import replacing
from stages.lib.run.journal import identity, unchanged
from stages.lib.run.params import Params, ParamsError, load, root
from stages.lib.run.restart import drop_finished, finish, intact, link, seal
from stages.lib.run.stage import run
from stages.lib.training.batches import Example, encode, steps
from stages.lib.training.checkpoints import drop_checkpoints, last_checkpoint
from stages.lib.training.losses import NEEDS_BEHAVIOUR, named
from stages.lib.training.model import prepare
from stages.lib.training.probe import Probe, ProbeCallback, choose, write
from stages.lib.training.trainer import Finetuner, TrainingTask, arguments, save

TRAINED = "trained"  # what a finished training leaves in its folder of .scratch/, sealed
POLICY, CURVE = "policy", "curve.csv"  # and what is in it


def main() -> None:
    params = load()
    data, loss, seed = cell(sys.argv[1:], params)
    name, folder = f"{data}-{loss}-{seed}", scratch(data, loss, seed)
    first = int(os.environ.get("RANK", 0)) == 0
    if first:
        drop_finished("train", keep=folder)
    if not intact(folder / TRAINED, "training again"):
        train(data, loss, seed, params, folder)
    elif first:  # trained, and then killed before DVC had recorded it
        deliver(folder, name)
        print(f"train {name}: was trained before; delivered again")


def train(data: str, loss: str, seed: int, params: Params, folder: Path) -> None:
    started, name = time.monotonic(), f"{data}-{loss}-{seed}"
    weights, options = named(loss, params.loss)
    rows = examples(data, weights, params)
    fitting = [row for row in rows if len(row) <= params.train.max_length]
    if not fitting:
        raise StageError(f"data/train/{data}.jsonl: no row fits into train.max_length {params.train.max_length}")

    set_threads(params.policy, params.hardware.threads)
    plan = steps(len(fitting), params.train.epochs, params.train.batch_size, seed)
    task = TrainingTask(fitting, plan, weights, options)
    args = arguments(params.train, params.hardware, len(plan), seed, folder)
    model = load_model(params.policy)
    check_tokens(data, fitting, model.get_input_embeddings().num_embeddings)
    dtype = model.dtype  # to save in; training is in float32
    model = prepare(model, params.train.lora, seed)
    probe = Probe({data: choose(fitting, params.train.probe_n)}, params.hardware.train_tokens, args.device)
    watch = ProbeCallback(probe, task, params.train.probe_every, name)
    tuner = Finetuner(model, task, args, params.hardware.train_tokens, watch)
    unchanged(folder.name, scratch(data, loss, seed).name)
    with watch, memory("lower hardware.train_tokens, or set hardware.gradient_checkpointing"):
        tuner.train(resume_from_checkpoint=last_checkpoint(folder, tuner.is_fsdp_enabled))

    curve = [{"data": data, "loss": loss, "seed": seed, **row} for row in watch.rows(tuner.state)]
    save(tuner, params, dtype, folder / TRAINED / POLICY)
    if tuner.is_world_process_zero():
        write(curve, folder / TRAINED / CURVE)
        seal(folder / TRAINED)
        deliver(folder, name)
        print(closing(name, task, curve, time.monotonic() - started, len(rows) - len(fitting)))


def deliver(folder: Path, name: str) -> None:
    """Bring the finished policy and its curve to their outs, and drop the restart points.

    The policy is linked, not copied: DVC moves the out to its cache, and .scratch/ then shares the cache's copy.
    """
    link(folder / TRAINED / POLICY, root() / "models" / "cells" / name)
    with replacing(root() / "data" / "training" / f"{name}.csv") as file:
        file.write((folder / TRAINED / CURVE).read_text(encoding="utf-8"))
    drop_checkpoints(folder)
    finish(folder, f"train@{name}")


def cell(words: list[str], params: Params) -> tuple[str, str, int]:
    """Data set, loss and seed of the command line, checked against each other and the params."""
    if len(words) != 3 or not words[2].isdecimal():
        raise ParamsError(f"train takes data, loss and seed (rewritten dft 0), not {' '.join(words)!r}")
    named(words[1], params.loss)
    if params.loss.clip.low > params.loss.clip.high:
        raise ParamsError(f"loss.clip.low {params.loss.clip.low} is above loss.clip.high {params.loss.clip.high}")
    return words[0], words[1], int(words[2])


def examples(kind: str, loss: str, params: Params) -> list[Example]:
    path = root() / "data" / "train" / f"{kind}.jsonl"
    rows = list(read(TrainingRow, path))
    if not rows:
        raise StageError(f"{path}: no rows to train on")
    return encode(rows, load_tokenizer(params.policy), params.prompt, behaviour=loss in NEEDS_BEHAVIOUR)


def check_tokens(data: str, examples: list[Example], vocabulary: int) -> None:
    """Sampled token ids must be of this policy's vocabulary."""
    for example in examples:
        largest = max(example.prompt + example.response)
        if largest >= vocabulary:
            what = f"token {largest}, outside the policy's {vocabulary}"
            raise StageError(f"data/train/{data}.jsonl: row {example.id!r} has {what}; sample again with this policy")


def scratch(data: str, loss: str, seed: int) -> Path:
    """Where this cell's restart points are: under another name as soon as anything declared to DVC is another."""
    declared = identity("train", item={"data": data, "loss": loss, "seed": seed})
    return root() / ".scratch" / f"train-{data}-{loss}-{seed}-{declared}"


def closing(name: str, task: TrainingTask, rows: list[dict], seconds: float, left_out: int) -> str:
    nll = [row["nll"] for row in rows]
    return (
        f"train {name}: {len(task.steps)} steps over {len(task.examples)} responses "
        f"({task.tokens()[-1] / 1000:.0f}k tokens) in {seconds:.0f} s; NLL {nll[0]:.2f} -> {nll[-1]:.2f}, "
        f"{left_out} rows left out"
    )


if __name__ == "__main__":
    run(main)
