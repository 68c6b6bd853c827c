import os
import signal
import subprocess
import sys

import pytest

from stages.lib.cli import run
from stages.lib.errors import StageError
from stages.lib.params import ParamsError


def fail(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("error", [StageError("no rows\nleft"), ParamsError("no rows left")])
def test_known_errors_end_as_one_line(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run(lambda: fail(error))
    assert stop.value.code == 1
    assert capsys.readouterr().err == "error: no rows left\n"


def test_an_unknown_error_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        run(lambda: fail(ZeroDivisionError()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_as_one_line(number: int) -> None:
    script = "import os, time; from stages.lib.cli import run; run(lambda: (os.kill(os.getpid(), %d), time.sleep(9)))"
    environment = {**os.environ, "PYTHONPATH": "."}

    def heed() -> None:  # a shell's background jobs ignore Ctrl-C, and pass that on
        signal.signal(number, signal.SIG_DFL)

    command = [sys.executable, "-c", script % number]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, preexec_fn=heed)
    assert ended.returncode == 128 + number
    assert len(ended.stderr.splitlines()) == 1 and "Traceback" not in ended.stderr
