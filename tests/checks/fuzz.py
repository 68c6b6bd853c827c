"""Fuzz what reads text from outside: the record reader, the verifier, the params reader, the sources reader with the
named mappings, and with mappings and slices of one's own.

    python -m tests.checks.fuzz --minutes 60 --json fuzz.json [--corpus folder of benchmark files]

Inputs are mutations of good ones (bytes changed, cut, doubled, swapped for what is known to hurt) and inventions of
hypothesis. What must come of each: rows, or an error of the kind that ends a stage with one line. Anything else is a
crash: the run stops and prints the shrunk input. tests/checks/test_fuzz.py runs the same checks for a minute, always
with the same inputs. The JSON: {"minutes": 60.0, "targets": {"records": 123, ...}, "crashes": 0}.
"""

import argparse
import json
import random
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from pyarrow import parquet

from stages.lib import records
from stages.lib.data import sources
from stages.lib.data.readers import sliced, split_of
from stages.lib.records import Evaluation, Merged, Problem, RecordError, Rollout, TrainingRow, Verdict
from stages.lib.run import params
from stages.lib.verifier.verify import Reason, Ruling, verify
from tests.verifier.test_cases import CASES

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = (Problem, Rollout, Verdict, Merged, TrainingRow, Evaluation)
LIMIT = 60.0  # seconds that one input may take, a machine at work on other things included: nothing hangs
ROUND = 300  # inputs per target and round

GOOD = [
    Problem(id="a-1", problem="1 + 2 = \u00fc", answer="3", solution="so \\boxed{3}"),
    Rollout(id="a-1", index=0, response="3", finish="stop", token_ids=[1, 2], logprobs=[-0.5, 0]),
    Verdict(id="a-1", index=0, correct=True, extracted="3", reason="equal"),
    Merged(
        id="a", source="self", index=1, samples=4, samples_correct=1, resolved=0, resolved_correct=0,
        expert_correct=True,
    ),
    TrainingRow(id="a", source="self", index=1, problem="p", answer="3", response="r", token_ids=[1], logprobs=None),
    Evaluation(
        benchmark="b", id="a", index=0, correct=False, extracted=None, canonical=None, reason="no_answer",
        finish="length",
        tokens=80,
        response="\\boxed{",
    ),
]  # fmt: skip
HURTS = [
    *(
        b"\x00",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\r\n",
        b"\n\n",
        b"\xe2\x80\xa8",
        b"\\ud800",
        b"\xed\xa0\x80",
        b"\\u0000",
    ),
    *(b"NaN", b"-Infinity", b"1e999", b"-1", b"null", b"true", b"1.0", b"9" * 5_000, b"[" * 3_000, b'{"a":' * 3_000),
    *(b'"', b"{}", b"[]", b"'", b"&a", b"*a", b"<<: ", b"!!python/object:os.system ", b"2026-13-45", b"12:99:99"),
    *(b"%", b"\\", b"\\boxed{", b"}", b"$", b"####", b"^{", b"\\frac", b"(", b"!!", b"\t", b": ", b"- ", b"|\n", b"? "),
    *("\N{ARABIC-INDIC DIGIT FIVE}\N{SUPERSCRIPT TWO}\N{VULGAR FRACTION ONE HALF}".encode(), b"0x_1", b"1_0", b".inf"),
]


# Inputs ---------------------------------------------------------------------------------------------------------------


@st.composite
def mutated(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """One of the seeds after some edits."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 6))):
        low, high = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
        new = draw(
            st.one_of(
                st.sampled_from([*HURTS, b""]),
                st.binary(max_size=4),
                st.just(data[low:high] * 2),
                st.sampled_from(seeds).map(lambda other, low=low: other[low : low + 40]),
            )
        )
        data = data[:low] + new + data[draw(st.sampled_from([low, min(low + 1, len(data)), high])) :]
    return data


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
TEXTS = st.text(st.characters(exclude_categories=()), max_size=6)  # halves of surrogate pairs, too
KEYS = [b"id", b"problem", b"question", b"answer", b"solution", b"final_answer", b"unit", b"context", b"index"]


@st.composite
def rows(draw: st.DrawFn) -> bytes:
    """Lines of JSON objects with the keys that the readers know, and values of any kind."""
    key = st.sampled_from([name.decode() for name in KEYS]) | st.text(max_size=4)
    found = draw(st.lists(st.dictionaries(key, JSON, max_size=8), max_size=3))
    return "\n".join(json.dumps(row, ensure_ascii=draw(st.booleans())) for row in found).encode(errors="surrogatepass")


@st.composite
def near_rows(draw: st.DrawFn) -> bytes:
    """A good row with a few values of another kind."""
    row = asdict(draw(st.sampled_from(GOOD)))
    for key in draw(st.lists(st.sampled_from(sorted(row)), min_size=1, max_size=3)):
        row[key] = draw(TEXTS | JSON | st.lists(JSON, max_size=2))
    return json.dumps(row).encode()


def answer_texts(seeds: list[str]) -> st.SearchStrategy[str]:
    pieces = st.lists(st.sampled_from(seeds + [item.decode("latin-1") for item in HURTS]), max_size=4).map("".join)
    edited = mutated([text.encode() for text in seeds]).map(lambda data: data.decode(errors="replace"))
    grammar = st.text(alphabet=r"0123456789xyzabe\{}()[]^_+-*/=<>,.;:!|&%$ '`~°π√∞½²", max_size=40)
    return pieces | edited | grammar | st.text(max_size=30)


@st.composite
def pairs(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> tuple[str, str]:
    """A response, mostly one with an answer in it, and a reference."""
    got = draw(texts)
    frame = draw(st.sampled_from([r"so \boxed{%s}.", "The answer is %s", "#### %s", r"\boxed{%s} or \boxed{2}", "%s"]))
    return frame.replace("%s", got), draw(texts)


@st.composite
def own_sources(draw: st.DrawFn) -> tuple[bytes, dict]:
    """Rows, and an entry of params.yaml that reads them: fields of one's own, and a slice."""
    names = st.sampled_from([name.decode() for name in KEYS]) | TEXTS
    spec = st.lists(st.builds("{}{}".format, names, st.sampled_from(["", ":box", ":####", ":", ":last"])), max_size=3)
    field = spec.map("|".join) | JSON
    mapping = draw(st.dictionaries(st.sampled_from(["problem", "answer", "solution", "x"]), field, max_size=4) | JSON)
    number = st.integers(-3, 6) | st.sampled_from(["", "x", "9" * 5_000, "10%", "\u0665"])
    name = st.sampled_from(["train", "test", "", "a b"]) | TEXTS
    form = st.sampled_from(["{}", "{}[{}:{}]", "{}[{}:{}", "{}[{}]", "{}[{}:{}:{}]"])
    split = draw(st.builds(str.format, form, name, number, number, number) | JSON)
    return draw(rows() | near_rows()), {"mapping": mapping, "split": split}


# Checks: what each input may lead to ----------------------------------------------------------------------------------


def check_records(data: bytes, folder: Path) -> None:
    """Rows of the schema, which can be written and read again; or a RecordError."""
    path = folder / "in.jsonl"
    path.write_bytes(data)
    for schema in SCHEMAS:
        with suppress(RecordError):
            for row in records.read(schema, path):
                line = records.dumps(row)
                assert records.dumps(records.parse(schema, line.encode().decode(), "again")) == line
        with suppress(RecordError):
            records.read_problems(path)


def check_answers(pair: tuple[str, str], folder: Path) -> None:
    """A verdict; correct exactly if its reason says so."""
    verdict = verify(*pair, timeout=2.0)
    assert isinstance(verdict, Ruling) and verdict.correct == (verdict.reason is Reason.equal)
    assert verdict.extracted is None or len(verdict.extracted) <= 1_000


def check_params(data: bytes, folder: Path) -> None:
    """Params, or a ParamsError in one line's worth of text."""
    path = folder / "params.yaml"
    path.write_bytes(data)
    try:
        assert isinstance(params.load(path), params.Params)
    except params.ParamsError as error:
        assert str(error).startswith(str(path)) and len(str(error)) < 2_000


def check_sources(data: bytes, folder: Path) -> None:
    """Problems that can be written, or a SourceError, as JSONL, JSON and parquet and under every mapping."""
    for suffix in ("parquet",) if data[:4] == b"PAR1" else ("jsonl", "json"):
        path = folder / f"in.{suffix}"
        path.write_bytes(data)
        for mapping in sources.NAMED:
            with suppress(sources.SourceError):
                for problem in sources.load(sources.Source(path=str(path), mapping=mapping)).problems:
                    assert problem.problem.strip() and problem.answer.strip()
                    records.dumps(problem).encode()


def check_mappings(given: tuple[bytes, dict], folder: Path) -> None:
    """Problems that can be written, of the slice alone; or an error that names the param or the source."""
    data, entry = given
    path = folder / "own.jsonl"
    path.write_bytes(data)
    with suppress(params.ParamsError, sources.SourceError):
        source = params.from_dict(sources.Source, {"path": str(path), **entry})
        for need_solution in (False, True):
            low, high = sliced(split_of(source))[1:]
            for problem in sources.load(source, need_solution=need_solution).problems:
                assert problem.problem.strip() and problem.answer.strip() and (problem.solution or not need_solution)
                assert low <= int(problem.id.rpartition("-")[2]) < (high or 10**9)
                records.dumps(problem).encode()


# Targets --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    inputs: st.SearchStrategy
    check: Callable[..., None]


def targets(corpus: list[bytes] | None = None) -> dict[str, Target]:
    """What is fuzzed, by name; `corpus`: lines of real benchmark files, mutated beside our own seeds."""
    lines = [records.dumps(row).encode() for row in GOOD]
    many = [*lines, b"\n".join(lines[:1] * 3), *(corpus or [])]
    texts = answer_texts(
        [*sorted({text for cases in CASES.values() for case in cases for text in case[:2]}), *in_rows(corpus or [])]
    )
    yaml = [re.sub(rb" +#.*", b"", (ROOT / name).read_bytes()) for name in ("params.yaml", "presets/ci.yaml")]
    return {
        "records": Target(mutated(many) | near_rows() | rows() | st.binary(max_size=60), check_records),
        "answers": Target(pairs(texts), check_answers),
        "params": Target(mutated(yaml) | line_edits(yaml[0]) | st.binary(max_size=60), check_params),
        "mappings": Target(own_sources(), check_mappings),
        "sources": Target(mutated([*many, as_parquet(lines[0])]) | near_rows() | rows(), check_sources),
    }


def in_rows(lines: list[bytes]) -> Iterator[str]:
    """The answers in lines of benchmark files."""
    for line in lines:
        row = json.loads(line)
        yield from (str(row[name]) for name in ("answer", "final_answer", "solution") if row.get(name))


@st.composite
def line_edits(draw: st.DrawFn, text: bytes) -> bytes:
    """The params with the values of a few keys replaced: valid YAML, mostly."""
    lines = text.split(b"\n")
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        value = draw(st.sampled_from(HURTS) | JSON.map(lambda value: json.dumps(value).encode()))
        lines[at] = lines[at].partition(b":")[0] + b": " + value
    return b"\n".join(lines)


def as_parquet(line: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.Table.from_pylist([json.loads(line)] * 3), sink)
    return sink.getvalue().to_pybytes()


@contextmanager
def tried(target: Target) -> Iterator[Callable[..., None]]:
    """The target's check with a folder to write to, and a limit of time."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))

    def check(data: object) -> None:
        started = time.monotonic()
        target.check(data, folder)
        assert time.monotonic() - started < LIMIT, "too slow"

    try:
        yield check
    finally:
        shutil.rmtree(folder)


def fuzz(target: Target, examples: int, number: int | None = None) -> int:
    """Try so many inputs, those of the seed `number` or the same ones each time; returns how many were tried."""
    count = 0
    with tried(target) as check:

        def one(data: object) -> None:
            nonlocal count
            count += 1
            check(data)

        fixed = settings(
            max_examples=examples,
            derandomize=number is None,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        test = fixed(given(target.inputs)(one))
        (test if number is None else seed(number)(test))()
    return count


def real(folder: Path) -> list[bytes]:
    """The first 40 lines of every JSONL file there."""
    return [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_bytes().splitlines()[:40]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--json", type=Path, required=True, help="where the counts go")
    parser.add_argument("--corpus", type=Path, help="a folder of JSONL files whose rows are mutated, too")
    arguments = parser.parse_args()
    corpus = real(arguments.corpus) if arguments.corpus else None
    started, counts, crashes = time.monotonic(), Counter(), 0
    chosen = targets(corpus)
    counts.update(dict.fromkeys(chosen, 0))
    try:
        while time.monotonic() - started < 60 * arguments.minutes:
            for name, target in chosen.items():
                counts[name] += fuzz(target, ROUND, random.randrange(2**32))
    except BaseException as error:
        crashes = 0 if isinstance(error, KeyboardInterrupt) else 1
        raise
    finally:
        minutes = round((time.monotonic() - started) / 60, 1)
        arguments.json.write_text(json.dumps({"minutes": minutes, "targets": counts, "crashes": crashes}) + "\n")
        print(f"{minutes} minutes, {dict(counts)}, {crashes} crashes")


if __name__ == "__main__":
    main()
