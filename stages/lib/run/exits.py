"""How a stage ends: with its result, or with one clear line on stderr and a non-zero exit status.

one_line_errors(work)     # calls work(); known errors, Ctrl-C and SIGTERM end in one line
redact(text)              # a message without the secrets that stand in it
"""

import errno
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

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


def one_line_errors(work: Callable[[], None]) -> None:
    """Call `work`; errors of a known kind, those of disks and permissions among them, Ctrl-C and SIGTERM become one
    line on stderr and a non-zero exit status.

    Anything else is a fault of ours and keeps its traceback. In neither stands a secret.
    """
    sys.excepthook = lambda *error: print(redact("".join(traceback.format_exception(*error))), end="", file=sys.stderr)
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # a shell's background jobs ignore it, nohup too
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        work()
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


def _terminate(*_: object) -> NoReturn:
    _stop(f"terminated; {GO_ON}", 128 + signal.SIGTERM)


def _stop(line: str, status: int) -> NoReturn:
    print(f"error: {redact(line)}", file=sys.stderr)
    raise SystemExit(status)


def redact(text: str) -> str:
    """A message, some library's perhaps, without the environment's secrets and those that stand in addresses."""
    for name, value in os.environ.items():
        if SECRET_NAME.search(name.upper()) and len(value) >= 8:
            text = text.replace(value, "***")
    return SECRET.sub("***", text)
