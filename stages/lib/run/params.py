"""The experiment's params: params.yaml read into typed, strict dataclasses.

    params = load()            # params.yaml of the repository (see `root`)
    params.loss.kl             # 0.0

What each key means is said once, in params.yaml. A key that no dataclass has, a missing key, a value of the wrong type
and a value out of range are all `ParamsError`s that name the key and, for an unknown one, the nearest valid one.

No stage depends on this file, so that a new param re-runs only what it can change. Hence it holds no behaviour and no
default that shapes a result (`Waves.first` apart): those stand beside the code that uses them.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.lib.run.checkout import LocalInput, check_watched, root
from stages.lib.run.config import Distinct, ParamsError, Strict, from_dict, short

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""Grid values end up in shell commands and file names. Every stage and presets/apply.py refuse others.

Limitation: if grid.* alone was edited and the earlier stages are up to date, DVC's first shell command already holds
the value.
"""


@dataclass(frozen=True, kw_only=True)
class Policy(Strict):
    """The policy that is trained: a folder or a hub id, and the file or folder that DVC hashes for it."""

    name: str
    revision: str | None
    files: str
    dtype: Literal["float32", "bfloat16", "auto"]
    trust_remote_code: bool
    deterministic: bool


def _instruction(text: str) -> str:
    if "{problem}" not in text:
        raise ValueError(f"does not hold {{problem}}: every problem would get the same prompt{_instead(text)}")
    if unfilled := _STRANGERS.search(text):
        raise ValueError(f"holds {unfilled[0]}, which nothing fills: the only field is {{problem}}")
    return text


def _guided(text: str) -> str:
    if "{solution}" not in text:
        raise ValueError(f"does not hold {{solution}}: no guide would be shown{_instead(text)}")
    if "{problem}" not in text and "{instruction}" not in text:
        raise ValueError(f"holds neither {{instruction}} nor {{problem}}: no problem would be shown{_instead(text)}")
    return text


def _instead(text: str) -> str:
    found = _FIELD.search(text)
    return f"; it holds {found[0]}, which nothing fills" if found else ""


_STRANGERS = re.compile(r"(?<![A-Za-z}\\])\{(?:question|input|query|prompt|solution|guide|instruction)\}")
_FIELD = re.compile(r"(?<![A-Za-z}\\])\{(?!(?:problem|instruction|solution)\})[A-Za-z_]+\}")  # \text{word} is LaTeX


@dataclass(frozen=True, kw_only=True)
class Prompt(Strict):
    """The words of the plain and of the guided prompt."""

    system: str | None
    instruction: Annotated[str, AfterValidator(_instruction)]
    guided: Annotated[str, AfterValidator(_guided)]


@dataclass(frozen=True, kw_only=True)
class Mapping(Strict):
    """Which fields of a row hold what; of several names, separated by "|", the first that the row has a value for.

    answer: a field, or `field:box` (the last box in its text), or `field:####` (what follows the last ####). A key left
    out has the default of `data.sources.PLAIN`; "" stands for no field.
    """

    problem: str | None = None
    answer: str | None = None
    solution: str | None = None


@dataclass(frozen=True, kw_only=True)
class Problems(Strict):
    """Where training problems come from, and how many."""

    source: str
    files: str
    mapping: str | Mapping | None
    split: str
    revision: str | None
    subset: str | None
    n: Annotated[int, Field(ge=1)]
    seed: int


@dataclass(frozen=True, kw_only=True)
class Source(Strict):
    """Where problems come from; an entry of `benchmarks.sources`, of which all but the path may be left out.

    name: what the problems' ids begin with, by default the file's or data set's name; split: by default the one of
    `data.readers`, with a slice of rows if wanted, "train[:1000]"; revision, subset: of a data set on the hub.
    """

    path: str
    name: str | None = None
    mapping: str | Mapping | None = None
    split: str | None = None
    revision: str | None = None
    subset: str | None = None


@dataclass(frozen=True, kw_only=True)
class Overlap(Strict):
    """When a training problem counts as nearly a benchmark problem, and what becomes of it."""

    action: Literal["drop", "report"]
    words: Annotated[int, Field(ge=1)]
    share: Annotated[float, Field(ge=0.01, le=1.0)]


@dataclass(frozen=True, kw_only=True)
class Benchmarks(Strict):
    """Where benchmark problems come from, and how many of each."""

    sources: Distinct[Source]
    files: str
    n: Annotated[int, Field(ge=1)]
    seed: int
    overlap: Overlap


@dataclass(frozen=True, kw_only=True)
class Decoding(Strict):
    """How responses are drawn: shared by sample, resolve and, at each of its temperatures, evaluate."""

    n: Annotated[int, Field(ge=1)]
    temperature: Annotated[float, Field(ge=0.0, le=10.0)]
    top_p: Annotated[float, Field(ge=1e-6, le=1.0)]
    max_new_tokens: Annotated[int, Field(ge=1)]
    seed: int


@dataclass(frozen=True, kw_only=True)
class Waves(Decoding):
    """How responses are drawn where one correct response per problem is enough: shared by sample and resolve."""

    adaptive: bool
    wave: Annotated[int, Field(ge=1)]

    @property
    def first(self) -> int:
        """How many responses every problem gets, whatever they say: pass rates may be taken from these alone.

        The one definition here: sampling and the reports both need it and share no other file. No stage depends on this
        file, so after an edit run `dvc repro --force` from sample on.
        """
        return min(self.n, self.wave) if self.adaptive else self.n


@dataclass(frozen=True, kw_only=True)
class Sample(Waves):
    """How the policy answers the training problems."""

    engine: Literal["auto", "transformers", "vllm"]


@dataclass(frozen=True, kw_only=True)
class Resolve(Waves):
    """How the policy solves again, with a guide, what it failed."""

    guides: Distinct[Literal["solution", "answer", "half"]]
    guide_tokens: Annotated[int, Field(ge=1)] | None


@dataclass(frozen=True, kw_only=True)
class Verify(Strict):
    """How an answer is read from a response; timeout: processor seconds of the slow path."""

    markers: bool
    timeout: Annotated[float, Field(ge=0.1, le=3600.0)]
    steps: Literal["none", "testbed"]
    unsound: Literal["flag", "reject"]


@dataclass(frozen=True, kw_only=True)
class Copy(Strict):
    """When a re-solved response counts as a copy of its guide, and what becomes of it."""

    action: Literal["reject", "flag", "ignore"]
    run: Annotated[float, Field(ge=0.01, le=1.0)]
    overlap: Annotated[float, Field(ge=0.01, le=1.0)]
    words: Annotated[int, Field(ge=1)]


@dataclass(frozen=True, kw_only=True)
class Merge(Strict):
    """How one of several correct responses is chosen."""

    seed: int


@dataclass(frozen=True, kw_only=True)
class Grid(Strict):
    """The arms. Whether a name exists is checked by its owner (training_sets, losses)."""

    data: Distinct[Name]
    loss: Distinct[Name]
    seed: Distinct[Annotated[int, Field(ge=0, lt=2**32)]]  # what numpy's generator takes


@dataclass(frozen=True, kw_only=True)
class Clip(Strict):
    """Bounds of an importance weight."""

    low: Annotated[float, Field(ge=0.0, le=1e6)]
    high: Annotated[float, Field(ge=0.0, le=1e6)]


@dataclass(frozen=True, kw_only=True)
class Loss(Strict):
    """Options of the losses."""

    kl: Annotated[float, Field(ge=0.0, le=1e6)]
    kl_direction: Literal["forward", "reverse"]
    weight_normalisation: Literal["none", "mean-one"]
    clip: Clip
    eaft_alpha: Annotated[float, Field(ge=0.0, le=100.0)]
    idft_beta: Annotated[float, Field(ge=1e-6, le=1e6)]


@dataclass(frozen=True, kw_only=True)
class Lora(Strict):
    """Low-rank adapters; rank 0 trains all weights."""

    rank: Annotated[int, Field(ge=0)]
    alpha: Annotated[float, Field(ge=0.0, le=1e6)]
    dropout: Annotated[float, Field(ge=0.0, le=0.99)]
    save: Literal["merged", "adapter"]


@dataclass(frozen=True, kw_only=True)
class Train(Strict):
    """How the policy is trained."""

    learning_rate: Annotated[float, Field(ge=0.0, le=10.0)]
    epochs: Annotated[float, Field(ge=1e-6, le=1e6)]
    batch_size: Annotated[int, Field(ge=1)]
    max_length: Annotated[int, Field(ge=2)]
    warmup_ratio: Annotated[float, Field(ge=0.0, le=1.0)]
    weight_decay: Annotated[float, Field(ge=0.0, le=10.0)]
    adam_beta1: Annotated[float, Field(ge=0.0, lt=1.0)]
    adam_beta2: Annotated[float, Field(ge=0.0, lt=1.0)]
    max_grad_norm: Annotated[float, Field(ge=0.0, le=1e9)]
    probe_n: Annotated[int, Field(ge=1)]
    probe_every: Annotated[int, Field(ge=1)]
    lora: Lora


@dataclass(frozen=True, kw_only=True)
class Evaluate(Strict):
    """How the benchmarks are answered; each of the temperatures is a run of its own, the first is the tables'."""

    n: Annotated[int, Field(ge=1)]
    temperatures: Annotated[list[Annotated[float, Field(ge=0.0, le=10.0)]], Field(min_length=1)]
    top_p: Annotated[float, Field(ge=1e-6, le=1.0)]
    max_new_tokens: Annotated[int, Field(ge=1)]
    seed: int

    def decoding(self, temperature: float) -> Decoding:
        """At temperature 0 one response: greedy decoding gives no other."""
        return Decoding(n=self.n if temperature > 0 else 1, temperature=temperature, top_p=self.top_p,
                        max_new_tokens=self.max_new_tokens, seed=self.seed)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Report(Strict):
    """How intervals, tables and figures are made."""

    resamples: Annotated[int, Field(ge=100)]
    confidence: Annotated[float, Field(ge=0.5, le=0.999)]
    seed: Annotated[int, Field(ge=0)]
    clip_low: Annotated[float, Field(ge=0.0, le=1.0)]
    clip_high: Annotated[float, Field(ge=1.0, le=1e6)]
    bins: Annotated[int, Field(ge=1)]
    examples: Annotated[int, Field(ge=0)]
    browse: Annotated[int, Field(ge=0)]
    in_distribution: list[str]


@dataclass(frozen=True, kw_only=True)
class Hardware(Strict):
    """Machine settings: they affect speed and memory."""

    generation_batch: Annotated[int, Field(ge=1)]
    score_batch: Annotated[int, Field(ge=1)]
    train_tokens: Annotated[int, Field(ge=1)]
    gradient_checkpointing: bool
    checkpoint_every: Annotated[int, Field(ge=1)]
    threads: Annotated[int, Field(ge=0)]
    workers: Annotated[int, Field(ge=0)]
    tensor_parallel: Annotated[int, Field(ge=1)]
    gpu_memory_utilization: Annotated[float, Field(ge=0.05, le=1.0)]
    engines: Annotated[int, Field(ge=1)]
    ray: bool


@dataclass(frozen=True, kw_only=True)
class Params(Strict):
    """params.yaml whole."""

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
        check_watched(local_inputs(found))
        return found
    except ParamsError as error:
        raise ParamsError(f"{path}: {short(error)}") from None


def local_inputs(found: Params) -> list[LocalInput]:
    """The params that may name local files, each with the param that says what DVC hashes for it."""
    policy, problems, benchmarks = found.policy, found.problems, found.benchmarks
    inputs = [
        LocalInput("policy.name", policy.name, "policy.files", policy.files),
        LocalInput("problems.source", problems.source, "problems.files", problems.files),
    ]
    paths = [source.path for source in benchmarks.sources]
    return inputs + [LocalInput("benchmarks.sources", path, "benchmarks.files", benchmarks.files) for path in paths]
