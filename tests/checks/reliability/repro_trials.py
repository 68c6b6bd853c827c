"""Stop `dvc repro` on its way, and compare files and dvc.lock when it gets to its end."""

import os
import random
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.checks.reliability.disk import finished, tree
from tests.checks.reliability.processes import INT, KILL, TERM, Ended, gone, run
from tests.checks.reliability.project import fresh
from tests.checks.reliability.stage_trials import Tally, differences

ALONE = "dvc alone"


def repro_trial(
    root: Path, whole: dict[str, str], lock: dict, targets: str, kills: int, life: float, rng: random.Random
) -> Tally:
    """Stop `dvc repro` on its way, by each kind of stop in turn, and start it again at once, with no word to DVC."""
    fresh(root)
    kinds = [ALONE, "SIGKILL", "SIGINT", "SIGTERM"]
    tally, command = Tally("dvc repro", round(life, 1), redone=None), f"dvc repro {targets}"
    waiting = [kinds[place % len(kinds)] for place in range(kills)]
    while waiting:
        kind = waiting.pop(0)
        ended = run(command, root, "dvc", lambda process, kind=kind: strike(process, kind), 2 + 14 * rng.random())
        if ended.status == 0:
            waiting.insert(0, kind)
            tally.ends += 1
            tally.faults += ended_in(root, whole, lock)
            fresh(root)
            continue
        if not ended.stopped:
            waiting.insert(0, kind)
            mend(tally, ended, root)
            continue
        tally.stops[kind] = tally.stops.get(kind, 0) + 1
        tally.amid += bool(finished(root))
        if kind == "SIGINT":
            tally.faults += [f"dvc repro: process left after Ctrl-C: {line}" for line in gone(root)]
        if "Traceback" in ended.errors:
            tally.faults.append(f"dvc repro: traceback after {kind}: {ended.errors[-300:]}")
    ended = run(command, root, "dvc", None, 0)
    if ended.status:
        mend(tally, ended, root)
        ended = run(command, root, "dvc", None, 0)
    tally.ends += 1
    tally.faults += [f"dvc repro failed: {ended.errors[-500:]}"] if ended.status else ended_in(root, whole, lock)
    return tally


def mend(tally: Tally, ended: Ended, root: Path) -> None:
    """Repair a file of DVC's that a stop cut short, as docs/restarts.md says; anything else is a fault."""
    if re.search(r"dvc\.lock.*(validation failed|corrupted|invalid)", ended.errors):
        subprocess.run(["git", "checkout", "--quiet", "dvc.lock"], cwd=root, check=True)
    elif "Unable to read RWLock-file" in ended.errors:
        (root / ".dvc" / "tmp" / "rwlock").unlink()
    else:
        raise SystemExit(f"dvc repro failed: {ended.errors[-1000:]}")
    tally.mended += 1


def strike(process: subprocess.Popen, kind: str) -> None:
    """Stop dvc: alone by SIGKILL or SIGTERM, so that its stage lives on; or the group by SIGKILL or Ctrl-C."""
    if kind in (ALONE, "SIGTERM"):
        os.kill(process.pid, KILL if kind == ALONE else TERM)
    else:
        os.killpg(process.pid, KILL if kind == "SIGKILL" else INT)


def ended_in(root: Path, whole: dict[str, str], lock: dict) -> list[str]:
    wrong = [f"dvc repro: {line}" for line in differences(whole, tree(root))]
    now = recorded(root, lock)
    return wrong + [f"dvc repro: dvc.lock: {name}: {what}" for name in lock for what in other(lock[name], now[name])]


def other(was: Any, now: Any, where: str = "") -> Iterator[str]:
    """Where two records of a stage differ: by cmd, dep, out or param, with what was expected and what is there."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key in [*was, *(now.keys() - was.keys())]:
            yield from other(was.get(key), now.get(key), f"{where} {key}")
    elif isinstance(was, list) and isinstance(now, list) and all(isinstance(item, dict) for item in was + now):
        yield from other(*({item["path"]: item for item in part} for part in (was, now)), where)
    elif was != now:
        yield f"{where.strip() or 'record'}: {now!r} for {was!r}"


def recorded(root: Path, names: Iterable[str]) -> dict[str, Any]:
    """What dvc.lock says of the stages; it also holds cells that the miniature does not have."""
    found = YAML(typ="safe").load((root / "dvc.lock").read_text())["stages"]
    return {name: found.get(name) for name in names}
