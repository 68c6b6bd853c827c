"""The report of tests/checks/kills.py: what was stopped how often, and what was lost."""

from typing import Any

HEADER = ("stage", "undisturbed (s)", "stops", "amid finished work", "ends compared", "work redone", "faults")
EXPLAINED = """\
A stop is SIGKILL to the stage's process group, SIGTERM to its process, or Ctrl-C (SIGINT to the group), at random
moments of its life; of `dvc repro` also SIGKILL or SIGTERM of DVC alone, whose stage then lives on. "Amid finished
work": stops that found journal lines, parts or restart points on disk. "Ends compared": times that the restarted stage
got to its end and every file under data/, models/cells/ and reports/ was compared with the undisturbed run's; a
missing, additional or differing file is a fault, and so are other names in .scratch/, a process that lives on, or more
than one line after SIGTERM or Ctrl-C. "Work redone": journal lines, parts and restart points that were on disk at a
stop and were lost or made again; not measured for `dvc repro`. A stage of a matrix is represented by one of its cells.
"""
MENDED = """\
Stops of `dvc repro` that fell into the writing of dvc.lock or .dvc/tmp/rwlock, which is not atomic:
{}. `git checkout dvc.lock` or `rm .dvc/tmp/rwlock` was needed before the next start (`make repro` does it by itself).
"""


def report(figures: dict[str, Any], fuzz: dict[str, Any]) -> str:
    """The page in Markdown; `fuzz`: what tests/checks/fuzz.py wrote, empty if it was not run."""
    rows, stops = figures["rows"], sum(sum(row["stops"].values()) for row in figures["rows"])
    redone, faults = sum(row["redone"] or 0 for row in rows), [fault for row in rows for fault in row["faults"]]
    lost = "Nothing was lost." if not faults and not redone else f"{len(faults)} faults, {redone} items made again."
    parts = [
        "# Reliability\n",
        f"{stops} stops, {sum(row['ends'] for row in rows)} ends compared. {lost}\n",
        table(HEADER, [cells(row) for row in rows]),
        EXPLAINED,
        *([MENDED.format(sum(row["mended"] for row in rows))] if any(row["mended"] for row in rows) else []),
        f"Commit {figures['commit']}, {figures['minutes']} minutes: `{figures['command']}`.\n",
        *(["## Faults\n", "".join(f"- {fault}\n" for fault in faults)] if faults else []),
        *([inputs(fuzz)] if fuzz else []),
    ]
    return "\n".join(parts)


def inputs(fuzz: dict[str, Any]) -> str:
    """The section on tests/checks/fuzz.py: {"minutes": 60.0, "targets": {"records": 123, ...}, "crashes": 0}."""
    rows = [(name, f"{count:,}") for name, count in fuzz["targets"].items()]
    said = f"`python -m tests.checks.fuzz --minutes {fuzz['minutes']:g}`: {fuzz['crashes']} crashes."
    return "\n".join(["## Inputs tried\n", table(("reader", "inputs"), rows), said]) + "\n"


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    stops = ", ".join(f"{count} {name}" for name, count in sorted(row["stops"].items()))
    return (
        *(
            row["stage"],
            str(row["seconds"]),
            stops,
            str(row["amid"]),
            str(row["ends"]),
            "–" if row["redone"] is None else str(row["redone"]),
        ),
        str(len(row["faults"])),
    )


def line(row: dict[str, Any]) -> str:
    """The same for the terminal."""
    said = "; ".join(f"{name} {cell}" for name, cell in zip(HEADER[1:], cells(row)[1:], strict=True))
    return "\n  ".join([f"{row['stage']}: {said}", *row["faults"]])


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    rule = "|" + " :-- |" + " --: |" * (len(header) - 1)
    return "\n".join(["| " + " | ".join(header) + " |", rule, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"
