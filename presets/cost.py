"""What a preset's run takes, stage by stage, as Markdown: time on eight GPUs, memory of each, disk, engine starts.

python presets/cost.py qwen2.5-math-7b
python presets/cost.py qwen2.5-math-1.5b --gpus 1 --memory 16   # GiB a GPU; exit status 1: it does not fit

Time is counted from the params under the assumptions below, memory as presets/memory.py says. Nothing here was
measured; change the assumptions to what you measure on the first thousand problems.
"""

import argparse
import sys
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

sys.path.insert(0, str(Path(__file__).parent.parent))
from presets import memory
from presets.apply import applied
from stages.lib.run.config import from_dict
from stages.lib.run.params import Params

FOLDER = Path(__file__).parent

# Of the models and data sets: their public configs and cards.
PARAMETERS = {"qwen2.5-math-7b": 7.62e9, "llama-3.1-8b-instruct": 8.03e9}
PROBLEMS = {"math-500": 500, "minerva": 272, "olympiadbench": 674, "aime24": 30, "amc23": 40}
TESTED = {"gsm8k": 1319}  # of the smaller presets

# Assumed.
GPUS = 8  # H100 SXM
DECODE = (
    5_000  # response tokens a second and GPU from vLLM in bf16; MLPerf Inference 5.1 has 5,777 in FP8, Llama-3.1-8B
)
PEAK = 989e12  # FLOP a second and GPU, bf16, dense (data sheet)
SCORING, TRAINING = 0.4, 0.35  # share of the peak that a forward pass, or a training step, reaches
PROMPT, RESPONSE, EVALUATED = 150, 450, 900  # tokens: of a problem in its prompt, of a training response, on benchmarks
A, B = 0.5, 0.5  # pass rates over problems ~ Beta(A, B): half of all samples are right, many problems always or never
GUIDED = 1.0, 1.0  # the same for guided responses to what no sample solved


class Cost(NamedTuple):
    """tokens: generated, or seen by the model; seconds: of one GPU; gpus: how many share them."""

    stage: str
    work: str
    tokens: float
    seconds: float
    gpus: int = GPUS

    def hours(self) -> float:
        """Wall-clock hours on `gpus` GPUs."""
        return self.seconds / self.gpus / 3600


def failing(draws: int, a: float, b: float) -> float:
    """Share of the problems whose first `draws` responses all fail: E[(1-p)^n] = B(a, b+n) / B(a, b) for p ~ Beta."""
    return prod((b + i) / (a + b + i) for i in range(draws))


def drawn(decoding: dict[str, Any], a: float, b: float) -> float:
    """Responses per problem: n, or if adaptive up to n, none after the first correct one."""
    return sum(failing(already, a, b) if decoding["adaptive"] else 1.0 for already in range(decoding["n"]))


def costs(preset: dict[str, Any], parameters: float) -> list[Cost]:
    """The stages that need a GPU, in their order."""
    problems, cells = preset["problems"]["n"], prod(len(values) for values in preset["grid"].values())
    unsolved = problems * failing(preset["sample"]["n"], A, B)
    samples = problems * drawn(preset["sample"], A, B)
    guided = unsolved * drawn(preset["resolve"], *GUIDED)
    tested = sum(min(PROBLEMS[row["name"]], preset["benchmarks"]["n"]) for row in preset["benchmarks"]["sources"])
    evaluate = preset["evaluate"]
    answers = tested * sum(evaluate["n"] if value > 0 else 1 for value in evaluate["temperatures"])
    row = PROMPT + RESPONSE
    scored = (2 * problems + unsolved) * row  # the expert's and the rewritten, and what is re-solved under its guide
    learned = problems * preset["train"]["epochs"] * row
    passes = 8 if preset["hardware"]["gradient_checkpointing"] else 6  # FLOP per parameter and token; 2 of 8 recompute
    train = passes * parameters * learned / (PEAK * TRAINING)
    return [
        generation("sample", f"{samples:,.0f} responses to {problems:,} problems", samples * RESPONSE),
        generation("resolve", f"{guided:,.0f} responses to {unsolved:,.0f} problems", guided * RESPONSE),
        Cost("score", "log-probabilities, on one GPU", scored, 2 * parameters * scored / (PEAK * SCORING), gpus=1),
        Cost("train", f"{cells} cells", cells * learned, cells * train),
        generation("evaluate", f"{cells + 1} policies x {answers:,} responses", (cells + 1) * answers * EVALUATED),
    ]


def generation(stage: str, work: str, tokens: float) -> Cost:
    """The cost of generating so many response tokens."""
    return Cost(stage, work, tokens, tokens / DECODE)


def table(rows: list[Cost]) -> str:
    """The costs as a Markdown table, with their sum."""
    lines = ["| stage | work | tokens (M) | GPU hours | hours on 8 GPUs |", "| :-- | :-- | --: | --: | --: |"]
    lines += [line(row.stage, row.work, row.tokens, row.seconds / 3600, row.hours()) for row in rows]
    seconds, hours = sum(row.seconds for row in rows), sum(row.hours() for row in rows)
    return "\n".join([*lines, line("all", "", sum(row.tokens for row in rows), seconds / 3600, hours)])


def line(stage: str, work: str, tokens: float, gpu_hours: float, hours: float) -> str:
    """One row of the table; tokens are shown in millions."""
    return f"| {stage} | {work} | {tokens / 1e6:,.0f} | {gpu_hours:.1f} | {hours:.1f} |"


def assumptions() -> str:
    """The sentence below the table that says what it assumes."""
    return (
        f"Computed by `presets/cost.py`, not measured. Assumed: {DECODE:,} response tokens a second and H100 in "
        f"generation; {TRAINING:.0%} of {PEAK / 1e12:.0f} TFLOP/s in training, {SCORING:.0%} in scoring; {RESPONSE} "
        f"tokens per response to a training problem, {EVALUATED} to a benchmark's, {PROMPT} per prompt; pass rates "
        f"over problems Beta({A:g}, {B:g}), with the guide Beta({GUIDED[0]:g}, {GUIDED[1]:g}). The start of engines "
        "and verification (on the CPU) come on top."
    )


def complete(name: str) -> dict[str, Any]:
    """params.yaml with the preset in it."""
    text = applied((FOLDER.parent / "params.yaml").read_text("utf-8"), (FOLDER / f"{name}.yaml").read_text("utf-8"))
    return YAML(typ="safe").load(text)


# GPUs, and GiB of each, that a preset's comments name.
HARDWARE = {
    "qwen2.5-math-7b": (8, 80),
    "llama-3.1-8b-instruct": (8, 80),
    "qwen2.5-math-1.5b": (1, 24),
    "qwen2.5-0.5b-instruct-gsm8k": (1, 16),
    "smollm2-135m-gsm8k": (1, 16),
}


def memory_rows(params: Params, shape: memory.Shape, gpus: int, card: float) -> Iterator[tuple[str, float, str]]:
    """What a GPU must hold: in what, how many bytes, of which parts."""
    train = memory.training(params, shape, gpus)
    whole = 4.0 * shape.parameters()
    yield "train", sum(train.values()), parts(train)
    if gpus > 1 and not params.train.lora.rank:
        copies = 2 if "reference" in train else 1
        yield "train, before it is sharded", copies * whole + memory.CONTEXT, "float32, whole on every GPU"
        kept = train["weights"] + train["moments"]
        yield "train, at the end, first GPU", kept + whole + memory.CONTEXT, "shards, and the whole policy to save"
    score = memory.scoring(params, shape)
    yield "score", sum(score.values()), parts(score)
    drawn = memory.generation(params, shape, gpus, card)
    window = params.train.max_length + params.evaluate.max_new_tokens
    least = drawn["weights"] + drawn["context"] + window * shape.cached()
    free = drawn["cache"] / shape.cached()
    yield (
        "generate, one response",
        least,
        f"weights {drawn['weights'] / 1e9:.1f}; the rest of the card: {free:,.0f} tokens",
    )


def parts(found: dict[str, float]) -> str:
    return ", ".join(f"{name} {value / 1e9:.1f}" for name, value in found.items() if value >= 5e7)


def memory_table(rows: list[tuple[str, float, str]], gpus: int, card: float) -> str:
    lines = [f"| on each of {gpus} GPUs of {card / 2**30:g} GiB | GB | of these | fits |", "| :-- | --: | :-- | :-- |"]
    lines += [f"| {name} | {size / 1e9:.1f} | {what} | {fits(size, card)} |" for name, size, what in rows]
    return "\n".join(lines)


def fits(size: float, card: float) -> str:
    """yes, barely (less than a tenth is free) or NO. A card's GiB are not all to be had: 2 % are the driver's."""
    return "NO" if size > 0.98 * card else "barely" if size > 0.9 * card else "yes"


def disk_table(params: Params, shape: memory.Shape) -> str:
    problems, cells = params.problems.n, len(params.grid.data) * len(params.grid.loss) * len(params.grid.seed)
    tested = sum(min((PROBLEMS | TESTED)[str(row.name)], params.benchmarks.n) for row in params.benchmarks.sources)
    most = problems * (params.sample.n + params.resolve.n) + (cells + 1) * tested * params.evaluate.n
    rows = memory.disk(params, shape, most, RESPONSE, 3 * problems * RESPONSE)
    lines = ["| disk | GB | |", "| :-- | --: | :-- |"]
    lines += [f"| {name} | {size / 1e9:.0f} | {what} |" for name, (size, what) in rows.items()]
    total = sum(size for size, _ in rows.values()) / 1e9
    starts = f"Engines start {cells + 3} times: sample, resolve, evaluate of {cells + 1} policies."
    links = "`dvc config --local cache.type hardlink,symlink` lets .scratch/, models/cells/ and the cache share files."
    return "\n".join([*lines, f"| at most | {total:.0f} | |", "", starts, links])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", choices=HARDWARE)
    parser.add_argument("--gpus", type=int, help="how many")
    parser.add_argument("--memory", type=float, help="GiB of each")
    words = parser.parse_args()
    gpus, card = words.gpus or HARDWARE[words.name][0], (words.memory or HARDWARE[words.name][1]) * 2**30
    raw, shape = complete(words.name), memory.SHAPES[words.name]
    if words.name in PARAMETERS:
        print(f"{table(costs(raw, PARAMETERS[words.name]))}\n\n{assumptions()}\n")
    params = from_dict(Params, raw)
    rows = list(memory_rows(params, shape, gpus, card))
    print(f"{memory_table(rows, gpus, card)}\n\n{disk_table(params, shape)}")
    if any(fits(size, card) == "NO" for _, size, _ in rows):
        sys.exit(f"error: {words.name} does not fit {gpus} GPUs of {card / 2**30:g} GiB: lower hardware.train_tokens")


if __name__ == "__main__":
    main()
