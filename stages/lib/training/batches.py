"""From training rows to the tensors of an optimizer step.

    examples = [Example("train-17", prompt=[5, 6, 7], response=[8, 9, 2])]
    for step in steps(len(examples), epochs=3, batch_size=32, seed=0): ...   # row numbers, the same on every machine
    plan([90, 40, 41, 12], ranks=2, limit=8)                # which rank takes which rows in which micro-batch
    collate(examples)                                       # padded tensors

Within a step, rows are sorted by length and cut where padding would exceed PADDING. Padding is on the right, and no
attention mask is passed: under causal attention no token sees the padding after it, and attention without a mask takes
its fastest path.
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


def plan(lengths: Sequence[int], ranks: int, limit: int) -> list[list[list[int]]]:
    """Split the rows of a step into [rank][micro-batch][row].

    Every rank gets the same number of micro-batches, because sharded models gather their weights in each. A micro-batch
    has at most `limit` rows and may be empty. Sorted rows are dealt in turn, so ranks get nearly the same tokens.
    """
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    rounds = [order[at : at + ranks] for at in range(0, len(order), ranks)]  # one row for each rank
    groups = list(_cut([[lengths[row] for row in dealt] for dealt in rounds], limit))
    return [
        [[dealt[rank] for dealt in rounds[group] if rank < len(dealt)] for group in groups] for rank in range(ranks)
    ]


def _cut(rounds: list[list[int]], limit: int) -> Iterator[slice]:
    """Cut rounds, sorted by falling length, where one more would exceed `limit` or PADDING."""
    start, used, slots = 0, 0, 0
    for at, dealt in enumerate(rounds):
        longest = rounds[start][0]
        used, slots = used + sum(dealt), slots + len(dealt)
        if at - start == limit or used < (1 - PADDING) * longest * slots:
            yield slice(start, at)
            start, used, slots = at, sum(dealt), len(dealt)
    yield slice(start, len(rounds))


def collate(examples: Sequence[Example]) -> dict[str, Tensor]:
    """The tensors of a micro-batch: B examples padded to S tokens, with N response tokens in all.

    input_ids [B, S]; where [N]: indices into the flattened [B*S] positions whose logits predict a response token;
    targets [N]: the ids of these tokens; behaviour [N]: their recorded log-probabilities, if the examples have them.
    Without examples: one row of padding and no response token.
    """
    width = max((len(example) for example in examples), default=1)
    input_ids = torch.zeros(max(1, len(examples)), width, dtype=torch.long)
    for row, example in enumerate(examples):
        input_ids[row, : len(example)] = torch.tensor(example.prompt + example.response)
    where = [
        torch.arange(row * width + len(example.prompt) - 1, row * width + len(example) - 1)
        for row, example in enumerate(examples)
    ]
    where = torch.cat(where) if where else torch.zeros(0, dtype=torch.long)
    batch = {"input_ids": input_ids, "where": where, "targets": input_ids.flatten()[where + 1]}
    if any(example.behaviour is not None for example in examples):
        batch["behaviour"] = torch.tensor([value for example in examples for value in example.behaviour or []])
    return batch
