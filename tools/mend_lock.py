"""Repair files that a kill of DVC can leave cut short, because DVC does not write them atomically.

`make repro` runs this first. dvc.lock is restored from git; DVC finds stages recorded since then in its run-cache. A
dvc.lock with merge conflict markers is left to the user. A damaged .dvc/tmp/rwlock (DVC's record of running commands)
is removed: its writer is dead.
"""

import json
import subprocess
from pathlib import Path

from dvc.lock import make_lock
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from ruamel.yaml import YAML

LOCK = Path(__file__).parent.parent / "dvc.lock"
TEMPORARY = Path(__file__).parent.parent / ".dvc" / "tmp"


def whole(text: str) -> bool:
    try:
        COMPILED_LOCKFILE_SCHEMA(YAML(typ="safe").load(text))
        return True
    except Exception:  # YAML and the schema raise their own exception types; DVC refuses the file in every case
        return False


def mend_lock() -> None:
    if LOCK.exists() and not whole(text := LOCK.read_text(errors="replace")) and "<<<<<<<" not in text:
        subprocess.run(["git", "checkout", "--quiet", "--", LOCK.name], cwd=LOCK.parent, check=True)
        print("dvc.lock was cut short; taken back from git, and the run-cache has what it had recorded since")


def mend_rwlock() -> None:
    if not (path := TEMPORARY / "rwlock").exists():
        return
    with make_lock(str(TEMPORARY / "rwlock.lock"), tmp_dir=str(TEMPORARY)):  # as DVC does while it writes
        try:
            json.loads(path.read_bytes())
        except ValueError:
            path.unlink()
            print(".dvc/tmp/rwlock was cut short; removed, DVC writes a new one")


if __name__ == "__main__":
    mend_lock()
    mend_rwlock()
