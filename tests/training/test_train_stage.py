"""The training stage: a killed run ends in the same bits, two processes in the same weights, what is saved loads."""

import csv
import dataclasses
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from ruamel.yaml import YAML
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.models.auto import auto_factory

from stages import train
from stages.lib.policy import PolicyError, base_of, load_model
from stages.lib.records import TrainingRow, read, write
from stages.lib.run.errors import StageError
from stages.lib.run.params import load
from stages.lib.run.stage import run
from stages.lib.training import losses
from stages.lib.training.batches import Example, encode
from stages.lib.training.probe import COLUMNS, ProbeCallback, choose
from tests.run.damage import flip
from tests.run_stage import run_stage
from tests.training.rows import rows


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def project(checkout: Path, tiny_folder: Path) -> Path:
    """A repository root with training sets and small params: 6 steps, a probe every 3, a restart point every 2."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    write(checkout / "data/train/expert.jsonl", rows(tokenizer, "expert"))
    write(checkout / "data/train/rewritten.jsonl", rows(tokenizer, "self"))
    change(checkout, "policy", name=str(tiny_folder), files=str(tiny_folder))
    change(checkout, "train", epochs=1, batch_size=4, probe_n=4, probe_every=3)
    change(checkout, "hardware", train_tokens=240, checkpoint_every=2, threads=1)
    return checkout


def change(root: Path, section: str, **values: object) -> None:
    path = root / "params.yaml"
    params = YAML().load(path)
    for key, value in values.items():
        params[section][key] = {**params[section][key], **value} if isinstance(value, dict) else value
    YAML().dump(params, path)


def stage(*words: str) -> None:
    """Run the stage here: most of a process of its own would be imports."""
    run_stage(train, *words)


def weights(root: Path, cell: str) -> bytes:
    return (root / "models/cells" / cell / "model.safetensors").read_bytes()


def curve(root: Path, cell: str) -> list[dict[str, str]]:
    with (root / "data/training" / f"{cell}.csv").open() as file:
        return list(csv.DictReader(file))


# --- the stage ------------------------------------------------------------------------------------------------------


def test_a_cell_from_rows_to_policy_and_curve(project: Path, tiny_folder: Path, capsys: pytest.CaptureFixture) -> None:
    change(project, "train", max_length=88)
    stage("rewritten", "dft", "0")
    out = project / "models/cells/rewritten-dft-0"
    said = capsys.readouterr().out.strip().splitlines()
    found = curve(project, "rewritten-dft-0")
    assert tuple(found[0]) == COLUMNS
    assert [(row["step"], row["probe"]) for row in found[:2]] == [("0", "rewritten"), ("3", "rewritten")]
    assert len(said) == 1 and "rows left out" in said[0] and " 0 rows" not in said[0]
    assert int(found[-1]["tokens"]) > 0 == int(found[0]["tokens"])
    [folder] = (project / ".scratch").iterdir()
    assert {path.name for path in folder.iterdir()} == {"trained", "finished"}, "restart points are left"
    config = json.loads((out / "config.json").read_text())
    assert config["use_cache"] is True and (out / "generation_config.json").is_file()
    assert AutoTokenizer.from_pretrained(out).chat_template == AutoTokenizer.from_pretrained(tiny_folder).chat_template
    check_curve(project, found, tiny_folder, AutoModelForCausalLM.from_pretrained(out))


def check_curve(project: Path, found: list[dict[str, str]], start: Path, after: torch.nn.Module) -> None:
    """The last row of the curve, from plain forward passes and the textbook's formulas."""
    params = load(project / "params.yaml")
    tokenizer = AutoTokenizer.from_pretrained(start)
    encoded = encode(list(read(TrainingRow, project / "data/train/rewritten.jsonl")), tokenizer, params.prompt)
    chosen = choose([example for example in encoded if len(example) <= 88], params.train.probe_n)
    before = AutoModelForCausalLM.from_pretrained(start)
    logs, logs0, ids, ends = [], [], [], []
    for example in chosen:
        tokens = torch.tensor([example.prompt + example.response])
        places = slice(len(example.prompt) - 1, -1)
        with torch.no_grad():
            logs.append(after(tokens).logits[0, places].double().log_softmax(-1))
            logs0.append(before(tokens).logits[0, places].double().log_softmax(-1))
        ids += example.response
        ends.append(len(ids) - 1)
    logq, log0, ids = torch.cat(logs), torch.cat(logs0), torch.tensor(ids)
    logp, logp0 = logq.gather(1, ids[:, None])[:, 0].numpy(), log0.gather(1, ids[:, None])[:, 0].numpy()
    p, r = np.exp(logp), np.exp(logp - logp0)
    expected = {
        "weighted_loss": (-p * logp).mean(),
        "nll": -logp.mean(),
        "entropy": -(logq.exp() * logq).sum(-1).mean().item(),
        "kl": (log0.exp() * (log0 - logq)).sum(-1).mean().item(),
        "weight_var": p.var(),
        "ess": p.sum() ** 2 / (p**2).sum() / len(p),
        "logp_var": logp.var(),
        "ratio_var": r.var(),
        "ratio_ess": r.sum() ** 2 / (r**2).sum() / len(r),
        "eos_prob": p[ends].mean(),
        "accuracy": (logq.argmax(-1) == ids).double().mean().item(),
        "loss_weight_mean": p.mean(),
    }
    row = found[-1]
    assert {key: float(row[key]) for key in expected} == pytest.approx(expected, rel=1e-4)


def test_same_seed_same_bytes_and_hardware_is_not_identity(project: Path) -> None:
    stage("expert", "sft", "0")
    once = weights(project, "expert-sft-0"), curve(project, "expert-sft-0")
    shutil.rmtree(project / ".scratch")  # or the finished training is delivered again
    stage("expert", "sft", "0")
    assert (weights(project, "expert-sft-0"), curve(project, "expert-sft-0")) == once
    stage("expert", "sft", "1")
    assert weights(project, "expert-sft-1") != once[0]
    change(project, "hardware", train_tokens=1, gradient_checkpointing=True)
    shutil.rmtree(project / ".scratch")
    stage("expert", "sft", "0")
    for mine, its in zip(curve(project, "expert-sft-0"), once[1], strict=True):
        assert float(mine["nll"]) == pytest.approx(float(its["nll"]), rel=1e-4)


KILLED = """
import os, signal, sys
from stages import train
from stages.lib.run.stage import run
from stages.lib.training.probe import ProbeCallback
plain = ProbeCallback.on_step_end
def on_step_end(self, args, state, *rest, **more):
    plain(self, args, state, *rest, **more)
    if state.global_step == 5:
        os.kill(os.getpid(), signal.SIGKILL)
ProbeCallback.on_step_end = on_step_end
run(train.main, resumable=True)
"""


def test_killed_and_resumed_is_uninterrupted_bit_for_bit(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(project, "loss", kl=0.1)
    change(project, "train", lora={"rank": 2, "dropout": 0.1})  # random numbers in every step
    environment = {**os.environ, "PYTHONPATH": str(project)}
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, "rewritten", "dft", "0"], env=environment, capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL
    [folder] = (project / ".scratch").glob("train-*/")
    assert sorted(path.name for path in folder.glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-4"]
    (folder / "checkpoint-4" / "complete").unlink()  # as if the kill had come while it was written
    (folder / "checkpoint-4" / "optimizer.pt").write_bytes(b"torn")
    begun = spy(monkeypatch)
    stage("rewritten", "dft", "0")
    resumed = weights(project, "rewritten-dft-0"), curve(project, "rewritten-dft-0")
    shutil.rmtree(project / ".scratch")
    stage("rewritten", "dft", "0")
    assert begun == [2, 0]
    assert (weights(project, "rewritten-dft-0"), curve(project, "rewritten-dft-0")) == resumed


def test_a_finished_training_is_delivered_again_not_repeated(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC deletes the outs of a stage that was killed before DVC had recorded them."""
    begun = spy(monkeypatch)
    stage("expert", "sft", "0")
    once = weights(project, "expert-sft-0"), curve(project, "expert-sft-0")
    shutil.rmtree(project / "models/cells")
    (project / "data/training/expert-sft-0.csv").unlink()
    stage("expert", "sft", "0")
    assert begun == [0]
    assert (weights(project, "expert-sft-0"), curve(project, "expert-sft-0")) == once

    shutil.rmtree(project / "models/cells")  # of several processes the first delivers, the others have nothing to do
    with monkeypatch.context() as patch:
        patch.setenv("RANK", "1")
        stage("expert", "sft", "0")
    assert begun == [0] and not (project / "models/cells").exists()


def test_a_finished_training_is_kept_until_dvc_has_recorded_it(project: Path) -> None:
    def kept() -> list[str]:
        return sorted(path.name[:18] for path in (project / ".scratch").iterdir())

    def record(**stages: str) -> None:
        lock = {f"train@expert-sft-{seed[1:]}": {"outs": outs} for seed, outs in stages.items()}
        (project / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": lock}))

    record(s0="of an earlier run")
    stage("expert", "sft", "0")
    stage("expert", "sft", "1")
    record(s0="of an earlier run", s1="new")  # another stage's record is not this one's
    stage("expert", "sft", "2")
    assert kept() == ["train-expert-sft-0", "train-expert-sft-2"]
    (project / "dvc.lock").write_text("stages:\n  train@exp")  # cut short by a kill: it says nothing
    stage("expert", "sft", "2")
    assert kept() == ["train-expert-sft-0", "train-expert-sft-2"]
    (project / ".scratch/train-expert-sft-9").mkdir()
    (project / ".scratch/train-expert-sft-9/finished").write_text("")  # a damaged mark: it says nothing either
    record(s0="new", s1="new")
    stage("expert", "sft", "2")
    assert kept() == ["train-expert-sft-2", "train-expert-sft-9"]


@pytest.mark.parametrize("name", ["policy/model.safetensors", "curve.csv"])
def test_a_damaged_policy_that_waits_for_delivery_is_trained_again(
    project: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = spy(monkeypatch)
    stage("expert", "sft", "0")
    once = weights(project, "expert-sft-0"), curve(project, "expert-sft-0")
    [trained] = (project / ".scratch").glob("train-*/trained")
    flip(trained / name)
    stage("expert", "sft", "0")
    assert begun == [0, 0]
    assert (weights(project, "expert-sft-0"), curve(project, "expert-sft-0")) == once
    [line] = [line for line in capsys.readouterr().err.splitlines() if "damaged" in line]
    assert f"trained/{name}: damaged" in line and line.endswith("training again")


def spy(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The step at which each training begins."""
    begun: list[int] = []
    plain = ProbeCallback.on_train_begin

    def on_train_begin(self, args, state, *rest, **more):
        begun.append(state.global_step)
        plain(self, args, state, *rest, **more)

    monkeypatch.setattr(ProbeCallback, "on_train_begin", on_train_begin)
    return begun


def test_another_param_never_resumes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = spy(monkeypatch)
    monkeypatch.setattr(train, "save", lambda *_: sys.exit(9))  # leave the restart points of a finished training behind
    for kl, expected in [(0.0, 0), (0.0, 4), (0.1, 0)]:
        change(project, "loss", kl=kl)
        with pytest.raises(SystemExit):
            stage("expert", "sft", "0")
        assert begun.pop() == expected


def test_non_finite_gradient_stops_with_step_and_ids(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    calls = iter([1.0] * 5 + [float("nan")] * 99)
    monkeypatch.setitem(losses.WEIGHTS, "dft", lambda tokens, options: tokens.logp.exp() * next(calls))
    monkeypatch.setattr(sys, "argv", ["train.py", "expert", "dft", "0"])
    with pytest.raises(SystemExit):
        run(train.main, resumable=True)
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert re.search(
        r"step [1-6]: loss nan, gradient norm nan: not finite; its batch: t-\d+, t-\d+, t-\d+, t-\d+$", line
    )
    assert not (project / "models/cells").exists()


@pytest.mark.parametrize("kept", ["merged", "adapter"])
def test_adapter_is_saved_as_the_params_say(project: Path, tiny_folder: Path, kept: str) -> None:
    change(project, "train", lora={"rank": 2, "save": kept}, learning_rate=0.01)
    change(project, "loss", kl=0.1)
    stage("rewritten", "dft", "0")
    out = project / "models/cells/rewritten-dft-0"
    assert (out / "adapter_model.safetensors").exists() == (kept == "adapter") != (out / "model.safetensors").exists()
    loaded, start = AutoModelForCausalLM.from_pretrained(out), AutoModelForCausalLM.from_pretrained(tiny_folder)
    params = load(project / "params.yaml")
    tokenizer = AutoTokenizer.from_pretrained(out)
    chosen = choose(encode(list(rows(tokenizer, "self")), tokenizer, params.prompt), 4)
    assert nll(loaded, chosen) == pytest.approx(float(curve(project, "rewritten-dft-0")[-1]["nll"]), rel=1e-4)
    assert nll(loaded, chosen) < nll(start, chosen)


def test_an_adapter_is_loaded_on_its_bases_revision(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The base on a hub: what transformers resolves there is recorded instead of asked for, and is vLLM's to load."""
    change(project, "policy", revision="0123abc")  # a folder has none, and loads all the same
    change(project, "train", lora={"rank": 2, "save": "adapter"})
    stage("rewritten", "dft", "0")
    out = project / "models/cells/rewritten-dft-0"
    config = json.loads((out / "adapter_config.json").read_text())
    assert config["revision"] == "0123abc"
    (out / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": "some/base"}))
    asked = []

    def resolve(name: str, revision: str | None = None, **_: object) -> str | None:
        asked.append((name, revision))
        if name == "some/base":
            raise OSError("recorded")
        return revision

    monkeypatch.setattr(auto_factory, "resolve_revision", resolve)
    cell = dataclasses.replace(load(project / "params.yaml").policy, name=str(out), revision=None)
    with pytest.raises(PolicyError, match="recorded"):
        load_model(cell)
    assert asked[-1] == ("some/base", "0123abc") and base_of(cell)[:2] == asked[-1]


@torch.no_grad()
def nll(model: torch.nn.Module, examples: list[Example]) -> float:
    total = 0.0
    for e in examples:
        labels = torch.tensor([[-100] * len(e.prompt) + e.response])
        total += model(torch.tensor([e.prompt + e.response]), labels=labels).loss.item() * len(e.response)
    return total / sum(len(e.response) for e in examples)


@pytest.mark.slow
def test_two_processes_end_where_one_does_and_shards_too(project: Path) -> None:
    change(project, "loss", kl=0.1)
    stage("rewritten", "dft", "0")
    one = safetensors.torch.load(weights(project, "rewritten-dft-0"))
    shutil.rmtree(project / ".scratch")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    words = ["-m", "tests.training.two_processes", "rewritten", "dft", "0"]
    root = Path(__file__).parents[2]
    launched = subprocess.run([*launch, *words], cwd=root, capture_output=True, text=True, timeout=120)
    assert launched.returncode == 0, launched.stderr
    assert len(launched.stdout.splitlines()) == 1
    two = safetensors.torch.load(weights(project, "rewritten-dft-0"))
    assert max((one[name] - two[name]).abs().max().item() for name in one) < 1e-6


@pytest.mark.slow
def test_a_second_launch_waits_for_the_first_and_takes_over_its_policy(project: Path) -> None:
    """All of its processes: one that went ahead would wait for the others' rendezvous until that gives up."""
    (project / ".scratch").mkdir()
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    words = ["-m", "stages.train", "rewritten", "dft", "0"]
    with (project / ".scratch" / "train-rewritten-dft-0.lock").open("a") as lock:  # as a first launch holds it
        fcntl.lockf(lock, fcntl.LOCK_EX)
        print(f"{os.getpid()} {os.getppid()}", end="", file=lock, flush=True)
        second = subprocess.Popen([*launch, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while "another run of it" not in (line := second.stderr.readline()):
            assert line, "ended without a word"
        time.sleep(3)  # for the other process
        stage("rewritten", "dft", "0")
        trained = weights(project, "rewritten-dft-0")
    try:
        said, errors = second.communicate(timeout=60)
    finally:
        second.terminate()
    assert second.returncode == 0, errors
    assert said == "train rewritten-dft-0: was trained before; delivered again\n"
    assert weights(project, "rewritten-dft-0") == trained


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rewritten", "dtf", "0"], "loss 'dtf' is unknown; there are sft, dft, ratio, iw-sft, eaft, idft"),
        (["rewritten", "dft"], "train takes `DATA LOSS SEED`"),
        (["rewritten", "dft", "one"], "seed is a whole number, not 'one'"),
        (["mine", "dft", "0"], "mine.jsonl: no such file"),
    ],
)
def test_wrong_arguments_are_named(project: Path, words: list[str], message: str) -> None:
    with pytest.raises(StageError, match=message):
        stage(*words)


def test_contradictory_params_are_named(project: Path) -> None:
    change(project, "loss", clip={"low": 3.0})
    with pytest.raises(StageError, match=r"loss.clip.low 3.0 is above loss.clip.high 2.0"):
        stage("rewritten", "ratio", "0")
    change(project, "loss", clip={"low": 0.0})
    change(project, "train", max_length=5)
    with pytest.raises(StageError, match=r"no row fits into train.max_length 5"):
        stage("rewritten", "ratio", "0")


def test_the_probe_has_the_same_problems_whatever_the_order_and_the_data() -> None:
    expert = [Example(str(i), [1], [2]) for i in range(50)]
    rewritten = [Example(str(i), [1], [3, 4]) for i in reversed(range(50))]
    assert [e.id for e in choose(expert, 7)] == [e.id for e in choose(rewritten, 7)]
