"""Is the promise kept? Pieces of every numeric stage on this processor and on emulated ones, compared byte for byte.

    python -m tools.processors                   # all of CPUS; writes reports/benchmarks/processors.md
    python -m tools.processors Haswell           # these alone, the table on the standard output

Emulated are QEMU's models of those processors (Debian: qemu-user), which the libraries take for the real ones. None of
them has AVX-512, which QEMU 7.2 does not emulate: what an AVX-512 processor does differently, the mode switches off.
The last column shows that the comparison can fail: this processor again, with the mode off.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

CPUS = ("Haswell", "Skylake-Server", "EPYC-Rome")
TABLE = Path("reports/benchmarks/processors.md")
PARTS = {  # what a row of the table counts: the files whose path begins so
    "prepare: problems": ("data/problems", "data/benchmarks", "data/counts/prepare"),
    "sample: tokens, log-probabilities": ("data/samples", "data/counts/sample"),
    "resolve": ("data/resolved", "data/counts/resolve"),
    "verify, fallback-merge": ("data/verdicts", "data/counts/", "data/merged", "data/train/", "data/failed"),
    "score: log-probabilities, entropies": ("data/scores",),
    "train: weights and probes (SFT, ratio with KL)": ("models/cells", "data/training"),
    "evaluate": ("data/evaluations",),
    "figures: SVG and PNG": ("reports/figures",),
    "tables, bootstrap intervals, k-hat, page": ("reports/",),
    "pre-training of the embedded policy": ("models/again",),
}
Hashes = dict[str, str]


def main(cpus: list[str]) -> int:
    if not shutil.which("qemu-x86_64"):
        print("not compared: qemu-x86_64 is not installed (Debian: apt install qemu-user)")
        return 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each is a process of one thread
        here, again, off = pool.submit(hashes, []), pool.submit(hashes, []), pool.submit(hashes, [], "off")
        emulated = {cpu: pool.submit(hashes, ["qemu-x86_64", "-cpu", cpu]) for cpu in cpus or CPUS}
        native, seconds = here.result()
        found = {"this processor again": again.result()}
        found |= {f"{cpu}, emulated": future.result() for cpu, future in emulated.items()}
        found["mode off"] = off.result()
    text = page(native, seconds, found)
    if cpus:
        print(text)
    else:
        TABLE.write_text(text, encoding="utf-8")
    held = [name for name, (others, _) in found.items() if others == native]
    return 0 if set(found) - set(held) <= {"mode off"} else 1


def hashes(emulator: list[str], *words: str) -> tuple[Hashes, float]:
    """What `tools.pieces` says, and the seconds it took."""
    started = time.monotonic()
    command = [*emulator, sys.executable, "-m", "tools.pieces", *words]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(ended.stdout), time.monotonic() - started


def page(native: Hashes, seconds: float, found: dict[str, tuple[Hashes, float]]) -> str:
    """The table in Markdown."""
    model = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.M)
    rows = [["files with the same bytes as here", *found]]
    for part, paths in sorted(parts(native).items(), key=lambda item: list(PARTS).index(item[0])):
        rows.append(
            [
                part,
                *(f"{sum(others.get(p) == native[p] for p in paths)} of {len(paths)}" for others, _ in found.values()),
            ]
        )
    rows.append(["seconds", *(f"{took:.0f}" for _, took in found.values())])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "| :-- |" + " --: |" * len(found))
    names = ("torch", "numpy", "scipy", "pyarrow", "matplotlib")
    return "\n".join([
        "# The same bytes on other processors", "",
        f"Written by `python -m tools.processors`. \"Here\" is {model[1] if model else 'this processor'}, "
        f"{seconds:.0f} seconds; {', '.join(f'{name} {version(name)}' for name in names)}.", "", *lines, "",
    ])  # fmt: skip


def parts(native: Hashes) -> dict[str, list[str]]:
    """The files of each row; each file belongs to the first that it fits."""
    rows: dict[str, list[str]] = {}
    for path in native:
        part = next(name for name, starts in PARTS.items() if path.startswith(starts))
        rows.setdefault(part, []).append(path)
    return rows


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
