"""A minute of tests/checks/fuzz.py, the same inputs every time, and what longer runs found."""

from pathlib import Path

import pytest

from stages.lib.data.sources import Source, SourceError
from stages.lib.data.sources import load as load_source
from stages.lib.records import Problem, RecordError, Rollout, read
from stages.lib.run.params import ParamsError, load
from tests.checks import fuzz

TARGETS = fuzz.targets()
EXAMPLES = {"records": 900, "answers": 1_200, "params": 250, "mappings": 500, "sources": 700}


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_readers_survive_hostile_bytes(name: str) -> None:
    assert fuzz.fuzz(TARGETS[name], EXAMPLES[name]) >= EXAMPLES[name]


def test_a_reader_that_breaks_is_found() -> None:
    """The harness itself: an exception that is no error of the reader's ends it."""

    def check(data: bytes, folder: Path) -> None:
        assert b"\x00" not in data

    with pytest.raises(AssertionError):
        fuzz.fuzz(fuzz.Target(TARGETS["records"].inputs, check), 500)


@pytest.mark.parametrize("line", [b"9" * 5_000, b"[" * 3_000, b'{"id": "a", "problem": "\\ud800", "answer": "3"}'])
def test_lines_that_were_crashes(line: bytes, tmp_path: Path) -> None:
    """Numbers beyond Python's limit of digits, nesting beyond its stack, half of a surrogate pair."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(line)
    for schema in (Problem, Rollout):
        with pytest.raises(RecordError):
            list(read(schema, path))
    with pytest.raises(SourceError):
        load_source(Source(path=str(path), mapping="plain"))


def test_a_parquet_file_that_was_a_crash(tmp_path: Path) -> None:
    """Its footer is whole, its pages are not."""
    good = fuzz.as_parquet(b'{"problem": "p", "answer": "3", "solution": "s"}')
    path = tmp_path / "in.parquet"
    path.write_bytes(good[:4] + b"\xff" * 40 + good[44:])
    with pytest.raises(SourceError, match=r"in\.parquet: "):
        load_source(Source(path=str(path)))


@pytest.mark.parametrize(
    "row", ['"final_answer": 1', '"final_answer": ["1"], "unit": [null]', '"final_answer": {"a": 1}']
)
def test_odd_olympiad_fields_that_were_crashes(row: str, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(f'{{"question": "q", "solution": "s", {row}}}')
    try:
        assert load_source(Source(path=str(path), mapping="olympiadbench")).problems[0].answer
    except SourceError as error:
        assert "no usable problem" in str(error)


@pytest.mark.parametrize("value", ["9" * 5_000, "[" * 3_000, "2026-13-45", "'" + "x" * 5_000 + "'"])
def test_params_that_were_crashes(value: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text((fuzz.ROOT / "params.yaml").read_text().replace("  kl: 0.0", f"  kl: {value}"))
    with pytest.raises(ParamsError) as found:
        load(path)
    assert len(str(found.value)) < 1_000
