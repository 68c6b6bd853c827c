"""The checkout that a stage runs in: its root, and whether DVC watches the local files that params name."""

import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from stages.lib.run.config import ParamsError


class LocalInput(NamedTuple):
    """The param `key` names `path`; DVC hashes `watched`, which the param `watching` names."""

    key: str
    path: str
    watching: str
    watched: str


def root() -> Path:
    """The root of the checkout that the stage belongs to.

    Under DVC, which sets DVC_STAGE, the working directory: for a queue's worker and `dvc exp run --temp` that is a
    checkout in .dvc/tmp/exps, and DVC_ROOT names its parent. Without DVC, DVC_ROOT or the working directory.
    """
    return Path.cwd() if "DVC_STAGE" in os.environ else Path(os.environ.get("DVC_ROOT", "."))


def check_watched(inputs: Iterable[LocalInput]) -> None:
    """Refuse a local input that is not under the path that DVC hashes for it: an edit of it would go unnoticed. And one
    that neither git nor DVC knows: a queue's worker, `dvc exp run --temp` and a clone would lack it.

    Raises:
        ParamsError: naming the param to set.
    """
    for item in inputs:
        local = re.split(r"[^/]*[*?]", item.path, maxsplit=1)[0] or "."  # of a pattern: the folder before it
        below = Path(os.path.abspath(root() / local))
        above = Path(os.path.abspath(root() / item.watched))
        if item.path == "testbed" or not below.exists():
            continue
        if not tracked(below) and ignored(below):
            raise ParamsError(
                f"{item.key} is {item.path}, which git ignores and DVC does not track, so no commit holds it: "
                f"`dvc add {local.rstrip('/')}`, or move it to a folder of its own and `git add` it"
            )
        if not below.is_relative_to(above):
            raise ParamsError(
                f"{item.key} is {item.path}, which {item.watching} ({item.watched}) does not hold, so DVC would not "
                f"see it change: set {item.watching} to {local.rstrip('/')}, or to a folder with all of them"
            )


CELLS = "models/cells"  # outs of our own pipeline: a trained cell may be the next run's policy


def tracked(path: Path) -> bool:
    """Whether a path of the checkout is an out of DVC's: added, of a pipeline in a folder, or a trained cell."""
    top = Path(os.path.abspath(root()))
    parts = [part for part in (path, *path.parents) if part.is_relative_to(top) and part != top]
    return path.is_relative_to(top / CELLS) or any(
        Path(f"{part}.dvc").is_file() or (part / "dvc.yaml").is_file() for part in parts
    )


def ignored(path: Path) -> bool:
    """Whether git ignores a path of the checkout; not where there is no git, and no repository around it."""
    if not path.is_relative_to(os.path.abspath(root())):
        return False
    try:
        asked = subprocess.run(["git", "check-ignore", "-q", str(path)], cwd=root(), capture_output=True, check=False)
    except OSError:
        return False
    return asked.returncode == 0
