r"""How fast the verifier is: `verify_all` on two workers against plain math-verify in one process, on the same pairs.

    python -m tests.benchmarks.answers [pairs=600]     # minutes: nearly all of them are math-verify's
    python -m tests.benchmarks.answers runaways        # time and peak memory of this process over the runaways

Responses of some 200-800 tokens of worked mathematics that end in a box, a third of them wrong, 2 % nasty (runaways
that math-verify's own timeouts are meant for). Answers are those of the real benchmark files where they are (see
tests/data/test_sources.py), else of a list below. Prints seconds, the ratio, and every pair with differing verdicts.
math-verify works in a child that is killed where it hangs: signals do not interrupt a power tower.
"""

import multiprocessing
import random
import resource
import sys
import time
from multiprocessing.connection import Connection

from stages.lib.data.sources import Source, load
from stages.lib.verifier.verify import Ruling, verify_all, versions
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
    return [p.answer for name in names for p in load(Source(path=str(HERE / f"{name}.jsonl"), rows="[:400]")).problems]


def mixture(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """(response, answer) pairs."""
    rng = random.Random(seed)
    pool = answers()
    return [_pair(rng, pool) for _ in range(count)]


def _pair(rng: random.Random, pool: list[str]) -> tuple[str, str]:
    answer = rng.choice(pool)
    draw = rng.random()
    got = answer if draw > 0.35 else rng.choice(NASTY) if draw < 0.02 else _wrong(rng, answer, pool)
    words, text = rng.randint(200, 800), []
    while sum(map(len, text)) < 4 * words:
        numbers = {name: rng.randint(2, 99) for name in "abc"}
        text.append(rng.choice(SENTENCES).format(**numbers))
    return " ".join(text) + f" So the answer is $\\boxed{{{got}}}$.", answer


def _wrong(rng: random.Random, answer: str, pool: list[str]) -> str:
    digits = [i for i, character in enumerate(answer) if character.isdigit()]
    if not digits or rng.random() < 0.3:
        return rng.choice(pool)
    at = rng.choice(digits)
    return answer[:at] + str((int(answer[at]) + rng.randint(1, 8)) % 10) + answer[at + 1 :]


def plain(pairs: list[tuple[str, str]]) -> tuple[list[bool | None], float]:
    """math-verify's verdicts (None: killed) and its seconds, the import not counted."""
    verdicts: list[bool | None] = []
    spent, child, pipe = 0.0, None, None
    for pair in pairs:
        if child is None:
            child, pipe = _child()
        started = time.perf_counter()
        pipe.send(pair)
        if pipe.poll(HANG):
            verdicts.append(pipe.recv())
        else:
            verdicts.append(None)
        spent += time.perf_counter() - started
        if verdicts[-1] is None:
            child.kill()
            child = None
    if child is not None:
        child.kill()
    return verdicts, spent


def _child() -> tuple[multiprocessing.Process, Connection]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_serve, args=(theirs,), daemon=True)
    child.start()
    ours.recv()
    return child, ours


def _serve(pipe: Connection) -> None:
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


def compare(count: int) -> None:
    """Time both and list where they differ."""
    pairs = mixture(count)
    nasty = [pair for pair in pairs if any(f"{{{text}}}" in pair[0] for text in NASTY)]
    mild = [pair for pair in pairs if pair not in nasty]
    print(f"versions: {versions()}")
    total = [0.0, 0.0]
    for name, part in (("mild", mild), ("nasty", nasty)):
        ours, seconds = timed(part)
        theirs, spent = plain(part)
        total = [total[0] + seconds, total[1] + spent]
        print(f"{len(part)} {name} pairs, {sum(verdict.correct for verdict in ours)} correct: verify_all, two workers,")
        print(f"    {seconds:.2f} s; plain math-verify, one process, {spent:.2f} s; ratio {spent / seconds:.1f}")
        report(part, ours, theirs)
    print(f"RATIO {total[1] / total[0]:.1f} over all {count} pairs")


def timed(pairs: list[tuple[str, str]]) -> tuple[list[Ruling], float]:
    """Our verdicts and seconds, starting workers included."""
    started = time.perf_counter()
    verdicts = verify_all(pairs, workers=2)
    return verdicts, time.perf_counter() - started


def report(pairs: list[tuple[str, str]], ours: list[Ruling], theirs: list[bool | None]) -> None:
    """Every pair on which the two disagree."""
    for (_, answer), verdict, other in zip(pairs, ours, theirs, strict=True):
        if verdict.correct != bool(other):
            shown = (verdict.extracted or "")[:70]
            print(f"differ: ours {verdict.reason.value}, math-verify {other}: {shown!r} for {answer!r}")


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
        compare(int(sys.argv[1]) if sys.argv[1:] else 600)
