"""The cards of an export: what a data set or a policy is, in words and counts, as the hub shows them."""

from pathlib import Path

from huggingface_hub import DatasetCard, ModelCard

from stages.lib.records import Evaluation, evaluation_name, read
from stages.lib.run.params import Params

PAPER = "[Mind the Gap](https://arxiv.org/abs/2509.15157)"
VARIANTS = {  # in words; stages/lib/rewriting/training_sets.py makes them
    "expert": "the expert's demonstrations as they came",
    "rewritten": "guided re-solving: a correct sample, else a correct re-solved response, else the demonstration",
    "self": "the problems that a sample solved, alone",
    "no-guide": "a correct sample, else the demonstration",
    "solved": "the demonstrations of the problems that a sample solved",
    "matched": "as many of the rewritten rows as have the tokens of the expert's set",
    "answer-hint": "as rewritten, but re-solved with the answer as the only guide",
}
COLUMNS = """| column | content |
| --- | --- |
| `prompt`, `completion` | messages; the prompt is the plain one, the guide is never in it |
| `source` | self (a sample), resolved (written with a guide), expert (the demonstration) |
| `index` | which of the policy's responses to the problem; null for the expert's |
| `verdict`, `extracted` | the verifier's reason and the answer that it read |
| `guide` | what the policy was shown when it wrote the response; null: nothing |
| `token_ids`, `logprobs` | as sampled, the end token included; natural logarithms under the behaviour policy |
| `policy`, `revision` | the policy that wrote the response |
"""


def data_card(params: Params, counts: dict[str, dict[str, int]]) -> DatasetCard:
    """The card of the training sets. counts: rows by source, for each data variant."""
    configs = "\n".join(
        f"- config_name: {name}\n  data_files: data/{name}.parquet"
        + ("\n  default: true" if name == "rewritten" else "")
        for name in counts
    )
    table = "\n".join(
        f"| `{name}` | {VARIANTS.get(name, 'a variant of this project')} | {sum(sources.values())} | "
        f"{', '.join(f'{count} {source}' for source, count in sources.items())} |"
        for name, sources in counts.items()
    )
    return DatasetCard(f"""---
tags: [sft, guided-re-solving]
task_categories: [text-generation]
configs:
{configs}
---
# Training sets of guided re-solving

Problems of `{params.problems.source}`, with responses of `{params.policy.name}` where it solved them and the expert's
demonstrations where it did not. Method: {PAPER}.

| configuration | content | rows | by source |
| --- | --- | --: | --- |
{table}

## Columns

{COLUMNS}
## How it was made

Up to {params.sample.n} samples per problem at temperature {params.sample.temperature:g}; up to {params.resolve.n}
guided responses to what no sample solved (guides: {", ".join(params.resolve.guides)}), at temperature
{params.resolve.temperature:g}. Every response but the expert's passed the verifier of final answers. Steps were not
checked. The licence of the problems and demonstrations is that of their source.
""")


def named(data: str, loss: str, seed: int) -> str:
    return f"{data}-{loss}-{seed}"


def model_card(params: Params, cell: str, root: Path) -> ModelCard:
    """The card of one trained cell; its accuracies are counted from data/evaluations."""
    of = {
        f"{d}-{loss}-{s}": (d, loss, s) for d in params.grid.data for loss in params.grid.loss for s in params.grid.seed
    }
    data, loss, seed = of[cell]
    correct: dict[str, list[bool]] = {}
    path = root / "data" / "evaluations" / f"{evaluation_name(cell, params.evaluate.temperatures[0])}.jsonl"
    for row in read(Evaluation, path) if path.exists() else ():
        correct.setdefault(row.benchmark, []).append(row.correct)
    table = "\n".join(f"| {name} | {100 * sum(marks) / len(marks):.1f} |" for name, marks in sorted(correct.items()))
    measured = (
        f"Mean accuracy of {params.evaluate.n} responses per problem (%), one training run, no interval:\n\n"
        f"| benchmark | avg@{params.evaluate.n} |\n| --- | --: |\n{table}"
        if table
        else "It was not evaluated."
    )
    train = params.train
    return ModelCard(f"""---
base_model: {params.policy.name}
library_name: transformers
tags: [sft, guided-re-solving]
---
# {cell}

`{params.policy.name}` fine-tuned on the `{data}` data with the `{loss}` loss, seed {seed}. Method: {PAPER}.

Training: {train.epochs:g} epochs, {train.batch_size} responses per step, learning rate {train.learning_rate:g}, KL
penalty {params.loss.kl:g}{f", LoRA rank {train.lora.rank}" if train.lora.rank else ""}.

## What it measures

{measured}
""")
