"""Journals: nothing finished is lost, nothing made under other params or inputs is picked up."""

from pathlib import Path

import pytest

from stages.lib.run.journal import Journal

FINGERPRINT = "0123456789abcdef"


def test_torn_line_is_dropped_and_work_goes_on(checkout: Path) -> None:
    with Journal("stage", FINGERPRINT) as journal:
        journal.append(["one", "two"])
        journal.file.write("thr")
    with Journal("stage", FINGERPRINT) as journal:
        assert list(journal.lines()) == ["one", "two"]
        journal.append(["three"])
        journal.deliver("out.jsonl")
    assert Path("out.jsonl").read_text() == "one\ntwo\nthree\n"


@pytest.mark.parametrize("damage", [b"\0", b"\xff"], ids=["NUL", "not UTF-8"])
def test_what_follows_a_damaged_line_is_made_again(
    checkout: Path, damage: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with Journal("stage", FINGERPRINT) as journal:
        journal.append(["one", "two", "three"])
    journal.path.write_bytes(journal.path.read_bytes().replace(b"w", damage))
    with Journal("stage", FINGERPRINT) as journal:
        assert list(journal.lines()) == ["one"]
    [line] = capsys.readouterr().err.splitlines()
    assert f"stage-{FINGERPRINT}.jsonl, line 2: damaged" in line


def test_a_delivered_journal_serves_the_same_run_again(checkout: Path) -> None:
    """DVC deletes the outs of a stage that was killed after delivery and before DVC recorded it."""
    for expected in ([], ["one"]):
        with Journal("stage", FINGERPRINT) as journal:
            assert list(journal.lines()) == expected
            journal.append(["one"] if not expected else [])
            journal.deliver("out.jsonl")
        Path("out.jsonl").unlink()


def test_other_fingerprints_are_not_mixed_and_delivered_ones_cleared(checkout: Path) -> None:
    with Journal("stage", FINGERPRINT) as journal:
        journal.append(["old"])
        journal.deliver("out.jsonl")
    with Journal("stage-two", FINGERPRINT) as journal:
        journal.deliver("other.jsonl")
    with Journal("stage", "f" * 16) as journal:
        assert list(journal.lines()) == []
    assert {path.name for path in Path(".scratch").iterdir()} == {
        f"stage-two-{FINGERPRINT}.done",
        f"stage-{'f' * 16}.jsonl",
    }
