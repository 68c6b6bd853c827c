"""How every stage ends: well, or with one clear line and a non-zero exit status.

if __name__ == "__main__":
    run(main)
"""

import errno
import os
import re
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from stages.lib.errors import StageError
from stages.lib.params import root

GO_ON = "then the same command goes on"
REMEDIES = {
    errno.ENOSPC: f"free some space, {GO_ON}",
    errno.EDQUOT: f"free some of your quota, {GO_ON}",
    errno.EFBIG: f"raise the limit of file sizes (ulimit -f), {GO_ON}",
    errno.EROFS: f"mount it for writing, {GO_ON}",
    errno.EACCES: f"change its permissions, {GO_ON}",
    errno.EPERM: f"change its permissions, {GO_ON}",
    errno.EIO: f"check the disk, {GO_ON}",
    errno.EISDIR: f"a file belongs there: move the folder away, {GO_ON}",
    errno.ENOTDIR: f"a folder belongs there: move the file away, {GO_ON}",
    errno.EMFILE: f"raise the limit of open files (ulimit -n), {GO_ON}",
}
FULL = re.compile(r"No space left on device|os error 28")  # as safetensors and torch have it, without an errno


def run(main: Callable[[], None]) -> None:
    """Call `main`; errors of a known kind, those of disks and permissions among them, Ctrl-C and SIGTERM become one
    line on stderr and a non-zero exit status.

    Anything else is a fault of ours and keeps its traceback.
    """
    signal.signal(signal.SIGTERM, _terminate)
    try:
        main()
    except KeyboardInterrupt:
        _stop("interrupted; the same command goes on from what is in .scratch/", 128 + signal.SIGINT)
    except StageError as error:
        _stop(" ".join(str(error).split()), 1)
    except Exception as error:
        number = errno.ENOSPC if FULL.search(str(error)) else getattr(error, "errno", None)
        if number not in REMEDIES:
            raise
        place = getattr(error, "filename", None) or root().resolve()
        _stop(f"{place}: {os.strerror(number)}; {REMEDIES[number]}", 1)


def _terminate(*_: object) -> NoReturn:
    _stop("terminated; the same command goes on from what is in .scratch/", 128 + signal.SIGTERM)


def _stop(line: str, status: int) -> NoReturn:
    print(f"error: {line}", file=sys.stderr)
    raise SystemExit(status)
