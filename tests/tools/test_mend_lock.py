"""`make repro` mends the files of DVC's that a kill cut short, and leaves whole ones alone."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "dvc.lock").read_text()


def mended(folder: Path, text: str) -> tuple[str, str]:
    """dvc.lock after the script, and what the script said."""
    (folder / "tools").mkdir(exist_ok=True)
    shutil.copy(ROOT / "tools" / "mend_lock.py", folder / "tools")
    lock = folder / "dvc.lock"
    lock.write_text(TEXT)
    who = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    for words in (["init", "-q"], ["add", "dvc.lock"], [*who, "commit", "-qm", "lock"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    lock.write_text(text)
    ended = subprocess.run([sys.executable, "-m", "tools.mend_lock"], cwd=folder, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return lock.read_text(), ended.stdout


@pytest.mark.parametrize("length", [0, len("schema: '2.0'\nsta"), TEXT.index("md5:") + 2, TEXT.index("outs:") + 5])
def test_a_cut_lock_is_restored_from_git(tmp_path: Path, length: int) -> None:
    text, said = mended(tmp_path, TEXT[:length])
    assert text == TEXT and said.startswith("dvc.lock was cut short") and said.count("\n") == 1


@pytest.mark.parametrize("text", [TEXT, "schema: '2.0'\nstages: {}\n", f"<<<<<<< HEAD\n{TEXT}=======\n>>>>>>> other\n"])
def test_a_whole_or_conflicted_lock_is_left_alone(tmp_path: Path, text: str) -> None:
    assert mended(tmp_path, text) == (text, "")


def test_an_empty_rwlock_is_removed(tmp_path: Path) -> None:
    """DVC refuses to do anything beside an empty one, which is how a kill leaves it."""
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    rwlock = tmp_path / ".dvc" / "tmp" / "rwlock"
    rwlock.write_text("")
    assert mended(tmp_path, TEXT) == (TEXT, ".dvc/tmp/rwlock was cut short; removed, DVC writes a new one\n")
    assert not rwlock.exists()


def test_a_whole_rwlock_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    rwlock = tmp_path / ".dvc" / "tmp" / "rwlock"
    rwlock.write_text('{"write": {}, "read": {}}')
    assert mended(tmp_path, TEXT) == (TEXT, "")
    assert rwlock.read_text() == '{"write": {}, "read": {}}'
