"""Sources: formats, mappings and their quirks on rows of our own, and on the real benchmark files where they are."""

import json
import os
import random
import re
from itertools import combinations
from pathlib import Path

import pytest

from stages.lib.data import readers
from stages.lib.data.readers import SourceError
from stages.lib.data.sources import Loaded, known, load
from stages.lib.run.params import Mapping, Source
from stages.lib.verifier.verify import verify, verify_all


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
    assert [p.answer for p in load(Source(path=str(tmp_path / "a.json"), split="train[1:3]")).problems] == ["2", "3"]


def test_a_mapping_of_ones_own(tmp_path: Path) -> None:
    path = written(tmp_path, "own.jsonl", {"text": "1+1", "work": r"two, \boxed{2}", "note": "so\n#### 2"})
    box = Mapping(problem="text", answer="work:box", solution="work")
    marks = Mapping(problem="text", answer="note:####", solution="")
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


S = r"so \boxed{7}"
COPIES = {  # the fields of public copies, as their pages on the hub list them
    "AI-MO/NuminaMath-CoT": {"source": "s", "problem": "?", "solution": S, "messages": []},
    "openai/gsm8k": {"question": "?", "answer": "so\n#### 7"},
    "HuggingFaceH4/MATH-500": {"problem": "?", "solution": S, "answer": "7", "subject": "a", "unique_id": "u"},
    "math-ai/minervamath": {"question": "?", "answer": "7"},
    "svc-huggingface/minerva-math": {"problem": "?", "solution": S, "type": "t", "idx": 0},
    "Hothan/OlympiadBench": {"id": 1, "question": "?", "solution": ["s"], "final_answer": ["7"], "context": None,
                             "image_1": None, "modality": "Text-only", "unit": None, "is_multiple_answer": False},
    "math-ai/olympiadbench": {"question": "?", "solution": ["s"], "final_answer": ["7"], "context": None, "unit": None},
    "zwhe99/simplerl-OlympiadBench": {"question": "?", "answer": "7"},
    "HuggingFaceH4/aime_2024": {"id": 60, "problem": "?", "solution": "s", "answer": "7", "url": "u", "year": "2024"},
    "Maxwell-Jia/AIME_2024": {"ID": "2024-II-4", "Problem": "?", "Solution": "s", "Answer": 7},
    "math-ai/aime24": {"id": 60, "problem": "?", "solution": r"\boxed{7}", "url": "u"},
    "math-ai/amc23": {"id": 0, "question": "?", "answer": 7.0, "url": "u"},
    "zwhe99/amc23": {"id": 0, "question": "?", "answer": "7", "solution": None},
}  # fmt: skip


@pytest.mark.parametrize("path", COPIES)
def test_public_copies_need_no_further_words(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known by their names, whatever their fields are called; datasets' own loading is left out."""
    monkeypatch.setattr("datasets.load_dataset", lambda *_, **__: [COPIES[path]])
    [problem] = load(Source(path=path)).problems
    assert (problem.problem, problem.answer) == ("?", "7")
    assert known(path) not in (None, "plain")


def test_of_several_names_the_first_with_a_value_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", {"q": "a", "p": None, "y": "1"}, {"q": "a", "p": "b", "x": "2", "y": "1"})
    problems = load(Source(path=path, mapping=Mapping(problem="p|q", answer="x|y", solution="w"))).problems
    assert [(p.problem, p.answer, p.solution) for p in problems] == [("a", "1", None), ("b", "2", None)]
    with pytest.raises(SourceError, match="has no field 'w'; it has q, p, y"):
        load(Source(path=path, mapping=Mapping(problem="p|q", answer="x|y", solution="w")), need_solution=True)
    with pytest.raises(SourceError, match=r"has no field 'z\|v:box'; it has q, p, y"):
        load(Source(path=path, mapping=Mapping(problem="q", answer="z|v:box")))


def test_a_slice_of_a_hub_data_set_needs_the_splits_name() -> None:
    with pytest.raises(SourceError, match=r"needs its split's name before the slice: train\[:10\], or test\[:10\]"):
        load(Source(path="openai/gsm8k", split="[:10]"))


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("a.jsonl", "{", {}, "line 1: not JSON"),
        ("a.jsonl", "[1]", {}, "not an object"),
        ("a.json", "3", {}, "no list of rows"),
        ("a.jsonl", '{"problem": "x"}', {}, "no field 'answer'; it has problem"),
        ("a.jsonl", '{"problem": "x", "answer": "", "solution": ""}', {}, "no usable problem"),
        ("a.jsonl", '{"problem": "x", "answer": "1", "solution": ""}', {"mapping": "gsm8"}, "did you mean 'gsm8k'"),
        ("a.jsonl", '{"problem": "x", "answer": "1", "solution": ""}', {"split": "train[9]"}, "no slice"),
        ("a.jsonl", '{"problem": "x", "answer": "1", "solution": ""}', {"split": "train[:10%]"}, "no slice"),
        ("a.jsonl", '{"problem": "x", "answer": "1", "solution": ""}', {"split": "[5:]"}, "it has no rows"),
        ("a.jsonl", '{"problem": "x", "answer": "1", "solution": ""}', {"split": f"[:{10**20}]"}, "no slice"),
        ("a.jsonl", '{"problem": "x", "answer": "1"}', {"mapping": Mapping(problem="")}, "no field ''; it has problem"),
        (
            "a.jsonl",
            '{"problem": "x", "answer": "1", "solution": ""}',
            {"mapping": Mapping(answer="answer:bx")},
            "'answer:bx': behind the colon stands box or ####",
        ),
        ("gsm8k.jsonl", '{"problem": "x", "answer": "1"}', {}, "no answer; read as gsm8k for its name, `mapping: pl"),
        ("a.jsonl", '{"problem": "x", "answer": NaN, "solution": ""}', {}, "line 1: not JSON.*NaN is no JSON number"),
        ("a.jsonl", '{"problem": "x", "answer": ' + "9" * 5000 + "}", {}, "line 1: not JSON"),
        ("a.jsonl", '{"problem": ' + "[" * 10**6, {}, "line 1: not JSON"),
        ("a.json", '[{"problem": "x", "answer": "1", "solution": ""}, 3]', {}, "row 1: not an object but int"),
        ("a.jsonl", "", {}, "no usable problem; it has no rows"),
        ("a.json", "", {}, "not JSON"),
        ("a.parquet", "no", {}, "not readable as parquet"),
        ("b.txt", "x", {"path": "b.jsonl"}, "no such file"),
    ],
)
def test_errors_name_the_source_and_the_remedy(tmp_path: Path, name, content, options, message) -> None:
    (tmp_path / name).write_text(content)
    path = str(tmp_path / options.pop("path", name))
    with pytest.raises(SourceError, match=message):
        load(Source(path=path, **options))


def test_a_slice_keeps_the_places_of_the_rows(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", *({"problem": f"{n}?", "answer": n, "solution": None} for n in range(9)))
    whole = load(Source(path=path)).problems
    for split in ("train[2:5]", "[2:5]", "test[2:5]"):
        assert load(Source(path=path, split=split)).problems == whole[2:5]
    assert load(Source(path=path, split="[:4]"), n=2).problems == whole[:2]
    assert load(Source(path=path, split="[7:]")).problems == whole[7:]


ROW = {"problem": "1 + 1", "answer": "2", "solution": "2"}


def test_a_folder_of_other_splits_is_no_training_set(tmp_path: Path) -> None:
    written(tmp_path, "test.jsonl", ROW)
    with pytest.raises(SourceError, match=r"no JSONL, JSON or parquet file there \(of split 'train'"):
        load(Source(path=str(tmp_path), split="train"))


@pytest.mark.parametrize("pattern", ["./d/*.jsonl", "d/*.jsonl", "../d/*.jsonl"])
def test_patterns_are_relative_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    for place in ("d", "x/d"):
        (tmp_path / place).mkdir(parents=True)
    written(tmp_path / "d", "a.jsonl", ROW)
    written(tmp_path / "x/d", "b.jsonl", ROW, ROW)
    monkeypatch.chdir(tmp_path / "x" if pattern.startswith("..") else tmp_path)
    assert len(load(Source(path=pattern)).problems) == 1


def test_of_a_folder_named_by_split_the_split_is_read(tmp_path: Path) -> None:
    row = lambda text: {"problem": text, "answer": "1", "solution": None}  # noqa: E731
    for name in ("train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl", "test.jsonl", "contest.jsonl"):
        written(tmp_path, name, row(name))
    texts = lambda split: [p.problem[:5] for p in load(Source(path=str(tmp_path), split=split)).problems]  # noqa: E731
    assert texts("train") == ["train", "train"] and texts("test") == ["test."] and texts("[1:2]") == ["test."]
    assert len(texts("all")) == 4, "no file is named so: all are read"


def test_only_as_many_rows_are_read_as_are_asked_for(tmp_path: Path) -> None:
    rows = [{"problem": "a", "answer": "", "solution": "s"}, *({"problem": "b", "answer": "1", "solution": "s"},) * 3]
    loaded = load(Source(path=written(tmp_path, "a.jsonl", *rows)), n=2)
    assert [p.id for p in loaded.problems] == ["a-1", "a-2"] and loaded.left_out == [("a-0", "no answer")]


def test_unfit_rows_are_left_out_and_say_why(tmp_path: Path) -> None:
    good = {"problem": "p", "answer": "1", "solution": "s"}
    odd = [
        ({"problem": ""}, "no problem"),
        ({"answer": None}, "no answer"),
        ({"answer": {"value": 1}}, "a field is dict, not text"),
        ({"problem": "a\0b"}, "problem holds a NUL character"),
        ({"solution": "\ud800"}, "solution holds half of a surrogate pair, which is no character"),
        ({"solution": ""}, "no solution"),
    ]
    path = written(tmp_path, "a.jsonl", good, *({**good, **change} for change, _ in odd))
    loaded = load(Source(path=path), need_solution=True)
    assert loaded.left_out == [(f"a-{place}", why) for place, (_, why) in enumerate(odd, 1)]
    assert len(loaded.problems) == 1


def test_mixed_types_in_a_column(tmp_path: Path) -> None:
    answers = [7, 7.0, 0.5, "7", True, [1, 2.0], 1e999]
    rows = [{"problem": "p", "answer": answer, "solution": None} for answer in answers]
    text = "\n".join(json.dumps(row).replace("Infinity", "1e999") for row in rows)
    (tmp_path / "a.jsonl").write_text(text)
    loaded = load(Source(path=str(tmp_path / "a.jsonl")))
    assert [p.answer for p in loaded.problems] == ["7", "7", "0.5", "7", "True", "1, 2"]
    assert loaded.left_out == [("a-6", "no answer")], "infinity is no value"


def test_columns_of_parquet(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {"a": pyarrow.array([1.0, float("nan"), float("inf"), None]), "b": pyarrow.array([b"1", b"2", None, b""])}
    texts = pyarrow.array(["w", "x", "y", "z"])
    for name, column in columns.items():
        parquet.write_table(pyarrow.table({"problem": texts, "answer": column}), tmp_path / f"{name}.parquet")
    loaded = load(Source(path=str(tmp_path / "a.parquet"), mapping=Mapping(solution="")))
    assert [p.answer for p in loaded.problems] == ["1"] and len(loaded.left_out) == 3
    with pytest.raises(SourceError, match="4 rows left out, the first for: a field is bytes, not text"):
        load(Source(path=str(tmp_path / "b.parquet"), mapping=Mapping(solution="")))
    ends, latin = pyarrow.py_buffer(bytes((0, 0, 0, 0, 1, 0, 0, 0))), pyarrow.py_buffer(b"\xff")
    broken = pyarrow.Array.from_buffers(pyarrow.string(), 1, [None, ends, latin])
    parquet.write_table(pyarrow.table({"problem": broken, "answer": texts[:1]}), tmp_path / "c.parquet")
    with pytest.raises(SourceError, match=r"c\.parquet: not readable as parquet"):
        load(Source(path=str(tmp_path / "c.parquet"), mapping=Mapping(solution="")))


def test_bytes_of_real_files(tmp_path: Path) -> None:
    row = json.dumps({"problem": "p" * 10**7, "answer": "1", "solution": None}).encode()
    (tmp_path / "long.jsonl").write_bytes(b"\xef\xbb\xbf" + row + b"\r\n\r\n" + row)
    assert [len(p.problem) for p in load(Source(path=str(tmp_path / "long.jsonl"))).problems] == [10**7] * 2
    (tmp_path / "latin.jsonl").write_bytes('{"problem": "é"}'.encode("latin-1"))
    with pytest.raises(SourceError, match="line 1: not JSON in UTF-8"):
        load(Source(path=str(tmp_path / "latin.jsonl")))


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet"])
def test_files_that_cannot_be_read(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow.parquet")
    (tmp_path / f"a.{kind}").mkdir()
    with pytest.raises(SourceError, match="no JSONL, JSON or parquet file there"):
        load(Source(path=str(tmp_path / f"a.{kind}")))
    file = tmp_path / f"b.{kind}"
    file.write_text("{}")
    file.chmod(0)
    if os.access(file, os.R_OK):  # root may read all
        pytest.skip("permissions do not bind this user")
    with pytest.raises(SourceError, match="cannot be read"):
        load(Source(path=str(file)))


# The hub: `datasets` reads a folder of files as it reads a data set on the hub ---------------------------------------


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of a data set of two configurations and two splits; the cache of `datasets` lies beside it."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "owner" / "sums"
    folder.mkdir(parents=True)
    row = lambda i: {"question": f"{i}?", "answer": f"so\n#### {i}"}  # noqa: E731
    written(folder, "a.jsonl", *map(row, range(6)))
    written(folder, "b.jsonl", *map(row, range(10, 12)))
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: main\n  data_files:\n  - {split: train, path: a.jsonl}\n"
        "  - {split: test, path: b.jsonl}\n- config_name: hard\n  data_files: b.jsonl\n---\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(readers, "_files", lambda path, split: None)  # the folder is there: read it as the hub's
    return "owner/sums"


def test_hub_splits_subsets_and_slices(published: str) -> None:
    def answers(**options: str) -> list[tuple[str, str]]:
        return [(p.id, p.answer) for p in load(Source(path=published, mapping="gsm8k", **options)).problems]

    assert answers(split="train[2:4]", subset="main") == [("sums-2", "2"), ("sums-3", "3")]
    assert answers(split="test", subset="main") == [("sums-0", "10"), ("sums-1", "11")]
    assert answers(split="train[1:]", subset="hard") == [("sums-1", "11")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subset": "main", "split": "dev"}, r"\(split dev\): cannot be loaded from the hub: .*dev"),
        ({"split": "train"}, "cannot be loaded from the hub: Config name is missing.*main.*hard"),
        ({"subset": "soft", "split": "train"}, "cannot be loaded from the hub: .*soft.*not found"),
        ({"subset": "main", "split": "train[1]"}, "no slice of rows"),
    ],
)
def test_hub_errors_name_what_is_there(published: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        load(Source(path=published, **options))


def test_the_hub_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SourceError, match=r"no-one/nothing .* cannot be loaded from the hub: .*name a local file"):
        load(Source(path="no-one/nothing"))


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
