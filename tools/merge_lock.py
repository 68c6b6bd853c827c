"""A merge driver for dvc.lock: two branches' records are merged stage by stage, never line by line.

    git config merge.dvc-lock.driver "python -m tools.merge_lock %O %A %B"   # `make` does this once; .gitattributes
                                                                              # names the driver

A stage whose record only one branch changed takes that record. A stage that both changed, each in its own way, is left
out: `dvc repro` looks it up in the run-cache, or runs it. Git calls the driver with three files (ancestor, ours,
theirs) and takes ours, rewritten, as the result; exit status 1 says that there is no result.
"""

import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

yaml = YAML()
yaml.width = 10_000


def merged(ancestor: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The records by stage, and the stages that both sides changed, each in its own way."""
    kept, left_out = {}, []
    for stage in dict.fromkeys([*ours, *theirs]):
        was, own, other = (side.get(stage) for side in (ancestor, ours, theirs))
        if own != other and was not in (own, other):
            left_out.append(stage)
            continue
        record = other if own == was else own
        if record is not None:
            kept[stage] = record
    return kept, left_out


def stages(path: Path) -> dict[str, Any]:
    """The records of a lock file; an empty one, the ancestor of a file that both branches added, has none."""
    found = yaml.load(path.read_text(encoding="utf-8")) or {}
    return dict(found.get("stages") or {})


def main() -> None:
    ancestor, ours, theirs = map(Path, sys.argv[1:4])
    try:
        records, left_out = merged(stages(ancestor), stages(ours), stages(theirs))
    except (YAMLError, AttributeError, ValueError) as error:
        sys.exit(f"dvc.lock cannot be merged: {' '.join(str(error).split())[:300]}; `git checkout --ours dvc.lock`")
    with ours.open("w", encoding="utf-8", newline="\n") as file:
        yaml.dump({"schema": "2.0", "stages": records}, file)
    if left_out:
        print(f"dvc.lock: both branches changed {', '.join(left_out)}; `dvc repro` makes their records anew")


if __name__ == "__main__":
    main()
