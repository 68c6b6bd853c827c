"""Journals: long stages append finished work, so a killed run goes on where it stopped.

    with stage.journal() as journal:             # nothing that it holds was made under other inputs
        done = sum(1 for _ in journal.lines())   # finished before the kill
        journal.append([dumps(row)])             # on disk when it returns
        ...
        journal.deliver("data/samples.jsonl")    # the declared out appears, whole

A journal lies in .scratch/ and its name carries a fingerprint (see fingerprint.py) of all that its rows depend on. A
line that the kill cut in half is dropped, and what follows a line that is no text; a flipped bit that changes one
letter to another goes unseen. A delivered journal stays until the stage next starts with other inputs, for DVC deletes
a stage's outs when the stage was killed before DVC had recorded them.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from stages.lib.run.files import replacing
from stages.lib.run.params import root


class Journal:
    """An append-only file of lines in .scratch/, one per name and fingerprint."""

    def __init__(self, name: str, fingerprint: str):
        self.name = name
        self.path = root() / ".scratch" / f"{name}-{fingerprint}.jsonl"
        self.delivered = self.path.with_suffix(".done")

    def __enter__(self) -> "Journal":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.delivered.exists():
            os.replace(self.delivered, self.path)
        for old in self.path.parent.glob(f"{self.name}-" + "?" * 16 + ".done"):
            old.unlink()
        self._drop_torn_line()
        self.file = self.path.open("a", encoding="utf-8", newline="\n")
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def lines(self) -> Iterator[str]:
        """What is on disk, in the order it was appended."""
        with self.path.open(encoding="utf-8", newline="\n") as file:
            yield from (line.rstrip("\n") for line in file)

    def append(self, lines: Iterable[str]) -> None:
        """Add whole lines; once this returns they survive a kill, and a crash of the machine."""
        self.file.write("".join(line + "\n" for line in lines))
        self.file.flush()
        os.fsync(self.file.fileno())

    def keep(self, count: int) -> None:
        """Forget all lines behind the first `count`."""
        lines = list(self.lines())
        if len(lines) > count:
            self.file.truncate(0)
            self.append(lines[:count])

    def deliver(self, out: str | Path, lines: Iterable[str] | None = None) -> None:
        """Write the finished journal, or the `lines` of it that count, to the stage's out, atomically."""
        with replacing(out) as target:
            target.writelines(line + "\n" for line in (self.lines() if lines is None else lines))
        self.mark_delivered()

    def mark_delivered(self) -> None:
        """Say that the journal's work has reached its out."""
        os.replace(self.path, self.delivered)

    def _drop_torn_line(self) -> None:
        """And, with a line on stderr, what follows the first line that a disk has damaged: its work is made again."""
        if not self.path.exists():
            return
        with self.path.open("rb+") as file:
            whole = 0
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break
                if not _is_text(line):
                    print(f"{self.path}, line {number}: damaged; from here on it is made again", file=sys.stderr)
                    break
                whole += len(line)
            file.truncate(whole)


def _is_text(line: bytes) -> bool:
    """UTF-8 without NUL, which is what a block that never reached the disk reads as."""
    try:
        return "\0" not in line.decode()
    except UnicodeDecodeError:
        return False
