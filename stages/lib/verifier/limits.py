"""What the verifier refuses to work on: the sizes that decide, before any work is done, that an answer is a runaway.

    if len(text) > MAX_ANSWER: raise Guarded("answer of 10001 characters")

All limits are counts (characters, tokens, digits, bits), never seconds: the same answer meets the same fate on a busy
laptop and on an idle server.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

MAX_RESPONSE = 200_000  # characters of a response that are looked at, counted from its end
MAX_ANSWER = 5_000  # characters of one extracted answer or reference
MAX_TOKENS = 4_000
MAX_DEPTH = 60  # brackets, fractions and exponents inside one another
MAX_DIGITS = 1_000  # of one written number
MAX_BITS = 60_000  # of any exact number on the way: 2^{50000} is computed, 9^{9^9} is not
MAX_FACTORIAL = 3_000
MAX_EXPONENT = 10**6  # size of an argument of exp, or of a real exponent, in floating arithmetic
MAX_ANGLE = 10**30  # size of the argument of any other function: a sine of more needs its digits to the last
MAX_ITEMS = 300  # elements of a list, set or matrix


class Guarded(Exception):
    """The answer is larger than anything that a problem's answer needs; it is not evaluated."""


class Unparsed(Exception):
    """The text is not in the language of answers that this project reads."""


_WORK = threading.local()
MAX_WORK = 22_000  # steps of one judgement; a step is some five microseconds of arithmetic


@contextmanager
def budget() -> Iterator[None]:
    """Within, the steps that are spent are counted from zero; without, they are not counted."""
    before, _WORK.done = getattr(_WORK, "done", None), 0
    try:
        yield
    finally:
        _WORK.done = before


def spend(steps: int) -> None:
    """Count work before it is done; what a cache holds counts as well, so that no verdict depends on an earlier one.

    Raises:
        Guarded: more than MAX_WORK steps within this budget.
    """
    done = getattr(_WORK, "done", None)
    if done is not None:
        _WORK.done = done + steps
        if _WORK.done > MAX_WORK:
            raise Guarded(f"more than {MAX_WORK} steps of work")
