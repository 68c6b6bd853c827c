"""Bad input: one clear line from the stage, exit status 1, earlier outputs as they were."""

import importlib
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.lib.records import Problem, Rollout, write
from stages.lib.run.params import Verify
from stages.lib.run.stage import run
from stages.lib.verifier.verdicts import judge
from tests.run_stage import RESUMABLE, run_stage

ROWS = [{"id": f"p{i}", "problem": f"{i} + 1 =", "answer": str(i + 1), "solution": "s"} for i in range(3)]
Refused = Callable[..., str]


@pytest.fixture
def refused(checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Runs a stage that must refuse: returns its one line, and checks status and that no output changed."""

    def refuse(*argv: str) -> str:
        before = {path: path.read_bytes() for path in (checkout / "data").rglob("*") if path.is_file()}
        monkeypatch.setattr(sys, "argv", list(argv))
        with pytest.raises(SystemExit) as stop:
            run(importlib.import_module(f"stages.{argv[0]}").main, resumable=argv[0] in RESUMABLE)
        lines = capsys.readouterr().err.strip().splitlines()
        assert stop.value.code == 1 and lines[-1].startswith("error: ")
        assert before == {path: path.read_bytes() for path in (checkout / "data").rglob("*") if path.is_file()}
        return lines[-1]

    write(checkout / "data" / "problems.jsonl", [Problem(**row) for row in ROWS])
    return refuse


def set_param(old: str, new: str) -> None:
    path = Path("params.yaml")
    text, count = re.subn(old, new, path.read_text(), count=1, flags=re.M)
    assert count == 1, old
    path.write_text(text)


def source(section: str, text: str) -> None:
    """Make `text` the file that a section's source names."""
    name = {"problems": "in.jsonl", "benchmarks": "hard.jsonl"}[section]
    Path(name).write_text(text)
    set_param(
        {"problems": "source: testbed", "benchmarks": "path: testbed"}[section],
        f"{'source' if section == 'problems' else 'path'}: {name}",
    )
    set_param(rf"^({section}:.*\n(?:.*\n)*?  files: )\S+", rf"\g<1>{name}")


def lines(*rows: dict) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("section", "text", "message"),
    [
        ("problems", lines(ROWS[0]) + "{oops\n", r"in\.jsonl, line 2: not JSON"),
        (
            "problems",
            lines({"id": "a", "problem": "x", "answer": "1"}),
            r"in\.jsonl, line 1: field 'solution' is empty",
        ),
        ("problems", lines({**ROWS[0], "problem": ""}), r"in\.jsonl, line 1: field 'problem' is empty"),
        ("problems", lines({"id": "a", "problem": "x", "solution": "s"}), r"line 1: field 'answer' is missing"),
        ("problems", lines(ROWS[0], ROWS[0]), r"in\.jsonl, line 2: id 'p0' was used before"),
        ("problems", "", r"in\.jsonl: no problems"),
        (
            "benchmarks",
            lines({"id": "a", "problem": "x", "answer": ""}),
            r"hard\.jsonl, line 1: field 'answer' is empty",
        ),
        ("benchmarks", lines({"id": "a", "problem": "x"}), r"hard\.jsonl, line 1: field 'answer' is missing"),
        ("benchmarks", "", r"hard\.jsonl: no problems"),
    ],
)
def test_unreadable_sources(refused: Refused, section: str, text: str, message: str) -> None:
    source(section, text)
    assert re.search(message, refused("prepare"))


def test_every_problem_is_a_benchmarks(refused: Refused) -> None:
    source("problems", lines(*ROWS))
    source("benchmarks", lines(*ROWS))
    assert "every training problem is a benchmark problem too" in refused("prepare")


def test_absent_sources(refused: Refused) -> None:
    set_param("source: testbed", "source: gone.jsonl")
    assert "gone.jsonl: no such file" in refused("prepare")


def test_an_unknown_mapping(refused: Refused) -> None:
    source("problems", lines(*ROWS))
    set_param("mapping: null", "mapping: gsm9k")
    assert "unknown mapping 'gsm9k'; did you mean 'gsm8k'?" in refused("prepare")


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ("{problm: text}", "unknown key problems.mapping.problm; did you mean problem?"),
        ("{problem: 3}", "problems.mapping.problem must be str, not int 3"),
        ("{problem: text}", "has no field 'text'; it has id, problem, answer, solution"),
        ('{answer: "answer:box"}', "no usable problem; 3 rows left out, the first for: no answer"),
        ('{answer: "answer:last"}', "behind the colon stands box or ####"),
    ],
)
def test_unknown_fields_in_a_mapping(refused: Refused, mapping: str, message: str) -> None:
    source("problems", lines(*ROWS))
    set_param("mapping: null", f"mapping: {mapping}")
    assert message in refused("prepare")


@pytest.mark.parametrize("split", ["train[3:]", "train[1:1]"])
def test_a_slice_beyond_the_rows(refused: Refused, split: str) -> None:
    source("problems", lines(*ROWS))
    set_param("split: train", f"split: {split}")
    assert f"in.jsonl (split {split}): the slice holds no rows" in refused("prepare")


def test_a_folder_where_rows_are_meant(refused: Refused, checkout: Path) -> None:
    (checkout / "data" / "problems.jsonl").unlink()
    (checkout / "data" / "problems.jsonl").mkdir()
    assert "problems.jsonl: cannot be read" in refused("verify", "expert")


def test_problems_longer_than_the_context(refused: Refused, checkout: Path, tiny_folder: Path, tmp_path: Path) -> None:
    """Said before any weights are loaded: there are none here."""
    folder = shutil.copytree(tiny_folder, tmp_path / "no-weights", ignore=shutil.ignore_patterns("*.safetensors"))
    set_param("name: models/micro/policy", f"name: {folder}")
    set_param("files: models/micro/policy", f"files: {folder}")
    for file in ("problems.jsonl", "benchmarks/long.jsonl"):
        write(checkout / "data" / file, [Problem(**{**ROWS[0], "problem": "1 + " * 300 + "1 ="})])
    for stage in (("sample",), ("evaluate", "base", "0")):
        message = refused(*stage)
        assert "no prompt fits" in message and "context window; lower max_new_tokens" in message


@pytest.mark.parametrize(
    ("solution", "reason"),
    [
        ("nothing boxed", "no_answer"),
        (r"\boxed{}", "no_answer"),
        (r"so \boxed{1", "no_answer"),
        ("x" * 10**7, "no_answer"),
        (r"\boxed{2}", "different"),
    ],
)
def test_demonstrations_without_the_answer_are_counted(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, solution: str, reason: str
) -> None:
    write(checkout / "data" / "problems.jsonl", [Problem(**{**ROWS[0], "solution": solution})])
    run_stage(importlib.import_module("stages.verify"), "expert")
    rows = [json.loads(line) for line in (checkout / "data/verdicts/expert.jsonl").open()]
    assert [(row["correct"], row["reason"]) for row in rows] == [(False, reason)]


@pytest.mark.parametrize("token_ids", [[], [2]])
def test_empty_responses_are_counted_as_without_an_answer(token_ids: list[int]) -> None:
    row = Rollout(id="p0", index=0, response="", finish="stop", token_ids=token_ids, logprobs=[-1.0] * len(token_ids))
    problems = {"p0": Problem(id="p0", problem="", answer="1")}
    verify = Verify(markers=True, timeout=5.0, steps="none", unsound="flag")
    verdicts = list(judge([row], problems, verify, workers=1))
    assert [(v.correct, v.extracted, v.reason) for v in verdicts] == [(False, None, "no_answer")]


def test_absent_policy(refused: Refused) -> None:
    set_param("files: models/micro/policy", "files: params.yaml")
    set_param("name: models/micro/policy", "name: models/gone")
    assert "models/gone: no such model folder" in refused("sample")


def test_zero_samples(refused: Refused) -> None:
    set_param(r"^(sample:.*\n.*\n  n: )\d", r"\g<1>0")
    assert "sample.n must be at least 1, not 0" in refused("sample")


def test_an_unknown_loss(refused: Refused, checkout: Path) -> None:
    set_param("files: models/micro/policy", "files: params.yaml")
    write(checkout / "data" / "train" / "expert.jsonl", [])
    message = refused("train", "expert", "sftt", "0")
    assert "'sftt'" in message and "sft, dft" in message


def test_an_unknown_data_set(refused: Refused) -> None:
    set_param("files: models/micro/policy", "files: params.yaml")
    assert "data/train/exprt.jsonl: no such file" in refused("train", "exprt", "sft", "0")


def test_arguments_that_evaluate_does_not_take(refused: Refused) -> None:
    assert "evaluate takes `base TEMPERATURE` or `DATA LOSS SEED TEMPERATURE`" in refused("evaluate", "expert", "sft")


def test_a_temperature_that_names_another_file_than_dvc_expects(refused: Refused) -> None:
    Path("data/benchmarks").mkdir()
    set_param("files: models/micro/policy", "files: params.yaml")
    assert "evaluate.temperatures has 1.0: write it as 1" in refused("evaluate", "base", "1.0")


def test_benchmarks_that_are_not_there(refused: Refused) -> None:
    set_param("files: models/micro/policy", "files: params.yaml")
    Path("data/benchmarks").mkdir()
    assert "no benchmarks" in refused("evaluate", "base", "1")
