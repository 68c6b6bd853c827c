"""The experiment's params: params.yaml read into typed, strict dataclasses.

    params = load()            # params.yaml of the repository (see `root`)
    params.loss.kl             # 0.0

What each key means is said once, in params.yaml. A key that no dataclass has, a missing key, a value of the wrong type
and a value out of range are all `ParamsError`s that name the key and, for an unknown one, the nearest valid one.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.lib.run.config import ParamsError, at_least, from_dict, short, within


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
    """How responses are drawn: shared by sample, resolve and, at each of its temperatures, evaluate."""

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
    steps: Literal["none", "testbed"]
    unsound: Literal["flag", "reject"]


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
class Evaluate:
    """How the benchmarks are answered; each of the temperatures is a run of its own, the first is the tables'."""

    n: int = at_least(1)
    temperatures: list[float]
    top_p: float = within(1e-6, 1.0)
    max_new_tokens: int = at_least(1)
    seed: int

    def __post_init__(self) -> None:
        """At least one temperature, none twice, each in [0, 10]."""
        values = self.temperatures
        if not values or len(set(values)) < len(values) or not all(0 <= value <= 10 for value in values):
            raise ParamsError("evaluate.temperatures: one or more numbers from 0 to 10, none twice")

    def decoding(self, temperature: float) -> Decoding:
        """At temperature 0 one response: greedy decoding gives no other."""
        return Decoding(n=self.n if temperature > 0 else 1, temperature=temperature, top_p=self.top_p,
                        max_new_tokens=self.max_new_tokens, seed=self.seed)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Report:
    resamples: int = at_least(100)
    confidence: float = within(0.5, 0.999)
    seed: int
    clip_low: float = within(0.0, 1.0)
    clip_high: float = within(1.0, 1e6)
    bins: int = at_least(1)
    examples: int = at_least(0)
    in_distribution: list[str]


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
    evaluate: Evaluate
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
        raise ParamsError(f"{path}: not readable as YAML: {short(error)}") from None
    try:
        found = from_dict(Params, raw)
        _check_watched(found)
        return found
    except ParamsError as error:
        raise ParamsError(f"{path}: {short(error)}") from None


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
