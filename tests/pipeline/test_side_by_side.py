"""Cells side by side: every stage of the grid once, each evaluation behind its training; the same bytes as in turn."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages.lib.run.params import Params
from tools.side_by_side import ALONGSIDE, portions

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 13])
def test_every_stage_of_the_grid_is_in_one_share(params: Params, count: int) -> None:
    grid = replace(params.grid, data=["expert", "rewritten"], loss=["sft"], seed=[0, 1, 2])
    shares = portions(grid, replace(params.evaluate, temperatures=[1.0, 0.6, 0.0]), count)
    cells = {f"{data}-sft-{seed}" for data in grid.data for seed in grid.seed}
    evaluated = [f"evaluate@{cell}-{word}" for cell in cells for word in ("1", "0.6", "0")]
    base = [f"evaluate-base@{word}" for word in ("1", "0.6", "0")]
    wanted = [ALONGSIDE, *base, *evaluated, *(f"train@{cell}" for cell in cells)]
    assert sorted(stage for share in shares for stage in share) == sorted(wanted)
    for share in shares:
        assert all(
            share.index(f"train@{cell}") < share.index(f"evaluate@{cell}-0")
            for cell in cells
            if f"train@{cell}" in share
        )


def test_the_named_stages_are_those_of_dvc_yaml(params: Params) -> None:
    stages = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
    assert {ALONGSIDE, "fallback-merge", "train", "evaluate", "evaluate-base"} <= stages.keys()
    assert list(stages["train"]["matrix"]) == ["data", "loss", "seed"]
    assert list(stages["evaluate"]["matrix"]) == ["data", "loss", "seed", "temperature"]
    assert list(stages["evaluate-base"]["matrix"]) == ["temperature"]


@pytest.mark.slow
def test_side_by_side_makes_the_bytes_of_one_after_another(small_clone: Path) -> None:
    """`small_clone` was made with two at once: nothing is left to do, and in turn the same comes out."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    again = subprocess.run(["dvc", "repro"], cwd=small_clone, env=environment, capture_output=True, text=True)
    assert again.returncode == 0 and "Running stage" not in again.stdout
    lock = small_clone / "dvc.lock"
    before = lock.read_text()
    subprocess.run(["dvc", "repro", "--force"], cwd=small_clone, env=environment, check=True, capture_output=True)
    assert YAML(typ="safe").load(lock.read_text()) == YAML(typ="safe").load(before)
