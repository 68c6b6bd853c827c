"""Fine-tune the policy: one cell of the grid, a data set x a loss x a seed.

python -m stages.train rewritten dft 0
accelerate launch --config_file presets/accelerate/ddp.yaml -m stages.train rewritten dft 0

models/cells/rewritten-dft-0/            the policy, as a Hugging Face folder
data/training/rewritten-dft-0.csv        what the probe saw along training: one row per step and probe
Killed and started again it goes on from its last checkpoint in .scratch/.
"""

import sys
import time
from pathlib import Path

from stages.lib.batches import Example, encode, steps
from stages.lib.cli import run
from stages.lib.errors import StageError
from stages.lib.journal import fingerprint, identity
from stages.lib.losses import NEEDS_BEHAVIOUR, WEIGHTS, penalised
from stages.lib.params import Params, ParamsError, load, root
from stages.lib.policy import load_model, load_tokenizer, set_threads
from stages.lib.probe import Probe, Watch, choose, write
from stages.lib.records import TrainingRow, read
from stages.lib.trainee import prepare
from stages.lib.training import Finetuner, Work, arguments, last_checkpoint, save


def main() -> None:
    started = time.monotonic()
    params = load()
    data, loss, seed = cell(sys.argv[1:], params)
    name = f"{data}-{loss}-{seed}"
    weight, options = penalised(loss, params.loss)
    kinds = {kind: examples(kind, weight, params) for kind in dict.fromkeys((data, "expert", "rewritten"))}
    fitting = {kind: [row for row in rows if len(row) <= params.train.max_length] for kind, rows in kinds.items()}
    if not fitting[data]:
        raise StageError(f"data/train/{data}.jsonl: no row fits into train.max_length {params.train.max_length}")

    set_threads(params.hardware.threads)
    plan = steps(len(fitting[data]), params.train.epochs, params.train.batch_size, seed)
    work = Work(fitting[data], plan, weight, options)
    folder = scratch(data, loss, seed)
    args = arguments(params.train, params.hardware, len(plan), seed, folder)
    model = load_model(params.policy)
    check_tokens(fitting, model.get_input_embeddings().num_embeddings)
    dtype = model.dtype  # to save in; training is in float32
    model = prepare(model, params.train.lora, seed)
    probe = Probe(choose(fitting, params.train.probe_n), params.hardware.train_batch, args.device)
    watch = Watch(probe, work, params.train.probe_every, name)
    tuner = Finetuner(model, work, args, params.hardware.train_batch, watch)
    with watch:
        tuner.train(resume_from_checkpoint=last_checkpoint(folder))

    save(tuner, params, dtype, root() / "models" / "cells" / name)
    if tuner.is_world_process_zero():
        rows = [{"data": data, "loss": loss, "seed": seed, **row} for row in watch.rows(tuner.state)]
        write(rows, root() / "data" / "training" / f"{name}.csv")
        tuner.clean()
        print(closing(name, work, rows, time.monotonic() - started, len(kinds[data]) - len(fitting[data])))


def cell(words: list[str], params: Params) -> tuple[str, str, int]:
    """Data set, loss and seed of the command line, checked against each other and the params."""
    if len(words) != 3 or not words[2].isdecimal():
        raise ParamsError(f"train takes data, loss and seed (rewritten dft 0), not {' '.join(words)!r}")
    if penalised(words[1], params.loss)[0] not in WEIGHTS:
        raise ParamsError(f"loss {words[1]!r} is unknown; there are {', '.join(WEIGHTS)}")
    if params.loss.clip.low > params.loss.clip.high:
        raise ParamsError(f"loss.clip.low {params.loss.clip.low} is above loss.clip.high {params.loss.clip.high}")
    return words[0], words[1], int(words[2])


def examples(kind: str, loss: str, params: Params) -> list[Example]:
    path = root() / "data" / "train" / f"{kind}.jsonl"
    rows = list(read(TrainingRow, path))
    if not rows:
        raise StageError(f"{path}: no rows to train on")
    return encode(rows, load_tokenizer(params.policy), params.prompt, behaviour=loss in NEEDS_BEHAVIOUR)


def check_tokens(kinds: dict[str, list[Example]], vocabulary: int) -> None:
    """Sampled token ids must be of this policy's vocabulary."""
    for kind, found in kinds.items():
        for example in found:
            if max(example.prompt + example.response) >= vocabulary:
                what = f"token {max(example.prompt + example.response)}, outside the policy's {vocabulary}"
                raise StageError(
                    f"data/train/{kind}.jsonl: row {example.id!r} has {what}; sample again with this policy"
                )


def scratch(data: str, loss: str, seed: int) -> Path:
    """Where this cell's restart points are: under another name as soon as anything that it depends on is another."""
    declared = identity("train", item={"data": data, "loss": loss, "seed": seed})
    probes = [root() / "data" / "train" / f"{kind}.jsonl" for kind in ("expert", "rewritten")]
    return root() / ".scratch" / f"train-{data}-{loss}-{seed}-{fingerprint(declared, files=probes)}"


def closing(name: str, work: Work, rows: list[dict], seconds: float, left_out: int) -> str:
    kind = "expert" if name.startswith("expert") else "rewritten"
    nll = [row["nll"] for row in rows if row["probe"] == kind]
    return (
        f"train {name}: {len(work.steps)} steps over {len(work.examples)} responses "
        f"({work.tokens()[-1] / 1000:.0f}k tokens) in {seconds:.0f} s; NLL {nll[0]:.2f} -> {nll[-1]:.2f}, "
        f"{left_out} rows left out"
    )


if __name__ == "__main__":
    run(main)
