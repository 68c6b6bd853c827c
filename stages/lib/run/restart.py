"""Folders of finished work in .scratch/: with checksums when whole, delivered to a stage's outs, removed once DVC has
recorded these.

write_checksums(folder / "checkpoint-50", fsdp=False)   # checkpoint-50/complete, the last of its files
verified(folder / "checkpoint-50")             # {"fsdp": False, "files": ...}; None if a file is not what was written
hardlink(folder / "trained" / "policy", out)   # the out appears, whole
mark_delivered(folder, "train@rewritten-dft-0")   # it has reached its outs, and waits for DVC's record

The checksums are the length and the CRC-32 of every file: disks and file systems that lost power or filled up leave
files of the right length and the wrong bytes. CRC-32, since this is against accidents, and of what Python brings it is
the fastest: 3.2 GB per second of a core, files of 2 GB read from the page cache, SHA-256 1.4, BLAKE2b 0.8 (a Xeon). It
is computed in pieces on all cores, while the files are in the page cache. Not measured but computed, for the paper's
preset: a checkpoint of 7B float32 parameters with AdamW's state is 91 GB, 1.8 s for 16 cores (28 s for one), beside
68 s of training between two of them (20 steps of 3.4 s, as in presets/cost.py) and the 18 s that a disk of 5 GB/s takes
to write it.
"""

import json
import os
import shutil
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.lib.run.files import replacing, replacing_folder
from stages.lib.run.lock import rank
from stages.lib.run.params import root

COMPLETE = "complete"  # the checksums: {"files": {name: [bytes, CRC-32]}, and what the caller notes}
DELIVERED = "finished"  # a folder's work has reached its outs: {"stage": ..., "record": dvc.lock's at that time}
PIECE = 2**27  # bytes that one thread takes


def write_checksums(folder: Path, **notes: Any) -> None:
    """Say that a folder is written to its end, once all of it is on the disk."""
    files = {}
    for path in sorted(item for item in folder.rglob("*") if item.is_file()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
        if path != folder / COMPLETE:
            files[str(path.relative_to(folder))] = list(checksum(path))
    with replacing(folder / COMPLETE) as file:
        json.dump({**notes, "files": files}, file)


def verified(folder: Path, otherwise: str = "it is made again") -> dict[str, Any] | None:
    """What `write_checksums` wrote, if every file is what it was then; None if it did not, or, with a line on stderr
    that ends in `otherwise`, if a file is another or gone.

    Raises:
        OSError: a file cannot be read.
    """
    found, bad = None, COMPLETE
    try:
        found = json.loads((folder / COMPLETE).read_bytes())
        bad = next((name for name, was in found["files"].items() if list(checksum(folder / name)) != was), "")
    except FileNotFoundError as error:
        if error.filename == str(folder / COMPLETE):
            return None
        bad = Path(error.filename).name
    except (ValueError, KeyError, TypeError, AttributeError):
        pass  # the checksums themselves
    if bad and rank() == 0:
        say_damaged(folder / bad, otherwise)
    return None if bad else found


def say_damaged(path: Path, otherwise: str) -> None:
    print(f"{path}: damaged, its bytes are not those that were written; {otherwise}", file=sys.stderr)


def checksum(path: Path) -> tuple[int, int]:
    """A file's length, and the CRC-32 of the CRC-32s of its pieces."""
    size = path.stat().st_size
    if size <= PIECE:
        return size, zlib.crc32(_piece(path, 0).to_bytes(4, "big"))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        sums = pool.map(partial(_piece, path), range(0, size, PIECE))
        return size, zlib.crc32(b"".join(value.to_bytes(4, "big") for value in sums))


def _piece(path: Path, start: int) -> int:
    """The CRC-32 of up to PIECE bytes; through one small buffer, which stays in the processor's cache."""
    value, left, buffer = 0, PIECE, memoryview(bytearray(2**20))
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        while left and (count := file.readinto(buffer[: min(left, len(buffer))])):
            value, left = zlib.crc32(buffer[:count], value), left - count
    return value


def hardlink(source: Path, out: Path) -> None:
    """Put a folder of .scratch/ in the place of `out`: its files linked, or copied where links are not possible."""
    with replacing_folder(out) as partial:
        shutil.copytree(source, partial, copy_function=_hardlink, dirs_exist_ok=True)


def _hardlink(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)


def mark_delivered(folder: Path, stage: str) -> None:
    """Say that the work in a folder of .scratch/ has reached the outs of `stage`; DVC has not recorded it yet."""
    with replacing(folder / DELIVERED) as file:
        json.dump({"stage": stage, "record": records().get(stage)}, file)


def remove_recorded(prefix: str, keep: Path) -> None:
    """Remove the delivered folders `prefix`-... in .scratch/, except `keep`, that DVC has recorded: of whose stage
    dvc.lock has another record than when they were delivered. Others stay: with their params back, work goes
    on there."""
    now = records()
    for mark in keep.parent.glob(f"{prefix}-*/{DELIVERED}"):
        try:
            note = json.loads(mark.read_bytes())
            recorded = now.get(note["stage"]) not in (None, note["record"])
        except (ValueError, KeyError, TypeError):  # a damaged mark says nothing
            continue
        if mark.parent != keep and recorded:
            shutil.rmtree(mark.parent)


def records() -> dict[str, Any]:
    """What dvc.lock says, by stage; without what a kill cut short."""
    try:
        found = YAML(typ="safe").load((root() / "dvc.lock").read_text(encoding="utf-8"))["stages"]
        whole = {name: record for name, record in found.items() if isinstance(record, dict) and "outs" in record}
        return json.loads(json.dumps(whole))
    except (FileNotFoundError, YAMLError, KeyError, TypeError, AttributeError):
        return {}
