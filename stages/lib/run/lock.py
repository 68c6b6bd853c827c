"""A stage runs once at a time.

with single_instance("train-rewritten-dft-0"): ...     # waits until no other process of this checkout is in it

A stage started twice in one checkout has two writers on the same files. So the second waits for the first: the user
started it twice, or `dvc` alone was killed and the stage it had started lives on. The lock is the kernel's, and ends
with the process that holds it, however that ends.
"""

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from stages.lib.run.params import root


def rank() -> int:
    """The number of this process among those of one distributed run; 0 without a launcher."""
    return int(os.environ.get("RANK", 0))


@contextmanager
def single_instance(name: str) -> Iterator[None]:
    """Wait until no other process of this checkout is at the stage `name`.

    The processes of one distributed training run are one stage: the first of them holds the lock, the others wait until
    it does. They know each other by their parent, the launcher; those of other nodes do not wait.
    """
    path = root() / ".scratch" / f"{name.replace(os.sep, '-')}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    if rank() > 0 and int(os.environ.get("WORLD_SIZE", 1)) > 1:
        here = int(os.environ.get("GROUP_RANK", 0)) == 0
        while here and not (path.exists() and path.read_text(encoding="utf-8").endswith(f" {os.getppid()}")):
            time.sleep(0.1)
        yield
        return
    with path.open("a+", encoding="utf-8") as file:
        _lock(file, name)
        file.truncate(0)
        file.write(f"{os.getpid()} {os.getppid()}")
        file.flush()
        yield


def _lock(file: IO[str], name: str) -> None:
    """POSIX locks, not flock's: worker processes forked from this one do not hold them."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        file.seek(0)
        print(
            f"{name}: another run of it (pid {file.read().partition(' ')[0]}) is at work here; waiting for its end",
            file=sys.stderr,
        )
        fcntl.lockf(file, fcntl.LOCK_EX)
    except OSError as error:  # some cluster file systems have no locks
        print(f"{name}: no lock on .scratch/ ({error.strerror}): do not start it twice", file=sys.stderr)
