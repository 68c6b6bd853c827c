"""Journals: nothing finished is lost, nothing made under other params or inputs is picked up."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages.lib.run.errors import StageError
from stages.lib.run.journal import Journal, declared, identity

IDENTITY = "0123456789abcdef"


def test_torn_line_is_dropped_and_work_goes_on(checkout: Path) -> None:
    with Journal("stage", IDENTITY) as journal:
        journal.append(["one", "two"])
        journal.file.write("thr")
    with Journal("stage", IDENTITY) as journal:
        assert list(journal.lines()) == ["one", "two"]
        journal.append(["three"])
        journal.deliver("out.jsonl")
    assert Path("out.jsonl").read_text() == "one\ntwo\nthree\n"


@pytest.mark.parametrize("damage", [b"\0", b"\xff"], ids=["NUL", "not UTF-8"])
def test_what_follows_a_damaged_line_is_made_again(
    checkout: Path, damage: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with Journal("stage", IDENTITY) as journal:
        journal.append(["one", "two", "three"])
    journal.path.write_bytes(journal.path.read_bytes().replace(b"w", damage))
    with Journal("stage", IDENTITY) as journal:
        assert list(journal.lines()) == ["one"]
    [line] = capsys.readouterr().err.splitlines()
    assert f"stage-{IDENTITY}.jsonl, line 2: damaged" in line


def test_a_delivered_journal_serves_the_same_run_again(checkout: Path) -> None:
    """DVC deletes the outs of a stage that was killed after delivery and before DVC recorded it."""
    for expected in ([], ["one"]):
        with Journal("stage", IDENTITY) as journal:
            assert list(journal.lines()) == expected
            journal.append(["one"] if not expected else [])
            journal.deliver("out.jsonl")
        Path("out.jsonl").unlink()


def test_other_identities_are_not_mixed_and_delivered_ones_cleared(checkout: Path) -> None:
    with Journal("stage", IDENTITY) as journal:
        journal.append(["old"])
        journal.deliver("out.jsonl")
    with Journal("stage-two", IDENTITY) as journal:
        journal.deliver("other.jsonl")
    with Journal("stage", "f" * 16) as journal:
        assert list(journal.lines()) == []
    assert {path.name for path in Path(".scratch").iterdir()} == {
        f"stage-two-{IDENTITY}.done",
        f"stage-{'f' * 16}.jsonl",
    }


def prepared(checkout: Path) -> Path:
    for path in declared("sample")[1]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.exists() or path.write_text("x")
    return checkout


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert len(re.findall(old, text, re.M)) == 1
    path.write_text(re.sub(old, new, text, flags=re.M))


def test_identity_covers_what_the_stage_declares_and_nothing_else(checkout: Path) -> None:
    before = identity("sample") if prepared(checkout) else ""
    edit(Path("params.yaml"), r"^  kl: 0\.0", "  kl: 0.5")
    edit(Path("params.yaml"), r"generation_batch: \d+", "generation_batch: 7")
    assert identity("sample") == before
    edit(Path("params.yaml"), r"^  engine: auto", "  engine: vllm")
    changed = identity("sample")
    Path("data/problems.jsonl").write_text("other")
    assert len({before, changed, identity("sample")}) == 3


def test_every_declared_param_and_dep_changes_the_identity(checkout: Path) -> None:
    params, deps = declared("sample") if prepared(checkout) else ({}, [])
    known = {identity("sample")}
    for dep in deps:
        file = dep / "__init__.py" if dep.is_dir() else dep
        file.write_text(file.read_text() + "\n#")
        known.add(identity("sample"))
    values = YAML(typ="safe").load(Path("params.yaml").read_text())
    for section in params:
        values[section][next(iter(values[section]))] = "changed"
        if section == "policy":
            values[section]["files"] = str(deps[0])
        YAML().dump(values, Path("params.yaml"))
        known.add(identity("sample"))
    assert len(known) == 1 + len(deps) + len(params)


def test_absent_dep_is_named(checkout: Path) -> None:
    with pytest.raises(StageError, match="no such file"):
        identity("sample")
