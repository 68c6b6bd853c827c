"""Peak memory and step time of one optimizer step: plain logits, TRL's SFTTrainer and this project, side by side.

    python -m tests.benchmarks.training                          # CPU, a few minutes
    python -m tests.benchmarks.training --trl /elsewhere/trl-1.0 # another TRL beside the installed one (pip --target)
    python -m tests.benchmarks.training --size gpu               # one GPU: 1.5B-shaped, sequences of 2048, with MFU

A random-weight Qwen2 with the real vocabulary (151,936) learns the same random batch, a quarter of it prompt, every
implementation in a process of its own. Memory: the peak above what weights, gradients and AdamW's moments take, which
all of them need alike (CPU: resident set; GPU: allocator). Time: median step; on the CPU in processor seconds on one
thread, so that other work on the machine does not count.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).parents[2]
SIZES = {  # hidden, intermediate, layers, heads, key-value heads, sequences, length
    "cpu": (256, 1024, 4, 4, 2, 4, 256),
    "gpu": (1536, 8960, 28, 12, 2, 4, 2048),
}
VOCABULARY = 151_936
BETA = 0.05
PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12}  # dense bf16 operations per second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="cpu")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--trl", nargs="*", default=[], help="folders with other versions of TRL")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one, args.size, args.steps)))
        return
    runs = [("plain", ""), *[("trl", folder) for folder in ["", *args.trl]], ("ours", "")]
    runs += [("plain+kl", ""), ("ours+kl", "")]
    table([result for name, folder in runs if (result := run(name, folder, args))], args.size)


def run(name: str, folder: str, args: argparse.Namespace) -> dict | None:
    """Measure one implementation in a fresh process; None where it cannot be imported."""
    paths = [folder, str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    words = ["-m", "tests.benchmarks.training", "--one", name, "--size", args.size, "--steps", str(args.steps)]
    done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        print(f"{name} {folder}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def measure(name: str, size: str, steps: int) -> dict:
    torch.manual_seed(0)
    cuda = size == "gpu"
    if not cuda:
        torch.set_num_threads(1)
    model, ids, prompt = model_and_batch(size)
    with tempfile.TemporaryDirectory() as folder:
        title, step = IMPLEMENTATIONS[name](model, ids, prompt, Path(folder), cuda)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)
        for parameter in model.parameters():  # gradients and moments exist before anything is measured
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        before, reset = memory(cuda), reset_peak(cuda)
        losses, seconds = [], []
        for _ in range(steps + 1):
            optimizer.zero_grad(set_to_none=False)
            begun = clock(cuda)
            losses.append(float(step()))
            optimizer.step()
            seconds.append(clock(cuda) - begun)
    took = statistics.median(seconds[1:])
    work = 6 * sum(p.numel() for p in model.parameters()) * ids.numel()
    peak = next((ops for gpu, ops in PEAK.items() if cuda and gpu in torch.cuda.get_device_name()), None)
    mfu = work / took / peak if peak else None
    return {"name": title, "mib": (reset() - before) / 2**20, "seconds": took, "mfu": mfu, "loss": losses[0]}


def model_and_batch(size: str) -> tuple[torch.nn.Module, Tensor, int]:
    """The model in float32, token ids [B, S], and how many of the S are prompt."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    hidden, intermediate, layers, heads, groups, rows, length = SIZES[size]
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        tie_word_embeddings=True,
    )
    model = Qwen2ForCausalLM(config).to("cuda" if size == "gpu" else "cpu")
    return model, torch.randint(0, VOCABULARY, (rows, length)), length // 4


Step = Callable[[], Tensor]


def plain(
    model: torch.nn.Module, ids: Tensor, prompt: int, folder: Path, cuda: bool, kl: bool = False
) -> tuple[str, Step]:
    """The formula as a paper writes it: all logits, float32 log-softmax, autograd."""
    import copy

    ids = ids.to(model.device)
    reference = copy.deepcopy(model).eval() if kl else None

    def step() -> Tensor:
        with torch.autocast(model.device.type, torch.bfloat16, enabled=cuda):
            logq = model(ids, use_cache=False).logits[:, prompt - 1 : -1].float().log_softmax(-1)
            logp = logq.gather(-1, ids[:, prompt:, None])[..., 0]
            loss = -(logp.exp().detach() * logp).mean()
            if reference:
                with torch.no_grad():
                    log0 = reference(ids, use_cache=False).logits[:, prompt - 1 : -1].float().log_softmax(-1)
                loss = loss + BETA * (log0.exp() * (log0 - logq)).sum(-1).mean()
        loss.backward()
        return loss.detach()

    return f"plain logits, dft{' + KL' if kl else ''}", step


def trl(model: torch.nn.Module, ids: Tensor, prompt: int, folder: Path, cuda: bool) -> tuple[str, Step]:
    """TRL's own collator, compute_loss and training_step."""
    import datasets
    import trl
    from transformers import PreTrainedTokenizerFast

    rows = [{"input_ids": row, "completion_mask": [0] * prompt + [1] * (len(row) - prompt)} for row in ids.tolist()]
    args = trl.SFTConfig(
        output_dir=str(folder),
        loss_type="dft",
        per_device_train_batch_size=len(rows),
        completion_only_loss=True,
        max_length=None,
        use_cpu=not cuda,
        bf16=cuda,
        gradient_checkpointing=False,
        report_to=[],
    )
    tokenizer = blank_tokenizer(PreTrainedTokenizerFast)
    tuner = trl.SFTTrainer(model, args, train_dataset=datasets.Dataset.from_list(rows), processing_class=tokenizer)
    model = tuner.accelerator.prepare_model(model)
    tuner.current_gradient_accumulation_steps = 1
    [batch], tokens = tuner.get_batch_samples(iter(tuner.get_train_dataloader()), 1, tuner.args.device)
    return f"TRL {trl.__version__}, dft", lambda: tuner.training_step(model, dict(batch), tokens)


def blank_tokenizer(cls: type) -> object:
    from tokenizers import Tokenizer, models

    return cls(tokenizer_object=Tokenizer(models.WordLevel({"<e>": 0}, "<e>")), eos_token="<e>", pad_token="<e>")


def ours(
    model: torch.nn.Module, ids: Tensor, prompt: int, folder: Path, cuda: bool, kl: bool = False
) -> tuple[str, Step]:
    from stages.lib.run.params import load
    from stages.lib.training.batches import Example
    from stages.lib.training.model import attach
    from stages.lib.training.trainer import Finetuner, TrainingTask, arguments

    params = load(ROOT / "params.yaml")
    examples = [Example(str(at), row[:prompt], row[prompt:]) for at, row in enumerate(ids.tolist())]
    options = replace(params.loss, kl=BETA if kl else 0.0)
    task = TrainingTask(examples, [list(range(len(examples)))], "dft", options)
    tuner = Finetuner(attach(model), task, arguments(params.train, params.hardware, 1, 0, folder), 2**30)
    model = tuner.accelerator.prepare_model(model)
    batch = tuner.collate(task.steps[0])
    return f"this project, dft{' + KL' if kl else ''}", lambda: tuner.training_step(model, batch)


IMPLEMENTATIONS = {
    "plain": plain,
    "trl": trl,
    "ours": ours,
    "plain+kl": lambda *given: plain(*given, kl=True),
    "ours+kl": lambda *given: ours(*given, kl=True),
}


def clock(cuda: bool) -> float:
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter() if cuda else time.process_time()


def memory(cuda: bool) -> int:
    if cuda:
        return torch.cuda.memory_allocated()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def reset_peak(cuda: bool) -> Callable[[], int]:
    """Forget the peak so far; returns how to read the next."""
    if cuda:
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.max_memory_allocated
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    return lambda: next(
        int(line.split()[1]) * 1024
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM")
    )


def table(results: list[dict], size: str) -> None:
    ours = next(result for result in results if result["name"] == "this project, dft")
    kind = torch.cuda.get_device_name() if size == "gpu" else "CPU, one thread, float32"
    hidden, _, layers, *_, rows, length = SIZES[size]
    print(
        f"Qwen2-shaped, vocabulary {VOCABULARY}, hidden {hidden}, {layers} layers, {rows} x {length} tokens; {kind}\n"
    )
    print("| | peak above weights and optimizer, MiB | of it, this project needs | step, s | this project's | MFU |")
    print("|---|---:|---:|---:|---:|---:|")
    for result in results:
        share = [f"{ours[key] / result[key]:.2f}" for key in ("mib", "seconds")]
        mfu = f"{result['mfu']:.2f}" if result["mfu"] else ""
        print(f"| {result['name']} | {result['mib']:.0f} | {share[0]} | {result['seconds']:.2f} | {share[1]} | {mfu} |")


if __name__ == "__main__":
    main()
