"""How every stage ends: well, or with one clear line and a non-zero exit status.

if __name__ == "__main__":
    run(main)
"""

import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from stages.lib.errors import StageError


def run(main: Callable[[], None]) -> None:
    """Call `main`; errors of a known kind, Ctrl-C and SIGTERM become one line on stderr and a non-zero exit status.

    Anything else is a fault of ours and keeps its traceback.
    """
    signal.signal(signal.SIGTERM, _terminate)
    try:
        main()
    except KeyboardInterrupt:
        _stop("interrupted; the same command goes on from what is in .scratch/", 128 + signal.SIGINT)
    except StageError as error:
        _stop(" ".join(str(error).split()), 1)


def _terminate(*_: object) -> NoReturn:
    _stop("terminated; the same command goes on from what is in .scratch/", 128 + signal.SIGTERM)


def _stop(line: str, status: int) -> NoReturn:
    print(f"error: {line}", file=sys.stderr)
    raise SystemExit(status)
