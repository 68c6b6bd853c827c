"""The rows that flow between the stages, one dataclass a file kind, and the only code that reads or writes JSONL.

    Problem        data/problems.jsonl, data/benchmarks/*.jsonl
        {"id": "train-17", "problem": "4 - 3 + 8 =", "answer": "9", "solution": "Gains: ... \\boxed{9}"}
    Rollout        data/samples.jsonl, data/resolved/*.jsonl        one row per response
        {"id": "train-17", "index": 0, "response": "4 - 3 ...", "finish": "stop", "token_ids": [...], "logprobs": [...]}
    Verdict        data/verdicts/*.jsonl                            one row per response, in the order of the responses
        {"id": "train-17", "index": 0, "correct": true, "extracted": "9", "reason": "equal"}
    Merged         data/merged.jsonl                                one row per problem
        {"id": "train-17", "source": "self", "index": 2, "samples": 4, "samples_correct": 3, ...}
    FailedDemonstration    data/failed_demonstrations.jsonl         one row per demonstration that fails verification
        {"id": "train-17", "answer": "9", "extracted": "8", "reason": "different"}
    TrainingRow    data/train/*.jsonl                               one row per problem
        {"id": "train-17", "source": "self", "index": 2, "problem": "...", "answer": "9", "response": "...", ...}
    Evaluation     data/evaluations/*.jsonl                         one row per response of a policy to a benchmark
        {"benchmark": "chain-short", "id": "...", "index": 0, "correct": true, "extracted": "9", "canonical": "9", ...}

Keys keep their order and nothing depends on the clock, so the same rows are the same bytes. Files are replaced whole
when complete (`write`), never half-written.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from stages.lib.run.config import Strict, adapter
from stages.lib.run.errors import StageError
from stages.lib.run.files import replacing

SELF, RESOLVED, EXPERT = "self", "resolved", "expert"  # who wrote a response: a sample, a re-solved one, the expert
SOURCES = (SELF, RESOLVED, EXPERT)  # in the order in which they are preferred


class RecordError(StageError):
    """A row cannot be used; the message names file, line and remedy."""


@dataclass(frozen=True, kw_only=True)
class Problem(Strict):
    """A problem with its reference answer; `solution` is the expert's demonstration (None on benchmarks without)."""

    id: str
    problem: str
    answer: str
    solution: str | None = None


@dataclass(frozen=True, kw_only=True)
class Rollout(Strict):
    """One sampled response. `token_ids` are those sampled, the end token included; `logprobs` (natural log, one a
    token) are those of the distribution it was drawn from: the behaviour policy under the sampling prompt, temperature
    and top_p included. finish: "stop", or "length" for a response that was cut off."""

    id: str
    index: int
    response: str
    finish: str
    token_ids: list[int]
    logprobs: list[float]


@dataclass(frozen=True, kw_only=True)
class Verdict(Strict):
    """The verdict on one response; reason: a value of `answers.Reason`, "cut_off" for one at the length limit,
    or what the copy check says of a re-solved one (`judging_resolved`)."""

    id: str
    index: int
    correct: bool
    extracted: str | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class FailedDemonstration(Strict):
    """An expert's solution whose final answer is not the reference; reason as in its Verdict."""

    id: str
    answer: str
    extracted: str | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Merged(Strict):
    """What became of one problem. source: "self" | "resolved" | "expert"; index: which rollout (None for expert);
    the counts say how many responses were drawn, and how many of them were correct: no pass rate where sampling was
    adaptive."""

    id: str
    source: str
    index: int | None
    samples: int
    samples_correct: int
    resolved: int
    resolved_correct: int
    expert_correct: bool


@dataclass(frozen=True, kw_only=True)
class TrainingRow(Strict):
    """One demonstration to train on. source: "self" | "resolved" | "expert"; index: which rollout (None for expert);
    token_ids, logprobs: as in its rollout (None for expert text, which the trainer tokenizes)."""

    id: str
    source: str
    index: int | None
    problem: str
    answer: str
    response: str
    token_ids: list[int] | None
    logprobs: list[float] | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluation(Strict):
    """One response of one policy to one benchmark problem; `tokens` counts the end token. reason: as in a Verdict, or
    "too_long" for a problem that does not fit the context window: no response was drawn. canonical: the extracted
    answer in the form in which equal ones are spelled alike (`verifier.verify.canonical`), so that votes can be
    counted; None without an answer."""

    benchmark: str
    id: str
    index: int
    correct: bool
    extracted: str | None
    canonical: str | None
    reason: str
    finish: str
    tokens: int
    response: str


@dataclass(frozen=True)
class Cell:
    """One cell of the grid; its name is that of its policy, curve and evaluations, and of its stages in dvc.yaml."""

    data: str
    loss: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.data}-{self.loss}-{self.seed}"

    @classmethod
    def of(cls, item: Mapping[str, str]) -> "Cell":
        """From the words of a command line, {"data": "expert", "loss": "dft", "seed": "0"}.

        Raises:
            RecordError: the seed is no whole number.
        """
        if not re.fullmatch(r"0|[1-9]\d*", item["seed"]):
            raise RecordError(f"a cell's seed is a whole number, not {item['seed']!r}")
        return cls(item["data"], item["loss"], int(item["seed"]))


def evaluation_name(cell: str, temperature: float | str) -> str:
    """What the evaluations of a cell, or of "base", at one temperature are called: rewritten-dft-0-t0.6."""
    return f"{cell}-t{float(temperature):g}"


Row = TypeVar("Row")


def read(cls: type[Row], path: str | Path) -> Iterator[Row]:
    """Stream the rows of a JSONL file.

    Raises:
        RecordError: no such file, not UTF-8, or a line that is not JSON or not a `cls` row (blank lines too).
    """
    for number, line in _lines(Path(path)):
        yield parse(cls, line, f"{path}, line {number}")


def read_problems(path: str | Path, need_solution: bool = False) -> list[Problem]:
    """All problems of a file: at least one, ids unique, no empty problem, answer or (if needed) solution.

    Raises:
        RecordError: naming file, line, and what to mend.
    """
    rows: dict[str, Problem] = {}
    for number, row in enumerate(read(Problem, path), 1):
        check_problem(row, f"{path}, line {number}", need_solution)
        if row.id in rows:
            raise RecordError(f"{path}, line {number}: id {row.id!r} was used before; ids must be unique")
        rows[row.id] = row
    if not rows:
        raise RecordError(f"{path}: no problems; the file needs at least one row")
    return list(rows.values())


def check_problem(row: Problem, where: str, need_solution: bool) -> None:
    """Raise RecordError where a field that must hold text is empty, or holds what no text should."""
    for name in ("id", "problem", "answer", "solution"):
        text = getattr(row, name) or ""
        if not text.strip() and (name != "solution" or need_solution):
            raise RecordError(f"{where}: field {name!r} is empty or missing; give it text or drop the row")
        if why := flaw(text):
            raise RecordError(f"{where}: field {name!r} {why}; take it out or drop the row")


def flaw(text: str) -> str | None:
    """What makes a text unfit for a tokenizer or a file: NUL, or half of a surrogate pair (JSON's "\\ud800")."""
    if "\0" in text:
        return "holds a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds half of a surrogate pair, which is no character"
    return None


def write(path: str | Path, rows: Iterable[Any]) -> int:
    """Write dataclass rows as JSONL, atomically; returns how many."""
    count = 0
    with replacing(path) as file:
        for row in rows:
            file.write(dumps(row) + "\n")
            count += 1
    return count


def dumps(row: Any) -> str:
    """One row as one line of JSON, keys in the dataclass's order.

    Raises:
        RecordError: a number of it is NaN or infinity.
    """
    try:  # not asdict(row), which copies every token: four times slower than the JSON itself
        return _WRITER.encode(vars(row))
    except ValueError:
        where = f"{type(row).__name__} {getattr(row, 'id', '')!r}"
        raise RecordError(
            f"{where}: holds NaN or infinity; a model that gives such log-probabilities is broken"
        ) from None


def parse(cls: type[Row], line: str, where: str) -> Row:
    """One JSON line as a `cls` row, strictly; `where` opens the error's message.

    Raises:
        RecordError: not a JSON object, or a field that is unknown, missing or of the wrong type.
    """
    try:
        return adapter(cls).validate_json(line)
    except ValidationError as error:
        raise RecordError(f"{where}: {_fault(cls, error)}") from None


def _fault(cls: type, error: ValidationError) -> str:
    """The first thing wrong with a row, in words; an unknown field comes first, since it may explain a missing one."""
    first = min(error.errors(include_url=False), key=lambda item: item["type"] != "unexpected_keyword_argument")
    kind = first["type"]
    value = first["input"]
    name = first["loc"][0] if first["loc"] else ""
    if kind == "json_invalid":
        reason = first["ctx"]["error"]
        hint = ", half of a surrogate pair" if "hex escape" in reason else ""
        return f"not JSON ({reason}{hint}); each line must be one JSON object"
    if kind == "dataclass_type":
        return f"not a JSON object but {type(value).__name__}"
    if kind == "unexpected_keyword_argument":
        return f"unknown field {name!r}; {cls.__name__} has {', '.join(item.name for item in fields(cls))}"
    if kind == "missing":
        return f"field {name!r} is missing"
    if kind == "literal_error":
        return f"field {name!r} must be {first['ctx']['expected']}, not {str(value)[:60]!r}"
    return f"field {name!r} has the wrong type: {str(value)[:60]!r}"


def strict_json(text: str) -> Any:
    """JSON as the standard has it: without NaN and Infinity, which Python's reader lets pass.

    Raises:
        ValueError: not JSON, or a whole number of thousands of digits. RecursionError: too deeply nested.
    """
    return _READER.decode(text)


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


_READER = json.JSONDecoder(parse_constant=_no_number)
_WRITER = json.JSONEncoder(default=asdict, ensure_ascii=False, separators=(", ", ": "), allow_nan=False)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise RecordError(f"{path}, line {number}: not UTF-8 ({error.reason})") from None
    except FileNotFoundError:
        raise RecordError(f"{path}: no such file; `dvc repro` makes it") from None
    except OSError as error:
        raise RecordError(f"{path}: cannot be read ({error.strerror or error})") from None
