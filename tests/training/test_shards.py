"""Training in shards (FSDP2) on two processes over gloo: a small Qwen2 with tied embeddings and a large vocabulary ends
where one process does, goes on after a kill, and its probe says in bf16 what one process says.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

from stages.lib.records import write
from tests.conftest import byte_tokenizer
from tests.training.rows import rows
from tests.training.test_train_stage import change, curve, stage

ROOT = Path(__file__).parents[2]
CELL = "rewritten-ratio-0"
FSDP = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
    "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
    "FSDP_OFFLOAD_PARAMS": "false",
}


@pytest.fixture
def project(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """6 steps of 4 rows, a restart point every 2, the ratio loss with its recorded behaviour, and KL."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    folder, tokenizer = tmp_path_factory.mktemp("qwen2"), byte_tokenizer()
    config = Qwen2Config(
        vocab_size=20_000, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=512, initializer_range=0.1, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write(checkout / "data/train/rewritten.jsonl", rows(AutoTokenizer.from_pretrained(folder), "self"))
    change(checkout, "policy", name=str(folder), files=str(folder))
    change(checkout, "train", epochs=1, batch_size=4, probe_n=5, probe_every=3, learning_rate=0.001)
    change(checkout, "hardware", train_tokens=240, checkpoint_every=2, threads=1)
    change(checkout, "loss", kl=0.1)
    return checkout


def launch(precision: str = "no", *more: str) -> subprocess.CompletedProcess:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    words = ["-m", "tests.training.two_shards", "rewritten", "ratio", "0", *more]
    environment = {**os.environ, **FSDP, "ACCELERATE_MIXED_PRECISION": precision, "OMP_NUM_THREADS": "1"}
    return subprocess.run([*torchrun, *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400)


def numbers(root: Path) -> list[list[float]]:
    names = ("nll", "entropy", "kl", "ratio_var", "ess", "logp_var", "eos_prob")
    return [[float(row[name]) for name in names] for row in curve(root, CELL)]


@pytest.mark.slow
def test_two_shards_end_where_one_process_does_and_go_on_after_a_kill(project: Path) -> None:
    stage("rewritten", "ratio", "0")
    one, said = load_file(project / "models/cells" / CELL / "model.safetensors"), numbers(project)
    shutil.rmtree(project / ".scratch")
    whole = launch()
    assert whole.returncode == 0, whole.stderr
    two = load_file(project / "models/cells" / CELL / "model.safetensors")
    start = load_file(Path(YAML().load(project / "params.yaml")["policy"]["name"]) / "model.safetensors")
    moved = max((one[name] - start[name]).abs().max().item() for name in one)
    assert set(one) == set(two) and moved > 1e-3
    assert max((one[name] - two[name]).abs().max().item() for name in one) < 1e-5
    assert numbers(project) == [pytest.approx(row, rel=1e-4, abs=1e-6) for row in said]
    assert AutoModelForCausalLM.from_pretrained(project / "models/cells" / CELL).config.tie_word_embeddings

    shutil.rmtree(project / ".scratch")
    assert launch("no", "5").returncode != 0
    [folder] = (project / ".scratch").glob("train-*/")
    assert {path.name for path in folder.glob("*-*")} == {"checkpoint-2", "checkpoint-4"}
    assert {path.name for path in (folder / "reference").iterdir()} == {"0.safetensors", "1.safetensors", "complete"}
    resumed = launch()
    assert resumed.returncode == 0, resumed.stderr
    again = load_file(project / "models/cells" / CELL / "model.safetensors")
    assert all(torch.equal(two[name], again[name]) for name in two)


@pytest.mark.slow
def test_the_probe_in_bf16_shards_is_that_of_one_process_in_bf16(project: Path, monkeypatch) -> None:
    """With accelerate's own setting (outputs in bf16) ratio_var was 1.5 to 2 times too large."""
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "stages.train", "rewritten", "ratio", "0"]
    one = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400)
    assert one.returncode == 0, one.stderr
    said = numbers(project)
    shutil.rmtree(project / ".scratch")
    two = launch("bf16")
    assert two.returncode == 0, two.stderr
    for mine, its in zip(numbers(project), said, strict=True):
        assert mine == pytest.approx(its, rel=0.05, abs=2e-5)


@pytest.mark.slow
def test_what_could_not_go_on_is_refused(project: Path) -> None:
    change(project, "train", lora={"rank": 2})
    refused = launch("bf16")
    assert refused.returncode != 0 and "launch with presets/accelerate/ddp.yaml" in refused.stderr
