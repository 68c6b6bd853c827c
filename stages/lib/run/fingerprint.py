"""What a stage's work depends on: exactly what the stage declares to DVC, read from dvc.yaml itself.

    instance = instance_of("train", ["rewritten", "dft", "0"])   # the entry of dvc.yaml with this command line
    before = declared_inputs(instance)                           # {"params.yaml:loss.kl": "0.0", ...}, nothing read yet
    ...
    assert_unchanged(before, declared_inputs(instance))          # when work starts
    fingerprint(before)                                          # "9f86d081884c7d65"
    fingerprint(without(before, ["params.yaml:verify"]))         # of work that this input does not shape

DVC resolves the templates of dvc.yaml too, but five look-ups through its API took 15 s on two busy cores. These take
as long as the reading of the files.
"""

import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stages.lib.run.errors import StageError
from stages.lib.run.params import ParamsError, root

Inputs = dict[str, str]  # what is declared (a param's dotted name behind "params.yaml:", a path) -> its value or hash


@dataclass(frozen=True)
class Instance:
    """A stage of dvc.yaml, of a matrix or foreach one of its instances."""

    stage: str
    variables: dict[str, Any]  # item={"data": "expert", ...}, or key=... and item=...

    @property
    def name(self) -> str:
        """What DVC calls it: score, verify@expert, train@expert-dft-0."""
        values = [self.variables["key"]] if "key" in self.variables else self.variables.get("item", {}).values()
        return "@".join([self.stage, "-".join(map(str, values))] if values else [self.stage])


def instance_of(script: str, words: Sequence[str]) -> Instance:
    """The stage of dvc.yaml whose command is `python -m stages.<script> <words>`.

    Raises:
        ParamsError: there is none; the message lists the words that the script takes.
    """
    usages = []
    for instance, pattern in _commands(script):
        if item := _match(pattern, words):
            return Instance(instance.stage, instance.variables | item)
        if _match(pattern, words) is not None:
            return instance
        usages.append(" ".join(re.sub(r"\$\{item\.(\w+)\}", lambda m: m[1].upper(), word) for word in pattern))
    takes = " or ".join(f"`{usage}`" if usage else "no words" for usage in usages)
    raise ParamsError(f"{script} takes {takes}, not {' '.join(words)!r}")


def declared_inputs(instance: Instance) -> Inputs:
    """What the instance declares: its params, leaf by leaf, and a hash of each of its deps.

    Raises:
        StageError: a declared dep is absent.
    """
    values, entry = _yaml("params.yaml"), _body(_stages()[instance.stage])
    inputs = {"stage": instance.name}
    for name in entry.get("params", []):
        inputs |= {f"params.yaml:{leaf}": json.dumps(value) for leaf, value in _leaves(name, _at(values, name))}
    for dep in entry.get("deps", []):
        path = _filled(dep, {**values, **instance.variables})
        inputs[path] = _hash(root() / path)
    return inputs


def assert_unchanged(before: Inputs, now: Inputs) -> None:
    """Work may be kept under `before`: it was taken before inputs were read, and holds when work starts.

    Raises:
        StageError: an input was changed in between, so what was read may be of either state.
    """
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise StageError(f"{changed[0]}{more} changed while the stage was starting: start it again")


def fingerprint(inputs: Inputs) -> str:
    """Sixteen hexadecimal digits that stand for these inputs."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]


def without(inputs: Inputs, names: Sequence[str]) -> Inputs:
    """The inputs but those named: a param's section with all below it, a dep as dvc.yaml has it."""
    return {key: value for key, value in inputs.items() if key not in names and not key.startswith(_below(names))}


def _below(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{name}." for name in names if name.startswith("params.yaml:"))


def _commands(script: str) -> Iterator[tuple[Instance, list[str]]]:
    """The script's stages, and the words behind its name in their commands; a matrix's variables are still open."""
    for stage, entry in _stages().items():
        each = [{"key": key, "item": item} for key, item in entry["foreach"].items()] if "foreach" in entry else [{}]
        for variables in each:
            words = shlex.split(_filled(_body(entry)["cmd"], variables))
            place = words.index("-m") + 1 if "-m" in words else 0
            if words[place] == f"stages.{script}":
                yield Instance(stage, variables), words[place + 1 :]


def _match(pattern: Sequence[str], words: Sequence[str]) -> dict[str, Any] | None:
    """{"item": ...}, the values of ${item.x} in the pattern; {} where it has none; None where the words are others."""
    regex = re.sub(r"\\\$\\\{item\\\.(\w+)\\\}", r"(?P<\1>[^\0]+)", re.escape("\0".join(pattern)))
    found = re.fullmatch(regex, "\0".join(words)) if len(pattern) == len(words) else None
    return None if found is None else {"item": found.groupdict()} if found.groupdict() else {}


def _stages() -> dict[str, Any]:
    return _yaml("dvc.yaml")["stages"]


def _body(entry: dict[str, Any]) -> dict[str, Any]:
    return entry.get("do", entry)


def _yaml(name: str) -> Any:
    try:
        return YAML(typ="safe").load((root() / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StageError(f"{root() / name}: no such file; run from the repository's root") from None


def _filled(text: str, values: Mapping[str, Any]) -> str:
    """`text` with dvc.yaml's ${key}, ${item.x} and ${section.key} replaced, those that `values` has."""

    def value(match: re.Match[str]) -> str:
        return str(_at(values, match[1])) if match[1].partition(".")[0] in values else match[0]

    return re.sub(r"(?<!\\)\$\{([\w.]+)\}", value, text)


def _at(values: Mapping[str, Any], dotted: str) -> Any:
    return reduce(lambda value, key: value[key], dotted.split("."), values)


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from _leaves(f"{name}.{key}", below)
    else:
        yield name, value


def _hash(path: Path) -> str:
    """Of a file's bytes; of a folder's names and bytes, without Python's caches: a benchmark's name is its file's."""
    if not path.exists():
        raise StageError(f"{path}: no such file; `dvc repro` makes it")
    digest = hashlib.sha256()
    for file in sorted(item for item in path.rglob("*") if item.is_file()) if path.is_dir() else [path]:
        if file.parent.name != "__pycache__":
            digest.update(f"{file.relative_to(path)}\0".encode())
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
