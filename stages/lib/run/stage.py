"""How every stage runs: once at a time, on inputs that hold still, to its end or to one clear line.

    def main(stage: Stage) -> None:
        problems = read_problems(stage.data / "problems.jsonl")
        with stage.journal() as journal: ...

    if __name__ == "__main__":
        run(main, resumable=True)

A resumable stage keeps finished work in .scratch/ and goes on from there. What it keeps is named by a fingerprint of
everything it declares to DVC. The fingerprint is taken before anything is read, params included, and compared when
work starts: rows that were made under other params, inputs or code are never picked up, nor kept under a wrong name.
"""

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from stages.lib.run.exits import one_line_errors
from stages.lib.run.fingerprint import (
    Inputs,
    Instance,
    assert_unchanged,
    declared_inputs,
    fingerprint,
    instance_of,
    without,
)
from stages.lib.run.journal import Journal
from stages.lib.run.lock import single_instance
from stages.lib.run.params import Params, load, root

Read = TypeVar("Read")


@dataclass
class Stage:
    """What a stage's main needs: `params`, the command line's variables `item` ({"data": "expert", ...}), its files."""

    script: str
    words: Sequence[str]  # of the command line, behind the script
    instance: Instance
    params: Params
    inputs: Inputs | None  # as they were before anything was read; None: it keeps nothing in .scratch/
    compared: bool = False

    @property
    def name(self) -> str:
        """Script and command line: train-rewritten-dft-0."""
        return stage_name(self.script, self.words)

    @property
    def item(self) -> dict[str, str]:
        """Of a matrix: {"data": "rewritten", "loss": "dft", "seed": "0"}; else empty."""
        found = self.instance.variables.get("item")
        return found if isinstance(found, dict) else {}

    @property
    def data(self) -> Path:
        return root() / "data"

    def assert_unchanged(self) -> None:
        """Whoever has read all inputs, and begins work that is kept, calls this; `journal` does by itself.

        Raises:
            StageError: one of them was changed since the stage started.
        """
        assert self.inputs is not None, f"{self.name} keeps work: run(main, resumable=True)"
        assert_unchanged(self.inputs, declared_inputs(self.instance))
        self.compared = True

    def journal(self, name: str = "", unshaped_by: Sequence[str] = ()) -> Journal:
        """A journal of the stage, under the fingerprint of all inputs but those that do not shape its lines.

        Raises:
            StageError: as `assert_unchanged`.
        """
        if not self.compared:
            self.assert_unchanged()
        return Journal("-".join(filter(None, [self.name, name])), fingerprint(without(self.inputs or {}, unshaped_by)))

    def checked(self, read: Callable[[], Read]) -> Callable[[], Read]:
        """`read` and then `assert_unchanged`: for what is read only after work has begun, as an engine's weights."""

        def then_check() -> Read:
            found = read()
            self.assert_unchanged()
            return found

        return then_check

    def folder(self) -> Path:
        """Its folder in .scratch/, under the fingerprint of all inputs."""
        assert self.inputs is not None, f"{self.name} keeps work: run(main, resumable=True)"
        return root() / ".scratch" / f"{self.name}-{fingerprint(self.inputs)}"


def open_stage(script: str, words: Sequence[str], resumable: bool = False) -> Stage:
    """The stage of a script of stages/ and the words behind it: fingerprint first, then params.

    Raises:
        ParamsError: dvc.yaml has no such command, or params.yaml is faulty. StageError: a declared dep is absent.
    """
    instance, _ = instance_of(script, words), load()  # a fault of params.yaml comes before an absent dep
    inputs = declared_inputs(instance) if resumable else None
    return Stage(script, words, instance, load(), inputs)


def stage_name(script: str, words: Sequence[str]) -> str:
    return "-".join([script, *words]).replace(os.sep, "-")


def run(main: Callable[[Stage], None], resumable: bool = False) -> None:
    """Run the script that `main` is of, with the command line's words; `exits` says how it ends."""
    run_as(Path(inspect.getfile(main)).stem, sys.argv[1:], main, resumable)


def run_as(script: str, words: Sequence[str], main: Callable[[Stage], None], resumable: bool = False) -> None:
    """`run`, for a script and words that are known. The lock has the stage's name, whoever imports this."""

    def work() -> None:
        instance_of(script, words)  # a mistaken command line makes no lock
        with single_instance(stage_name(script, words)):
            main(open_stage(script, words, resumable))

    one_line_errors(work)
