"""Settings of the numeric libraries: they hold whatever the caller's environment says, and in the processes started."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from stages.lib.run import same_bytes

HOSTILE = {
    "ATEN_CPU_CAPABILITY": "default",
    "CUDA_VISIBLE_DEVICES": "0",
    "MKL_CBWR": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "NPY_ENABLE_CPU_FEATURES": "AVX512F",
    "OPENBLAS_CORETYPE": "Prescott",
    "OPENBLAS_NUM_THREADS": "7",
}
SHOW = """
import json, os, subprocess, sys
import numpy, torch
from numpy._core._multiarray_umath import __cpu_features__
child = "import os, json; print(json.dumps(dict(os.environ)))"
print(json.dumps({
    "here": dict(os.environ),
    "child": json.loads(subprocess.check_output([sys.executable, "-c", child])),
    "torch": torch.backends.cpu.get_cpu_capability(),
    "avx512": [name for name, has in __cpu_features__.items() if has and name.startswith("AVX512")],
}))
"""
needs_avx2 = pytest.mark.skipif(bool(same_bytes.obstacle()), reason=f"no promise here: {same_bytes.obstacle()}")


def shown(checkout: Path, deterministic: bool) -> dict:
    """What a stage's process, and one that it starts, see of a hostile environment."""
    (checkout / "stages" / "show.py").write_text(SHOW)
    params = checkout / "params.yaml"
    params.write_text(params.read_text().replace("deterministic: true", f"deterministic: {str(deterministic).lower()}"))
    environment = {**os.environ, **HOSTILE, "DVC_ROOT": str(checkout)}
    ended = subprocess.run([sys.executable, "-m", "stages.show"], cwd=checkout, env=environment, capture_output=True)
    assert ended.returncode == 0, ended.stderr.decode()
    return json.loads(ended.stdout)


@needs_avx2
def test_the_settings_hold_whatever_the_environment_says(checkout: Path) -> None:
    found = shown(checkout, deterministic=True)
    for name, value in {**same_bytes.ALWAYS, **same_bytes.TORCH}.items():
        assert found["here"][name] == found["child"][name] == value
    assert not found["here"].keys() & set(same_bytes.CONFLICTING)
    assert found["torch"] == "AVX2" and found["avx512"] == []


@needs_avx2
def test_without_the_mode_torch_is_left_alone(checkout: Path) -> None:
    found = shown(checkout, deterministic=False)["here"]
    assert found["MKL_CBWR"] == "AVX2" and found["CUDA_VISIBLE_DEVICES"] == "0"
    assert found["OPENBLAS_CORETYPE"] == "Haswell"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="what is said of x86-64")
@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ("fma sse4_2 avx2", ""),
        ("avx fma", "this processor has no avx2"),
        ("avx", "this processor has no avx2 and no fma"),
    ],
)
def test_an_older_processor_is_told_apart(tmp_path: Path, flags: str, reason: str) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: fpu {flags} xsave\nbogomips\t: 1\n")
    assert same_bytes.obstacle(tmp_path / "cpuinfo") == reason


def test_another_kind_of_processor_is_named(
    monkeypatch: pytest.MonkeyPatch, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    before = dict(os.environ)
    same_bytes.begin()
    assert "this processor is aarch64, not x86-64" in capsys.readouterr().err and dict(os.environ) == before


@pytest.mark.parametrize("text", ["", "policy:", "policy: {deterministic: 1}", "policy: [", "\x00"])
def test_params_that_cannot_be_read_switch_nothing_on(checkout: Path, text: str) -> None:
    """`params.load` says what is wrong with them."""
    (checkout / "params.yaml").write_text(text)
    assert not same_bytes.asked()
