"""Sources: formats, mappings and their quirks on rows of our own, and on the real benchmark files where they are."""

import json
import os
import random
import re
from itertools import combinations
from pathlib import Path

import pytest

from stages.lib.answers import verify, verify_all
from stages.lib.sources import Loaded, Mapping, Source, SourceError, load


def benchmarks() -> Path | None:
    """The folder of real files: $GUIDED_BENCHMARKS, else shared/benchmarks beside the repository or further up."""
    places = [Path(os.environ["GUIDED_BENCHMARKS"])] if "GUIDED_BENCHMARKS" in os.environ else []
    places += [parent / "shared" / "benchmarks" for parent in list(Path(__file__).resolve().parents)[2:]]
    return next((place for place in places if place.is_dir()), None)


HERE = benchmarks()
real = pytest.mark.skipif(HERE is None, reason="no real benchmark files: set GUIDED_BENCHMARKS to their folder")
PAIRS = int(os.environ.get("GUIDED_BENCHMARK_PAIRS", "8000"))  # of references a file that are held against each other
FILES = {
    "math_oai": 500,
    "minerva_math": 272,
    "olympiadbench": 675,
    "aime24": 30,
    "amc23": 40,
    "gsm8k": 1319,
}


def written(folder: Path, name: str, *rows: dict) -> str:
    file = folder / name
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return str(file)


def test_jsonl_json_and_parquet_give_the_same_problems(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [{"problem": f"{n}+1", "answer": str(n + 1), "solution": rf"\boxed{{{n + 1}}}"} for n in range(5)]
    written(tmp_path, "a.jsonl", *rows)
    (tmp_path / "a.json").write_text(json.dumps({"data": rows}))
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    loaded = [load(Source(path=str(tmp_path / f"a.{kind}"))) for kind in ("jsonl", "json", "parquet")]
    assert loaded[0] == loaded[1] == loaded[2]
    assert loaded[0].problems[3].id == "a-3"
    assert len(load(Source(path=str(tmp_path), mapping="plain")).problems) == 15
    assert len(load(Source(path=str(tmp_path / "*.json*"))).problems) == 10
    assert [p.answer for p in load(Source(path=str(tmp_path / "a.json"), rows="[1:3]")).problems] == ["2", "3"]


def test_a_mapping_of_ones_own(tmp_path: Path) -> None:
    path = written(tmp_path, "own.jsonl", {"text": "1+1", "work": r"two, \boxed{2}", "note": "so\n#### 2"})
    box = Mapping(problem="text", answer="work:box", solution="work")
    marks = Mapping(problem="text", answer="note:####", solution=None)
    assert load(Source(path=path, mapping=box)).problems[0].answer == "2"
    assert load(Source(path=path, mapping=marks, name="x")).problems[0].id == "x-0"


def test_rows_without_an_answer_are_listed(tmp_path: Path) -> None:
    rows = [{"problem": "prove it", "solution": "done"}, {"problem": "1+1", "solution": r"\boxed{2}"}]
    loaded = load(Source(path=written(tmp_path, "numinamath.jsonl", *rows)))
    assert [p.answer for p in loaded.problems] == ["2"]
    assert loaded.left_out == [("numinamath-0", "no answer")]


def test_quirks_of_the_named_mappings(tmp_path: Path) -> None:
    percent = written(tmp_path, "math500.jsonl", {"problem": "?", "answer": "10", "solution": r"$\boxed{10}\%$"})
    assert load(Source(path=percent)).problems[0].answer == r"10\%"
    school = {"question": "?", "answer": "9 * 2 = <<9*2=18>>18 eggs\n#### 1,018"}
    problem = load(Source(path=written(tmp_path, "gsm8k.jsonl", school))).problems[0]
    assert (problem.answer, problem.solution) == ("1018", "9 * 2 = 18 eggs\nThe answer is \\boxed{1,018}.")
    row = {"question": "?", "context": None, "solution": ["s"], "final_answer": ["$4$,$8$"], "unit": None}
    olympiad = [
        row,
        {**row, "final_answer": ["4.2"], "unit": "%"},
        {**row, "final_answer": ["$166$"], "unit": "$cm^2$"},
    ]
    answers = [p.answer for p in load(Source(path=written(tmp_path, "olympiadbench.jsonl", *olympiad))).problems]
    assert answers == ["4 , 8", r"4.2\%", r"166 \text{ cm}^2"]
    floats = written(tmp_path, "amc23.jsonl", {"problem": "?", "answer": 27.0}, {"problem": "?", "answer": -0.5})
    assert [p.answer for p in load(Source(path=floats)).problems] == ["27", "-0.5"]


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("a.jsonl", "{", {}, "line 1: not JSON"),
        ("a.jsonl", "[1]", {}, "not an object"),
        ("a.json", "3", {}, "no list of rows"),
        ("a.jsonl", '{"problem": "x"}', {}, "no field 'answer'; it has problem"),
        ("a.jsonl", '{"problem": "x", "answer": "", "solution": ""}', {}, "no usable problem"),
        ("a.jsonl", '{"problem": "x", "answer": "1", "solution": ""}', {"mapping": "gsm8"}, "did you mean 'gsm8k'"),
        ("a.jsonl", '{"problem": "x", "answer": "1", "solution": ""}', {"rows": "9"}, "is no slice"),
        ("a.parquet", "no", {}, "not readable as parquet"),
        ("b.txt", "x", {"path": "b.jsonl"}, "no such file"),
    ],
)
def test_errors_name_the_source_and_the_remedy(tmp_path: Path, name, content, options, message) -> None:
    (tmp_path / name).write_text(content)
    path = str(tmp_path / options.pop("path", name))
    with pytest.raises(SourceError, match=message):
        load(Source(path=path, **options))


def real_problems(name: str) -> Loaded:
    return load(Source(path=str(HERE / f"{name}.jsonl")))


@real
@pytest.mark.parametrize(("name", "expected"), FILES.items())
def test_real_references_equal_themselves(name: str, expected: int) -> None:
    loaded = real_problems(name)
    assert (len(loaded.problems), loaded.left_out) == (expected, [])
    boxed = [(rf"So $\boxed{{{p.answer}}}$.", p.answer) for p in loaded.problems]
    wrong = [pair for pair, verdict in zip(boxed, verify_all(boxed), strict=True) if not verdict.correct]
    assert not wrong


@real
@pytest.mark.parametrize("name", ["math_oai", "minerva_math", "aime24", "gsm8k"])
def test_real_solutions_hold_their_answers(name: str) -> None:
    pairs = [(p.solution, p.answer) for p in real_problems(name).problems]
    wrong = [pair for pair, verdict in zip(pairs, verify_all(pairs), strict=True) if not verdict.correct]
    assert not wrong


@real
def test_raw_answer_fields_verify_too() -> None:
    for line in (HERE / "math_oai.jsonl").read_text().splitlines():
        row = json.loads(line)
        assert verify(row["solution"], row["answer"]).correct, row["answer"]
    for line in (HERE / "gsm8k.jsonl").read_text().splitlines():
        row = json.loads(line)
        assert verify(row["answer"], row["answer"]).correct


DECORATION = re.compile(r"\\(?:text|mbox)\s*\{[^{}]*\}(?:\^\d)?|\^\{?\\circ\}?|\\[$!,]|[\s$]|^[a-z](?:\([a-z]\))?=|^\+")
FRACTION = re.compile(r"\\frac\s*(?:\{(\d+)\}|(\d))\s*(?:\{(\d+)\}|(\d))")


def values(answer: str) -> set[str]:
    """Crude spellings of an answer's value, found without the verifier: units and names off, fractions as a/b, lists in
    order; a percentage p% is p and p/100."""
    text = FRACTION.sub(lambda m: f"{m[1] or m[2]}/{m[3] or m[4]}", DECORATION.sub("", answer))
    text = re.sub(r"(?<=\d),(?=\d{3}$)", "", text).replace(r"\%", "%")
    text = ",".join(sorted(text.strip("()").split(",")))
    if text.endswith("%"):
        return {text[:-1], f"{float(text[:-1]) / 100:g}"}
    return {text}


@real
@pytest.mark.parametrize("name", [name for name in FILES if name != "gsm8k"])
def test_no_real_reference_equals_another_value(name: str) -> None:
    answers = list(dict.fromkeys(p.answer for p in real_problems(name).problems))
    pairs = list(combinations(answers, 2))
    pairs = random.Random(0).sample(pairs, min(len(pairs), PAIRS))
    verdicts = verify_all([(rf"\boxed{{{left}}}", right) for left, right in pairs])
    equal = [pair for pair, verdict in zip(pairs, verdicts, strict=True) if verdict.correct]
    assert [pair for pair in equal if not values(pair[0]) & values(pair[1])] == []
