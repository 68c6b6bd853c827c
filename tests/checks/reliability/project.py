"""A clone of this working tree at a miniature of the params, and its stages."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from dvc.repo import Repo

from presets.apply import applied
from tests.checks.reliability.disk import OUTPUTS

HERE = Path(__file__).parents[3]
SMALL = """
problems: {n: 48}
benchmarks: {n: 6}
grid: {seed: [0, 1]}
train: {batch_size: 4, probe_every: 4}
report: {resamples: 100}
hardware: {generation_batch: 4, checkpoint_every: 2}
"""


@dataclass(frozen=True)
class Task:
    """A stage of dvc.yaml, its matrix filled in."""

    name: str
    command: str
    outs: list[Path]


def tasks(root: Path) -> list[Task]:
    """All stages of the root's dvc.yaml in an order that they can run in, as DVC reads them."""
    import networkx as nx

    graph = Repo(str(root)).index.graph
    stages = [stage for stage in nx.dfs_postorder_nodes(graph) if Path(stage.path) == root / "dvc.yaml"]
    return [Task(stage.name, stage.cmd, [Path(out.fs_path) for out in stage.outs]) for stage in stages]


def clone(folder: Path) -> Path:
    """A clone with this working tree's changes, at the miniature's params."""
    root = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", str(HERE), str(root)], check=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--modified", "--others", "--exclude-standard"], cwd=HERE, check=True, text=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (HERE / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(HERE / name, root / name)
    params, preset = root / "params.yaml", root / "presets/ci.yaml"
    params.write_text(applied(applied(params.read_text(), preset.read_text()), SMALL))
    return root.resolve()


def fresh(root: Path) -> None:
    """As a new clone, with an empty cache."""
    for place in (*OUTPUTS, ".scratch", ".dvc/cache", ".dvc/tmp"):
        shutil.rmtree(root / place, ignore_errors=True)
    subprocess.run(["git", "checkout", "--quiet", "dvc.lock", "reports"], cwd=root, check=True)
