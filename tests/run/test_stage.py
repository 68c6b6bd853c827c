import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.lib.run.errors import StageError
from stages.lib.run.exits import one_line_errors, redact
from stages.lib.run.params import ParamsError
from stages.lib.run.stage import Stage, run_as


@pytest.fixture(autouse=True)
def _root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks lie in the root's .scratch/."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


def fail(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("error", [StageError("no rows\nleft"), ParamsError("no rows left")])
def test_known_errors_end_as_one_line(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        one_line_errors(lambda: fail(error))
    assert stop.value.code == 1
    assert capsys.readouterr().err == "error: no rows left\n"


def test_an_unknown_error_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        one_line_errors(lambda: fail(ZeroDivisionError()))


SECRETS = [
    "hf_abcdefghijklmnop",
    "https://user:p4ssw0rd@host/x",
    "https://host/file?X-Amz-Signature=0123abcd&x=1",
    "https://host/x?n=1&token=0123abcd",
    "AWS says 'wJalrXUtnFEMI/K7MDENG' is no key",
]


@pytest.mark.parametrize("text", SECRETS)
@pytest.mark.parametrize("kind", ["StageError", "ZeroDivisionError"])
def test_no_secret_is_in_an_error(text: str, kind: str) -> None:
    """Neither in the one line nor in a traceback."""
    script = (
        "import sys; from stages.lib.run.exits import one_line_errors; from stages.lib.run.errors import StageError\n"
    )
    script += f"def main(): raise {kind}(sys.argv[1] + ' for some/model')\none_line_errors(main)"
    environment = {**os.environ, "PYTHONPATH": ".", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG"}
    ended = subprocess.run([sys.executable, "-c", script, text], env=environment, capture_output=True, text=True)
    assert ended.returncode == 1 and "for some/model" in ended.stderr and "***" in ended.stderr
    assert not any(word in ended.stderr for word in ("abcdefg", "p4ss", "0123abcd", "wJalr"))


def test_ordinary_words_are_not_hidden() -> None:
    text = "train.max_length 5: no tokens fit; https://host/datasets/key?split=test, token 17 of hf_hub"
    assert redact(text) == text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_as_one_line(number: int) -> None:
    script = "import os, time\nfrom stages.lib.run.exits import one_line_errors\n"
    script += "one_line_errors(lambda: (os.kill(os.getpid(), %d), time.sleep(9)))"
    environment = {**os.environ, "PYTHONPATH": "."}

    def heed() -> None:  # a shell's background jobs ignore Ctrl-C, and pass that on
        signal.signal(number, signal.SIG_DFL)

    command = [sys.executable, "-c", script % number]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, preexec_fn=heed)
    assert ended.returncode == 128 + number
    assert len(ended.stderr.splitlines()) == 1 and "Traceback" not in ended.stderr


SLEEPER = """
import time
from stages.lib.run.lock import single_instance
with single_instance("same"):
    print("begun", flush=True)
    time.sleep(%s)
"""


def start(seconds: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": "."}
    command = [sys.executable, "-c", SLEEPER % seconds]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_second_run_of_a_stage_waits_for_the_first_however_it_ends() -> None:
    first = start("60")
    assert first.stdout.readline() == "begun\n"
    second = start("0")
    assert f"another run of it (pid {first.pid})" in second.stderr.readline()
    time.sleep(0.3)
    assert second.poll() is None
    first.kill()
    assert second.wait(30) == 0 and second.stdout.read() == "begun\n"
    first.communicate()


def test_the_lock_is_named_after_the_stage_not_the_program_that_imports_it(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pytest with ten paths on its command line once made a name too long for a file."""
    monkeypatch.setattr(
        sys, "argv", ["/somewhere/pytest/__main__.py", *(f"tests/room/test_{n:030}.py" for n in range(10))]
    )
    ran = []
    run_as("evaluate", ["base", "0.6"], noting(ran))
    assert ran == ["evaluate-base-0.6"]
    assert [path.name for path in (checkout / ".scratch").iterdir()] == ["evaluate-base-0.6.lock"]


def test_a_mistaken_command_line_makes_no_lock(checkout: Path) -> None:
    with pytest.raises(SystemExit):
        run_as("evaluate", ["x" * 300], noting([]))
    assert not (checkout / ".scratch").exists()


def noting(ran: list[str]) -> Callable[[Stage], None]:
    return lambda stage: ran.append(stage.name)


def test_a_stage_stopped_while_it_imports_says_so_in_one_line() -> None:
    """Its handlers are in place before the first heavy import."""
    command = [sys.executable, "-X", "importtime", "-m", "stages.train"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while "torch" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert [line for line in errors.splitlines() if not line.startswith("import time:")] == [
        "error: stopped before it began; the same command starts it"
    ]
