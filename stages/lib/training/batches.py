"""From training rows to the tensors of an optimizer step.

    examples = [Example("train-17", prompt=[5, 6, 7], response=[8, 9, 2])]
    for step in steps(len(examples), epochs=3, batch_size=32, seed=0): ...   # row numbers, the same on every machine
    plan([90, 40, 41, 12], ranks=2, tokens=256)               # which rank takes which rows in which micro-batch
    collate(examples)                                       # padded tensors

Within a step rows are sorted by length and cut where a micro-batch would hold more than `hardware.train_tokens` tokens,
padding included, or more than PADDING of them would be padding. With sharded weights the second rule does not hold:
each micro-batch gathers all weights, and that costs more than padding does.
Padding is on the right and no attention mask is passed: under causal attention no token sees what follows it, and
without a mask attention takes its fastest path.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from stages.lib import policy, prompts
from stages.lib.records import TrainingRow
from stages.lib.run.errors import StageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from stages.lib.run.params import Prompt

PADDING = 0.1  # largest share of padding in a micro-batch


@dataclass(frozen=True)
class Example:
    """One tokenized training row; `behaviour`: recorded log-probabilities of the response, if the loss needs them."""

    id: str
    prompt: list[int]
    response: list[int]  # with the end token
    behaviour: list[float] | None = None

    def __len__(self) -> int:
        return len(self.prompt) + len(self.response)


def encode(
    rows: Sequence[TrainingRow], tokenizer: "PreTrainedTokenizerBase", prompt: "Prompt", behaviour: bool = False
) -> list[Example]:
    """Tokenize rows under the plain prompt; `behaviour` adds the recorded log-probabilities."""
    examples = []
    for row in rows:
        ids = prompts.encode(tokenizer, prompts.plain(row.problem, prompt))
        response = policy.response_ids(tokenizer, row.response, row.token_ids)
        examples.append(Example(row.id, ids, response, recorded(row, len(response)) if behaviour else None))
    return examples


def recorded(row: TrainingRow, tokens: int) -> list[float]:
    """log b_t of every response token: as recorded, or 0 (b_t = 1) for the expert's, whose density is unknown."""
    if row.source == "expert":
        return [0.0] * tokens
    if row.logprobs is None or len(row.logprobs) != tokens:
        raise StageError(f"training row {row.id!r} ({row.source}) lacks the log-probabilities of its {tokens} tokens")
    return row.logprobs


def steps(rows: int, epochs: float, batch_size: int, seed: int) -> list[list[int]]:
    """The rows of every optimizer step. Each epoch is a new permutation cut into batches; its last may be smaller."""
    left, batches, epoch = round(rows * epochs) or 1, [], 0
    while left > 0:
        order = list(range(rows))
        random.Random(f"{seed}-{epoch}").shuffle(order)
        order = order[:left]
        batches += [order[at : at + batch_size] for at in range(0, len(order), batch_size)]
        left, epoch = left - len(order), epoch + 1
    return batches


def plan(lengths: Sequence[int], ranks: int, tokens: int, padding: float = PADDING) -> list[list[list[int]]]:
    """Split the rows of a step into [rank][micro-batch][row].

    Every rank gets the same number of micro-batches (sharded models gather their weights in each), at most `tokens` in
    each, padding included, or a single row, and nearly the same in all: the sorted rows are dealt out in turn. At most
    the share `padding` of the tokens of a micro-batch, over all ranks, is padding. A micro-batch may be empty.
    """
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    rounds = [order[at : at + ranks] for at in range(0, len(order), ranks)]  # one row for each rank
    groups = list(_cut([[lengths[row] for row in dealt] for dealt in rounds], tokens, padding))
    return [
        [[dealt[rank] for dealt in rounds[group] if rank < len(dealt)] for group in groups] for rank in range(ranks)
    ]


def _cut(rounds: list[list[int]], tokens: int, padding: float) -> Iterator[slice]:
    """Cut rounds of falling lengths where one more would exceed `tokens` a rank, or `padding`."""
    start, used, slots = 0, 0, 0
    for at, dealt in enumerate(rounds):
        longest = rounds[start][0]
        used, slots = used + sum(dealt), slots + len(dealt)
        if at > start and ((at + 1 - start) * longest > tokens or used < (1 - padding) * longest * slots):
            yield slice(start, at)
            start, used, slots = at, sum(dealt), len(dealt)
    yield slice(start, len(rounds))


def collate(examples: Sequence[Example]) -> dict[str, Tensor]:
    """Padded token ids [B, S], where in the flattened B x S the response tokens are predicted [N], their ids [N], and
    their recorded behaviour [N] if they have one. No examples: one pad row without a response token."""
    width = max((len(example) for example in examples), default=1)
    input_ids = torch.zeros(max(1, len(examples)), width, dtype=torch.long)
    for row, example in enumerate(examples):
        input_ids[row, : len(example)] = torch.tensor(example.prompt + example.response)
    places = [
        torch.arange(row * width + len(example.prompt) - 1, row * width + len(example) - 1)
        for row, example in enumerate(examples)
    ]
    predict_at = torch.cat(places) if places else torch.zeros(0, dtype=torch.long)
    batch = {"input_ids": input_ids, "predict_at": predict_at, "targets": input_ids.flatten()[predict_at + 1]}
    if any(example.behaviour is not None for example in examples):
        batch["behaviour"] = torch.tensor([value for example in examples for value in example.behaviour or []])
    return batch
