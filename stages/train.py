"""Fine-tune the policy: one cell of the grid, a data set x a loss x a seed.

python -m stages.train rewritten dft 0
accelerate launch --config_file presets/accelerate/ddp.yaml -m stages.train rewritten dft 0

models/cells/rewritten-dft-0/            the policy, as a Hugging Face folder
data/training/rewritten-dft-0.csv        what the probe saw along training: one row per step and probe
Killed and started again it goes on from its last checkpoint in .scratch/, and a finished training is not repeated.
"""

import time
from pathlib import Path

from stages.lib.policy import context_window, delivered_generation, load_model, load_tokenizer, memory, set_threads
from stages.lib.records import Cell, TrainingRow, read
from stages.lib.run.errors import StageError
from stages.lib.run.files import replacing
from stages.lib.run.lock import rank
from stages.lib.run.params import Loss, Params, ParamsError, root
from stages.lib.run.restart import hardlink, mark_delivered, remove_recorded, verified, write_checksums
from stages.lib.run.stage import Stage, run
from stages.lib.training.batches import Example, encode, steps
from stages.lib.training.checkpoints import drop_checkpoints, last_checkpoint
from stages.lib.training.losses import NEEDS_BEHAVIOUR, named
from stages.lib.training.model import prepare
from stages.lib.training.probe import Probe, ProbeCallback, choose, write
from stages.lib.training.trainer import Finetuner, TrainingTask, arguments, save

TRAINED = "trained"  # what a finished training leaves in its folder of .scratch/, with checksums
POLICY, CURVE = "policy", "curve.csv"  # and what is in it


def main(stage: Stage) -> None:
    cell, folder = Cell.of(stage.item), stage.folder()
    check_loss(cell.loss, stage.params.loss)
    if rank() == 0:
        remove_recorded("train", keep=folder)
    if not verified(folder / TRAINED, "training again"):
        train(stage, cell, folder)
    elif rank() == 0:  # trained, and then killed before DVC had recorded it
        deliver(stage, cell, folder)
        print(f"train {cell.name}: was trained before; delivered again")


def train(stage: Stage, cell: Cell, folder: Path) -> None:
    started, params = time.monotonic(), stage.params
    weights, options = named(cell.loss, params.loss)
    rows = examples(cell.data, weights, params)
    fitting = rows_that_fit(rows, cell.data, params.train.max_length, context_window(params.policy))

    set_threads(params.policy, params.hardware.threads)
    plan = steps(len(fitting), params.train.epochs, params.train.batch_size, cell.seed)
    task = TrainingTask(fitting, plan, weights, options)
    args = arguments(params.train, params.hardware, len(plan), cell.seed, folder)
    loaded = load_model(params.policy)
    check_tokens(cell.data, fitting, next(loaded.get_input_embeddings().parameters()).shape[0])
    dtype = loaded.dtype  # to save in; training is in float32
    loaded.generation_config = delivered_generation(load_tokenizer(params.policy), loaded.generation_config)
    model = prepare(loaded, params.train.lora, cell.seed)
    probe = Probe({cell.data: choose(fitting, params.train.probe_n)}, params.hardware.train_tokens, args.device)
    watch = ProbeCallback(probe, task, params.train.probe_every, cell.name)
    tuner = Finetuner(model, task, args, params.hardware.train_tokens, watch)
    stage.assert_unchanged()
    with watch, memory("lower hardware.train_tokens, or set hardware.gradient_checkpointing"):
        tuner.train(resume_from_checkpoint=last_checkpoint(folder, tuner.is_fsdp_enabled))

    curve = [{**vars(cell), **row} for row in watch.rows(tuner.state)]
    save(tuner, params.policy, params.train.lora, dtype, folder / TRAINED / POLICY)
    if tuner.is_world_process_zero():
        write(curve, folder / TRAINED / CURVE)
        write_checksums(folder / TRAINED)
        deliver(stage, cell, folder)
        print(closing(cell.name, task, curve, time.monotonic() - started, len(rows) - len(fitting)))


def deliver(stage: Stage, cell: Cell, folder: Path) -> None:
    """Bring the finished policy and its curve to their outs, and drop the checkpoints.

    The policy is linked, not copied: DVC moves the out to its cache, and .scratch/ then shares the cache's copy.
    """
    hardlink(folder / TRAINED / POLICY, root() / "models" / "cells" / cell.name)
    with replacing(stage.data / "training" / f"{cell.name}.csv") as file:
        file.write((folder / TRAINED / CURVE).read_text(encoding="utf-8"))
    drop_checkpoints(folder)
    mark_delivered(folder, stage.instance.name)


def check_loss(name: str, loss: Loss) -> None:
    """Refuse a loss that there is not, and a clip of nothing."""
    named(name, loss)
    if loss.clip.low > loss.clip.high:
        raise ParamsError(f"loss.clip.low {loss.clip.low} is above loss.clip.high {loss.clip.high}")


def examples(kind: str, loss: str, params: Params) -> list[Example]:
    path = root() / "data" / "train" / f"{kind}.jsonl"
    rows = list(read(TrainingRow, path))
    if not rows:
        raise StageError(f"{path}: no rows to train on")
    return encode(rows, load_tokenizer(params.policy), params.prompt, behaviour=loss in NEEDS_BEHAVIOUR)


def rows_that_fit(rows: list[Example], data: str, longest: int, context: int | None) -> list[Example]:
    """The rows of at most train.max_length tokens, and no longer than the context window: those that score has."""
    most = min(longest, context or longest)
    fitting = [row for row in rows if len(row) <= most]
    if not fitting:
        limit = "the context window of tokens:" if most < longest else "train.max_length"
        raise StageError(f"data/train/{data}.jsonl: no row fits into {limit} {most}")
    return fitting


def check_tokens(data: str, examples: list[Example], vocabulary: int) -> None:
    """Sampled token ids must be of this policy's vocabulary."""
    for example in examples:
        largest = max(example.prompt + example.response)
        if largest >= vocabulary:
            what = f"token {largest}, outside the policy's {vocabulary}"
            raise StageError(f"data/train/{data}.jsonl: row {example.id!r} has {what}; sample again with this policy")


def closing(name: str, task: TrainingTask, rows: list[dict], seconds: float, left_out: int) -> str:
    nll = [row["nll"] for row in rows]
    still = "; no log-probability changed: train.learning_rate or train.epochs is too small"
    return (
        f"train {name}: {len(task.steps)} steps over {len(task.examples)} responses "
        f"({task.tokens()[-1] / 1000:.0f}k tokens) in {seconds:.0f} s; NLL {nll[0]:.2f} -> {nll[-1]:.2f}, "
        f"{left_out} rows left out{still if nll[0] == nll[-1] and rows[-1]['kl'] == 0 else ''}"
    )


if __name__ == "__main__":
    run(main, resumable=True)
