"""Files and folders that appear under their name only when all of them was written.

with replacing("reports/table.md") as file: ...             # text
with replacing_folder("data/train") as partial: ...         # a folder
write_counts("prepare", {"problems": 768, ...})             # data/counts/prepare.json
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.lib.run.params import root


class replacing:  # noqa: N801  # used as a function: `with replacing(path)`
    """`with replacing(path) as file`: text that appears under `path` only when all of it was written."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.partial = self.path.with_name(self.path.name + ".tmp")  # one name: a restart replaces what a kill left

    def __enter__(self) -> Any:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = self.partial.open("w", encoding="utf-8", newline="\n")
        return self.file

    def __exit__(self, kind: type | None, *_: object) -> None:
        try:
            with self.file:  # a full disk may show only now
                if kind is None:
                    self.file.flush()
                    os.fsync(self.file.fileno())
            if kind is None:
                os.replace(self.partial, self.path)
        finally:
            self.partial.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """`with replacing_folder(path) as partial`: a folder that takes the place of `path` only when all is in it."""
    path = Path(path)
    partial, old = path.with_name(path.name + ".tmp"), path.with_name(path.name + ".old.tmp")
    shutil.rmtree(partial, ignore_errors=True)  # one name: a restart replaces what a kill left
    partial.mkdir(parents=True)
    try:
        yield partial
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            os.replace(path, old)  # aside, not away, until the new one is there
        os.replace(partial, path)
    finally:
        if old.exists() and not path.exists():
            os.replace(old, path)
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_counts(name: str, counts: dict[str, Any]) -> None:
    """What a stage counted, as data/counts/<name>.json, which the report shows."""
    with replacing(root() / "data" / "counts" / f"{name}.json") as file:
        json.dump(counts, file, indent=2)
