"""Does the committed code make the committed results? Made again from nothing, and compared byte for byte.

    python -m tools.audit           # "N of N outputs reproduced", or which are not, and exit status 1
    python -m tools.audit policy    # the embedded policy too, from its own pipeline: half an hour more

Works in a temporary clone of the last commit without DVC's cache, dvc.lock and outputs, so every stage runs. Compares
the new dvc.lock with the committed one. If equal bytes are not promised (another kind of processor,
`policy.deterministic: false`), it says so and audits nothing.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from ruamel.yaml import YAML

from stages.lib.run import same_bytes
from stages.lib.run.params import load

ROOT = Path(__file__).parent.parent
MICRO = Path("models/micro")
Outputs = dict[tuple[str, str], str]  # (stage, path) -> DVC's hash


def main(words: list[str]) -> int:
    reason = same_bytes.obstacle() or ("" if load().policy.deterministic else "policy.deterministic is false")
    if reason:
        print(f"not audited: {reason}, so the bytes need not be those of other machines")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        root = clone(Path(folder) / "repo")
        lost = again(root, Path(), lambda: run("python", "-m", "tools.side_by_side", at=root))
        if "policy" in words:
            lost += again(root, MICRO, lambda: run("dvc", "repro", str(MICRO / "dvc.yaml"), at=root))
    return 1 if lost else 0


def clone(root: Path) -> Path:
    """The last commit, with a cache of its own whatever the user's DVC settings say."""
    run("git", "clone", "--quiet", str(ROOT), str(root))
    run("dvc", "config", "--local", "cache.dir", str(root / ".dvc" / "cache"), at=root)
    if run("git", "status", "--porcelain", "--untracked-files=no", at=ROOT):
        print("audited is the last commit, not what was changed since")
    return root


def again(root: Path, pipeline: Path, make: Callable[[], object]) -> list[str]:
    """The outputs of a pipeline that come out with other bytes than its committed dvc.lock says, or not at all."""
    lock = root / pipeline / "dvc.lock"
    before = outputs(lock)
    if pipeline == MICRO:
        run("dvc", "unfreeze", *(f"{MICRO / 'dvc.yaml'}:{stage}" for stage in ("tokenizer", "weights")), at=root)
    lock.unlink()
    for _, path in before:
        run("git", "rm", "-r", "--quiet", "--ignore-unmatch", path, at=root)
    make()
    after = outputs(lock) if lock.exists() else {}
    lost = [f"{path} ({stage})" for (stage, path), value in before.items() if after.get((stage, path)) != value]
    print(f"{len(before) - len(lost)} of {len(before)} outputs reproduced ({lock.relative_to(root)})")
    for name in lost:
        print(f"not reproduced: {name}")
    return lost


def outputs(lock: Path) -> Outputs:
    """What a dvc.lock says of every output."""
    stages = YAML(typ="safe").load(lock.read_text(encoding="utf-8"))["stages"]
    return {(name, out["path"]): out["md5"] for name, entry in stages.items() for out in entry["outs"]}


def run(*command: str, at: Path | None = None) -> str:
    """What a command prints; to this program's own standard output instead where it is a pipeline."""
    shown = command[0] != "git"
    ended = subprocess.run(command, cwd=at, stdout=None if shown else subprocess.PIPE, text=True, env=environment())
    if ended.returncode and not shown:
        sys.exit(f"error: {' '.join(command)}: exit status {ended.returncode}")
    return ended.stdout or ""


def environment() -> dict[str, str]:
    """This one, with the programs of this Python first, and no word of another checkout."""
    paths = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DVC_")}
    return {**kept, "PATH": os.pathsep.join(paths)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
