"""Costs of a preset's run per stage, as a Markdown table: computed from its params under the assumptions below.

python presets/cost.py qwen2.5-math-7b

Nothing here was measured; change the assumptions to what you measure on the first thousand problems.
"""

import sys
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

sys.path.insert(0, str(Path(__file__).parent.parent))
from presets.apply import applied

FOLDER = Path(__file__).parent

# Of the models and data sets: their public configs and cards.
PARAMETERS = {"qwen2.5-math-7b": 7.62e9, "llama-3.1-8b-instruct": 8.03e9}
PROBLEMS = {"math-500": 500, "minerva": 272, "olympiadbench": 674, "aime24": 30, "amc23": 40}

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


def main() -> None:
    name = sys.argv[1] if len(sys.argv) == 2 else ""
    if name not in PARAMETERS:
        sys.exit(f"error: usage: python presets/cost.py NAME, one of {', '.join(PARAMETERS)}")
    print(f"{table(costs(complete(name), PARAMETERS[name]))}\n\n{assumptions()}")


if __name__ == "__main__":
    main()
