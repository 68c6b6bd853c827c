"""Fine-tune the policy: one cell of the grid, a data set x a loss x a seed.

    python -m stages.train rewritten dft 0
    accelerate launch --config_file presets/accelerate/ddp.yaml -m stages.train rewritten dft 0

Reads data/train/{<data>,expert,rewritten}.jsonl, the policy and, for the loss `ratio`, data/scores.parquet. Writes the
policy as models/cells/<data>-<loss>-<seed>/ and what the probe saw as data/training/<data>-<loss>-<seed>.csv. Killed and
started again it goes on from its last checkpoint in .scratch/.
"""

import sys
import time

from stages.lib import params as settings
from stages.lib.cli import run
from stages.lib.errors import StageError
from stages.lib.params import Params
from stages.lib.records import TrainingRow, read


def main() -> None:
    started = time.monotonic()
    params = settings.load()
    data, loss, seed = settings.cell(sys.argv[1:], params)
    name, root = f"{data}-{loss}-{seed}", settings.root()

    from stages.lib import batches, training  # torch and transformers take seconds: after the params were found in order
    from stages.lib.policy import load_model, load_tokenizer
    from stages.lib.probe import Probe, choose, write
    from stages.lib.watch import Watch

    training.set_threads(params.hardware.threads)
    tokenizer = load_tokenizer(params.policy)
    sets = {kind: root / f"data/train/{kind}.jsonl" for kind in dict.fromkeys((data, "expert", "rewritten"))}
    examples = {
        kind: batches.encode(list(read(TrainingRow, path)), tokenizer, params.prompt) for kind, path in sets.items()
    }
    if loss in training.NEEDS_BEHAVIOUR:
        examples = {kind: batches.with_behaviour(found, root / "data/scores.parquet") for kind, found in examples.items()}
    fitting = {kind: [e for e in found if len(e) <= params.train.max_length] for kind, found in examples.items()}
    left_out = len(examples[data]) - len(fitting[data])
    if not fitting[data]:
        raise StageError(f"{sets[data]}: no row fits into train.max_length {params.train.max_length}")

    steps = batches.steps(len(fitting[data]), params.train.epochs, params.train.batch_size, seed)
    work = training.Work(fitting[data], steps, loss, params.loss)
    folder = training.scratch(name, params, sets.values())
    args = training.arguments(params.train, params.hardware, len(steps), seed, folder)
    model = training.prepare(load_model(params.policy), params.train.lora)
    probe = Probe(choose({kind: fitting[kind] for kind in ("expert", "rewritten")}, params.train.probe_n))
    watch = Watch(probe, work, params.train.probe_every, name, folder)
    tuner = training.Finetuner(model, work, args, params.hardware.train_batch, [watch])
    tuner.train(resume_from_checkpoint=training.last_checkpoint(folder))
