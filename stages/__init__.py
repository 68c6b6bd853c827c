"""The verbs of the experiment, one script per DVC stage."""

import os
import signal
import sys

from stages.lib.run import same_bytes

# Idle threads of torch's pool wait instead of spinning: on a machine that has other work to do, spinning makes two
# threads ten times slower than one. Read when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _stop(number: int, _: object) -> None:
    """Exit with a message if interrupted during imports; afterwards run/stage.py handles signals."""
    os.write(2, b"error: stopped before it began; the same command starts it\n")
    os._exit(128 + number)


if sys.argv[0] == "-m":  # python -m stages.x, and not an import by another program, whose settings are its own
    same_bytes.begin()
    for _number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(_number) != signal.SIG_IGN:
            signal.signal(_number, _stop)
