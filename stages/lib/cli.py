"""How every stage ends: well, or with one clear line and a non-zero exit status.

if __name__ == "__main__":
    run(main)
"""

import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from stages.lib.params import ParamsError
from stages.lib.records import RecordError


class StageError(RuntimeError):
    """A stage cannot go on for a reason its user can mend; the message says which and how."""


def run(main: Callable[[], None]) -> None:
    """Call `main`; errors of a known kind, Ctrl-C and SIGTERM become one line on stderr and a non-zero exit status.

    Anything else is a fault of ours and keeps its traceback.
    """
    signal.signal(signal.SIGTERM, _terminate)
    try:
        main()
    except KeyboardInterrupt:
        _stop("interrupted; the same command goes on from what is in .scratch/", 128 + signal.SIGINT)
    except Exception as error:
        if not isinstance(error, _known()):
            raise
        _stop(" ".join(str(error).split()), 1)


def _known() -> tuple[type[Exception], ...]:
    policy = sys.modules.get("stages.lib.policy")  # not imported for its own sake: it takes torch along
    return (ParamsError, RecordError, StageError, *((policy.PolicyError,) if policy else ()))


def _terminate(*_: object) -> NoReturn:
    _stop("terminated; the same command goes on from what is in .scratch/", 128 + signal.SIGTERM)


def _stop(line: str, status: int) -> NoReturn:
    print(f"error: {line}", file=sys.stderr)
    raise SystemExit(status)
