"""How every stage runs: once at a time, and to its end, or to one clear line and a non-zero exit status.

if __name__ == "__main__":
    run(main)

A stage started twice in one checkout has two writers on the same files. So the second waits for the first: the user
started it twice, or `dvc` alone was killed and the stage it had started lives on. The lock is the kernel's, and ends
with the process that holds it, however that ends.
"""

import errno
import fcntl
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NoReturn

from stages.lib.run.errors import StageError
from stages.lib.run.params import root

GO_ON = "the same command goes on from what is in .scratch/"
THEN = "then the same command goes on"
REMEDIES = {
    errno.ENOSPC: f"free some space, {THEN}",
    errno.EDQUOT: f"free some of your quota, {THEN}",
    errno.EFBIG: f"raise the limit of file sizes (ulimit -f), {THEN}",
    errno.EROFS: f"mount it for writing, {THEN}",
    errno.EACCES: f"change its permissions, {THEN}",
    errno.EPERM: f"change its permissions, {THEN}",
    errno.ENOMEM: f"free some memory, {THEN}",
    errno.ENOTEMPTY: f"change its permissions or empty it, {THEN}",
    errno.EIO: f"check the disk, {THEN}",
    errno.EISDIR: f"a file belongs there: move the folder away, {THEN}",
    errno.ENOTDIR: f"a folder belongs there: move the file away, {THEN}",
    errno.EMFILE: f"raise the limit of open files (ulimit -n), {THEN}",
}
SECRET = re.compile(  # a hub's token, the user of an address, and what signs one
    r"\bhf_\w{8,}|(?<=://)[^/\s@]+(?=@)|(?<=[?&])(?:[\w-]*(?:token|signature|credential|key)[\w-]*)=[^&\s'\"]+", re.I
)
SECRET_NAME = re.compile(r"(TOKEN|SECRET|PASSWORD|CREDENTIALS?|API_KEY|ACCESS_KEY(_ID)?)$")  # of the environment
FULL = re.compile(  # as safetensors and torch have it, without an errno; torch's zip writer says nothing else
    r"No space left on device|Disk quota exceeded|os error (28|122)\b|inline_container\.cc|PytorchStreamWriter"
)


def run(main: Callable[[], None]) -> None:
    """Call `main`; errors of a known kind, those of disks and permissions among them, Ctrl-C and SIGTERM become one
    line on stderr and a non-zero exit status.

    Anything else is a fault of ours and keeps its traceback. In neither stands a secret.
    """
    sys.excepthook = lambda *error: print(hidden("".join(traceback.format_exception(*error))), end="", file=sys.stderr)
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # a shell's background jobs ignore it, nohup too
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with alone("-".join([Path(sys.argv[0]).stem, *sys.argv[1:]])):
            main()
    except KeyboardInterrupt:
        _stop(f"interrupted; {GO_ON}", 128 + signal.SIGINT)
    except StageError as error:
        _stop(" ".join(str(error).split()), 1)
    except Exception as error:
        number = errno.ENOSPC if FULL.search(str(error)) else getattr(error, "errno", None)
        if number not in REMEDIES:
            raise
        place = getattr(error, "filename", None) or root().resolve()
        _stop(f"{place}: {os.strerror(number)}; {REMEDIES[number]}", 1)


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Wait until no other process of this checkout is at the stage `name`.

    The processes of one distributed training run are one stage: the first of them holds the lock, the others wait until
    it does. They know each other by their parent, the launcher; those of other nodes do not wait.
    """
    path = root() / ".scratch" / f"{name.replace(os.sep, '-')}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    if int(os.environ.get("RANK", 0)) > 0 and int(os.environ.get("WORLD_SIZE", 1)) > 1:
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


def _terminate(*_: object) -> NoReturn:
    _stop(f"terminated; {GO_ON}", 128 + signal.SIGTERM)


def _stop(line: str, status: int) -> NoReturn:
    print(f"error: {hidden(line)}", file=sys.stderr)
    raise SystemExit(status)


def hidden(text: str) -> str:
    """A message, some library's perhaps, without the environment's secrets and those that stand in addresses."""
    for name, value in os.environ.items():
        if SECRET_NAME.search(name.upper()) and len(value) >= 8:
            text = text.replace(value, "***")
    return SECRET.sub("***", text)
