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
from typing import Any

from stages.lib.data.readers import Row, SourceError, rows, stem
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
    loaded = Loaded([])
    for place, row in rows(source):
        key = f"{source.name or stem(source.path)}-{place}"
        try:
            loaded.problems.append(_problem(key, row, mapping, mend, source.path, need_solution))
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
    return f"{source.path} (split {source.split}): no usable problem; {reason or 'it has no rows'}{hint}"


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
    value = next((row[name] for name in ("final_answer", "answer") if row.get(name) is not None), [])
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


_ANSWER = "answer|Answer|solution:box"
_NAMED: dict[str, tuple[Mapping, Mend]] = {
    "plain": (Mapping(), _as_is),
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
MAPPINGS = tuple(_NAMED)


def _mapping(source: Source) -> tuple[Mapping, Mend]:
    """The mapping named by the source, else the one suggested by its file or data set name, else the plain one."""
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


def _problem(key: str, row: Row, mapping: Mapping, mend: Mend, where: str, need_solution: bool) -> Problem:
    wanted = [mapping.problem, mapping.answer, *([mapping.solution] if mapping.solution and need_solution else [])]
    missing = next((spec for spec in wanted if _field(row, spec) is None), None)
    if missing is not None:
        raise SourceError(f"{where}: {key} has no field {missing!r}; it has {', '.join(row)} (see `mapping` in params)")
    text = _text(row[_field(row, mapping.problem)[0]])
    if row.get("context"):
        text = f"{_text(row['context'])}\n{text}"
    field = _field(row, mapping.solution or "")
    solution = _text(row[field[0]]) if field else None
    answer, solution = mend(row, _answer(row, *_field(row, mapping.answer)), solution)
    parts = {"problem": text, "answer": answer, "solution": solution}
    for part, value in parts.items():
        if not (value or "").strip() and (part != "solution" or need_solution):
            raise Unfit(f"no {part}")
        if value and (why := flaw(value)):
            raise Unfit(f"{part} {why}")
    return Problem(id=key, problem=text, answer=answer, solution=solution or None)


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
