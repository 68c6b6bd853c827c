"""Journals: long stages append finished work, so a killed run goes on where it stopped.

    params, key = load(), identity("sample")     # before anything else is read
    with Journal("sample", unchanged(key, identity("sample"))) as journal:
        done = sum(1 for _ in journal.lines())   # finished before the kill
        journal.append([dumps(row)])             # on disk when it returns
        ...
        journal.deliver("data/samples.jsonl")    # the declared out appears, whole

A journal lies in .scratch/ and its name carries a fingerprint of all that its rows depend on: exactly what the stage
declares to DVC, read from dvc.yaml itself. Rows made under other params, inputs or code are never picked up. A line
that the kill cut in half is dropped, and what follows a line that is no text; a flipped bit that changes one letter to
another goes unseen. A delivered journal stays until the stage next starts with other inputs, for DVC deletes a stage's
outs when the stage was killed before DVC had recorded them.
"""

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, is_dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stages.lib.run.errors import StageError
from stages.lib.run.files import replacing
from stages.lib.run.params import root


def identity(stage: str, **names: Any) -> str:
    """The fingerprint of what `stage` declares in dvc.yaml: its params, and the bytes of its deps.

    `names` are the variables of a matrix or foreach stage: item={"data": "expert", ...}, or key=... and item=...

    Raises:
        StageError: a declared dep is absent.
    """
    params, deps = declared(stage, **names)
    return fingerprint(stage, names, params, files=deps)


def unchanged(before: str, now: str) -> str:
    """The identity under which work may be kept: taken before inputs were read, and the same when work starts.

    Raises:
        StageError: params, inputs or code were changed in between, so what was read may be of either.
    """
    if before != now:
        raise StageError("params, inputs or code were changed while the stage was starting: start it again")
    return now


def declared(stage: str, **names: Any) -> tuple[dict[str, Any], list[Path]]:
    """The params (dotted name to value) and dep paths that dvc.yaml declares for a stage."""
    values = _yaml(root() / "params.yaml")
    entry = _yaml(root() / "dvc.yaml")["stages"][stage]
    entry = entry.get("do", entry)
    deps = [root() / _filled(path, {**values, **names}) for path in entry.get("deps", [])]
    return {name: _at(values, name) for name in entry.get("params", [])}, deps


def fingerprint(*parts: Any, files: Sequence[str | Path] = ()) -> str:
    """A short hash of params (dataclasses or plain values), of the bytes of files, and of folders: names and bytes."""
    digest = hashlib.sha256()
    for part in parts:
        plain = asdict(part) if is_dataclass(part) and not isinstance(part, type) else part
        digest.update(json.dumps(plain, sort_keys=True).encode() + b"\0")
    for name, path in _files(files):
        digest.update(name.encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


class Journal:
    """An append-only file of lines in .scratch/, one per stage and fingerprint."""

    def __init__(self, stage: str, identity: str):
        self.stage = stage
        self.path = root() / ".scratch" / f"{stage}-{identity}.jsonl"
        self.delivered = self.path.with_suffix(".done")

    def __enter__(self) -> "Journal":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.delivered.exists():
            os.replace(self.delivered, self.path)
        for old in self.path.parent.glob(f"{self.stage}-" + "?" * 16 + ".done"):
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

    def deliver(self, out: str | Path) -> None:
        """Copy the finished journal to the stage's out, atomically."""
        with replacing(out) as target, self.path.open(encoding="utf-8", newline="\n") as source:
            shutil.copyfileobj(source, target)
        self.done()

    def clear(self) -> None:
        """Forget all lines."""
        self.file.truncate(0)

    def done(self) -> None:
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


def _yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def _filled(text: str, values: dict[str, Any]) -> str:
    """`text` with dvc.yaml's ${item.x} and ${section.key} replaced."""
    return re.sub(r"\$\{([\w.]+)\}", lambda match: str(_at(values, match[1])), text)


def _at(values: dict[str, Any], dotted: str) -> Any:
    return reduce(lambda value, key: value[key], dotted.split("."), values)


def _files(paths: Sequence[str | Path]) -> Iterator[tuple[str, Path]]:
    """Every file but Python's caches, and what it is called in its folder: a benchmark's name is its file's."""
    for path in map(Path, paths):
        if not path.exists():
            raise StageError(f"{path}: no such file; `dvc repro` makes it")
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        inside = [p for p in inside if p.parent.name != "__pycache__"]
        yield from ((str(p.relative_to(path)), p) for p in inside)
