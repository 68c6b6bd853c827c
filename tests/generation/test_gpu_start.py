"""What happens to engines where there are GPUs, without one: counts are patched, and a stand-in `vllm` starts its
engine's process by the real one's rules (vllm/envs.py, v1/engine/utils.py, utils/system_utils.py of 0.32.0): forked,
unless VLLM_WORKER_MULTIPROC_METHOD says spawn; a forked process cannot start CUDA once its parent has looked for it
with is_available(), though is_initialized() still says no (torch/cuda/__init__.py, _is_in_bad_fork).
"""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from stages.lib import policy as policies
from stages.lib.generation import rollouts, vllm
from stages.lib.generation.processes import device_shares
from stages.lib.policy import PolicyError, device, gpu_count
from stages.lib.run.params import Params, Policy
from stages.lib.training.trainer import arguments
from tests.generation.test_engines import alive

ROOT = Path(__file__).parents[2]
STAND_IN = """
import multiprocessing, os, time
looked_for_cuda = False  # what cuInit leaves behind in a process

def core(pipe):
    pipe.send("Cannot re-initialize CUDA in forked subprocess" if looked_for_cuda else f"ready {os.getpid()}")
    time.sleep(600)

class LLM:
    def __init__(self, **options):
        context = multiprocessing.get_context(os.environ.get("VLLM_WORKER_MULTIPROC_METHOD", "fork"))
        ours, theirs = context.Pipe()
        self.options = options
        self.core = context.Process(target=core, args=(theirs,), daemon=True)
        self.core.start()
        said = ours.recv()
        if not said.startswith("ready"):
            self.core.kill()
            raise RuntimeError(said)
        print(said, options["model"], flush=True)
"""
CHILD = """
import os, sys
import torch, vllm
from dataclasses import replace
from stages.lib.generation.vllm import VllmEngine
from stages.lib.generation.rollouts import open_engine
from stages.lib.run.params import load

def is_available():
    vllm.looked_for_cuda = True
    return True

if __name__ == "__main__":
    params = load(sys.argv[1])
    policy = replace(params.policy, name=sys.argv[2])
    if sys.argv[3] == "gpu":
        torch.cuda.device_count, torch.cuda.is_available = lambda: 1, is_available
        print(VllmEngine(policy, params.hardware).llm.core.is_alive())
    elif sys.argv[3] == "poisoned":
        torch.cuda.device_count, torch.cuda.is_available = lambda: 1, is_available
        torch.cuda.is_available()
        VllmEngine(policy, params.hardware)
    else:
        engine = open_engine("vllm", policy, params.hardware)
        print(type(engine).__name__, flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def child(tmp_path: Path, tiny_policy: Policy):
    """A function that starts CHILD with the stand-in in place of vLLM."""
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").write_text(STAND_IN)
    (tmp_path / "child.py").write_text(CHILD)

    def start(what: str, **environment: str) -> subprocess.Popen:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("VLLM_")}
        paths = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "DVC_ROOT": str(tmp_path)}
        return subprocess.Popen(
            [sys.executable, str(tmp_path / "child.py"), str(ROOT / "params.yaml"), tiny_policy.name, what],
            env={**clean, **paths, **environment}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    return start


def test_vllms_process_starts_where_there_is_a_gpu(child) -> None:
    said, errors = child("gpu").communicate(timeout=120)
    assert said.splitlines()[-1:] == ["True"], errors
    said, errors = child("poisoned").communicate(timeout=120)
    assert said.startswith("ready"), errors


def test_the_stand_in_forks_as_vllm_does(child) -> None:
    """The rule that the test above is about: with vLLM's default method, a look for CUDA is the end."""
    _, errors = child("poisoned", VLLM_WORKER_MULTIPROC_METHOD="fork").communicate(timeout=120)
    assert "vLLM does not start: Cannot re-initialize CUDA in forked subprocess" in errors
    said, errors = child("gpu", VLLM_WORKER_MULTIPROC_METHOD="fork").communicate(timeout=120)
    assert said.splitlines()[-1:] == ["True"], errors  # the engine itself does not look


def test_one_vllm_engine_leaves_nothing_behind_when_the_stage_is_killed(child) -> None:
    with child("engine") as parent:
        ready, name = parent.stdout.readline(), parent.stdout.readline()
        parent.send_signal(signal.SIGKILL)
        parent.wait(60)
    assert name == "ParallelEngine\n" and ready.startswith("ready")
    until = time.monotonic() + 60
    while alive(int(ready.split()[1])):
        assert time.monotonic() < until, "vLLM's process outlives the stage, and holds the GPU"
        time.sleep(0.1)


def test_every_policy_of_a_checkout_has_one_path(tiny_folder: Path, tmp_path: Path, monkeypatch) -> None:
    """And two at a time have two."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    other = tmp_path / "other"
    other.mkdir()
    first, held = vllm.constant_path(str(tiny_folder))
    beside, held_too = vllm.constant_path(str(other))
    assert Path(first).resolve() == tiny_folder.resolve() and Path(beside).resolve() == other.resolve()
    held.close()
    again, held = vllm.constant_path(str(other))
    assert again == first != beside and Path(again).resolve() == other.resolve()
    held.close()
    held_too.close()
    assert vllm.constant_path("Qwen/Qwen2.5-Math-7B") == ("Qwen/Qwen2.5-Math-7B", None)


# --- nothing falls back without a word -------------------------------------------------------------------------------


def gpus(monkeypatch: pytest.MonkeyPatch, listed: int, usable: bool) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: listed)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: usable)


def test_a_driver_too_old_is_refused(
    monkeypatch: pytest.MonkeyPatch, params: Params, tiny_policy: Policy, tmp_path: Path
) -> None:
    """The driver's list has eight GPUs, and CUDA does not start."""
    gpus(monkeypatch, 8, usable=False)
    train = lambda: arguments(params.train, params.hardware, 1, 0, tmp_path)  # noqa: E731
    for use in (gpu_count, device, train, lambda: device_shares(1, 1), lambda: policies.load_model(tiny_policy)):
        with pytest.raises(PolicyError, match=r"8 GPUs are here, and torch cannot use them.*580"):
            use()
    with pytest.raises(PolicyError, match="cannot use them"):
        rollouts.open_engine("transformers", tiny_policy, params.hardware)
    gpus(monkeypatch, 8, usable=True)
    assert gpu_count() == 8 and device() == torch.device("cuda") and len(device_shares(4, 2)) == 4


def test_torch_without_cuda_beside_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(policies, "DRIVER", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    gpus(monkeypatch, 0, usable=False)
    assert gpu_count() == 0
    (tmp_path / "0000:01:00.0").mkdir()
    with pytest.raises(PolicyError, match="1 GPUs are here"):
        gpu_count()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpu_count() == 0 and device() == torch.device("cpu")


def test_auto_never_takes_transformers_beside_a_gpu(
    monkeypatch: pytest.MonkeyPatch, params: Params, tiny_policy: Policy
) -> None:
    gpus(monkeypatch, 1, usable=True)
    monkeypatch.setattr(rollouts.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PolicyError, match=r"1 GPUs and no vLLM.*requirements-gpu\.txt.*sample\.engine to transformers"):
        rollouts.open_engine("auto", tiny_policy, dataclasses.replace(params.hardware, engines=2))
    assert rollouts.chosen("transformers", 1) == "transformers" == rollouts.chosen("auto", 0)
    monkeypatch.setattr(rollouts.importlib.util, "find_spec", lambda name: object())
    assert rollouts.chosen("auto", 1) == "vllm" and rollouts.chosen("auto", 0) == "transformers"
