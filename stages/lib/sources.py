r"""Problems from anywhere in one schema: a Hugging Face data set, or JSONL, JSON and parquet files.

    load(Source(path="AI-MO/NuminaMath-CoT", split="train[:1000]")).problems   ->  [Problem, ...]
    load(Source(path="benchmarks/math_oai.jsonl")).problems                    ->  mapping "math-500", known by its name
    load(Source(path="mine/*.parquet", mapping=Mapping(problem="text", answer="solution:box", solution="solution")))

A mapping says which fields hold what. Its answer is a field, or `field:box` (the last box in that field's text), or
`field:####` (what follows the last `####`). Rows without a problem or an answer are left out and listed, not hidden.

What the named mappings know beyond field names: an answer whose solution puts a percent sign behind the box is a
percentage (MATH-500, Minerva); OlympiadBench's lists, units and contexts; whole numbers stored as floats (AMC23);
GSM8K's calculator marks (`<<3*2=6>>`), which are dropped, and its `#### 18`, which a demonstration states in a box.
"""

import difflib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stages.lib.answer_extraction import percent_behind_box, reference_text
from stages.lib.errors import StageError
from stages.lib.records import Problem


class SourceError(StageError):
    """A source cannot be read; the message names it and the remedy."""


@dataclass(frozen=True, kw_only=True)
class Mapping:
    """Where a row keeps what; several names for the problem, separated by "|", are tried in order."""

    problem: str = "problem|question"
    answer: str = "answer"
    solution: str | None = "solution"


@dataclass(frozen=True, kw_only=True)
class Source:
    """path: a file, a folder, a pattern with `*`, or else the id of a data set on the Hugging Face hub; split, revision
    and subset (configuration) belong to the hub; rows: a slice such as "[:1000]" (of a hub's split too); name: what
    the problems' ids begin with, by default the file's or data set's name."""

    path: str
    mapping: Mapping | str | None = None
    split: str = "train"
    revision: str | None = None
    subset: str | None = None
    rows: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class Loaded:
    """left_out: (place, why) of every row that gave no problem."""

    problems: list[Problem]
    left_out: list[tuple[str, str]] = field(default_factory=list)


def load(source: Source) -> Loaded:
    """All problems of a source, with ids `name-0`, `name-1`, ... by the place of their rows.

    Raises:
        SourceError: no such file or data set, not in a readable format, or fields that the mapping names are absent.
    """
    mapping, mend = _mapping(source)
    loaded = Loaded([])
    for place, row in _sliced(_rows(source), source.rows):
        key = f"{source.name or stem(source.path)}-{place}"
        problem, why = _problem(key, row, mapping, mend, source.path)
        if problem is None:
            loaded.left_out.append((key, why))
        else:
            loaded.problems.append(problem)
    if not loaded.problems:
        raise SourceError(f"{source.path}: no usable problem ({len(loaded.left_out)} rows left out)")
    return loaded


# Named mappings ------------------------------------------------------------------------------------------------------

Row = dict[str, Any]
Mend = Callable[[Row, str | None, str | None], tuple[str | None, str | None]]


def _percentage(row: Row, answer: str | None, solution: str | None) -> tuple[str | None, str | None]:
    """`\\boxed{10}\\%`: the answer is ten percent, wherever the sign stands."""
    if answer and solution and "%" not in answer and percent_behind_box(solution):
        return answer + r"\%", solution
    return answer, solution


def _grade_school(row: Row, answer: str | None, solution: str | None) -> tuple[str | None, str | None]:
    if solution is None or answer is None:
        return answer, solution
    text = re.sub(r"<<[^<>]*>>", "", solution)
    return answer.replace(",", ""), re.sub(r"\n?####[^\n]*\s*\Z", "", text) + f"\nThe answer is \\boxed{{{answer}}}."


def _olympiad(row: Row, answer: str | None, solution: str | None) -> tuple[str | None, str | None]:
    answers = [str(part).replace("$", " ").strip().rstrip(".") for part in row["final_answer"] or []]
    text = re.sub(r"\s{2,}", " ", ", ".join(answers))
    return (text + _unit(row.get("unit"), text) or None), solution


def _unit(unit: str | None, answer: str) -> str:
    """OlympiadBench's unit in LaTeX behind a single value; several values keep none."""
    if not unit or "," in answer:
        return ""
    if unit in ("%", r"\%", r"^{\circ}"):
        return unit.replace("%", r"\%").replace(r"\\%", r"\%")
    name, power, exponent = unit.strip("$").partition("^")
    return rf" \text{{ {name}}}{power}{exponent}"


def _as_is(row: Row, answer: str | None, solution: str | None) -> tuple[str | None, str | None]:
    return answer, solution


_NAMED: dict[str, tuple[Mapping, Mend]] = {
    "plain": (Mapping(), _as_is),
    "numinamath-cot": (Mapping(answer="solution:box"), _percentage),
    "gsm8k": (Mapping(answer="answer:####", solution="answer"), _grade_school),
    "math-500": (Mapping(), _percentage),
    "minerva": (Mapping(answer="solution:box"), _percentage),
    "olympiadbench": (Mapping(problem="question", answer="final_answer"), _olympiad),
    "aime24": (Mapping(), _as_is),
    "amc23": (Mapping(solution=None), _as_is),
}
_NAMES = {  # what occurs in a file's or data set's name, without - and _
    "numinamath": "numinamath-cot", "gsm8k": "gsm8k", "math500": "math-500", "mathoai": "math-500",
    "minerva": "minerva", "olympiadbench": "olympiadbench", "aime24": "aime24", "aime2024": "aime24",
    "amc23": "amc23",
}  # fmt: skip
MAPPINGS = tuple(_NAMED)


def _mapping(source: Source) -> tuple[Mapping, Mend]:
    """The mapping that the source names, or that its file's or data set's name suggests, or the plain one."""
    if isinstance(source.mapping, Mapping):
        return source.mapping, _as_is
    if source.mapping is not None:
        if source.mapping not in _NAMED:
            near = difflib.get_close_matches(source.mapping, _NAMED, n=1, cutoff=0)[0]
            raise SourceError(f"{source.path}: unknown mapping {source.mapping!r}; did you mean {near!r}?")
        return _NAMED[source.mapping]
    return _NAMED[known(source.path) or "plain"]


def known(path: str) -> str | None:
    """The named mapping that a file's or data set's name suggests."""
    plain = re.sub(r"[-_ ]", "", stem(path).lower())
    return next((name for part, name in _NAMES.items() if part in plain), None)


# One row -------------------------------------------------------------------------------------------------------------


def _problem(key: str, row: Row, mapping: Mapping, mend: Mend, where: str) -> tuple[Problem | None, str]:
    name = next((n for n in mapping.problem.split("|") if n in row), None)
    missing = mapping.problem if name is None else _missing(row, mapping)
    if missing:
        raise SourceError(f"{where}: {key} has no field {missing!r}; it has {', '.join(row)}")
    text = _text(row[name])
    if row.get("context"):
        text = f"{_text(row['context'])}\n{text}"
    solution = _text(row[mapping.solution]) if mapping.solution else None
    answer, solution = mend(row, _answer(row, mapping.answer), solution)
    if not (text or "").strip():
        return None, "no problem text"
    if not (answer or "").strip():
        return None, "no answer"
    return Problem(id=key, problem=text, answer=answer, solution=solution or None), ""


def _missing(row: Row, mapping: Mapping) -> str | None:
    names = [mapping.answer.partition(":")[0], *([mapping.solution] if mapping.solution else [])]
    return next((name for name in names if name not in row), None)


def _answer(row: Row, spec: str) -> str | None:
    name, _, how = spec.partition(":")
    text = _text(row[name])
    if text is None or not how:
        return text
    if how == "####":
        return text.rpartition("####")[2].strip() if "####" in text else None
    if how != "box":
        raise SourceError(f"answer {spec!r}: after the colon stands box or ####")
    return reference_text(text) if re.search(r"\\(?:boxed|fbox|framebox)", text) else None


def _text(value: Any) -> str | None:
    """A field as text: whole floats without their .0, the first of several texts."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return _text(value[0]) if value else None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


# Rows of files and data sets -----------------------------------------------------------------------------------------


def stem(path: str) -> str:
    """The name of a source: its file's, folder's or data set's."""
    name = path.rstrip("/").rpartition("/")[2]
    return re.sub(r"\.(?:jsonl|json|parquet)$", "", name).strip("*") or path.rstrip("/*").rpartition("/")[2]


def _rows(source: Source) -> Iterator[Row]:
    files = _files(source.path)
    if files is None:
        yield from _from_hub(source)
    for file in files or ():
        yield from _READERS[file.suffix](file)


def _files(path: str) -> list[Path] | None:
    """The files of a local source, in order; None if it names a data set on the hub."""
    root = Path(path)
    if root.is_file() and root.suffix in _READERS:
        return [root]
    if root.is_dir():
        found = [file for file in sorted(root.rglob("*")) if file.suffix in _READERS]
    elif "*" in path or "?" in path:
        fixed = Path(path).anchor or "."
        found = [file for file in sorted(Path(fixed).glob(path.removeprefix(fixed))) if file.suffix in _READERS]
    elif root.suffix in _READERS or path.count("/") != 1 or path.startswith((".", "/", "~")) or root.exists():
        raise SourceError(f"{path}: no such file; a source is a JSONL, JSON or parquet file, a folder, or a hub id")
    else:
        return None
    if not found:
        raise SourceError(f"{path}: no JSONL, JSON or parquet file there")
    return found


def _from_hub(source: Source) -> Iterator[Row]:
    import datasets

    try:
        yield from datasets.load_dataset(
            source.path, source.subset, split=source.split, revision=source.revision, trust_remote_code=False
        )
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        reason = " ".join(str(error).split())[:300]
        raise SourceError(f"{source.path} (split {source.split}): cannot be loaded from the hub: {reason}") from None


def _sliced(rows: Iterator[Row], text: str | None) -> Iterator[tuple[int, Row]]:
    match = re.fullmatch(r"\[(\d*):(\d*)\]", text or "[:]")
    if not match:
        raise SourceError(f"rows {text!r} is no slice such as [:1000] or [1000:2000]")
    low, high = int(match[1] or 0), int(match[2]) if match[2] else None
    for place, row in enumerate(rows):
        if high is not None and place >= high:
            return
        if place >= low:
            yield place, row


def _jsonl(file: Path) -> Iterator[Row]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _row(_json(line, f"{file}, line {number}"), f"{file}, line {number}")


def _json_rows(file: Path) -> Iterator[Row]:
    value = _json(file.read_bytes(), str(file))
    if isinstance(value, dict):
        value = next((part for part in value.values() if isinstance(part, list)), None)
    if not isinstance(value, list):
        raise SourceError(f"{file}: no list of rows, nor an object that holds one")
    for number, row in enumerate(value):
        yield _row(row, f"{file}, row {number}")


def _parquet(file: Path) -> Iterator[Row]:
    from pyarrow import ArrowException, parquet

    try:
        for batch in parquet.ParquetFile(file).iter_batches(1_000):
            yield from batch.to_pylist()
    except ArrowException as error:
        raise SourceError(f"{file}: not readable as parquet ({error})") from None


def _json(data: bytes, where: str) -> Any:
    try:
        return json.loads(data.decode("utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise SourceError(f"{where}: not JSON in UTF-8 ({error})") from None


def _row(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        raise SourceError(f"{where}: not an object but {type(value).__name__}")
    return value


_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _jsonl,
    ".json": _json_rows,
    ".parquet": _parquet,
}
