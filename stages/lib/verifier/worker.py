r"""The slow path: math-verify on sympy, in a process of its own that may be killed at any time.

    python -P -m stages.lib.verifier.worker     one JSON line in, one out

    {"reference": "x", "got": "y", "seconds": 5.0, "decimals": 10}    ->  "different"

It decides what `judge` cannot read (integrals, sums, rare notation). A task that exceeds its processor time, be
it in Python or deep in C, is ended by the kernel (an interval timer whose signal nobody handles); memory by RLIMIT_AS.
Processor time does not depend on what else the machine does. The parent, which sees the process end, starts another.

Text from a model is read by math-verify's LaTeX grammar only. Its other extraction, `ExprExtractionConfig`, hands text
to sympy's parse_expr, which evaluates it as Python: it is never used here, and text that could be code is refused
before (see `slow_readable`).
"""

import json
import os
import re
import resource
import signal
import sys
from typing import Any

_MAX_SLOW = 600  # characters; sympy's grammar takes seconds for more
MEMORY = 1 << 30  # bytes of address space above what the libraries take
_ALLOWED = re.compile(r"[A-Za-z0-9\\{}()\[\]^_+\-*/=<>,.;:!|& %]*")
_REFUSED = re.compile(r"\\ldots|__|lambda|import|eval|exec|getattr|\w\.[a-zA-Z_]")
_DROPPED = re.compile(  # marks that math-verify leaves out: of a base, a recurring decimal, a conjugate, a vector
    r"\d\s*\}?\s*_|\.\s*[({\\]|\d\s*\\dot|\\(?:overline|bar|dot|ddot|hat|widehat|vec|underline|tilde|overrightarrow)(?![a-z])"
)
_NAME = re.compile(r"\s*[A-Za-z](?:_\{?\w{1,3}\}?)?(?:\([a-z]\))?\s*=")
_RELATION = re.compile(r"[=<>]|\\(?:ne|neq|le|leq|ge|geq|lt|gt|approx|equiv|sim|in|notin|subset\w*|iff|to)(?![a-zA-Z])")
_PROSE = re.compile(r"(?<![\\a-zA-Z])[A-Za-z]{3,}|\\(?:text|mbox)")
_NAMES = frozenset(
    ("lim", "max", "min", "gcd", "lcm", "det", "matrix", "array", "pmatrix", "bmatrix", "vmatrix", "cases")
)
_OF_NUMBERS = re.compile(r"gcd|lcm|max|min")  # of variables, sympy gives 1 or the first it likes
_VARIABLE = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z](?![a-zA-Z])")
_OPERATORS = re.compile(r"\\(?:sum|prod|int|lim|oint|iint)")


def slow_readable(text: str) -> bool:
    """Whether text may go to math-verify: short, mathematical, no prose, nothing that looks like code, no relation.

    math-verify drops words that it takes for units, and would find "5 squared" equal to 5; it drops a base, too, and of
    two relations it asks only whether both are true.
    """
    if len(text) > _MAX_SLOW or not _ALLOWED.fullmatch(text) or _REFUSED.search(text) or _DROPPED.search(text):
        return False
    if _OF_NUMBERS.search(text) and _VARIABLE.search(text):
        return False
    return not _RELATION.search(_outside_braces(text)) and all(m[0] in _NAMES for m in _PROSE.finditer(text))


def unnamed(reference: str, got: str) -> tuple[str, str]:
    """Both texts without the name before a value (x =), where one side alone has it or both have the same."""
    names = [_NAME.match(text) for text in (reference, got)]
    if all(names) and _spelled(names[0]) != _spelled(names[1]):
        return reference, got
    left, right = (text[name.end() :] if name else text for name, text in zip(names, (reference, got), strict=True))
    return left, right


def _spelled(name: re.Match[str] | None) -> str:
    return "".join(name[0].split()) if name else ""


def _outside_braces(text: str) -> str:
    r"""Without what stands in braces: the bounds of `\sum_{k=1}^{n}` state no relation."""
    kept, depth = [], 0
    for character in text:
        depth -= character == "}"
        if depth <= 0:
            kept.append(character)
        depth += character == "{"
    return "".join(kept)


def oversized(text: str) -> bool:
    """Whether the slow path would face numbers, exponents, factorials or bounds that sympy may try to write out."""
    if len(text) > _MAX_SLOW or text.count("^") > 40 or _depth(text) > 25:
        return True
    digits = max((len(run) for run in re.findall(r"\d+", text)), default=0)
    large = digits >= 4 and ("^" in text or "!" in text or bool(_OPERATORS.search(text)))
    return large or digits > 60 or bool(re.search(r"!\s*!|\^\s*\{[^{}]*\^|\^\s*\d+\s*\^", text))


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in text:
        depth += (character in "({[") - (character in ")}]")
        deepest = max(deepest, depth)
    return deepest


def main() -> None:
    """Answer tasks from stdin until it closes."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no reply
    compare = _load()
    _limit_memory()
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    print(json.dumps("ready"), file=replies, flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, task["seconds"])
        reply = _answer(compare, task["reference"], task["got"], task["decimals"])
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps(reply), file=replies, flush=True)
        if reply == "crashed":
            return


def _answer(compare: Any, reference: str, got: str, decimals: int) -> str:
    try:
        return compare(reference, got, decimals)
    except (MemoryError, RecursionError):
        return "crashed"
    except Exception:
        return "unparsed"


def _limit_memory() -> None:
    """MEMORY beyond what is in use; not every system enforces it (macOS does not)."""
    try:
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError):
        pass


def _load() -> Any:
    """Import the libraries (about a second, once a process) and give the comparison."""
    import logging

    from math_verify import LatexExtractionConfig, parse, verify

    logging.disable(logging.CRITICAL)
    target = [LatexExtractionConfig(boxed_match_priority=0)]

    def read(text: str) -> list[Any]:
        found = parse(f"${text}$", target, fallback_mode="no_fallback", parsing_timeout=None)
        return [item for item in found if not isinstance(item, str)]

    def compare(reference: str, got: str, decimals: int) -> str:
        left, right = read(reference), read(got)
        if not left or not right:
            return "unparsed"
        return "equal" if verify(left, right, float_rounding=decimals, timeout_seconds=None) else "different"

    compare("1+x", "x+1", 6)
    return compare


if __name__ == "__main__":
    main()
