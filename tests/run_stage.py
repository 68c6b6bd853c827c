"""Runs a stage in this process, as its script does, but for the lock and the one line that an error ends in."""

from types import ModuleType

from stages.lib.run.stage import open_stage

RESUMABLE = {"evaluate", "resolve", "sample", "score", "train", "verify"}


def run_stage(script: ModuleType, *words: str) -> None:
    """run_stage(train, "rewritten", "dft", "0")"""
    name = script.__name__.rpartition(".")[2]
    script.main(open_stage(name, words, resumable=name in RESUMABLE))
