"""dvc.lock is merged stage by stage, by git itself."""

import subprocess
from pathlib import Path

from tests.conftest import ROOT
from tools.merge_lock import merged

LOCK = "schema: '2.0'\nstages:\n  sample:\n    outs: [{md5: %s}]\n  train:\n    outs: [{md5: %s}]\n"


def test_a_change_of_one_side_is_taken() -> None:
    was = {"a": 1, "b": 1, "c": 1}
    assert merged(was, {"a": 2, "b": 1, "c": 1}, {"a": 1, "b": 3, "c": 1}) == ({"a": 2, "b": 3, "c": 1}, [])


def test_added_and_removed_stages() -> None:
    assert merged({"a": 1, "b": 1}, {"a": 1, "new": 5}, {"a": 1, "b": 1}) == ({"a": 1, "new": 5}, [])
    assert merged({}, {"a": 1}, {"a": 1, "b": 2}) == ({"a": 1, "b": 2}, [])


def test_what_both_changed_is_left_to_dvc() -> None:
    assert merged({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 3, "b": 1}) == ({"b": 1}, ["a"])
    assert merged({"a": 1}, {"a": 2}, {}) == ({}, ["a"]), "changed here, removed there"
    assert merged({"a": 1}, {"a": 2}, {"a": 2}) == ({"a": 2}, []), "changed alike"


def git(folder: Path, *words: str) -> subprocess.CompletedProcess:
    who = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    return subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, text=True)


def lock(folder: Path, branch: str, sample: int, train: int) -> None:
    git(folder, "checkout", "-q", "-b", branch, "main")
    (folder / "dvc.lock").write_text(LOCK % (sample, train))
    git(folder, "commit", "-qam", branch)


def repository(folder: Path) -> None:
    (folder / "tools").mkdir()
    for name in ("tools/merge_lock.py", ".gitattributes"):
        (folder / name).write_text((ROOT / name).read_text())
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "merge.dvc-lock.driver", "python -m tools.merge_lock %O %A %B")
    (folder / "dvc.lock").write_text(LOCK % (1, 1))
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "start")


def test_git_merges_two_branches(tmp_path: Path) -> None:
    repository(tmp_path)
    lock(tmp_path, "ours", 2, 1)
    lock(tmp_path, "theirs", 1, 3)
    ended = git(tmp_path, "merge", "ours", "--no-edit")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    text = (tmp_path / "dvc.lock").read_text()
    assert "md5: 2" in text and "md5: 3" in text and "<<<<" not in text


def test_a_damaged_side_stops_the_merge(tmp_path: Path) -> None:
    repository(tmp_path)
    lock(tmp_path, "ours", 2, 1)
    git(tmp_path, "checkout", "-q", "-b", "theirs", "main")
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\nstages:\n  sample: [")
    git(tmp_path, "commit", "-qam", "damaged")
    ended = git(tmp_path, "merge", "ours", "--no-edit")
    assert ended.returncode != 0 and "cannot be merged" in ended.stderr


def test_make_sets_the_driver_up() -> None:
    assert 'merge.dvc-lock.driver "python -m tools.merge_lock %O %A %B"' in (ROOT / "Makefile").read_text()
