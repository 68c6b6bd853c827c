"""The verify stage: every response gets its verdict, in order, also after a kill; cut-off responses are never right."""

import json
from pathlib import Path

import pytest

from stages import verify
from stages.lib.records import Problem, RecordError, Rollout, Verdict, read, write
from stages.lib.run.fingerprint import declared_inputs, instance_of
from stages.lib.run.params import Params, ParamsError
from stages.lib.verifier.verdicts import judge
from tests.run_stage import run_stage

COUNT = 23
ONE = Problem(id="a", problem="0 + 1 =", answer="1")


@pytest.fixture
def samples(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """COUNT problems with two responses each: the first right, the second wrong, unboxed or cut off in turns."""
    monkeypatch.setattr(verify, "BATCH", 4)
    data = checkout / "data"
    problems = [Problem(id=f"p{i}", problem=f"{i} + 1 =", answer=str(i + 1), solution="wrong") for i in range(COUNT)]
    others = [(f"\\boxed{{{99}}}", "stop"), ("no idea", "stop"), ("\\boxed{right but cut", "length")]
    rows = []
    for i, problem in enumerate(problems):
        text, finish = others[i % 3]
        rows.append(rollout(problem.id, 0, f"so \\boxed{{{problem.answer}}}"))
        rows.append(rollout(problem.id, 1, text, finish))
    write(data / "problems.jsonl", problems)
    write(data / "samples.jsonl", rows)
    return data


def rollout(id_: str, index: int, text: str, finish: str = "stop") -> Rollout:
    return Rollout(id=id_, index=index, response=text, finish=finish, token_ids=[1], logprobs=[0.0])


def run_verify(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run_stage(verify, name)


def test_every_response_is_judged_in_order(samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_verify("sample", monkeypatch)
    rows = list(read(Verdict, samples / "verdicts" / "sample.jsonl"))
    assert [(row.id, row.index) for row in rows] == [(f"p{i}", k) for i in range(COUNT) for k in range(2)]
    assert all(row.correct == (row.index == 0) for row in rows)
    counts = json.loads((samples / "counts" / "verify-sample.json").read_text())
    assert counts["reasons"] == {"cut_off": 7, "different": 8, "equal": COUNT, "no_answer": 8}


def test_a_killed_run_ends_in_the_same_bytes(samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_verify("sample", monkeypatch)
    out = samples / "verdicts" / "sample.jsonl"
    whole = out.read_bytes()
    (done,) = (samples.parent / ".scratch").glob("verify-sample-*.done")
    done.write_bytes(b"".join(whole.splitlines(keepends=True)[:5]) + b'{"id": "to')
    done.rename(done.with_suffix(".jsonl"))
    out.unlink()
    run_verify("sample", monkeypatch)
    assert out.read_bytes() == whole


def test_demonstrations_are_verified_too(samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_verify("expert", monkeypatch)
    rows = list(read(Verdict, samples / "verdicts" / "expert.jsonl"))
    assert len(rows) == COUNT and not any(row.correct for row in rows)


def test_a_cut_off_response_is_never_right(params: Params) -> None:
    rows = [
        rollout("a", 0, "\\boxed{1}", "length"),
        rollout("a", 1, "\\boxed{1}"),
        rollout("a", 2, "\\boxed{1}", "length"),
    ]
    assert [row.reason for row in judge(rows, {"a": ONE}, params.verify)] == ["cut_off", "equal", "cut_off"]


def test_the_question_is_passed_on(params: Params) -> None:
    rows = [rollout("a", 0, r"\boxed{1\%}")]
    asked = Problem(id="a", problem="By what percent does it grow?", answer="1")
    assert not next(judge(rows, {"a": ONE}, params.verify)).correct
    assert next(judge(rows, {"a": asked}, params.verify)).correct


def test_a_response_to_no_problem(params: Params) -> None:
    with pytest.raises(RecordError, match="'b' answers no known problem"):
        list(judge([rollout("b", 0, "")], {"a": ONE}, params.verify))


def test_unknown_name(samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ParamsError, match="`expert` or `sample` or `resolve-GUIDE`"):
        run_verify("smaple", monkeypatch)


def test_stage_names_agree_with_the_graph(samples: Path) -> None:
    write(samples / "resolved" / "half.jsonl", [])
    assert "data/samples.jsonl" in declared_inputs(instance_of("verify", ["sample"]))
    assert "data/resolved/half.jsonl" in declared_inputs(instance_of("verify", ["resolve-half"]))


def test_resolved_responses_are_verified(samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (samples / "resolved").mkdir()
    (samples / "samples.jsonl").rename(samples / "resolved" / "half.jsonl")
    run_verify("resolve-half", monkeypatch)
    assert len(list(read(Verdict, samples / "verdicts" / "resolve-half.jsonl"))) == 2 * COUNT
