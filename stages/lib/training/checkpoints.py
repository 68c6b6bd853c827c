"""Checkpoints of training: finds the newest one that is undamaged.

last_checkpoint(folder, fsdp=False)   # "…/checkpoint-50"; the one before it if that one is damaged

The Trainer writes them. Weights are safetensors. Optimizer, scheduler and random states are torch files, loaded with
`weights_only`: tensors and plain values, no code. Sharded FSDP checkpoints use torch's own format with a pickled index;
only this run writes to .scratch/. Each checkpoint has checksums (see run/restart.py). So has reference/, the reference
policy on the probe: a restart cannot compute it again, because its policy has already changed.
"""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch.distributed as dist

from stages.lib.policy import out_of_memory
from stages.lib.run.errors import StageError
from stages.lib.run.restart import verified

REFERENCE = "reference"  # folder of the reference policy on the probe


@contextmanager
def readable(checkpoint: str | None) -> Iterator[None]:
    """Turn the error of a damaged checkpoint into one line."""
    try:
        yield
    except Exception as error:  # safetensors, zip, pickle and JSON each raise their own exception types
        if out_of_memory(error) or getattr(error, "errno", None) not in (None, errno.ENOENT):
            raise
        reason = " ".join(str(error).split())[:200]
        raise StageError(
            f"{checkpoint}: the restart point cannot be read ({type(error).__name__}: {reason}); "
            "remove this folder, and the same command goes on from the one before it"
        ) from None


def last_checkpoint(folder: Path, fsdp: bool) -> str | None:
    """The newest complete and undamaged checkpoint; damaged ones are removed, with a line on stderr.

    Of several processes, only the first reads the checkpoints; it tells the others.

    Raises:
        StageError: the checkpoint was written under FSDP and this run does not use it, or the other way round.
    """
    together = dist.is_available() and dist.is_initialized()
    found: list[tuple[str | None, bool]] = [newest(folder) if not together or dist.get_rank() == 0 else (None, fsdp)]
    if together:
        dist.broadcast_object_list(found)
    path, sharded = found[0]
    if path is not None and sharded != fsdp:
        wrote, runs = ("FSDP" if flag else "a launch without FSDP" for flag in (sharded, fsdp))
        raise StageError(f"{path} was written under {wrote}, not {runs}; use that LAUNCH again, or remove {folder}")
    return path


def newest(folder: Path) -> tuple[str | None, bool]:
    """The newest undamaged checkpoint, and whether it was written under FSDP."""
    points = sorted(folder.glob("checkpoint-*"), key=lambda path: -int(path.name.split("-")[1]))
    if points and not verified(folder / REFERENCE, "without it training begins again"):
        drop_checkpoints(folder)
        return None, False
    for path in points:
        if written := verified(path, "going on from the restart point before it"):
            return str(path), written["fsdp"]
        shutil.rmtree(path)
    return None, False


def drop_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of a run."""
    for path in (*folder.glob("checkpoint-*"), *folder.glob(REFERENCE)):
        shutil.rmtree(path)
