"""The repository's root holds what is tracked and a few known caches: no test leaves a file there."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
MADE = {
    ".git",
    ".venv",
    ".scratch",
    ".pytest_cache",
    ".ruff_cache",
    ".mypy_cache",
    ".hypothesis",
    "__pycache__",
    "data",
}


def test_the_root_holds_what_is_tracked_and_known_caches() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    tracked = {line.partition("/")[0] for line in listed.splitlines()}
    strays = {path.name for path in ROOT.iterdir()} - tracked - MADE
    assert not strays, f"files that git does not know, perhaps a test's: {sorted(strays)}"
