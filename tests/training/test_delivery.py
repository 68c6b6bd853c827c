"""What a trained cell is outside this project, and trainings too short or too long to be what they seem."""

import json
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, MambaConfig, MambaForCausalLM

from stages import train
from stages.lib.policy import stop_ids
from stages.lib.records import write
from stages.lib.run.errors import StageError
from stages.lib.run.params import Lora
from stages.lib.training.batches import Example
from stages.lib.training.model import prepare
from tests.run_stage import run_stage
from tests.training.rows import rows
from tests.training.test_train_stage import change


@pytest.fixture
def project(checkout: Path, tiny_folder: Path) -> Path:
    """24 rows, two steps of twelve, a restart point after each."""
    torch.set_num_threads(1)
    write(checkout / "data/train/expert.jsonl", rows(AutoTokenizer.from_pretrained(tiny_folder), "expert"))
    change(checkout, "policy", name=str(tiny_folder), files=str(tiny_folder))
    change(checkout, "train", epochs=1, batch_size=12, probe_n=4, probe_every=3)
    change(checkout, "hardware", checkpoint_every=1, threads=1)
    return checkout


def test_a_training_of_one_step_learns(project: Path, tiny_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(project, "train", batch_size=24)
    run_stage(train, "expert", "sft", "0")
    cell = project / "models/cells/expert-sft-0/model.safetensors"
    after, before = (safetensors.torch.load_file(path) for path in (cell, tiny_folder / "model.safetensors"))
    assert all(not torch.equal(after[name], before[name]) for name in before)
    said = capsys.readouterr().out
    assert "1 steps over 24 responses" in said and "no log-probability changed" not in said


def test_a_training_that_changes_nothing_says_so(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(project, "train", learning_rate=0.0)
    run_stage(train, "expert", "sft", "0")
    assert "no log-probability changed: train.learning_rate or train.epochs is too" in capsys.readouterr().out


def test_a_cell_stops_elsewhere_where_it_stops_here(project: Path, tiny_folder: Path) -> None:
    """The base's own generation config ends at another token, and is one that transformers does not save."""
    base = project / "base"
    shutil.copytree(tiny_folder, base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    other = tokenizer.convert_tokens_to_ids("<|user|>")
    bad = {"temperature": 0.9, "top_p": 0.6, "repetition_penalty": 1.3, "eos_token_id": other}
    (base / "generation_config.json").write_text(json.dumps(bad))
    change(project, "policy", name="base", files="base")
    run_stage(train, "expert", "sft", "0")
    out = project / "models/cells/expert-sft-0"
    saved = json.loads((out / "generation_config.json").read_text())
    assert not saved.keys() & {"temperature", "top_p", "repetition_penalty"}
    model = AutoModelForCausalLM.from_pretrained(out)
    stop = {tokenizer.eos_token_id, other}
    assert set(stop_ids(tokenizer, model.generation_config)) == set(saved["eos_token_id"]) == stop
    torch.manual_seed(0)
    drawn = model.generate(torch.tensor([[5, 6, 7]]).repeat(48, 1), do_sample=True, max_new_tokens=40)[:, 3:].tolist()
    ends = [next((place for place, token in enumerate(row) if token in stop), None) for row in drawn]
    assert any(place is not None and place < 38 for place in ends)
    pad = tokenizer.pad_token_id
    assert all(set(row[place + 1 :]) <= {pad} for row, place in zip(drawn, ends, strict=True) if place is not None)


def test_rows_beyond_the_context_window_are_left_out_as_score_leaves_them_out() -> None:
    examples = [Example(str(size), [1] * size, [2] * size) for size in (10, 40, 60)]
    assert train.rows_that_fit(examples, "expert", longest=100, context=None) == examples[:2]
    assert train.rows_that_fit(examples, "expert", longest=100, context=79) == examples[:1]
    with pytest.raises(StageError, match="no row fits into the context window of tokens: 19"):
        train.rows_that_fit(examples, "expert", longest=100, context=19)
    with pytest.raises(StageError, match=r"expert\.jsonl: no row fits into train\.max_length 19"):
        train.rows_that_fit(examples, "expert", longest=19, context=79)


def test_a_model_that_takes_no_adapter_is_named() -> None:
    config = MambaConfig(vocab_size=32, hidden_size=16, state_size=4, num_hidden_layers=1)
    with pytest.raises(StageError, match=r"peft puts no adapter on MambaForCausalLM .*set train\.lora\.rank to 0"):
        prepare(MambaForCausalLM(config), Lora(rank=4, alpha=8.0, dropout=0.0, save="merged"))
