"""Kill every stage again and again, start it again, and compare with a run that nobody touched.

    python tests/checks/kills.py --kills 1 --stages sample,train --repro 1           # the short version, of .ci/run
    python tests/checks/kills.py --kills 20 --json kills.json                     # the long one: every stage, dvc repro
    python tests/checks/kills.py --kills 0 --repro 20                                # dvc repro alone
    python tests/checks/kills.py --from kills.json --report reports/reliability.md   # the report alone

The short version takes two minutes of processor time: five by the clock on two busy cores (load 5 to 7), a third of
these for dvc repro.

In a temporary clone and at a miniature of the params, the pipeline is run once undisturbed. Then each stage starts from
nothing and is stopped at random moments of its life, from the first import to the delivery of its outs: by SIGKILL to
its process group, by SIGTERM to its process, by Ctrl-C (SIGINT to the group); half of the times its outs are deleted
before it starts again, as DVC does. When it gets to its end, these must hold, or it is a fault:

- every file under data/, models/cells/ and reports/ has the bytes of the undisturbed run, and there are no others;
- .scratch/ holds the same names as after an undisturbed run;
- journal lines, parts and restart points that were on disk at a stop were neither lost nor made again: the files are
  watched while the stage works, and a journal that it shortens or replaces counts even if the same lines come back
  (one that it shortens in place and has filled again between two looks, 20 ms apart, goes unseen);
- after SIGTERM or Ctrl-C: one line, no traceback, status 143 or 130, no process left.

`dvc repro` is stopped likewise, also alone, so that the stage it had started lives on. It must end in the same files
and the same records in dvc.lock without manual repair. DVC does not write dvc.lock and .dvc/tmp/rwlock atomically: a
stop that cuts one short is counted, and repaired as docs/restarts.md says. One cell represents the stages of a matrix.
"""

import argparse
import json
import math
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.checks.reliability import report
from tests.checks.reliability.disk import tree
from tests.checks.reliability.processes import INT, KILL, TERM, left, run
from tests.checks.reliability.project import HERE, Task, clone, fresh, tasks
from tests.checks.reliability.repro_trials import recorded, repro_trial
from tests.checks.reliability.stage_trials import Tally, stage_trial


def chosen(all_tasks: list[Task], wanted: str) -> list[Task]:
    """One task per stage of dvc.yaml: of a matrix the last cell (the rewritten data)."""
    by_stage = {task.name.split("@")[0]: task for task in all_tasks}
    unknown = set(filter(None, wanted.split(","))) - by_stage.keys()
    if unknown:
        raise SystemExit(f"no such stage: {', '.join(sorted(unknown))}; there are {', '.join(by_stage)}")
    return [task for name, task in by_stage.items() if not wanted or name in wanted.split(",")]


def trials(options: argparse.Namespace, root: Path) -> list[Tally]:
    fresh(root)
    picked = chosen(tasks(root), options.stages)
    targets = "" if not options.stages else " ".join(task.name for task in picked)
    ended = run(f"dvc repro {targets}", root, "dvc", None, 0)
    if ended.status:
        raise SystemExit(f"the undisturbed run failed:\n{ended.errors[-3000:]}")
    whole, lock = tree(root), recorded(root, [task.name for task in (picked if options.stages else tasks(root))])
    print(f"undisturbed: {ended.seconds:.0f} s, {len(whole)} files", flush=True)
    found = []
    for task in picked if options.kills else []:
        rng = random.Random(f"{options.seed}:{task.name}")
        stops = [KILL] * options.kills + [TERM, INT] * math.ceil(options.kills / 5)
        found.append(stage_trial(task, root, rng.sample(stops, len(stops)), rng))
        print(report.line(asdict(found[-1])), flush=True)
    if not options.stages or options.repro:
        kills = options.repro or options.kills
        found.append(
            repro_trial(root, whole, lock, targets, kills, ended.seconds, random.Random(f"{options.seed}:dvc"))
        )
        print(report.line(asdict(found[-1])), flush=True)
    return found


def measured(options: argparse.Namespace) -> dict:
    """Run the trials in a temporary clone; the figures, as they go into the report."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, check=True, text=True, capture_output=True
    )
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        began = time.monotonic()
        found = trials(options, clone(Path(folder)))
        for process in left(Path(folder).resolve()):
            process.kill()
    words = "python tests/checks/kills.py " + " ".join(
        f"--{key} {value}"
        for key in ("kills", "stages", "repro", "seed")
        if (value := getattr(options, key)) or key == "kills"
    )
    minutes = round((time.monotonic() - began) / 60, 1)
    return {"commit": commit.stdout.strip(), "command": words, "minutes": minutes, "rows": list(map(asdict, found))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--kills", type=int, default=20, help="SIGKILLs per stage; a fifth as many of SIGTERM and Ctrl-C"
    )
    parser.add_argument("--repro", type=int, default=0, help="stops of dvc repro; as many as --kills without --stages")
    parser.add_argument(
        "--stages", default="", help="names separated by commas; all of dvc.yaml and dvc repro by default"
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument(
        "--from", type=Path, dest="earlier", help="take the figures of an earlier run instead of running"
    )
    parser.add_argument("--fuzz", type=Path, help="the figures of tests/checks/fuzz.py, for the report")
    parser.add_argument("--report", type=Path, help="write the report here")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    figures = json.loads(options.earlier.read_text()) if options.earlier else measured(options)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    if options.report:
        fuzz = json.loads(options.fuzz.read_text()) if options.fuzz else {}
        options.report.write_text(report.report(figures, fuzz))
    faults = [fault for row in figures["rows"] for fault in row["faults"]]
    if faults or any(row["redone"] for row in figures["rows"]):
        sys.exit("\n".join(["error: not reliable", *faults]))


if __name__ == "__main__":
    main()
