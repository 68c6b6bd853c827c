"""Small pieces of every numeric stage, run by the stages' own code in one process, and the hash of each file they make.

    python -m tools.pieces        # {"data/samples.jsonl": "1c291ca3...", ...} on stdout
    python -m tools.pieces off    # the same with policy.deterministic: false, for comparison

`tools.processors` runs it on several processors and compares.
"""

import contextlib
import hashlib
import json
import os
import shutil
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from presets.apply import applied
from stages.lib.run import same_bytes
from stages.lib.run.stage import open_stage

ROOT = Path(__file__).parent.parent
CODE = ("dvc.yaml", "models/micro", "stages")  # what the stages' fingerprints read
LITTLE = """
problems: {n: 12}
benchmarks: {n: 4}
sample: {n: 2, max_new_tokens: 48}
resolve: {n: 1, max_new_tokens: 48}
grid: {data: [expert, rewritten], loss: [sft, ratio-kl0.1], seed: [0]}
train: {epochs: 1.0, batch_size: 4, probe_n: 4, probe_every: 2}
evaluate: {n: 1, temperatures: [1, 0], max_new_tokens: 24}
report: {resamples: 100, bins: 2}
hardware: {workers: 1}
"""
CELLS = ("expert sft 0", "expert ratio-kl0.1 0", "rewritten sft 0", "rewritten ratio-kl0.1 0")
STAGES = (
    "prepare", "verify expert", "sample", "verify sample", "resolve solution", "verify resolve-solution",
    "fallback_merge", "score", *(f"train {cell}" for cell in CELLS), "evaluate base 1", "evaluate base 0",
    *(f"evaluate {cell} {value}" for cell in CELLS for value in (1, 0)), "tabulate", "plot_variance",
)  # fmt: skip
STEPS = 2  # of the embedded policy's own pre-training
SEQUENCES = 8


def main(deterministic: bool) -> None:
    if deterministic:
        same_bytes.begin()  # before NumPy and torch, which the stages import
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        found = pieces(Path(folder), deterministic)
    print(json.dumps(found, indent=1))


def pieces(folder: Path, deterministic: bool) -> dict[str, str]:
    """SHA-256 of everything that the little experiment and two steps of pre-training write in `folder`, by path."""
    for name in CODE:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    preset = f"policy: {{deterministic: {str(deterministic).lower()}}}\n{LITTLE}"
    (folder / "params.yaml").write_text(applied((ROOT / "params.yaml").read_text(encoding="utf-8"), preset))
    os.environ["DVC_ROOT"] = str(folder)
    os.chdir(folder)
    for words in map(str.split, STAGES):
        import_module(f"stages.{words[0]}").main(open_stage(words[0], words[1:], resumable=True))
    pretrain(folder / "models" / "again")
    made = [path for name in ("data", "models/cells", "models/again", "reports") for path in (folder / name).rglob("*")]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(made)
        if path.is_file()
    }


def pretrain(out: Path) -> None:
    """The first steps of the embedded policy's pre-training, and what its card would measure of them."""
    from dataclasses import replace

    from transformers import PreTrainedTokenizerFast

    from models.micro import pretrain as micro

    recipe = micro.load()
    recipe = replace(recipe, train=replace(recipe.train, steps=STEPS, batch_size=SEQUENCES))
    micro.build_tokenizer(recipe).save_pretrained(out / "tokenizer")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(micro.POLICY)
    model = micro.build_model(recipe.model, tokenizer)
    micro.train(model, recipe, tokenizer)
    model.save_pretrained(out)


if __name__ == "__main__":
    main(sys.argv[1:] != ["off"])
