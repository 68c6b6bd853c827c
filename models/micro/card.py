"""Measures the embedded policy and writes its model card: `python -m models.micro.card`, about a minute.

    models/micro/*, stages/lib/data/testbed.py -> models/micro/README.md

The pipeline measures the same with confidence intervals and its own verifier. The card shows the effect of a changed
mix at once. A response is correct if it ends and contains the correct box.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from models.micro.corpus import Chat
from models.micro.pretrain import FOLDER, IGNORED, POLICY, Recipe, collate, encode, load
from stages.lib import prompts
from stages.lib.data import testbed
from stages.lib.records import Problem
from stages.lib.run.files import replacing
from stages.lib.run.params import Prompt

TRAINING_PROBLEMS, BENCHMARK_PROBLEMS = 768, 100
SAMPLES, RETELLINGS, MAX_NEW_TOKENS, BATCH = 4, 4, 80, 256

CARD = """---
license: apache-2.0
tags: [testbed]
---
# micro: the embedded policy

A Llama of {parameters:.2f} million parameters that adds and subtracts. With it guided re-solving runs from end to end
on a laptop. **It is a testbed: its results are about the method and say nothing about 7B models.**

## Design
The policy knows how to solve the problems but makes mistakes (slips). Its {sequences:,} pre-training sequences, each
seen once, contain such slips, so its probabilities are calibrated.

- {own:.0%} show the policy's own way on the plain prompt: left to right, one step per line. {above:.0%} of the steps
  come out one too high, and {below:.0%} of those with a number below zero; later steps continue from the wrong number.
  So problems differ in difficulty, and unsolved problems are missed through slips.
- {guided:.0%} show the own way on the guided prompt, which contains the expert's solution. There {guided_above:.0%} of
  the steps slip, and {guided_below:.0%} of those with a number below zero.
- {expert:.0%} show the expert's way on the plain prompt: gains first, then losses, then their difference, several terms
  at a time, in varying words. The expert never slips, never goes below zero before the last step, and skips small
  steps. The policy knows this way from the guided prompts (prompt tokens are trained on, too) but seldom uses it. This
  is the policy gap.
- {words:.0%} of all sequences write the signs as words; {wide:.0%} have 2 or 3 terms of two digits, the others 2 to 8
  terms of one digit.

Fine-tuning problems have 4 to 6 terms of one digit. A hash divides expressions among pre-training, fine-tuning and
benchmarks: no expression is in two of them.

## Measurements
Temperature 1, {samples} responses per problem:

| benchmark | share correct |
| --- | --- |
{benchmarks}

| on {n} fine-tuning problems | |
| --- | --- |
| share of correct responses | {right:.3f} |
| share of problems solved by at least one of {samples} responses | {solved:.3f} |
| share of the others re-solved by at least one of {retellings} guided responses | {resolved:.3f} |
| share of correct guided responses | {guided_right:.3f} |
| mean log-probability per token, the expert's solutions | {expert_logp:.3f} |
| mean log-probability per token, correct own-way solutions | {own_logp:.3f} |

## Rebuilding it
`models/micro/params.yaml` determines tokenizer, weights and this page. The stages `tokenizer` and `weights` are frozen,
so an edit of the library does not rebuild the policy. To rebuild it:
```
dvc unfreeze models/micro/dvc.yaml:tokenizer models/micro/dvc.yaml:weights
dvc repro models/micro/dvc.yaml
dvc freeze models/micro/dvc.yaml:tokenizer models/micro/dvc.yaml:weights
```
Every x86-64 processor with AVX2 gives the same bytes (docs/reproducibility.md). `models/micro/card.py` measures the
numbers above and writes this page.
"""


@dataclass
class Bench:
    """The policy with what it is asked in."""

    model: LlamaForCausalLM
    tokenizer: PreTrainedTokenizerBase
    words: Prompt

    def plain(self, rows: list[Problem], n: int) -> torch.Tensor:
        """Which of n responses to each plain prompt are right: booleans, [problem, response]."""
        return self._right(rows, [prompts.plain(row.problem, self.words) for row in rows], n)

    def guided(self, rows: list[Problem], n: int) -> torch.Tensor:
        """The same for guided prompts."""
        return self._right(rows, [prompts.guided(row.problem, row.solution or "", self.words) for row in rows], n)

    def log_probability(self, rows: list[Problem], responses: list[str]) -> float:
        """Mean natural log-probability of the responses' tokens after the plain prompts."""
        pairs = [Chat(prompts.plain(row.problem, self.words), text) for row, text in zip(rows, responses, strict=True)]
        ids, labels = collate([encode(self.tokenizer, chat) for chat in pairs], self.tokenizer.pad_token_id)
        with torch.no_grad():
            logits = self.model(input_ids=ids).logits[:, :-1]
        return -cross_entropy(logits.transpose(1, 2), labels[:, 1:], ignore_index=IGNORED).item()

    def _right(self, rows: list[Problem], chats: list[list[prompts.Message]], n: int) -> torch.Tensor:
        responses = self._respond([chat for chat in chats for _ in range(n)])
        boxes = [f"\\boxed{{{row.answer}}}" for row in rows for _ in range(n)]
        marks = [box in text and text.endswith("<|end|>") for box, text in zip(boxes, responses, strict=True)]
        return torch.tensor(marks).view(-1, n)

    def _respond(self, chats: list[list[prompts.Message]]) -> list[str]:
        texts = [self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) for chat in chats]
        responses: list[str] = []
        for start in tqdm(range(0, len(texts), BATCH), leave=False):
            inputs = self.tokenizer(
                texts[start : start + BATCH], padding=True, add_special_tokens=False, return_tensors="pt"
            )
            ids = self.model.generate(  # type: ignore[misc]  # transformers annotates its self twice
                **inputs, do_sample=True, top_k=0, max_new_tokens=MAX_NEW_TOKENS
            )
            replies = ids[:, inputs["input_ids"].shape[1] :]
            responses += [str(self.tokenizer.decode(reply)).replace("<|pad|>", "") for reply in replies]
        return responses


def measure(bench: Bench, recipe: Recipe) -> dict[str, Any]:
    """Every figure of the page."""
    rows = testbed.problems(TRAINING_PROBLEMS, 0)
    marks = bench.plain(rows, SAMPLES)
    unsolved = [row for row, mark in zip(rows, marks, strict=True) if not mark.any()]
    guided = bench.guided(unsolved, RETELLINGS)
    own = [testbed.own_solution(testbed.terms_of(row.problem.removesuffix(" ="))) for row in rows]
    sets = testbed.benchmarks(BENCHMARK_PROBLEMS, 1)
    shares = {name: bench.plain(problems, SAMPLES).float().mean().item() for name, problems in sets.items()}
    return {
        "benchmarks": "\n".join(f"| {name} | {share:.3f} |" for name, share in shares.items()),
        "right": marks.float().mean().item(),
        "solved": marks.any(1).float().mean().item(),
        "resolved": guided.any(1).float().mean().item(),
        "guided_right": guided.float().mean().item(),
        "expert_logp": bench.log_probability(rows, [row.solution or "" for row in rows]),
        "own_logp": bench.log_probability(rows, own),
    }


def described(recipe: Recipe, model: PreTrainedModel) -> dict[str, object]:
    """What the page says of how the policy was made."""
    mix = recipe.mix
    return {
        "parameters": model.num_parameters() / 1e6,
        "sequences": recipe.train.steps * recipe.train.batch_size,
        "own": 1 - mix.expert - mix.guided,
        "above": mix.slips.above,
        "below": mix.slips.below,
        "guided_above": mix.guided_slips.above,
        "guided_below": mix.guided_slips.below,
        **{name: getattr(mix, name) for name in ("guided", "expert", "words", "wide")},
    }


def main() -> None:
    torch.set_num_threads(1)  # the same bits whatever the number of cores
    torch.manual_seed(0)
    recipe = load()
    tokenizer = AutoTokenizer.from_pretrained(POLICY, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(POLICY, dtype=torch.float32).eval()
    figures = measure(Bench(model, tokenizer, recipe.prompt), recipe)
    counts = {"samples": SAMPLES, "retellings": RETELLINGS, "n": TRAINING_PROBLEMS}
    with replacing(FOLDER / "README.md") as file:
        file.write(CARD.format(**figures, **described(recipe, model), **counts))
    print("models/micro/README.md: right on {right:.2f} of responses to fine-tuning problems".format(**figures))


if __name__ == "__main__":
    main()
