"""A clone of this checkout in which the whole pipeline has run in little."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from presets.apply import applied

ROOT = Path(__file__).parents[2]
LITTLE = """
problems: {n: 24}
benchmarks: {n: 2}
sample: {n: 1}
resolve: {n: 1}
grid: {data: [expert, rewritten], loss: [sft], seed: [0]}
train: {epochs: 1.0, probe_n: 4}
evaluate: {n: 1}
report: {resamples: 100, bins: 2}
hardware: {workers: 1}
"""


@pytest.fixture(scope="session")
def small_clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the working tree's tracked files, two cells side by side; a minute. The clone's params are committed."""
    root = tmp_path_factory.mktemp("clone") / "repo"
    run("git", "clone", "--quiet", str(ROOT), str(root), at=ROOT)
    difference = run("git", "diff", "--binary", "HEAD", at=ROOT)
    if difference:
        subprocess.run(["git", "apply"], cwd=root, input=difference.encode(), check=True)
    (root / "params.yaml").write_text(applied((ROOT / "params.yaml").read_text(encoding="utf-8"), LITTLE))
    run(sys.executable, "-m", "tools.side_by_side", "2", at=root)
    run("git", "add", "--update", at=root)
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.com")
    run("git", *identity, "commit", "--quiet", "--message", "in little", at=root)
    return root


def run(*command: str, at: Path, **more: str) -> str:
    """What a command prints, the programs of this Python first; its errors where it fails."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**{k: v for k, v in os.environ.items() if not k.startswith("DVC_")}, "PATH": programs, **more}
    ended = subprocess.run(command, cwd=at, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, f"{' '.join(command)}: {ended.stdout[-2000:]}{ended.stderr[-2000:]}"
    return ended.stdout
