"""JSONL rows: round trips, atomic files, and errors that name file, line and remedy."""

import json
import os
from pathlib import Path

import pytest

from stages.lib.records import Problem, RecordError, Rollout, dumps, parse, read, read_problems, write
from stages.lib.run.files import replacing

GOOD = {"id": "a", "problem": "1 + 1 =", "answer": "2", "solution": "\\boxed{2}"}


def problems(tmp_path: Path, *rows: object, raw: bytes | None = None) -> Path:
    path = tmp_path / "problems.jsonl"
    path.write_bytes(raw if raw is not None else "".join(json.dumps(row) + "\n" for row in rows).encode())
    return path


def test_round_trip_keeps_odd_text(tmp_path: Path) -> None:
    rows = [Problem(id=str(i), problem=text, answer="−1") for i, text in enumerate(["a\nb", "\u2028", '"', "Ω 𝔸"])]
    path = tmp_path / "rows.jsonl"
    assert write(path, rows) == 4 and list(read(Problem, path)) == rows


def test_key_order_is_the_dataclass() -> None:
    row = Rollout(id="a", index=0, response="r", finish="stop", token_ids=[1], logprobs=[-0.5])
    assert dumps(row).startswith('{"id": "a", "index": 0, "response": "r", "finish": "stop"')
    assert parse(Rollout, dumps(row), "x") == row


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([GOOD, {**GOOD, "id": "b", "answer": " "}], r"line 2: field 'answer' is empty"),
        ([{k: v for k, v in GOOD.items() if k != "answer"}], r"line 1: field 'answer' is missing"),
        ([{**GOOD, "solution": None}], r"line 1: field 'solution' is empty"),
        ([GOOD, GOOD], r"line 2: id 'a' was used before"),
        ([{**GOOD, "answer": 2}], r"line 1: field 'answer' has the wrong type"),
        ([{**GOOD, "extra": 1}], r"line 1: unknown field 'extra'; Problem has id, problem, answer, solution"),
        ([[1]], r"line 1: not a JSON object but list"),
        ([], "no problems"),
        ([{**GOOD, "problem": "a\0b"}], r"line 1: field 'problem' holds a NUL character; take it out"),
        ([{**GOOD, "solution": "\ud800"}], r"line 1: not JSON \(.*surrogate"),
        ([GOOD, {**GOOD, "problem": "other"}], r"line 2: id 'a' was used before"),
        ([{**GOOD, "answer": float("nan")}], r"line 1: field 'answer' has the wrong type: 'nan'"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, rows: list, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        read_problems(problems(tmp_path, *rows), need_solution=True)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"id": "a",\n', r"problems\.jsonl, line 1: not JSON"),
        (b"\n", "line 1: not JSON"),
        (b"\xff\n", "line 1: not UTF-8"),
        (json.dumps(GOOD).encode() + b"\n\x00\n", "line 2: not JSON"),
        (b'{"id": "a\x00"}\n', "line 1: not JSON"),
        (b'{"id": ' + b"9" * 5000 + b"}\n", "line 1: not JSON"),
        (b'{"id": ' + b"[" * 10**6, "line 1: not JSON"),
        (b"", "no problems; the file needs at least one row"),
    ],
)
def test_bad_bytes_are_named(tmp_path: Path, raw: bytes, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        read_problems(problems(tmp_path, raw=raw))


@pytest.mark.parametrize("value", ["1e999", "-1e999", "NaN", "Infinity", "true"])
def test_log_probabilities_are_finite_numbers(value: str) -> None:
    line = f'{{"id": "a", "index": 0, "response": "", "finish": "stop", "token_ids": [1], "logprobs": [{value}]}}'
    with pytest.raises(RecordError, match=r"x: (field 'logprobs' has the wrong type|not JSON)"):
        parse(Rollout, line, "x")


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_a_number_that_is_none_is_not_written(tmp_path: Path, value: float) -> None:
    row = Rollout(id="a", index=0, response="", finish="stop", token_ids=[1], logprobs=[value])
    with pytest.raises(RecordError, match="Rollout 'a': holds NaN or infinity"):
        write(tmp_path / "rows.jsonl", [row])
    assert list(tmp_path.iterdir()) == []


def test_a_whole_number_passes_for_a_log_probability() -> None:
    line = '{{"id": "a", "index": 0, "response": "", "finish": "stop", "token_ids": [], "logprobs": [{}]}}'
    assert parse(Rollout, line.format(-9), "x").logprobs == [-9.0]
    with pytest.raises(RecordError, match="x: field 'logprobs' has the wrong type"):
        parse(Rollout, line.format("9" * 400), "x")  # more than a float holds


def test_a_folder_and_a_locked_file(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=f"{tmp_path}: cannot be read"):
        read_problems(tmp_path)
    path = problems(tmp_path, GOOD)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("permissions do not bind this user")
    with pytest.raises(RecordError, match="cannot be read"):
        read_problems(path)


def test_long_lines_and_a_missing_last_newline(tmp_path: Path) -> None:
    long = {**GOOD, "id": "b", "solution": "s" * 10**7}
    raw = "\n".join(map(json.dumps, (GOOD, long))).encode()
    assert [len(row.solution) for row in read_problems(problems(tmp_path, raw=raw))] == [len(GOOD["solution"]), 10**7]


def test_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"gone\.jsonl: no such file"):
        read_problems(tmp_path / "gone.jsonl")


def test_windows_files_are_read(tmp_path: Path) -> None:
    path = problems(tmp_path, raw=b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b"\r\n")
    assert read_problems(path, need_solution=True)[0].id == "a"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as file:
        file.write("half")
        raise ZeroDivisionError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
