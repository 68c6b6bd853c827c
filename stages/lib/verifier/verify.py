r"""The verifier: does a response's final answer equal the reference?

    verify(r"... so \boxed{x = \tfrac12}.", "0.5")    ->  Ruling(correct=True, extracted=r"x = \tfrac12", reason=equal)
    verify_all([(response, answer), ...], workers=2)  ->  [Ruling, ...]     in order
    verify_stream(pairs, workers=2)                   ->  the same, one by one, for more pairs than memory holds
    verify(r"\boxed{10\%}", "10", question="What percent ...?")              ->  Ruling(correct=True, ...)

The response is free text; its last `\boxed{}` counts or, if `markers`, an explicit "the answer is" / "final answer:" /
`####`. The answer is a reference in any form that benchmarks use: a value, LaTeX, a solution with a box or `####`. The
question, where a pair has one as its third element, says what a bare number means and how far to round.

Most pairs are decided in the calling process, by bounded work (`quick.judge`). What is not read there goes to
math-verify in worker processes with limits of processor time and memory, which start when first needed. Nothing in a
response is ever evaluated as code. What is accepted and refused: docs/verifier.md; `versions()` for the record.
"""

import atexit
import enum
import os
import re
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version

from stages.lib.verifier.asked import decimals, plain_percent
from stages.lib.verifier.exact import Irrational, Undefined, exact
from stages.lib.verifier.extract import extract, percent_behind_box, reference_text
from stages.lib.verifier.limits import MAX_ANSWER, Guarded, Unparsed, budget
from stages.lib.verifier.normalize import readings, squeeze, tidy
from stages.lib.verifier.parser import parse
from stages.lib.verifier.pool import DECIMALS, Workers
from stages.lib.verifier.question import Hints, read
from stages.lib.verifier.quick import judge
from stages.lib.verifier.worker import oversized, slow_readable, unnamed

TIMEOUT = 5.0
_WINDOW = 1_000  # verdicts held back behind one that a worker still has
_SHOWN = 1_000  # characters of an extracted answer that a verdict keeps


class Reason(enum.StrEnum):
    """Why a verdict is what it is; only `equal` is correct."""

    equal = "equal"
    different = "different"
    no_answer = "no_answer"  # no box and no marker, an empty box, or "A or B"
    unparsed = "unparsed"  # an answer that no path can read
    guarded = "guarded"  # refused before evaluation: a runaway
    timeout = "timeout"  # the worker used up its processor time
    crashed = "crashed"  # the worker ran out of memory or died


@dataclass(frozen=True, slots=True)
class Ruling:
    """extracted: the answer as the response writes it (its first 1000 characters), None without an answer."""

    correct: bool
    extracted: str | None
    reason: Reason


Pair = tuple[str, str] | tuple[str, str, str | None]  # response, answer and, if known, question


def verify(
    response: str, answer: str, timeout: float = TIMEOUT, *, question: str | None = None, markers: bool = True
) -> Ruling:
    """The verdict on one response.

    Raises:
        TypeError: response, answer or question is no string.
    """
    found = _quick((response, answer, question), markers)
    if isinstance(found, Ruling):
        return found
    return _verdict(found, _shared_workers().ask(found.reference, found.got, timeout, found.decimals))


def verify_all(
    pairs: Sequence[Pair], workers: int | None = None, timeout: float = TIMEOUT, *, markers: bool = True
) -> list[Ruling]:
    """The verdicts on (response, answer) pairs or (response, answer, question) triples, in order.

    Args:
        workers: processes for the slow path; None or 0: one per core.
        timeout: processor seconds that the slow path may spend on one pair.

    Raises:
        TypeError: a response, answer or question is no string.
    """
    return list(verify_stream(pairs, workers, timeout, markers))


def verify_stream(
    pairs: Iterable[Pair], workers: int | None = None, timeout: float = TIMEOUT, markers: bool = True
) -> Iterator[Ruling]:
    """As `verify_all`, reading and giving pair by pair; at most a thousand verdicts are held back at any time."""
    waiting: deque[Ruling | tuple[_Open, Future[str]]] = deque()
    with Workers(workers or _cores()) as pool:
        for pair in pairs:
            found = _quick(pair, markers)
            if isinstance(found, _Open):
                waiting.append((found, pool.submit(found.reference, found.got, timeout, found.decimals)))
            else:
                waiting.append(found)
            while waiting and (len(waiting) > _WINDOW or _done(waiting[0])):
                yield _settled(waiting.popleft())
        while waiting:
            yield _settled(waiting.popleft())


@lru_cache(maxsize=65_536)
def canonical(answer: str) -> str:
    r"""The spelling by which equal answers are counted: an answer's value if it is rational (1/2, 0.5 and \frac12 are
    all 1/2), else its own spelling without what carries no meaning.

    The verifier's equality would unite a few more (sums of roots, sets in another order), but it compares two answers
    at a time, and is not transitive where it rounds.
    """
    try:
        text = tidy(answer)
    except Guarded:
        return answer
    try:
        with budget():
            return str(exact(parse(readings(text)[0])))
    except (Guarded, Unparsed, Irrational, Undefined, RecursionError, OverflowError, ValueError):
        return squeeze(text)  # ValueError: Python writes no number of more than 4300 digits


def versions() -> dict[str, str]:
    """The libraries that a verdict may depend on, for the record beside the results."""
    names = ("math-verify", "latex2sympy2_extended", "antlr4-python3-runtime", "sympy", "mpmath")
    return {name: version(name) for name in names}


@dataclass(frozen=True, slots=True)
class _Open:
    """A pair that the quick path leaves to the slow one; decimals: those that two numbers have to share there."""

    extracted: str
    reference: str
    got: str
    decimals: int


def _quick(pair: Pair, markers: bool) -> "Ruling | _Open":
    response, answer, hints = _checked(pair)
    stated = extract(response, markers)
    if len(stated) > 1:
        return _hedged(stated, _reference(answer), hints)
    got = stated[0] if stated else ""
    if not got.strip():
        return Ruling(False, None, Reason.no_answer)
    shown = got[:_SHOWN]
    reference = _reference(answer)
    if len(got) > MAX_ANSWER:
        return Ruling(False, shown, Reason.guarded)
    ruling = judge(reference, got, hints)
    if not ruling.correct and percent_behind_box(response) and judge(reference, got + r"\%", hints).correct:
        return Ruling(True, shown, Reason.equal)
    if ruling.correct is not None:
        return Ruling(ruling.correct, shown, Reason.equal if ruling.correct else Reason.different)
    return Ruling(False, shown, Reason.guarded) if ruling.guarded else _leave(shown, reference, got, hints)


def _checked(pair: Pair) -> tuple[str, str, Hints]:
    response, answer, question = pair if len(pair) == 3 else (*pair, None)
    parts: tuple[object, ...] = (response, answer, question or "")
    if not all(isinstance(part, str) for part in parts):
        kinds = ", ".join(type(part).__name__ for part in pair)
        raise TypeError(f"verify takes two strings and perhaps a question, not {kinds}")
    return response, answer, read(question)


def _hedged(stated: list[str], reference: str, hints: Hints) -> Ruling:
    """Alternatives are one answer only if each of them is right (15 39/40, or 639/40), or if the reference is the list
    of them (x = 1 or x = 2)."""
    together = r" \text{ or } ".join(stated)
    if all(judge(reference, got, hints).correct for got in stated) or judge(reference, together, hints).correct:
        return Ruling(True, stated[-1][:_SHOWN], Reason.equal)
    return Ruling(False, None, Reason.no_answer)


def _leave(shown: str, reference: str, got: str, hints: Hints) -> "Ruling | _Open":
    """To the slow path, unless it would refuse."""
    try:
        texts = (plain_percent(hints, readings(tidy(text))[0]) for text in (reference, got))
        reference, got = unnamed(*texts)
    except Guarded:
        return Ruling(False, shown, Reason.guarded)
    if oversized(reference) or oversized(got):
        return Ruling(False, shown, Reason.guarded)
    if not slow_readable(reference) or not slow_readable(got):
        return Ruling(False, shown, Reason.unparsed)
    return _Open(shown, reference, got, _decimals(hints, reference))


def _decimals(hints: Hints, reference: str) -> int:
    """The decimals that the question asks for, where a decimal reference has a digit among them."""
    asked = decimals(hints)
    if asked is None or not re.fullmatch(r"-?\d{0,30}\.\d{1,30}", reference):
        return DECIMALS
    return asked if abs(float(reference)) >= 10**-asked else DECIMALS


@lru_cache(maxsize=4_096)
def _reference(answer: str) -> str:
    return reference_text(answer)


def _done(item: "Ruling | tuple[_Open, Future[str]]") -> bool:
    return isinstance(item, Ruling) or item[1].done()


def _settled(item: "Ruling | tuple[_Open, Future[str]]") -> Ruling:
    return item if isinstance(item, Ruling) else _verdict(item[0], item[1].result())


def _verdict(found: _Open, reply: str) -> Ruling:
    return Ruling(reply == "equal", found.extracted, Reason(reply))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_shared: dict[int, Workers] = {}
_lock = threading.Lock()


def _shared_workers() -> Workers:
    """One worker for single calls, per process: a forked child must not speak through its parent's pipes."""
    with _lock:
        if os.getpid() not in _shared:
            _shared.clear()
            _shared[os.getpid()] = Workers(1)
            atexit.register(_shared[os.getpid()].close)
        return _shared[os.getpid()]
