"""What is on disk: every output's bytes, the names in .scratch/, and the finished work there, watched while it runs."""

import contextlib
import hashlib
import math
import os
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

OUTPUTS = ("data", "models/cells", "reports")


def tree(root: Path) -> dict[str, str]:
    """Every file where outputs belong, by path: a hash of its bytes."""
    files = (path for place in OUTPUTS for path in (root / place).rglob("*") if not path.is_dir())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def names(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in (root / ".scratch").rglob("*")}


@dataclass
class Finished:
    """The finished work in .scratch/: journal lines, parts (with the time they were written), training steps."""

    lines: dict[str, list[bytes]]
    parts: dict[str, int]
    steps: dict[str, float]  # of the newest restart point; infinite once the training has ended

    def __bool__(self) -> bool:
        return any(self.lines.values()) or bool(self.parts) or any(self.steps.values())


def finished(root: Path) -> Finished:
    scratch, work = root / ".scratch", Finished({}, {}, {})
    for path in (*scratch.glob("*.jsonl"), *scratch.glob("*.done")):
        work.lines[path.stem] = [line for line in path.read_bytes().splitlines(True) if line.endswith(b"\n")]
    for path in scratch.glob("*/*.parquet"):
        work.parts[str(path)] = path.stat().st_mtime_ns
    for folder in scratch.glob("train-*"):
        ended = (folder / "trained/complete").exists()
        work.steps[folder.name] = math.inf if ended else max(map(step, folder.glob("checkpoint-*/complete")), default=0)
    return work


def step(inside: Path) -> int:
    return int(inside.parent.name.split("-")[1])


class Watch:
    """The journals of .scratch/ as they are before a start: a stage that drops one and writes the same again is seen.

    Each is held open: renamed it stays the same file, and its inode is not given to another. Removed or replaced it
    has no name any more; shortened in place it is seen if it still is at a `look`.
    """

    def __init__(self, root: Path):
        self.files: dict[str, tuple[BinaryIO, list[int]]] = {}  # and where each whole line ends, in bytes
        self.least: dict[str, float] = {}  # the smallest size seen since
        for path in (*(root / ".scratch").glob("*.jsonl"), *(root / ".scratch").glob("*.done")):
            with contextlib.suppress(FileNotFoundError):  # of a stage that lives on and is delivering
                file = path.open("rb", buffering=0)
                whole = (len(line) for line in file.readall().splitlines(True) if line.endswith(b"\n"))
                self.files[path.stem], self.least[path.stem] = (file, list(accumulate(whole))), math.inf

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        for file, _ends in self.files.values():
            file.close()

    def look(self) -> None:
        for name, (file, _ends) in self.files.items():
            now = os.fstat(file.fileno())
            self.least[name] = min(self.least[name], now.st_size if now.st_nlink else 0)

    def dropped(self) -> dict[str, int]:
        """Per journal: the whole lines that were once not there any more."""
        return {name: sum(end > self.least[name] for end in ends) for name, (_file, ends) in self.files.items()}
