"""The checkout that a stage runs in: its root, and whether DVC watches the local files that params name."""

import os
import re
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
    """Refuse a local input that is not under the path that DVC hashes for it: an edit of it would go unnoticed.

    Raises:
        ParamsError: naming the param to set.
    """
    for item in inputs:
        local = re.split(r"[^/]*[*?]", item.path, maxsplit=1)[0] or "."  # of a pattern: the folder before it
        below = Path(os.path.abspath(root() / local))
        above = Path(os.path.abspath(root() / item.watched))
        if item.path != "testbed" and below.exists() and not below.is_relative_to(above):
            raise ParamsError(
                f"{item.key} is {item.path}, which {item.watching} ({item.watched}) does not hold, so DVC would not "
                f"see it change: set {item.watching} to {local.rstrip('/')}, or to a folder with all of them"
            )
