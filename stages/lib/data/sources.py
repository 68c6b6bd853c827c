r"""Reads problems into one schema, from a Hugging Face data set or from JSONL, JSON and parquet files.

    load(Source(path="AI-MO/NuminaMath-CoT", split="train[:1000]")).problems   ->  [Problem, ...]
    load(Source(path="benchmarks/math_oai.jsonl")).problems                    ->  mapping "math-500", known by its name
    load(Source(path="mine/*.parquet", mapping=Mapping(problem="text", answer="solution:box", solution="solution")))

A path is a file, a folder, a pattern with `*`, or the id of a data set on the Hugging Face hub. A slice of rows after
the split's name works for all of them ("train[:1000]", "[1000:2000]"). If the files of a folder are named by split
(test.jsonl, train-00000-of-00002.parquet, test/0.json), those of the split are read; otherwise all files are read.

A mapping names the fields of problem, answer and solution. The solution's field may be absent if no solution is needed.
Rows without a problem, an answer or a needed solution are left out and listed. A file whose content does not match its
suffix raises a SourceError.

The named mappings read the public copies of their data sets, whose fields have different names. They also know:
MATH-500 and Minerva: a percent sign after the solution's box makes the answer a percentage. OlympiadBench: lists, units
and contexts. AMC23: whole numbers stored as floats. GSM8K: calculator marks (`<<3*2=6>>`) are dropped, and the
answer after `####` is restated in a box at the end of the demonstration.
"""

import difflib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from stages.lib.data.readers import Row, SourceError, rows, split_of, stem
from stages.lib.records import Problem, flaw
from stages.lib.run.params import Mapping, Source
from stages.lib.verifier.extract import percent_behind_box, reference_text


class Unfit(Exception):
    """A row without a usable problem; the message says why."""


@dataclass(frozen=True)
class Loaded:
    """Problems, and (id, reason) of every row that was left out."""

    problems: list[Problem]
    left_out: list[tuple[str, str]] = field(default_factory=list)


def load(source: Source, n: int | None = None, need_solution: bool = False) -> Loaded:
    """The first `n` usable problems of a source; ids `name-0`, `name-1`, ... hold the row numbers.

    Raises:
        SourceError: no such file or data set, an unreadable format, or a field of the mapping is absent.
    """
    mapping, mend = _mapping(source)
    fields = _fields(mapping)
    loaded = Loaded([])
    for place, row in rows(source):
        key = f"{source.name or stem(source.path)}-{place}"
        try:
            loaded.problems.append(_problem(key, row, fields, mend, source.path, need_solution))
        except Unfit as why:
            loaded.left_out.append((key, str(why)))
        if len(loaded.problems) == n:
            break
    if not loaded.problems:
        raise SourceError(_nothing(source, loaded))
    return loaded


def _nothing(source: Source, loaded: Loaded) -> str:
    """The message for a source without usable problems: the first row's reason, and a hint at the mapping."""
    reason = f"{len(loaded.left_out)} rows left out, the first for: {loaded.left_out[0][1]}" if loaded.left_out else ""
    guessed = known(source.path) if source.mapping is None else None
    hint = f"; read as {guessed} for its name, `mapping: plain` reads other rows" if guessed else ""
    return f"{source.path} (split {split_of(source)}): no usable problem; {reason or 'it has no rows'}{hint}"


# Named mappings ------------------------------------------------------------------------------------------------------

Mend = Callable[[Row, str | None, str | None], tuple[str | None, str | None]]


def _percentage(row: Row, answer: str | None, solution: str | None) -> tuple[str | None, str | None]:
    """`\\boxed{10}\\%`: the answer is ten percent, even if the sign is outside the box."""
    if answer and solution and "%" not in answer and percent_behind_box(solution):
        return answer + r"\%", solution
    return answer, solution


def _grade_school(row: Row, answer: str | None, solution: str | None) -> tuple[str | None, str | None]:
    if solution is None or answer is None:
        return answer, solution
    text = re.sub(r"<<[^<>]*>>", "", solution)
    return answer.replace(",", ""), re.sub(r"\n?####[^\n]*\s*\Z", "", text) + f"\nThe answer is \\boxed{{{answer}}}."


def _olympiad(row: Row, answer: str | None, solution: str | None) -> tuple[str | None, str | None]:
    value = row.get("final_answer")
    if value is None:
        value = row.get("answer")
    parts = value if isinstance(value, list) else [value]
    answers = [str(part).replace("$", " ").strip().rstrip(".") for part in parts if part is not None]
    text = re.sub(r"\s{2,}", " ", ", ".join(answers))
    return (text + _unit(_text(row.get("unit")), text) or None), solution


def _unit(unit: str | None, answer: str) -> str:
    """OlympiadBench's unit in LaTeX after a single value; none after several values."""
    if not unit or "," in answer:
        return ""
    if unit in ("%", r"\%", r"^{\circ}"):
        return unit.replace("%", r"\%").replace(r"\\%", r"\%")
    name, power, exponent = unit.strip("$").partition("^")
    return rf" \text{{ {name}}}{power}{exponent}"


def _as_is(row: Row, answer: str | None, solution: str | None) -> tuple[str | None, str | None]:
    return answer, solution


PLAIN = Mapping(problem="problem|question", answer="answer", solution="solution")
"""What a mapping's keys are where it leaves them out."""

_ANSWER = "answer|Answer|solution:box"
NAMED: dict[str, tuple[Mapping, Mend]] = {
    "plain": (PLAIN, _as_is),
    "numinamath-cot": (Mapping(answer="solution:box"), _percentage),
    "gsm8k": (Mapping(answer="answer:####", solution="answer"), _grade_school),
    "math-500": (Mapping(answer=_ANSWER), _percentage),
    "minerva": (Mapping(answer=_ANSWER), _percentage),
    "olympiadbench": (Mapping(problem="question|problem", answer="final_answer|answer"), _olympiad),
    "aime24": (Mapping(problem="problem|question|Problem", answer=_ANSWER, solution="solution|Solution"), _as_is),
    "amc23": (Mapping(answer=_ANSWER), _as_is),
}
_NAMES = {  # part of a file's or data set's name (without - and _): mapping
    "numinamath": "numinamath-cot", "gsm8k": "gsm8k", "math500": "math-500", "mathoai": "math-500",
    "minerva": "minerva", "olympiadbench": "olympiadbench", "aime24": "aime24", "aime2024": "aime24",
    "amc23": "amc23",
}  # fmt: skip


def _mapping(source: Source) -> tuple[Mapping, Mend]:
    """The mapping named by the source, else the one suggested by its file or data set name, else the plain one."""
    if isinstance(source.mapping, Mapping):
        return source.mapping, _as_is
    if source.mapping is not None:
        if source.mapping not in NAMED:
            near = difflib.get_close_matches(source.mapping, NAMED, n=1, cutoff=0)[0]
            raise SourceError(f"{source.path}: unknown mapping {source.mapping!r}; did you mean {near!r}?")
        return NAMED[source.mapping]
    return NAMED[known(source.path) or "plain"]


class Fields(NamedTuple):
    """A mapping with nothing left out."""

    problem: str
    answer: str
    solution: str


def _fields(mapping: Mapping) -> Fields:
    given = ((getattr(mapping, name), getattr(PLAIN, name)) for name in Fields._fields)
    return Fields(*(default if value is None else value for value, default in given))


def known(path: str) -> str | None:
    """The named mapping that a file's or data set's name suggests."""
    plain = re.sub(r"[-_ ]", "", stem(path).lower())
    return next((name for part, name in _NAMES.items() if part in plain), None)


# One row -------------------------------------------------------------------------------------------------------------


def _problem(key: str, row: Row, fields: Fields, mend: Mend, where: str, need_solution: bool) -> Problem:
    asked = _field(row, fields.problem)
    answered = _field(row, fields.answer)
    solved = _field(row, fields.solution)
    if asked is None:
        raise _absent(fields.problem, key, row, where)
    if answered is None:
        raise _absent(fields.answer, key, row, where)
    if solved is None and fields.solution and need_solution:
        raise _absent(fields.solution, key, row, where)
    text = _text(row[asked[0]])
    if row.get("context"):
        text = f"{_text(row['context'])}\n{text}"
    solution = _text(row[solved[0]]) if solved else None
    answer, solution = mend(row, _answer(row, *answered), solution)
    return Problem(
        id=key,
        problem=_checked("problem", text),
        answer=_checked("answer", answer),
        solution=_checked("solution", solution, need_solution) or None,
    )


def _absent(spec: str, key: str, row: Row, where: str) -> SourceError:
    return SourceError(f"{where}: {key} has no field {spec!r}; it has {', '.join(row)} (see `mapping` in params)")


def _checked(part: str, value: str | None, needed: bool = True) -> str:
    """The text, or "" where none is needed.

    Raises:
        Unfit: it is missing or empty, or holds what no text should.
    """
    text = value or ""
    if needed and not text.strip():
        raise Unfit(f"no {part}")
    if why := flaw(text):
        raise Unfit(f"{part} {why}")
    return text


def _field(row: Row, spec: str) -> tuple[str, str] | None:
    """The first alternative of a mapping's field that the row has, and how to read it: ("solution", "box")."""
    found = [(name, how) for name, _, how in (part.partition(":") for part in spec.split("|")) if name in row]
    for _, how in found:
        if how not in ("", "box", "####"):
            raise SourceError(f"mapping.answer {spec!r}: behind the colon stands box or ####")
    return next((pair for pair in found if row[pair[0]] is not None), found[0] if found else None)


def _answer(row: Row, name: str, how: str) -> str | None:
    value = row[name]
    text = ", ".join(filter(None, map(_text, value))) if isinstance(value, list | tuple) else _text(value)
    if text is None or not how:
        return text
    if how == "####":
        return text.rpartition("####")[2].strip() if "####" in text else None
    return reference_text(text) if re.search(r"\\(?:boxed|fbox|framebox)", text) else None


def _text(value: Any) -> str | None:
    """A field as text: whole floats lose their .0, a list gives its first text, nan and infinity give None.

    Raises:
        Unfit: the field is no text, number or boolean.
    """
    if isinstance(value, list | tuple):
        return _text(value[0]) if value else None
    if value is None or isinstance(value, float) and not math.isfinite(value):
        return None
    if not isinstance(value, str | int | float):
        raise Unfit(f"a field is {type(value).__name__}, not text")
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
