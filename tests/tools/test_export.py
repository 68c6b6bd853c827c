"""What the export writes is what other trainers read: `datasets`, TRL's SFTTrainer, LLaMA-Factory's JSON, the hub."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import load_dataset
from huggingface_hub import DatasetCard, ModelCard
from transformers import AutoModelForCausalLM, AutoTokenizer

from stages.lib.records import TrainingRow, read
from tests.conftest import ROOT
from tests.report.synthetic import experiment
from tests.tools.hub import Hub

HUB = {"HF_TOKEN": "hf_" + "x" * 20, "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"}


def export(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "tools.export", *words],
        cwd=ROOT,
        env={**os.environ, "DVC_ROOT": str(folder), "HF_HOME": str(folder / "hf"), **environment},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment, its export in `out`."""
    folder = experiment(tmp_path_factory.mktemp("export"))
    ended = export(folder, "data", str(folder / "out"))
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("export: 2 training sets of 120 rows -> ")
    return folder


def test_datasets_loads_every_variant(made: Path) -> None:
    rows = list(read(TrainingRow, made / "data" / "train" / "rewritten.jsonl"))
    found = load_dataset(str(made / "out"), "rewritten", split="train", cache_dir=str(made / "cache"))
    assert found["id"][:] == [row.id for row in rows]
    assert [turn[0]["content"] for turn in found["completion"]] == [row.response for row in rows]
    assert set(found["verdict"]) == {"equal"}
    shown = {(source, guide) for source, guide in zip(found["source"], found["guide"], strict=True)}
    assert shown == {("self", None), ("resolved", "solution"), ("expert", None)}
    by_default = load_dataset(str(made / "out"), split="train", cache_dir=str(made / "cache"))
    assert by_default["id"][:] == found["id"][:]


def test_the_guide_is_never_in_the_prompt(made: Path) -> None:
    found = load_dataset(str(made / "out"), "rewritten", split="train", cache_dir=str(made / "cache"))
    assert not any("The answer is" in message["content"] for prompt in found["prompt"] for message in prompt)


def test_the_card_counts_the_rows(made: Path) -> None:
    text = DatasetCard.load(made / "out" / "README.md").text
    sources = [row.source for row in read(TrainingRow, made / "data" / "train" / "rewritten.jsonl")]
    assert f"{sources.count('self')} self" in text and f"{sources.count('resolved')} resolved" in text


def test_trl_trains_on_it(made: Path, tiny_folder: Path, tmp_path: Path) -> None:
    from trl import SFTConfig, SFTTrainer

    found = load_dataset(str(made / "out"), "rewritten", split="train", cache_dir=str(made / "cache"))
    args = SFTConfig(
        output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=4, report_to=[], use_cpu=True, bf16=False
    )
    model = AutoModelForCausalLM.from_pretrained(tiny_folder)
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    ended = SFTTrainer(model, args, train_dataset=found, processing_class=tokenizer).train()
    assert ended.global_step == 2 and ended.training_loss > 0


@pytest.mark.parametrize("form", ["sharegpt", "alpaca"])
def test_llama_factory_finds_columns_and_roles(made: Path, form: str) -> None:
    """As its converters do: the file, columns and tags that dataset_info.json names, in every row."""
    folder = made / "out" / "llama_factory"
    entry = json.loads((folder / "dataset_info.json").read_text())[f"rewritten_{form}"]
    rows = json.loads((folder / entry["file_name"]).read_text())
    assert len(rows) == 60 and all(column in row for row in rows for column in entry["columns"].values())
    if form == "sharegpt":
        tags = entry["tags"]
        turns = [[message[tags["role_tag"]] for message in row["messages"]] for row in rows]
        assert all(roles == [tags["user_tag"], tags["assistant_tag"]] for roles in turns)
        assert all(message[tags["content_tag"]] for row in rows for message in row["messages"])
    else:
        assert all(row["instruction"] and row["output"] for row in rows)


def test_it_reaches_a_hub(made: Path) -> None:
    with Hub() as hub:
        ended = export(made, "data", str(made / "out"), "--push", "someone/data", HF_ENDPOINT=hub.address, **HUB)
    assert ended.returncode == 0, ended.stderr
    written = {str(path.relative_to(made / "out")): path.read_bytes() for path in (made / "out").rglob("*.*")}
    assert hub.files == written


def test_a_hub_out_of_reach_is_one_line(made: Path) -> None:
    ended = export(made, "data", str(made / "out"), "--push", "a/b", HF_ENDPOINT="http://127.0.0.1:9", **HUB)
    assert ended.returncode == 1
    assert ended.stderr.strip().splitlines()[-1].startswith("error: upload to a/b failed")
    assert HUB["HF_TOKEN"] not in ended.stderr


def test_a_cell_becomes_a_model_with_a_card(made: Path, tiny_folder: Path) -> None:
    shutil.copytree(tiny_folder, made / "models" / "cells" / "rewritten-dft-0", dirs_exist_ok=True)
    ended = export(made, "policy", "rewritten-dft-0", str(made / "policy"))
    assert ended.returncode == 0, ended.stderr
    card = ModelCard.load(made / "policy" / "README.md")
    assert card.data.base_model == "models/micro/policy" and "| near |" in card.text
    assert AutoModelForCausalLM.from_pretrained(made / "policy").num_parameters() > 0


def test_bad_places_and_names_are_named(made: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    ended = export(made, "data", str(tmp_path))
    assert ended.returncode == 1 and "something other than an earlier export" in ended.stderr
    assert (tmp_path / "thesis.tex").read_text() == "mine"
    ended = export(made, "policy", "rewriten-dft-0", str(tmp_path / "new"))
    assert ended.returncode == 1 and "no trained policy" in ended.stderr and not (tmp_path / "new").exists()
