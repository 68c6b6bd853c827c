"""Journals: long stages append finished work, so a killed run goes on where it stopped.

    with Journal("sample", fingerprint(params.sample, [path])) as journal:
        done = journal.lines()             # finished before the kill
        journal.append([dumps(row)])       # on disk when it returns
        ...
    journal.remove()                       # after the declared out was written

The file's name carries a fingerprint of everything the rows depend on, so rows made under other params or inputs are
never picked up. A line that the kill cut in half is dropped.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stages.lib.params import root


def fingerprint(*parts: Any, files: Sequence[str | Path] = ()) -> str:
    """A short hash of params (dataclasses or plain values) and of the bytes of files."""
    digest = hashlib.sha256()
    for part in parts:
        plain = asdict(part) if hasattr(part, "__dataclass_fields__") else part
        digest.update(json.dumps(plain, sort_keys=True).encode() + b"\0")
    for path in files:
        with Path(path).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


class Journal:
    """An append-only file of lines in .scratch/, one per stage and fingerprint."""

    def __init__(self, stage: str, identity: str):
        self.path = root() / ".scratch" / f"{stage}-{identity}.jsonl"

    def __enter__(self) -> "Journal":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._drop_torn_line()
        self.file = self.path.open("a", encoding="utf-8", newline="\n")
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def lines(self) -> Iterable[str]:
        """What is on disk, in the order it was appended."""
        with self.path.open(encoding="utf-8", newline="\n") as file:
            yield from (line.rstrip("\n") for line in file)

    def append(self, lines: Iterable[str]) -> None:
        """Add whole lines; they survive a kill of this process once this returns, a crash of the machine too."""
        self.file.write("".join(line + "\n" for line in lines))
        self.file.flush()
        os.fsync(self.file.fileno())

    def remove(self) -> None:
        """Delete the journal: its rows are in the stage's out now."""
        self.path.unlink(missing_ok=True)

    def _drop_torn_line(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb+") as file:
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)
