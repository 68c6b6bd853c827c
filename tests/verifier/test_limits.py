"""Runaways, payloads and broken workers: nothing a response holds may run, hang, grow or take other verdicts along."""

import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stages.lib.verifier import pool
from stages.lib.verifier.pool import Workers
from stages.lib.verifier.quick import judge
from stages.lib.verifier.verify import Reason, verify, verify_all, verify_stream

ROOT = Path(__file__).resolve().parents[2]

TOWERS = [
    *(r"^{".join(["9"] * n) + "}" * (n - 1) for n in range(4, 14)),
    *(f"{n}^{{{n}^{{{n}^{n}}}}}" for n in range(11, 21)),
    *(f"(10^{{{n}00000}})^{{10^9}}" for n in range(1, 6)),
    *(f"{n}!!!" for n in (9, 99, 999)),
    *(f"({n}!)!" for n in (10, 100, 1000)),
    *(f"{10**n}!" for n in (4, 6, 9)),
]
LONG = [
    *("9" * n for n in (2_000, 20_000, 1_000_000)),
    *(f"2^{{{'9' * n}}}" for n in (6, 60, 600)),
    "+".join(rf"\sqrt{{{n}}}" for n in range(2, 502)),
    "+".join(rf"\frac{{1}}{{{n}}}" for n in range(1, 501)),
    "+".join(f"x^{{{n}}}" for n in range(500)),
    "*".join(f"(x+{n})" for n in range(500)),
    r"\sum_{k=1}^{99999999} \sin(k^k)",
    r"\int_0^{99999999} x^{x^{x}} dx",
    r"\prod_{k=1}^{1000000} k!",
]
DEEP = [
    *("(" * n + "1" + ")" * n for n in (50, 1_000, 5_000)),
    *(r"\frac{1}{1+" * n + "x" + "}" * n for n in (50, 1_000)),
    *(r"\sqrt{" * n + "2" + "}" * n for n in (50, 1_000)),
    *("-" * n + "1" for n in (100, 4_000)),
    *("2" + "^2" * n for n in (6, 1_000)),
    *("|" * n + "x" + "|" * n for n in (10, 1_000)),
    r"\{" * 1_000 + "1" + r"\}" * 1_000,
    r"\begin{pmatrix}" * 300 + "1" + r"\end{pmatrix}" * 300,
    r"e^{e^{e^{e^{e^{9}}}}}",
    r"\sin(e^{e^{e^9}})",
    r"\binom{10^9}{5\cdot 10^8}",
    r"\left(" * 2_000 + "1" + r"\right)" * 2_000,
]
RUNAWAYS = TOWERS + LONG + DEEP


def test_there_are_65_runaways() -> None:
    assert len(set(RUNAWAYS)) >= 65


def test_runaways_are_answered_in_seconds_and_in_little_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()
    verdicts = verify_all([(rf"\boxed{{{text}}}", "5") for text in RUNAWAYS], workers=1, timeout=2.0)
    assert time.monotonic() - started < 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000, "kilobytes"
    assert not any(verdict.correct for verdict in verdicts)
    assert sum(verdict.reason is Reason.guarded for verdict in verdicts) > 40


def test_long_responses_take_linear_time() -> None:
    hostile = [
        r"\boxed{" * 200_000,
        "answer" * 100_000,
        "\n" * 500_000 + "the answer is 5",
        "$" * 300_000,
        r"\boxed{" + "{" * 300_000,
        "the answer is " * 50_000 + "$" + " " * 100_000,
        r"\boxed{1}," * 50_000,
        r"\boxed{" + " " * 4_900 + "}",
        "final answer" + "\n" * 300_000,
    ]
    for text in hostile:
        started = time.monotonic()
        verify(text, "17")
        assert time.monotonic() - started < 2, text[:30]


PIECES = [
    "9", "a", " ", "(", "A", "A,", "AB ", "1,", "1,234,", "1 234 ", r"\frac", r"\frac{1}", r"\text{a}", r"\,", "^",
    "_", "x=", "|", "!", "%", ".", "\\", "{", "}", "\\{", "1+", r"\sqrt", r"\pm 1", "1:", "<1", r"\cup", r"\left(",
    "é", "²", "and ", "or ", "1 or ", r"\boxed", "$", "~", "0.1e", "e", r"\sin ", r"\ln ", r"\mathbf", r"\overline",
    "1/", "2^", "-", "1_", "½", "1 base ", "base ", "A base 2", ",{}", "{,}", "] [", "[1,", "]1,2[", "] 1,",
    "(k\\in ", "for all ", "x=", "①", "\\text{for ", "mod ", "(\\text{mod ", "\\frac{\\text{m", "_5C", "\\Omega ",
    "1st ", "th ", "rd", "real numbers except ", "to 1", "米", "\\left.", "1 ft ", "one ", "half ", "\\phantom{",
    "\\text{\\text{", "0,", "0,1;", "\\forall ", "with ", "\\in", "i", "*", "**", "`", ". ",
]  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_any_repeated_piece_is_judged_in_time(piece: str) -> None:
    text = piece * (4_900 // len(piece))
    for got, reference in ((text, "5"), (text + "1", text + "2"), (r"\frac{" + text + "}{2}", text)):
        started = time.process_time()
        judge(reference, got)
        assert time.process_time() - started < 2


PAYLOADS = [
    "__import__('os').system('touch {}')",
    "__import__('pathlib').Path('{}').touch()",
    "(lambda: open('{}', 'w'))()",
    "[c for c in ().__class__.__base__.__subclasses__()][0]('{}')",
    'eval(\'open("{}", "w")\')',
    "exec(\"open('{}','w')\")",
    r"\text{{__import__('os').system('touch {}')}}",
    "open('{}','w').write('x')",
    "x.__class__.__mro__[1].__subclasses__()",
    "getattr(open('{}','w'), 'write')('x')",
    "print(open('{}', 'w'))",
    r"\input{{{}}}",
    r"\write18{{touch {}}}",
    "symbols('x').__class__.__init__.__globals__['sys'].modules['os'].system('touch {}')",
    "1; import os; os.system('touch {}')",
    "f(x)=open('{}','w')",
    r"\int open('{}','w') dx",
    r"\sum_{{k=1}}^{{3}} __import__('os').system('touch {}')",
]


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("form", [r"\boxed{{{}}}", "The answer is {}", "#### {}", r"$\boxed{{x={}}}$"])
def test_payloads_do_not_run(payload: str, form: str, tmp_path: Path) -> None:
    target = tmp_path / "ran"
    verdict = verify(form.format(payload.format(target)), "5")
    assert not verdict.correct
    assert not target.exists()


def test_the_slow_path_never_sees_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Workers, reference: str, got: str, seconds: float) -> str:
        raise AssertionError(f"sent to a worker: {got}")

    monkeypatch.setattr(Workers, "ask", refuse)
    for payload in PAYLOADS:
        verify(rf"\boxed{{{payload.format('/tmp/x')}}}", "5")


def test_a_worker_that_uses_up_its_time_costs_only_its_own_verdict() -> None:
    slow = r"\int_0^{\infty} \frac{\sin(x^9+x^7+1)}{\ln(x^5+3)} \, dx = \int y dy"
    pairs = [
        (r"\boxed{\int_0^1 x dx}", r"\frac12"),
        (rf"\boxed{{{slow}}}", r"\int_0^1 x^x dx"),
        (r"\boxed{\int_0^1 x dx}", r"\frac12"),
    ]
    verdicts = verify_all(pairs, workers=1, timeout=3.0)
    assert [verdict.correct for verdict in verdicts] == [True, False, True]


def test_a_worker_killed_from_outside_is_replaced() -> None:
    with Workers(1) as workers:
        assert workers.ask(r"\int_0^1 x dx", r"\frac12", 5.0) == "equal"
        workers.all[0].process.kill()
        assert workers.ask(r"\int_0^1 x dx", r"\frac12", 5.0) == "equal"
        assert workers.ask(r"\int_0^1 x dx", r"\frac12", 5.0) == "equal"


def test_a_worker_killed_at_work_is_asked_again() -> None:
    slow = r"\int_0^{\infty} \frac{\sin(x^9+x^7+1)}{\ln(x^5+3)} dx"
    with Workers(1) as workers:
        assert workers.ask("x", "y", 5.0) == "different"
        first = workers.all[0].process
        answer = workers.submit(slow, r"\int_0^1 x^x dx", 1.0)
        time.sleep(0.3)
        first.kill()
        assert answer.result() == "timeout" and workers.all[0].process is not first


def test_the_kernel_ends_a_worker_out_of_processor_time() -> None:
    with Workers(1) as workers:
        polynomial = "+".join(f"x^{{{n}}}" for n in range(300))
        assert workers.ask(polynomial, polynomial + "+1", 0.02) == "timeout"
        assert workers.ask("x", "y", 5.0) == "different"


def test_memory_is_limited() -> None:
    code = (
        "import resource; from stages.lib.verifier import worker as w\n"
        "w._load = lambda: lambda a, b, d: 'equal' if bytearray(4 << 30) else ''\n"
        "w.main()"
    )
    task = '{"reference": "1", "got": "1", "seconds": 5, "decimals": 9}\n'
    done = subprocess.run(
        [sys.executable, "-c", code], input=task, capture_output=True, text=True, cwd=ROOT, timeout=60, check=True
    )
    assert done.stdout.split() == ['"ready"', '"crashed"']


def test_a_missing_library_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool.sys, "executable", "/bin/false")
    with Workers(1) as workers, pytest.raises(RuntimeError, match="math-verify"):
        workers.ask("x", "y", 5.0)


def test_simple_pairs_start_no_process_and_import_no_sympy() -> None:
    code = (
        "import sys, time\n"
        "from stages.lib.verifier.verify import verify_all\n"
        "start = time.perf_counter()\n"
        r"verdicts = verify_all([(rf'so \boxed{{{n}}}', str(n)) for n in range(5000)])"
        "\n"
        "assert all(v.correct for v in verdicts) and time.perf_counter() - start < 1.5\n"
        "assert not {'sympy', 'mpmath', 'math_verify'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def test_verdicts_are_the_same_for_any_number_of_workers() -> None:
    pairs = [(rf"\boxed{{\int_0^{{{n}}} x dx}}", rf"\frac{{{n * n}}}{{2}}") for n in range(1, 6)]
    pairs += [(r"\boxed{7}", "7"), ("nothing", "7"), (r"\boxed{9^{9^{9^9}}}", "7")]
    assert verify_all(pairs, workers=1) == verify_all(pairs, workers=2)


def test_the_stream_is_lazy_in_order_and_can_be_left() -> None:
    taken = []

    def pairs():
        for n in range(10**9):
            taken.append(n)
            yield (rf"\boxed{{\int_0^{{{n}}} x dx}}" if n == 3 else rf"\boxed{{{n}}}"), str(n)

    stream = verify_stream(pairs(), workers=1)
    verdicts = [next(stream) for _ in range(20)]
    stream.close()
    assert [verdict.correct for verdict in verdicts] == [n != 3 for n in range(20)]
    assert len(taken) < 5_000


def test_threads_do_not_disturb_each_other() -> None:
    pairs = [
        (rf"\boxed{{\sqrt{{{n}}}+\sqrt{{{n + 1}}}}}", rf"\sqrt{{{2 * n + 1}+2\sqrt{{{n * (n + 1)}}}}}")
        for n in range(60)
    ]
    with ThreadPoolExecutor(4) as threads:
        assert all(verdict.correct for verdict in threads.map(lambda pair: verify(*pair), pairs))


def test_wrong_types_are_refused() -> None:
    with pytest.raises(TypeError, match="two strings"):
        verify(r"\boxed{1}", 1)


def test_forked_children_use_their_own_worker() -> None:
    verify(r"\boxed{\int_0^1 x dx}", "1/2")
    child = os.fork()
    if not child:
        os._exit(0 if verify(r"\boxed{\int_0^1 x dx}", "1/2").correct else 1)
    assert os.waitpid(child, 0)[1] == 0
