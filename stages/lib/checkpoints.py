"""Restart points of training: sealed when whole, picked up only if whole still.

seal(folder / "checkpoint-50", fsdp=False)   # writes checkpoint-50/complete, the last of its files
last_checkpoint(folder, fsdp=False)          # "…/checkpoint-50"; the one before it if that one lost something

The Trainer writes them. Their weights are safetensors; optimizer, scheduler and random states are torch files, which it
loads with `weights_only`: tensors and plain values, no code. (Sharded FSDP checkpoints are torch's own format, whose
index is a pickle: what lies in .scratch/ is this run's own.) "Whole" is the length of every file, not its content.
"""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.lib.errors import StageError
from stages.lib.policy import out_of_memory
from stages.lib.records import replacing

COMPLETE = "complete"  # the seal: {"fsdp": false, "files": {name: bytes}}


@contextmanager
def readable(checkpoint: str | None) -> Iterator[None]:
    """What a damaged checkpoint raises, as one line."""
    try:
        yield
    except Exception as error:  # safetensors, zip, pickle and JSON fail in ways of their own
        if out_of_memory(error) or getattr(error, "errno", None) not in (None, errno.ENOENT):
            raise
        reason = " ".join(str(error).split())[:200]
        raise StageError(
            f"{checkpoint}: the restart point cannot be read ({type(error).__name__}: {reason}); "
            "remove this folder, and the same command goes on from the one before it"
        ) from None


def seal(checkpoint: Path, fsdp: bool) -> None:
    """Say that a checkpoint is written to its end, once all of it is on the disk."""
    files = {}
    for path in sorted(item for item in checkpoint.rglob("*") if item.is_file()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
        files[str(path.relative_to(checkpoint))] = path.stat().st_size
    with replacing(checkpoint / COMPLETE) as file:
        json.dump({"fsdp": fsdp, "files": files}, file)


def last_checkpoint(folder: Path, fsdp: bool) -> str | None:
    """The newest checkpoint that was written to its end and is all there still.

    Raises:
        StageError: it was written under FSDP and this run is not under it, or the other way round.
    """
    newest = sorted(folder.glob("checkpoint-*"), key=lambda path: -int(path.name.split("-")[1]))
    for path in newest:
        seal = sealed(path)
        if seal is not None and seal["fsdp"] != fsdp:
            wrote, runs = ("FSDP" if flag else "a launch without FSDP" for flag in (seal["fsdp"], fsdp))
            raise StageError(f"{path} was written under {wrote}, not {runs}; use that LAUNCH again, or remove {folder}")
        if seal is not None:
            return str(path)
    return None


def sealed(checkpoint: Path) -> dict[str, Any] | None:
    """What `seal` wrote, if every file is as long as it was then."""
    try:
        seal = json.loads((checkpoint / COMPLETE).read_bytes())
        whole = all((checkpoint / name).stat().st_size == size for name, size in seal["files"].items())
        return seal if whole and isinstance(seal["fsdp"], bool) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
