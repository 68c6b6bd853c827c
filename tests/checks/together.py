"""Two runs at once, in each way of the table "Runs in parallel" in docs/restarts.md: do they end in the right bytes?

    python tests/checks/together.py                # all, two minutes and a half on two cores
    python tests/checks/together.py twice queue    # some of: twice, worktrees, temp, queue

In a temporary clone and at a miniature of the params, `sample` is run once undisturbed with each of two seeds. Then two
runs start together, each time from nothing and with an empty cache, and what each of them delivers must have the bytes
of the undisturbed run with its seed; a run that must be refused has to say why.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ruamel.yaml import YAML

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.checks.reliability.disk import names
from tests.checks.reliability.processes import left, start
from tests.checks.reliability.project import clone, fresh

OUT = "data/samples.jsonl"
SEEDS = (0, 1)
PATIENCE = 300  # seconds until a run counts as hanging
Expected = dict[int, str]  # by seed: the MD5 of the samples, as DVC has it


class Fault(Exception):
    """Two runs at once did not do what docs/restarts.md says."""


def check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Fault(otherwise)


def begin(command: str, root: Path) -> tuple[subprocess.Popen, Path]:
    """A command at work in a checkout, and the file that holds what it says."""
    said = root.parent / f"said-{time.monotonic_ns()}.txt"
    return start(command, root, "dvc" if command.startswith("dvc") else "sample", said), said


def end(begun: tuple[subprocess.Popen, Path]) -> tuple[int, str]:
    process, said = begun
    status = process.wait(PATIENCE)
    return status, said.read_text(errors="replace")


def run(command: str, root: Path) -> str:
    status, said = end(begin(command, root))
    check(status == 0, f"{command}: status {status}: {said[-800:]}")
    return said


def both(first: tuple[str, Path], second: tuple[str, Path]) -> list[tuple[int, str]]:
    """How two commands end, and what they say, that are started together; nobody else is told of the other."""
    begun = [begin(*first), begin(*second)]
    return [end(one) for one in begun]


def samples(root: Path) -> str:
    return hashlib.md5((root / OUT).read_bytes()).hexdigest()


def set_seed(root: Path, seed: int) -> None:
    params = root / "params.yaml"
    values = YAML().load(params)
    values["sample"]["seed"] = seed
    YAML().dump(values, params)


def undisturbed(root: Path) -> Expected:
    """The samples of each seed, without DVC."""
    found = {}
    run("python -m stages.prepare", root)
    for seed in reversed(SEEDS):  # the clone is left at the first one
        set_seed(root, seed)
        run("python -m stages.sample", root)
        found[seed] = samples(root)
    check(len(set(found.values())) == len(SEEDS), "the seeds give the same samples: nothing could be told apart")
    return found


# ------------------------------------------------------------------------------------------------ the ways


def twice(root: Path, expected: Expected) -> None:
    """The same stage in one checkout: DVC refuses the second; by hand the second waits, and takes over the result."""
    ends = both(("dvc repro sample", root), ("dvc repro sample", root))
    check(sorted(bool(status) for status, _ in ends) == [False, True], f"not one refused but: {ends}")
    [refused] = [said for status, said in ends if status]
    why = "is busy" in refused or "Unable to acquire lock" in refused  # of a file, or of DVC's own while it looks about
    check(why and "Traceback" not in refused, f"refused without saying why: {refused[-500:]}")
    check(samples(root) == expected[0], "dvc repro twice: other bytes")

    fresh(root)
    run("python -m stages.prepare", root)
    ends = both(("python -m stages.sample", root), ("python -m stages.sample", root))
    check([status for status, _ in ends] == [0, 0], f"by hand: {ends}")
    waited = [said for _, said in ends if "another run of it" in said]
    check(len(waited) == 1 and "wave 1" in waited[0], f"by hand: not one waited but: {ends}")
    check("response/s" not in waited[0].split("wave 1")[0], "the second drew samples before it waited")
    check(samples(root) == expected[0], "by hand twice: other bytes")
    left_over = [name for name in names(root) if name.endswith(".tmp")]
    check(not left_over, f"left in .scratch/: {left_over}")


def worktrees(root: Path, expected: Expected) -> None:
    """Two worktrees that share one cache; what is in it is not made again in the first checkout."""
    folders = [root.parent / f"worktree-{seed}" for seed in SEEDS]
    for seed, folder in zip(SEEDS, folders, strict=True):
        subprocess.run(["git", "worktree", "add", "-q", "--detach", str(folder)], cwd=root, check=True)
        run(f"dvc cache dir --local {root / '.dvc/cache'}", folder)
        set_seed(folder, seed)
    ends = both(*(("dvc repro sample", folder) for folder in folders))
    check([status for status, _ in ends] == [0, 0], f"worktrees: {ends}")
    for seed, folder in zip(SEEDS, folders, strict=True):
        check(samples(folder) == expected[seed], f"worktree of seed {seed}: other bytes")
    said = run("dvc repro sample", root)
    check("Running stage" not in said and samples(root) == expected[0], f"not taken from the shared cache: {said}")


def temp(root: Path, expected: Expected) -> None:
    """`dvc exp run --temp` beside `dvc repro` in the checkout."""
    wait = "dvc --wait-for-lock"  # begun in one second they would meet DVC's lock of the checkout
    ends = both((f"{wait} exp run --temp -S sample.seed=1 sample", root), (f"{wait} repro sample", root))
    check([status for status, _ in ends] == [0, 0], f"--temp: {ends}")
    check(samples(root) == expected[0], "--temp: other bytes in the checkout")
    check(experiments(root) == {1: expected[1]}, f"--temp: recorded {experiments(root)}, expected {expected}")


def queue(root: Path, expected: Expected) -> None:
    """`dvc queue start -j 2`, started again, as docs/restarts.md says, where no worker takes what is queued."""
    run("dvc exp run --queue -S sample.seed=0,1 sample", root)
    until, at_once, starts = time.monotonic() + PATIENCE, 0, 0
    while len(done := experiments(root)) < len(SEEDS):
        check(time.monotonic() < until, f"the queue hangs: {run('dvc queue status', root)}")
        status = run("dvc queue status", root)
        check("Failed" not in status, f"queue: {status}")
        if "Queued" in status and "Worker status: 0 active" in status:
            run("dvc queue start -j 2", root)
            starts += 1
        for _ in range(10):
            at_once = max(at_once, sum("stages.sample" in process.cmdline() for process in left(root)))
            time.sleep(0.3)
    check(done == expected, f"queue: recorded {done}, expected {expected}")
    print(f"queue: starts {starts}, samplings at once {at_once}", flush=True)


def experiments(root: Path) -> Expected:
    """Per finished experiment: its seed, and the samples that its dvc.lock records."""
    listed, found = git(root, "for-each-ref", "--format=%(refname)", "refs/exps").split(), {}
    for name in filter(re.compile(r"refs/exps/[0-9a-f]{2}/").match, listed):  # others are DVC's while it works
        seed = YAML(typ="safe").load(git(root, "show", f"{name}:params.yaml"))["sample"]["seed"]
        outs = YAML(typ="safe").load(git(root, "show", f"{name}:dvc.lock"))["stages"]["sample"]["outs"]
        found[seed] = next(out["md5"] for out in outs if out["path"] == OUT)
    return found


def git(root: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=root, check=True, capture_output=True, text=True).stdout


# ------------------------------------------------------------------------------------------------ the whole

WAYS: tuple[Callable[[Path, Expected], None], ...] = (twice, worktrees, temp, queue)


def committed(folder: Path) -> Path:
    """A clone whose params are committed, as experiments and worktrees start from."""
    root = clone(folder)
    who = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    git(root, "add", "--all")
    git(root, *who, "commit", "--quiet", "--message", "miniature")
    for key, value in (("user.name", "test"), ("user.email", "test@example.org")):
        git(root, "config", key, value)
    return root


def main() -> None:
    wanted = sys.argv[1:]
    known = [way.__name__ for way in WAYS]
    if set(wanted) - set(known):
        sys.exit(f"error: python tests/checks/together.py {' '.join(known)}, or some of these")
    os.environ.pop("DVC_ROOT", None)
    faults = []
    with tempfile.TemporaryDirectory(prefix="together-", ignore_cleanup_errors=True) as folder:
        try:
            root = committed(Path(folder))
            expected = undisturbed(root)
            for way in (way for way in WAYS if not wanted or way.__name__ in wanted):
                fresh(root)
                run("dvc exp remove --all-commits", root)
                began = time.monotonic()
                try:
                    way(root, expected)
                    print(f"{way.__name__}: holds, {time.monotonic() - began:.0f} s", flush=True)
                except Fault as fault:
                    faults.append(f"{way.__name__}: {fault}")
        finally:
            for process in left(Path(folder).resolve()):
                process.kill()
    if faults:
        sys.exit("\n".join(["error: two runs at once", *faults]))


if __name__ == "__main__":
    main()
