"""What a step is made of: rows, their split over processes and micro-batches, padding, and the response mask."""

import random
from itertools import chain

import pytest
import torch
from transformers import AutoTokenizer

from stages.lib.records import TrainingRow
from stages.lib.run.errors import StageError
from stages.lib.run.params import Params, Policy
from stages.lib.training.batches import Example, collate, encode, plan, steps


def row(**changes: object) -> TrainingRow:
    base = {"id": "a", "source": "expert", "index": None, "problem": "1 + 1 =", "answer": "2", "response": "2."}
    return TrainingRow(**{**base, "token_ids": None, **changes})


def test_every_epoch_takes_every_row_once() -> None:
    found = steps(10, epochs=2.5, batch_size=4, seed=0)
    assert [len(step) for step in found] == [4, 4, 2, 4, 4, 2, 4, 1]
    assert all(sorted(chain(*epoch)) == list(range(10)) for epoch in (found[:3], found[3:6]))
    assert found[:3] != found[3:6]


def test_steps_depend_on_the_seed_alone() -> None:
    assert steps(50, 1, 8, seed=3) == steps(50, 1, 8, seed=3) != steps(50, 1, 8, seed=4)


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
@pytest.mark.parametrize("rows", [1, 5, 32])
def test_plan_deals_out_every_row_evenly(rows: int, ranks: int) -> None:
    lengths = [random.Random(row).randint(1, 100) for row in range(rows)]
    shares = plan(lengths, ranks, tokens=240)
    assert sorted(row for share in shares for group in share for row in group) == list(range(rows))
    assert len({len(share) for share in shares}) == 1
    groups = [[lengths[row] for row in group] for share in shares for group in share if group]
    assert all(len(group) == 1 or len(group) * max(group) <= 240 for group in groups)
    sizes = [sum(len(group) for group in share) for share in shares]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("batch_size", "ranks", "tokens"), [(32, 1, 8192), (32, 1, 1024), (64, 2, 2048), (256, 8, 4096)]
)
def test_padding_is_under_a_tenth_on_lengths_like_gsm8ks(batch_size: int, ranks: int, tokens: int) -> None:
    """Prompts of 60-150 tokens, responses lognormal about a median of 110, as GSM8K's are with a Qwen tokenizer."""
    rng = random.Random(0)
    lengths = [rng.randint(60, 150) + min(500, round(rng.lognormvariate(4.7, 0.5))) for _ in range(1024)]
    used = held = 0
    for step in steps(len(lengths), 1, batch_size, seed=0):
        for share in plan([lengths[row] for row in step], ranks, tokens):
            for group in filter(None, share):
                found = [lengths[step[row]] for row in group]
                used, held = used + sum(found), held + max(found) * len(found)
    assert 1 - used / held < 0.1


def test_a_row_longer_than_the_budget_is_alone() -> None:
    assert plan([900, 20, 20, 20], 1, tokens=100) == [[[0], [1, 2, 3]]]
    assert plan([10, 200], 2, tokens=100) == [[[1]], [[0]]]  # no empty round before it, however unlike its rows are


def test_with_sharded_weights_the_budget_alone_cuts() -> None:
    """7B, 8 GPUs: 256 rows a step, lengths with a long tail; a micro-batch gathers all weights, twice."""
    rng = random.Random(1)
    counts = {}
    for name, tokens, padding in (("rows of today", 8192, 0.1), ("8k", 8192, 1.0), ("16k", 16384, 1.0)):
        rng.seed(1)
        steps_ = [[min(2048, 150 + round(rng.lognormvariate(5.9, 0.6))) for _ in range(256)] for _ in range(20)]
        plans = [plan(lengths, 8, tokens, padding) for lengths in steps_]
        counts[name] = sum(len(shares[0]) for shares in plans) / len(plans)
        sizes = [
            (len(group), max(lengths[row] for row in group))
            for lengths, shares in zip(steps_, plans, strict=True) for share in shares for group in filter(None, share)
        ]  # fmt: skip
        assert max(rows * longest for rows, longest in sizes) <= tokens
    assert counts["16k"] < 3 < counts["8k"] < 5 < 9 < counts["rows of today"]


def test_mask_covers_the_response_and_its_end_token(params: Params, tiny_policy: Policy) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_policy.name)
    sampled = [*tokenizer("two!")["input_ids"], tokenizer.eos_token_id]
    rows = [row(response="It is 2."), row(source="self", response="two!", token_ids=sampled), row(response="")]
    examples = encode(rows, tokenizer, params.prompt)
    batch = collate(examples)
    assert tokenizer.decode(batch["targets"]) == "It is 2.<|end|>two!<|end|><|end|>"
    before = batch["input_ids"].flatten()[batch["predict_at"]]
    assert tokenizer.decode(before) == "<|assistant|>It is 2.<|assistant|>two!<|assistant|>"
    assert tokenizer.decode(examples[0].prompt).startswith("<|user|>1 + 1 =")


def test_an_empty_share_is_one_row_without_targets() -> None:
    batch = collate([])
    assert batch["input_ids"].shape == (1, 1) and len(batch["predict_at"]) == len(batch["targets"]) == 0


def test_behaviour_is_as_recorded_and_one_for_the_expert(params: Params, tiny_policy: Policy) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_policy.name)
    own = row(source="resolved", token_ids=[65, 66, 3], logprobs=[-0.5, -1.5, -0.25])
    batch = collate(encode([own, row()], tokenizer, params.prompt, behaviour=True))
    assert batch["behaviour"].tolist() == [-0.5, -1.5, -0.25, 0, 0, 0]
    with pytest.raises(StageError, match=r"'a' .self. lacks the log-probabilities of its 2 tokens"):
        encode([row(source="self", token_ids=[65, 3])], tokenizer, params.prompt, behaviour=True)


def test_padding_follows_and_targets_are_the_next_tokens() -> None:
    batch = collate([Example("a", [1, 2], [3, 4, 5]), Example("b", [6], [7])])
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4, 5], [6, 7, 0, 0, 0]]
    assert batch["predict_at"].tolist() == [1, 2, 3, 5]
    assert torch.equal(batch["targets"], torch.tensor([3, 4, 5, 7]))
