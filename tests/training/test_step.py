"""An optimizer step is the same step however it is split over micro-batches, processes or packed rows, and TRL's."""

from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GraniteConfig, GraniteForCausalLM

from stages.lib.run.errors import StageError
from stages.lib.run.params import Clip, Params
from stages.lib.training import losses, trainer
from stages.lib.training import model as trainee
from stages.lib.training.batches import Example, collate, encode
from tests.training.rows import ROWS, rows


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def examples(tiny_folder: Path, params: Params) -> list[Example]:
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    return encode(list(rows(tokenizer, "self")), tokenizer, params.prompt, behaviour=True)


@pytest.fixture
def tune(tiny_folder: Path, examples: list[Example], params: Params, tmp_path: Path):
    """A function that makes a Finetuner in float64 whose only step takes all examples."""

    def make(loss: str = "dft", tokens: int = 10**6, **changes: object) -> trainer.Finetuner:
        model = trainee.attach(AutoModelForCausalLM.from_pretrained(tiny_folder).double())
        args = trainer.arguments(params.train, params.hardware, 1, 0, tmp_path)
        task = trainer.TrainingTask(examples, [list(range(ROWS))], loss, replace(params.loss, **changes))
        made = trainer.Finetuner(model, task, args, tokens)
        made.create_optimizer()
        if made.reference:  # another start, so that neither ratios nor divergences are trivial
            shift = torch.Generator().manual_seed(1)
            for weight in made.reference.model.parameters():
                weight += 0.01 * torch.randn(weight.shape, generator=shift, dtype=weight.dtype)
        return made

    return make


def step(made: trainer.Finetuner, batch: dict | None = None) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of the step, or of the share of it in `batch`."""
    made.model.zero_grad()
    loss = made.training_step(made.model, batch or made.collate(made.task.steps[0])).item()
    return loss, {name: weight.grad.clone() for name, weight in made.model.named_parameters()}


def assert_same(mine: tuple[float, dict[str, torch.Tensor]], its: tuple[float, dict[str, torch.Tensor]]) -> None:
    assert mine[0] == pytest.approx(its[0], rel=1e-9)
    for name, grad in mine[1].items():
        torch.testing.assert_close(grad, its[1][name], rtol=1e-7, atol=1e-10, msg=name)


SETTINGS = [(loss, {"kl": 0.1, "weight_normalisation": "mean-one"}) for loss in losses.WEIGHTS]
SETTINGS += [("sft", {}), ("dft", {}), ("dft", {"kl": 0.1, "kl_direction": "reverse"})]


@pytest.mark.parametrize(("loss", "changes"), SETTINGS, ids=str)
def test_micro_batches_do_not_matter(tune, loss: str, changes: dict) -> None:
    whole = tune(loss, **changes)
    [only] = [whole.collate(whole.task.steps[0])["micro"]]
    expected = step(whole, {**whole.collate(whole.task.steps[0]), "micro": [collate(whole.task.examples)]})
    assert len(only) > 1  # cut where padding would pass its limit
    assert_same(step(whole), expected)
    assert_same(step(tune(loss, tokens=1, **changes)), expected)


@pytest.mark.parametrize("ranks", [2, 5])
def test_shares_of_processes_add_up(tune, monkeypatch: pytest.MonkeyPatch, ranks: int) -> None:
    made = tune("dft", kl=0.1)
    expected = step(made)
    monkeypatch.setattr(type(made.args), "world_size", ranks)
    shares = []
    for rank in range(ranks):
        monkeypatch.setattr(type(made.args), "process_index", rank)
        shares.append(step(made, made.collate(made.task.steps[0])))
    total = {name: sum(share[1][name] for share in shares) for name in expected[1]}
    assert_same((sum(share[0] for share in shares), total), expected)


def test_packing_does_not_matter(tune) -> None:
    """All responses in one row, positions restarting: what padding-free attention would be given."""
    made = tune("dft", kl=0.1)
    parts = [collate([example]) for example in made.task.examples]
    lengths = [part["input_ids"].shape[1] for part in parts]
    starts = np.cumsum([0, *lengths[:-1]]).tolist()
    packed = {
        "input_ids": torch.cat([part["input_ids"] for part in parts], 1),
        "position_ids": torch.cat([torch.arange(length) for length in lengths])[None],
        "predict_at": torch.cat([part["predict_at"] + at for part, at in zip(parts, starts, strict=True)]),
        "targets": torch.cat([part["targets"] for part in parts]),
    }
    assert_same(step(made, {**made.collate(made.task.steps[0]), "micro": [packed]}), step(made))


def test_mean_one_makes_weights_average_one(tune) -> None:
    """Constant weights of any size are then plain maximum likelihood."""
    assert_same(step(tune("ratio", weight_normalisation="mean-one", clip=Clip(low=0.5, high=0.5))), step(tune("sft")))


@pytest.mark.parametrize(("loss", "theirs"), [("sft", "nll"), ("dft", "dft")])
def test_equal_to_trl(tune, tmp_path: Path, loss: str, theirs: str) -> None:
    trl = pytest.importorskip("trl")
    made = tune(loss)
    examples = made.task.examples
    data = [
        {"input_ids": e.prompt + e.response, "completion_mask": [0] * len(e.prompt) + [1] * len(e.response)}
        for e in examples
    ]
    args = trl.SFTConfig(
        output_dir=str(tmp_path), loss_type=theirs, per_device_train_batch_size=ROWS, use_cpu=True, bf16=False,
        report_to=[], max_length=None, completion_only_loss=True, gradient_checkpointing=False,
    )  # fmt: skip
    folder = made.model.config._name_or_path
    model = AutoModelForCausalLM.from_pretrained(folder).double()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    peer = trl.SFTTrainer(model, args, train_dataset=datasets.Dataset.from_list(data), processing_class=tokenizer)
    [batch], tokens = peer.get_batch_samples(iter(peer.get_train_dataloader()), 1, torch.device("cpu"))
    value = peer.compute_loss(model.train(), batch, num_items_in_batch=tokens)
    value.backward()
    ours = step(made)
    assert ours[0] == pytest.approx(value.item(), rel=1e-5)
    for name, weight in model.named_parameters():
        assert (ours[1][name] - weight.grad).abs().max() < 1e-5 * weight.grad.abs().max(), name


def test_a_model_that_changes_its_logits_after_the_head_is_refused() -> None:
    config = GraniteConfig(
        vocab_size=50, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, logits_scaling=4.0,
    )  # fmt: skip
    with pytest.raises(StageError, match="GraniteForCausalLM changes its logits"):
        trainee.check_head(GraniteForCausalLM(config))
