"""Reads raw rows from JSONL, JSON, parquet and the Hugging Face hub.

    for place, row in rows(Source(path="mine/*.parquet", split="train[:1000]")): ...   # row: {"text": "...", ...}

A JSON file is a list of objects, or an object that holds such a list. Data sets on the hub are read through
`datasets`. Anything that is not a row raises a SourceError that names file and line.
"""

import re
from collections.abc import Callable, Iterator
from glob import glob
from itertools import islice
from pathlib import Path
from typing import Any

from stages.lib.records import strict_json
from stages.lib.run.errors import StageError
from stages.lib.run.params import Source

Row = dict[str, Any]


class SourceError(StageError):
    """A source cannot be read; the message names it and the remedy."""


def stem(path: str) -> str:
    """The name of a source: its file's, folder's or data set's."""
    name = path.rstrip("/").rpartition("/")[2]
    return re.sub(r"\.(?:jsonl|json|parquet)$", "", name).strip("*") or path.rstrip("/*").rpartition("/")[2]


def split_of(source: Source) -> str:
    """The split that a source names; benchmarks are most often test splits."""
    return "test" if source.split is None else source.split


def sliced(split: str) -> tuple[str, int, int | None]:
    """A split as name, first row and end row (exclusive): "train[:1000]" gives ("train", 0, 1000).

    Raises:
        SourceError: the text in brackets is no slice of row numbers.
    """
    name, bracket, rest = split.partition("[")
    match = re.fullmatch(r"(\d{0,18}):(\d{0,18})\]", rest) if bracket else re.fullmatch("()()", "")
    if not match:
        raise SourceError(f"split {split!r}: no slice of rows such as train[:1000] or train[1000:2000]")
    return name, int(match[1] or 0), int(match[2]) if match[2] else None


def rows(source: Source) -> Iterator[tuple[int, Row]]:
    """Yield (number, row); the number counts rows in the whole split."""
    name, low, high = sliced(split_of(source))
    files = _files(source.path, name)
    if files is None:
        yield from _from_hub(source, name, low, high)
        return
    yield from islice(enumerate(row for file in files for row in _read(file)), low, high)


SPLITS = ("train", "test", "validation", "valid", "dev")


def _files(path: str, split: str) -> list[Path] | None:
    """The files of a local source, in order; None if it names a data set on the hub."""
    root = Path(path)
    if root.is_file() and root.suffix in _READERS:
        return [root]
    if root.is_dir():
        found = [file for file in sorted(root.rglob("*")) if file.suffix in _READERS and file.is_file()]
        of = {word: [file for file in found if _of_split(file.relative_to(root), word)] for word in {split, *SPLITS}}
        others = split in SPLITS and any(of.values())  # a folder with test rows only is no training set
        found = of[split] or ([] if others else found)
    elif "*" in path or "?" in path:
        found = [file for file in map(Path, sorted(glob(path, recursive=True))) if file.suffix in _READERS]
    elif root.suffix in _READERS or path.count("/") != 1 or path.startswith((".", "/", "~")) or root.exists():
        raise SourceError(f"{path}: no such file; a source is a JSONL, JSON or parquet file, a folder, or a hub id")
    else:
        return None
    if not found:
        raise SourceError(
            f"{path}: no JSONL, JSON or parquet file there (of split {split!r}, where names say the split)"
        )
    return found


def _of_split(file: Path, split: str) -> bool:
    """Whether a path names the split as a word of its own, as the hub's data sets do."""
    return split != "" and bool(re.search(rf"(?<![A-Za-z]){re.escape(split)}(?![A-Za-z])", str(file)))


def _from_hub(source: Source, split: str, low: int, high: int | None) -> Iterator[tuple[int, Row]]:
    """Rows of a data set on the hub. Code that comes with a data set never runs (`datasets` removed that)."""
    import datasets

    if not split:
        raise SourceError(
            f"{source.path} (split {split_of(source)}): a data set on the hub needs its split's name before the slice: "
            f"train{source.split}, or test{source.split}"
        )
    try:
        found = datasets.load_dataset(source.path, source.subset, split=split, revision=source.revision)
        for place in range(len(found))[low:high]:
            yield place, found[place]
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        reason = " ".join(str(error).split())[:300]
        raise SourceError(
            f"{source.path} (split {split}): cannot be loaded from the hub: {reason}; if it cannot be reached from "
            "here, name a local file or folder"
        ) from None


def _read(file: Path) -> Iterator[Row]:
    try:
        yield from _READERS[file.suffix](file)
    except OSError as error:
        raise SourceError(f"{file}: cannot be read ({error.strerror or error})") from None


def _jsonl(file: Path) -> Iterator[Row]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _row(_json(line, f"{file}, line {number}"), f"{file}, line {number}")


def _json_rows(file: Path) -> Iterator[Row]:
    value = _json(file.read_bytes(), str(file))
    if isinstance(value, dict):
        value = next((part for part in value.values() if isinstance(part, list)), None)
    if not isinstance(value, list):
        raise SourceError(f"{file}: no list of rows, nor an object that holds one")
    for number, row in enumerate(value):
        yield _row(row, f"{file}, row {number}")


def _parquet(file: Path) -> Iterator[Row]:
    from pyarrow import ArrowException, parquet

    try:
        for batch in parquet.ParquetFile(file).iter_batches(1_000):
            yield from batch.to_pylist()
    except (ArrowException, UnicodeDecodeError) as error:
        raise SourceError(f"{file}: not readable as parquet ({error})") from None


def _json(data: bytes, where: str) -> Any:
    try:
        return strict_json(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{where}: not JSON in UTF-8 ({error})") from None


def _row(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        raise SourceError(f"{where}: not an object but {type(value).__name__}")
    return value


_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _jsonl,
    ".json": _json_rows,
    ".parquet": _parquet,
}
