"""Tidy data on disk: CSV files with six significant digits, which is more than any interval here bears."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from stages.lib.records import RecordError
from stages.lib.run.files import replacing

Row = dict[str, Any]


def read_csv(path: Path) -> pd.DataFrame:
    """Tidy data; an empty cell of a text column reads as "".

    Raises:
        RecordError: no such file, or nothing in it.
    """
    try:
        frame = pd.read_csv(path, dtype={"by": str})
    except (FileNotFoundError, pd.errors.EmptyDataError):
        raise RecordError(f"{path}: not there or empty; `dvc repro` makes it") from None
    return frame.fillna({"by": ""}) if "by" in frame else frame


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a frame atomically."""
    with replacing(path) as file:
        file.write(frame.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def rows_where(frame: pd.DataFrame, **wanted: str | Sequence[str]) -> pd.DataFrame:
    """The rows whose columns have these values, or one of these: rows_where(effects, kind=["data", "loss"])."""
    keep = pd.Series(True, index=frame.index)
    for column, value in wanted.items():
        keep &= frame[column].isin([value] if isinstance(value, str) else list(value))
    return frame[keep]


def records(frame: pd.DataFrame) -> list[Row]:
    """One dictionary per row, with column names as keys."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def parts(frame: pd.DataFrame, column: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each value of a text column, in the order of first appearance."""
    for name, part in frame.groupby(column, sort=False):
        yield str(name), part
