"""The file of scores, data/scores.parquet: one row per response token.

    id        source    position  token_id  logp     logp_behaviour  entropy
    train-0   self      0         17        -0.31    -0.31           0.62
    train-3   resolved  0         17        -1.20    -0.08           1.41     logp_behaviour: under the guided prompt
    train-4   expert    0         31        -4.02    null            1.10     the expert's density is unknown

A row group holds whole responses, so a reader can take one group at a time.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stages.lib.records import RecordError
from stages.lib.run.restart import checksum, say_damaged

BENCHMARK = "benchmark"  # source of the expert's solutions to benchmark problems; their id: benchmark/id
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("position", pa.int32()),
        ("token_id", pa.int32()),
        ("logp", pa.float32()),
        ("logp_behaviour", pa.float32()),
        ("entropy", pa.float32()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class ResponseScores:
    """One response's arrays, all [T]; logp_behaviour is None where the behaviour policy is unknown."""

    id: str
    source: str
    token_ids: list[int]
    logp: np.ndarray
    logp_behaviour: np.ndarray | None
    entropy: np.ndarray


def write_part(folder: Path, number: int, responses: Sequence[ResponseScores]) -> Path:
    """Write one row group atomically; its name holds the checksum of its bytes: 000002-1c291ca3.parquet."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{number:06}.tmp"
    table = _table(responses) if responses else SCHEMA.empty_table()  # all of them too long for the context
    pq.write_table(table, partial, row_group_size=max(1, len(table)))
    with partial.open("rb") as file:  # a restart relies on an existing part
        os.fsync(file.fileno())
    path = _part_name(partial)
    os.replace(partial, path)
    return path


def find_part(folder: Path, number: int) -> Path | None:
    """The part of that number; one that does not match its checksum is removed, with a line on stderr."""
    for path in folder.glob(f"{number:06}-*.parquet"):
        if _part_name(path) == path:
            return path
        say_damaged(path, "scoring its responses again")
        path.unlink()
    return None


def _part_name(path: Path) -> Path:
    return path.with_name(f"{path.stem[:6]}-{checksum(path)[1]:08x}.parquet")


def _table(responses: Sequence[ResponseScores]) -> pa.Table:
    lengths = [len(item.token_ids) for item in responses]
    unknown = np.repeat([item.logp_behaviour is None for item in responses], lengths)
    behaviour = [item.logp if item.logp_behaviour is None else item.logp_behaviour for item in responses]
    columns = [
        pa.array([item.id for item in responses]).take(pa.array(np.repeat(np.arange(len(responses)), lengths))),
        pa.array([item.source for item in responses]).take(pa.array(np.repeat(np.arange(len(responses)), lengths))),
        np.concatenate([np.arange(length, dtype=np.int32) for length in lengths]),
        np.concatenate([item.token_ids for item in responses]).astype(np.int32),
        np.concatenate([item.logp for item in responses]).astype(np.float32),
        pa.array(np.concatenate(behaviour).astype(np.float32), mask=unknown),
        np.concatenate([item.entropy for item in responses]).astype(np.float32),
    ]
    return pa.table(columns, schema=SCHEMA)


def join(parts: Sequence[Path], path: Path) -> int:
    """Concatenate parts into one file, one row group per part; returns the number of rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".tmp")
    rows = 0
    try:
        with pq.ParquetWriter(partial, SCHEMA) as writer:
            for part in parts:
                table = pq.read_table(part, schema=SCHEMA)
                writer.write_table(table, row_group_size=max(1, len(table)))
                rows += len(table)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return rows


def groups(path: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the file's row groups with these columns.

    Raises:
        RecordError: no such file, or not a scores file.
    """
    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError:
        raise RecordError(f"{path}: no such file; `dvc repro` makes it") from None
    except pa.ArrowInvalid as error:
        raise RecordError(f"{path}: not a parquet file ({error})") from None
    if not file.schema_arrow.equals(SCHEMA):
        raise RecordError(f"{path}: its columns are not those of a scores file; run `python -m stages.score` again")
    for number in range(file.num_row_groups):
        yield file.read_row_group(number, columns=list(columns))
