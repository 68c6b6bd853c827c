"""The locks: they hold what the short requirements ask for, with hashes, and resolve against the index."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.lock import TORCH, entries

ROOT = Path(__file__).parents[2]


def pins(name: str) -> dict[str, str]:
    """Package -> version."""
    lines = re.findall(r"^([\w.\[\],-]+)==([^\s;]+)", (ROOT / name).read_text(), flags=re.M)
    return {
        re.sub(r"\[.*", "", package).lower().replace("_", "-").replace(".", "-"): version for package, version in lines
    }


LOCK, CPU, CUDA, GPU = (pins(f"requirements{name}.txt") for name in ("", "-cpu", "-cuda", "-gpu"))


def test_every_wanted_version_is_locked() -> None:
    wanted = pins("requirements.in")
    assert wanted and wanted.items() <= {**LOCK, **CUDA}.items()
    assert {**wanted, **pins("requirements-gpu.in")}.items() <= GPU.items()
    assert "vllm" in GPU and "vllm" not in LOCK


def test_all_locks_agree() -> None:
    """A test on the CPU says something of a run on a GPU."""
    both = {**LOCK, **CUDA}
    assert {name: GPU[name] for name in both} == both
    assert {"torch": f"{CUDA['torch']}+cpu"} == CPU


def test_every_package_has_hashes() -> None:
    for name in ("requirements.txt", "requirements-cpu.txt", "requirements-cuda.txt", "requirements-gpu.txt"):
        found = entries((ROOT / name).read_text())
        assert found and all("--hash=sha256:" in entry for entry in found), name


def test_what_torchs_builds_ask_for_stands_apart() -> None:
    assert not any(TORCH.match(f"{name}==") for name in LOCK)
    assert all(TORCH.match(f"{name}==") for name in CUDA) and len(CUDA) > 10


@pytest.mark.slow
def test_the_gpu_lock_resolves_against_the_index(tmp_path: Path) -> None:
    """Metadata only: nothing of its gigabytes is downloaded."""
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists() and not shutil.which("uv"):
        pytest.skip("uv is not installed")
    program = str(uv) if uv.exists() else "uv"
    words = ("pip", "install", "--dry-run", "--require-hashes", "--python-platform", "x86_64-unknown-linux-gnu")
    command = [program, *words, "--target", str(tmp_path), "--requirement", str(ROOT / "requirements-gpu.txt")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if re.search(r"error sending request|[Nn]etwork|dns error|Failed to fetch", ended.stderr):
        pytest.skip("no package index can be reached")
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert f"+ vllm=={GPU['vllm']}" in ended.stderr and f"+ numpy=={GPU['numpy']}" in ended.stderr
