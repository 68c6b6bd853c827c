"""The experiment's params: params.yaml read into typed, strict dataclasses.

    params = load()            # params.yaml of the repository (see `root`)
    params.loss.kl             # 0.0

What each key means is said once, in params.yaml. A key that no dataclass has, a missing key, a value of the wrong type
and a value out of range are all `ParamsError`s that name the key and, for an unknown one, the nearest valid one.
"""

import difflib
import math
import os
import re
import types
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.lib.errors import StageError


class ParamsError(StageError):
    """params.yaml cannot be used as it is; the message names the key and the remedy."""


def at_least(low: float, default: Any = MISSING) -> Any:
    """A dataclass field whose value must be >= low."""
    return field(default=default, metadata={"low": low})


def within(low: float, high: float) -> Any:
    """A dataclass field whose value must lie in [low, high]."""
    return field(metadata={"low": low, "high": high})


@dataclass(frozen=True, kw_only=True)
class Policy:
    name: str
    revision: str | None
    files: str
    dtype: Literal["float32", "bfloat16", "auto"]
    trust_remote_code: bool


@dataclass(frozen=True, kw_only=True)
class Prompt:
    system: str | None
    instruction: str
    guided: str


@dataclass(frozen=True, kw_only=True)
class Mapping:
    """Where a row keeps what; of several names, separated by "|", the first that the row has a value for. The answer is
    a field, or `field:box` (the last box in its text), or `field:####` (what follows the last ####)."""

    problem: str = "problem|question"
    answer: str = "answer"
    solution: str | None = "solution"


@dataclass(frozen=True, kw_only=True)
class Problems:
    source: str
    files: str
    mapping: str | Mapping | None
    split: str
    revision: str | None
    subset: str | None
    n: int = at_least(1)
    seed: int


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where problems come from; an entry of `benchmarks.sources`, of which all but the path may be left out.

    name: what the problems' ids begin with, by default the file's or data set's name; split: with a slice of rows if
    wanted, "train[:1000]"; revision, subset: of a data set on the hub.
    """

    path: str
    name: str | None = None
    mapping: str | Mapping | None = None
    split: str = "test"
    revision: str | None = None
    subset: str | None = None


@dataclass(frozen=True, kw_only=True)
class Overlap:
    action: Literal["drop", "report"]
    words: int = at_least(1)
    share: float = within(0.01, 1.0)


@dataclass(frozen=True, kw_only=True)
class Benchmarks:
    sources: list[Source]
    files: str
    n: int = at_least(1)
    seed: int
    overlap: Overlap


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How responses are drawn: shared by sample, resolve and evaluate."""

    n: int = at_least(1)
    temperature: float = within(0.0, 10.0)
    top_p: float = within(1e-6, 1.0)
    max_new_tokens: int = at_least(1)
    seed: int


@dataclass(frozen=True, kw_only=True)
class Waves(Decoding):
    """How responses are drawn where one correct response per problem is enough: shared by sample and resolve."""

    adaptive: bool
    wave: int = at_least(1)

    @property
    def first(self) -> int:
        """How many responses every problem gets, whatever they say: pass rates may be taken from these alone."""
        return min(self.n, self.wave) if self.adaptive else self.n


@dataclass(frozen=True, kw_only=True)
class Sample(Waves):
    engine: Literal["auto", "transformers", "vllm"]


@dataclass(frozen=True, kw_only=True)
class Resolve(Waves):
    guides: list[Literal["solution", "answer", "half"]]
    guide_tokens: int | None = at_least(1)


@dataclass(frozen=True, kw_only=True)
class Verify:
    markers: bool
    timeout: float = within(0.1, 3600.0)


@dataclass(frozen=True, kw_only=True)
class Copy:
    action: Literal["reject", "flag", "ignore"]
    run: float = within(0.01, 1.0)
    overlap: float = within(0.01, 1.0)
    words: int = at_least(1)


@dataclass(frozen=True, kw_only=True)
class Merge:
    seed: int


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The arms. Names are checked by their owners (fallback_merge, losses), so that a new loss re-runs no sampling."""

    data: list[str]
    loss: list[str]
    seed: list[int]

    def __post_init__(self) -> None:
        """DVC pastes the values into a shell's lines, in single quotes, and they name files: nothing that either minds.

        Every stage and presets/apply.py refuse others. What is left: where only grid.* was edited, by hand, in a
        params.yaml whose earlier stages are up to date, the first line that a shell sees has the value in it already.
        """
        for name in ("data", "loss", "seed"):
            for value in map(str, getattr(self, name)):
                if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
                    raise ParamsError(f"grid.{name} {value!r}: a value is letters, digits, -, _ and dots")


@dataclass(frozen=True, kw_only=True)
class Clip:
    low: float = within(0.0, 1e6)
    high: float = within(0.0, 1e6)


@dataclass(frozen=True, kw_only=True)
class Loss:
    kl: float = within(0.0, 1e6)
    kl_direction: Literal["forward", "reverse"]
    weight_normalisation: Literal["none", "mean-one"]
    clip: Clip
    eaft_alpha: float = within(0.0, 100.0)
    idft_beta: float = within(1e-6, 1e6)


@dataclass(frozen=True, kw_only=True)
class Lora:
    rank: int = at_least(0)
    alpha: float = within(0.0, 1e6)
    dropout: float = within(0.0, 0.99)
    save: Literal["merged", "adapter"]


@dataclass(frozen=True, kw_only=True)
class Train:
    learning_rate: float = within(0.0, 10.0)
    epochs: float = within(1e-6, 1e6)
    batch_size: int = at_least(1)
    max_length: int = at_least(2)
    warmup_ratio: float = within(0.0, 1.0)
    weight_decay: float = within(0.0, 10.0)
    adam_beta1: float = within(0.0, 1.0)
    adam_beta2: float = within(0.0, 1.0)
    max_grad_norm: float = within(0.0, 1e9)
    probe_n: int = at_least(1)
    probe_every: int = at_least(1)
    lora: Lora


@dataclass(frozen=True, kw_only=True)
class Report:
    resamples: int = at_least(100)
    confidence: float = within(0.5, 0.999)
    seed: int
    clip_low: float = within(0.0, 1.0)
    clip_high: float = within(1.0, 1e6)
    bins: int = at_least(1)
    examples: int = at_least(0)


@dataclass(frozen=True, kw_only=True)
class Hardware:
    generation_batch: int = at_least(1)
    score_batch: int = at_least(1)
    train_batch: int = at_least(1)
    gradient_checkpointing: bool
    checkpoint_every: int = at_least(1)
    threads: int = at_least(0)
    workers: int = at_least(0)
    tensor_parallel: int = at_least(1)
    engines: int = at_least(1)
    ray: bool


@dataclass(frozen=True, kw_only=True)
class Params:
    policy: Policy
    prompt: Prompt
    problems: Problems
    benchmarks: Benchmarks
    sample: Sample
    verify: Verify
    resolve: Resolve
    copy: Copy
    merge: Merge
    grid: Grid
    loss: Loss
    train: Train
    evaluate: Decoding
    report: Report
    hardware: Hardware


def root() -> Path:
    """The root of the checkout that the stage belongs to.

    Under DVC, which sets DVC_STAGE, the working directory: for a queue's worker and `dvc exp run --temp` that is a
    checkout in .dvc/tmp/exps, and DVC_ROOT names its parent. Without DVC, DVC_ROOT or the working directory.
    """
    return Path.cwd() if "DVC_STAGE" in os.environ else Path(os.environ.get("DVC_ROOT", "."))


def load(path: str | Path | None = None) -> Params:
    """Read and check params.yaml.

    Raises:
        ParamsError: the file is absent or not YAML, a key is unknown, missing, ill-typed or out of range, or DVC does
            not watch a local input.
    """
    path = Path(path) if path is not None else root() / "params.yaml"
    try:
        raw = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; run from the repository's root") from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise ParamsError(f"{path}: not readable as YAML: {_short(error)}") from None
    try:
        found = from_dict(Params, raw)
        _check_watched(found)
        return found
    except ParamsError as error:
        raise ParamsError(f"{path}: {_short(error)}") from None


def _check_watched(found: Params) -> None:
    """Refuse a local input that is not under the path that DVC hashes for it: an edit of it would go unnoticed."""
    policy, problems, benchmarks = found.policy, found.problems, found.benchmarks
    reads = [("policy.name", policy.name, "policy.files", policy.files)]
    reads += [("problems.source", problems.source, "problems.files", problems.files)]
    reads += [("benchmarks.sources", place.path, "benchmarks.files", benchmarks.files) for place in benchmarks.sources]
    for key, path, watching, watched in reads:
        local = re.split(r"[^/]*[*?]", path, maxsplit=1)[0] or "."  # of a pattern: the folder before it
        below, above = (Path(os.path.abspath(root() / name)) for name in (local, watched))
        if path != "testbed" and below.exists() and not below.is_relative_to(above):
            raise ParamsError(
                f"{key} is {path}, which {watching} ({watched}) does not hold, so DVC would not see it change: set "
                f"{watching} to {local.rstrip('/')}, or to a folder with all of them"
            )


def from_dict(cls: type, raw: Any, where: str = "") -> Any:
    """Build the dataclass `cls` from a plain mapping, strictly; `where` is the dotted path so far."""
    if not isinstance(raw, dict):
        raise ParamsError(f"{where or 'the file'} must be a mapping, not {_name(raw)}")
    hints = get_type_hints(cls)
    for key in raw:
        if key not in hints:
            raise ParamsError(f"unknown key {_join(where, key)}{_nearest(str(key), hints)}")
    values = {}
    for item in fields(cls):
        name = _join(where, item.name)
        if item.name in raw:
            values[item.name] = _check(_convert(hints[item.name], raw[item.name], name), item.metadata, name)
        elif item.default is MISSING and item.default_factory is MISSING:
            raise ParamsError(f"missing key {name}")
    return cls(**values)


def _convert(hint: Any, value: Any, name: str) -> Any:
    """`value` as `hint` says, or a ParamsError. Ints pass for floats; nothing else is coerced."""
    origin = get_origin(hint)
    if is_dataclass(hint):
        return from_dict(hint, value, name)
    if origin is Literal:
        if value not in get_args(hint):
            raise ParamsError(f"{name} must be {_choice(get_args(hint))}, not {value!r}")
        return value
    if origin in (Union, types.UnionType):
        options = [option for option in get_args(hint) if option is not type(None)]
        fitting = [option for option in options if is_dataclass(option) == isinstance(value, dict)]
        return None if value is None else _convert((fitting or options)[0], value, name)
    if origin is list:
        if not isinstance(value, list) or not value:
            raise ParamsError(f"{name} must be a list of at least one value, not {value!r}")
        if len(set(map(repr, value))) != len(value):
            raise ParamsError(f"{name} names a value twice: {value!r}")
        return [_convert(get_args(hint)[0], item, name) for item in value]
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise ParamsError(f"{name} must be {hint.__name__}, not {_name(value)} {value!r}")
    if hint is float and not math.isfinite(value):
        raise ParamsError(f"{name} must be finite, not {value!r}")
    return value


def _check(value: Any, metadata: Any, name: str) -> Any:
    low, high = metadata.get("low", -math.inf), metadata.get("high", math.inf)
    if isinstance(value, int | float) and not low <= value <= high:
        bound = f"at least {low}" if high == math.inf else f"between {low} and {high}"
        raise ParamsError(f"{name} must be {bound}, not {value}")
    return value


def _nearest(key: str, valid: Any) -> str:
    near = difflib.get_close_matches(key, list(valid), n=1, cutoff=0.0)
    return f"; did you mean {near[0]}?" if near else ""


def _choice(values: Any) -> str:
    return "one of " + ", ".join(map(str, values))


def _join(where: str, key: Any) -> str:
    return f"{where}.{key}" if where else str(key)


def _short(error: Exception) -> str:
    """A message as one line, which a value of any length does not fill a screen with."""
    text = " ".join(str(error).split())
    return text if len(text) <= 600 else f"{text[:300]} ... {text[-300:]}"


def _name(value: Any) -> str:
    return "nothing" if value is None else type(value).__name__
