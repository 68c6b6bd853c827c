r"""How fast and how right the verifier is, beside plain math-verify on the same pairs, in one run.

    python -m tests.benchmarks.answers FOLDER [pairs=600]     # prints reports/benchmarks/answers.md; ten minutes
    python -m tests.benchmarks.answers runaways               # time and peak memory of this process over the runaways

Speed: responses of some 200-800 tokens of worked mathematics that end in a box, a third of them wrong, 2 % nasty
(runaways that math-verify's own timeouts are meant for). Answers are those of the real benchmark files where they are
(see tests/data/test_sources.py), else of a list below.

Accuracy: the labelled cases of every JSONL file in FOLDER, one row each: {"pred", "gold", "expected"} and perhaps
{"question"}, or responses to one problem, {"code": [...], "answer", "score": [...], "question"}. Where no response of a
file has a box or a marker, its rows are extracted answers and are put into one. Prints Markdown: counts, never a row.

math-verify works in a child that is killed where it hangs: signals do not interrupt a power tower.
"""

import json
import multiprocessing
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from stages.lib.data.sources import Source, load
from stages.lib.verifier.verify import Pair, verify_all, versions
from tests.data.test_sources import HERE
from tests.verifier.test_limits import RUNAWAYS

OWN = (
    r"\frac{3}{4}", "12", "x^2+2x+1", "(1,2)", "[0,1)", r"\sqrt{2}+1", r"3\sqrt{5}", r"90^\circ", "2n+1", "12,345",
    r"\frac{\pi}{6}", r"1 \pm \sqrt{3}", "0.25", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"(-\infty,3)", "-7", "x=5",
    "1,2,3", r"\{1,2\}", "4.5e33", r"28\%", "C", "6-5i", "101_2", "1008", r"\text{east}",
)  # fmt: skip
NASTY = (r"2^{2^{2^{2^{2}}}}", r"(10!)!", r"\int_0^1 x^{x^{x}} dx", "+".join(rf"\sqrt{{{n}}}" for n in range(2, 120)))
SENTENCES = (
    "We first look at the case $n = {a}$, which gives $f({a}) = {b}$ by direct substitution.",
    r"Adding the two equations we get \[ {a}x + {b}y = {c}, \] and therefore $x = \frac{{{c}}}{{{a}}}$.",
    "There are {a} ways to choose the first and {b} ways to choose the second, hence {a} * {b} in all.",
    r"By the law of cosines $c^2 = {a}^2 + {b}^2 - 2 \cdot {a} \cdot {b} \cos\theta$.",
    "Since {c} is divisible by {a}, the remainder must be one of 0, 1, ..., {b}.",
    r"The sum is $\sum_{{k=1}}^{{{a}}} k = {b}$, as one checks by induction.",
    "Let us double-check: the perimeter is {a} + {b} + {c}, which fits the condition of the problem.",
)
HANG = 20.0  # seconds after which the child that runs math-verify is killed


def answers() -> list[str]:
    """References, the benchmarks weighted equally."""
    if HERE is None:
        return list(OWN)
    names = ("math_oai", "minerva_math", "olympiadbench", "amc23", "gsm8k")
    return [p.answer for name in names for p in load(Source(path=str(HERE / f"{name}.jsonl"), split="[:400]")).problems]


def mixture(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """(response, answer) pairs."""
    rng = random.Random(seed)
    pool = answers()
    return [_pair(rng, pool) for _ in range(count)]


def _pair(rng: random.Random, pool: list[str]) -> tuple[str, str]:
    answer = rng.choice(pool)
    draw = rng.random()
    got = answer if draw > 0.35 else rng.choice(NASTY) if draw < 0.02 else _wrong(rng, answer, pool)
    length, text = 4 * rng.randint(200, 800), ""
    while len(text) < length:
        numbers = {name: rng.randint(2, 99) for name in "abc"}
        text += rng.choice(SENTENCES).format(**numbers) + " "
    return text + f"So the answer is $\\boxed{{{got}}}$.", answer


def _wrong(rng: random.Random, answer: str, pool: list[str]) -> str:
    digits = [i for i, character in enumerate(answer) if character.isdigit()]
    if not digits or rng.random() < 0.3:
        return rng.choice(pool)
    at = rng.choice(digits)
    return answer[:at] + str((int(answer[at]) + rng.randint(1, 8)) % 10) + answer[at + 1 :]


def plain(pairs: list[tuple[str, str]]) -> tuple[list[bool | None], float]:
    """math-verify's verdicts (None: killed) and its seconds, the import not counted."""
    verdicts: list[bool | None] = []
    spent = 0.0
    child, pipe = _child()
    for pair in pairs:
        started = time.perf_counter()
        pipe.send(pair)
        verdicts.append(pipe.recv() if pipe.poll(HANG) else None)
        spent += time.perf_counter() - started
        if verdicts[-1] is None:
            child.kill()
            child, pipe = _child()
    child.kill()
    return verdicts, spent


def _child() -> "tuple[SpawnProcess, Connection[Any, Any]]":
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_serve, args=(theirs,), daemon=True)
    child.start()
    ours.recv()
    return child, ours


def _serve(pipe: "Connection[Any, Any]") -> None:
    import logging

    from math_verify import parse, verify

    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    verify(parse("$1+x$"), parse("$x+1$"))
    pipe.send("ready")
    while True:
        response, answer = pipe.recv()
        try:
            pipe.send(bool(verify(parse(f"${answer}$"), parse(response))))
        except Exception:
            pipe.send(False)


# Speed ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Timed:
    """Pairs of one kind, with the seconds that both verifiers took and on how many they differ."""

    name: str
    pairs: int
    ours: float
    theirs: float
    differ: int


def speed(count: int) -> list[Timed]:
    """The mild and the nasty pairs of a mixture, each by both."""
    pairs = mixture(count)
    nasty = [pair for pair in pairs if any(f"{{{text}}}" in pair[0] for text in NASTY)]
    mild = [pair for pair in pairs if pair not in nasty]
    return [raced(name, part) for name, part in (("mild", mild), ("nasty", nasty)) if part]


def raced(name: str, pairs: list[tuple[str, str]]) -> Timed:
    """Our seconds count the start of workers, theirs do not count the import."""
    started = time.perf_counter()
    ours = verify_all(pairs, workers=2)
    seconds = time.perf_counter() - started
    theirs, spent = plain(pairs)
    differ = sum(found.correct != bool(other) for found, other in zip(ours, theirs, strict=True))
    return Timed(name, len(pairs), seconds, spent, differ)


def speed_table(races: list[Timed]) -> Iterator[str]:
    yield "| pairs | | verify_all, two workers (s) | math-verify, one process (s) | ratio | verdicts that differ |"
    yield "| :-- | --: | --: | --: | --: | --: |"
    for race in races:
        ratio = race.theirs / race.ours
        yield f"| {race.name} | {race.pairs} | {race.ours:.2f} | {race.theirs:.1f} | {ratio:.0f} | {race.differ} |"


# Accuracy ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    response: str
    answer: str
    right: bool
    question: str | None


def cases(path: Path) -> list[Case]:
    """The labelled cases of one file."""
    found = [case for line in path.read_text().splitlines() if line.strip() for case in row_cases(json.loads(line))]
    if any(sign in case.response for case in found for sign in ("boxed", "nswer")):
        return found
    return [Case(rf"\boxed{{{case.response}}}", case.answer, case.right, case.question) for case in found]


def row_cases(row: dict[str, object]) -> Iterator[Case]:
    question = str(row["question"]) if row.get("question") else None
    if "pred" in row and "gold" in row:
        yield Case(str(row["pred"]), str(row["gold"]), bool(row["expected"]), question)
        return
    texts, labels = row["code"], row["score"]
    assert isinstance(texts, list) and isinstance(labels, list)
    for text, label in zip(texts, labels, strict=True):
        yield Case(text, str(row["answer"]), bool(label), question)


@dataclass(frozen=True)
class Score:
    """Of one verifier on one file: the share of verdicts that are the label, wrong acceptances, wrong rejections."""

    right: float
    false_positives: int
    false_negatives: int

    def __str__(self) -> str:
        return f"{self.right:.3f} | {self.false_positives} | {self.false_negatives}"


def score(found: list[Case], verdicts: list[bool]) -> Score:
    pairs = Counter((case.right, verdict) for case, verdict in zip(found, verdicts, strict=True))
    right = (pairs[True, True] + pairs[False, False]) / len(found)
    return Score(right, pairs[False, True], pairs[True, False])


def accuracy_table(folder: Path) -> Iterator[str]:
    """One line a file: ours with the question, ours without it, math-verify."""
    yield "| file | cases | ours | FP | FN | ours, no question | FP | FN | math-verify | FP | FN |"
    yield "| :-- " + "| --: " * 10 + "|"
    for path in sorted(folder.glob("*.jsonl")):
        found = cases(path)
        asked: list[Pair] = [(case.response, case.answer, case.question) for case in found]
        bare = [(case.response, case.answer) for case in found]
        ours = [[ruling.correct for ruling in verify_all(pairs, workers=2)] for pairs in (asked, bare)]
        theirs = [bool(verdict) for verdict in plain(bare)[0]]
        scores = " | ".join(str(score(found, verdicts)) for verdicts in (*ours, theirs))
        yield f"| {path.name} | {len(found)} | {scores} |"


# Read by hand: labels that are not followed, by file and reason. The tables count every label as it stands.
DISPUTED: dict[str, dict[str, int]] = {
    "hardverify_dev.jsonl": {
        "whose reference is corrupt": 6,
        "that allow some percent where the question asks for no rounding": 3,
        "that call two wordings of one condition different": 1,
    },
    "qwen_math_rollouts_800.jsonl": {"that call the reference's own value wrong (8 of them of one problem)": 9},
}


def disputed(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*.jsonl")):
        if reasons := DISPUTED.get(path.name):
            counted = "; ".join(f"{count} {reason}" for reason, count in reasons.items())
            yield f"- {path.name}: {counted}"


def report(folder: Path, count: int) -> Iterator[str]:
    """The lines of reports/benchmarks/answers.md."""
    names = ", ".join(f"{name} {version}" for name, version in versions().items())
    yield "# The verifier beside math-verify\n"
    yield "In the folder of the labelled files, called FOLDER here.\n"
    yield f"```bash\npython -m tests.benchmarks.answers FOLDER {count} > reports/benchmarks/answers.md\n```\n"
    yield f"With {names}. Both verifiers ran on the same pairs, one after the other, in one run.\n"
    yield "## Speed\n"
    yield from speed_table(speed(count))
    yield "\n## Accuracy\n"
    yield "The share of verdicts that are the label; FP: wrong acceptances, FN: wrong rejections.\n"
    yield from accuracy_table(folder)
    if lines := list(disputed(folder)):
        yield "\nLabels that we read as wrong, and that the table counts as they stand:\n"
        yield from lines


def runaways() -> None:
    """Every runaway, with time and this process's peak memory."""
    started = time.perf_counter()
    verdicts = verify_all([(rf"\boxed{{{text}}}", "5") for text in RUNAWAYS], workers=2)
    seconds = time.perf_counter() - started
    reasons = [verdict.reason.value for verdict in verdicts]
    counts = ", ".join(f"{reasons.count(reason)} {reason}" for reason in dict.fromkeys(reasons))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{len(verdicts)} runaways in {seconds:.1f} s ({counts}); peak {peak:.0f} MB, worker {children:.0f} MB")


if __name__ == "__main__":
    if sys.argv[1:] == ["runaways"]:
        runaways()
    else:
        for line in report(Path(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else 600):
            print(line, flush=True)
