"""Adaptive sampling: fewer responses, the same law; killed at any row, the same bytes."""

import dataclasses
import itertools
import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import pytest
from scipy.stats import chi2_contingency, chisquare

from stages import resolve, sample
from stages.lib.data import testbed
from stages.lib.generation.adaptive import cost, sample_adaptively
from stages.lib.generation.engine import Request, uniforms
from stages.lib.generation.rollouts import Drawn, open_engine
from stages.lib.records import Problem, Rollout, Verdict, read, write
from stages.lib.rewriting.choosing import choose
from stages.lib.run.errors import StageError
from stages.lib.run.journal import Journal
from stages.lib.run.params import Decoding, Waves, load
from tests.run_stage import run_stage

ROOT = Path(__file__).parents[2]
KEY = "0123456789abcdef"
LAW = {"short": Fraction(1, 5), "longer, right too": Fraction(3, 10), "wrong": Fraction(1, 2)}
RIGHT = ("short", "longer, right too")


class Scripted:
    """An engine whose responses are known: `say` of a request's id, index and seed."""

    chunk = 5  # no divisor of any wave's size

    def __init__(self, say) -> None:
        self.say, self.drawn = say, 0

    def generate(self, requests: Sequence[Request], decoding: Decoding, seed: int) -> list[Rollout]:
        self.drawn += len(requests)
        return [rollout(request.id, request.index, self.say(request, seed)) for request in requests]


def rollout(id_: str, index: int, text: str) -> Rollout:
    tokens = list(range(len(text)))
    return Rollout(id=id_, index=index, response=text, finish="stop", token_ids=tokens, logprobs=[0.0] * len(tokens))


def judge(rows: Iterable[Rollout]) -> Iterator[Verdict]:
    for row in rows:
        good = row.response in RIGHT
        yield Verdict(id=row.id, index=row.index, correct=good, extracted=None, reason="equal" if good else "other")


def settings(n: int, wave: int, adaptive: bool = True, seed: int = 0) -> Waves:
    return Waves(n=n, temperature=1.0, top_p=1.0, max_new_tokens=9, seed=seed, adaptive=adaptive, wave=wave)


def drawn(
    ids: Sequence[str], engine: Scripted | None, decoding: Waves, verdicts=judge, solved_key: str = KEY
) -> list[Rollout]:
    """What `sample_adaptively` draws under a journal of its own, in the current folder."""
    prompts = [(id_, [1]) for id_ in ids]
    with Journal("test", KEY) as journal, Journal("test-solved", solved_key) as solved:
        responses = Drawn(journal, lambda: engine, decoding, decoding.seed)
        requests = sample_adaptively(responses, solved, prompts, decoding, verdicts)
        journal.deliver("out.jsonl", responses.lines(requests))
        solved.mark_delivered()
    return list(read(Rollout, "out.jsonl"))


def scratch_removed() -> None:
    shutil.rmtree(".scratch", ignore_errors=True)


def by_problem(rows: Iterable[Rollout]) -> dict[str, list[str]]:
    found = defaultdict(list)
    for row in rows:
        assert row.index == len(found[row.id]), "every index follows those before it"
        found[row.id].append(row.response)
    return found


def kept_law(drawn_of: dict[str, list[str]], outcomes: dict[str, tuple[str, ...]]) -> dict[str, Fraction]:
    """P(the kept response is y), one of the right ones at random, over every outcome of n independent draws."""
    law = defaultdict(Fraction)
    for id_, outcome in outcomes.items():
        chance = Fraction(1)
        for text in outcome:
            chance *= LAW[text]
        right = [text for text in drawn_of[id_] if text in RIGHT]
        for text in right or ["none"]:
            law[text] += chance / len(right or [0])
    return dict(law)


@pytest.mark.parametrize("n", [1, 3, 4])
@pytest.mark.parametrize("wave", [1, 2, 3, 5])
def test_kept_response_is_distributed_as_a_random_correct_one_of_n(checkout: Path, n: int, wave: int) -> None:
    """Exactly: every sequence of n responses is a problem of its own; what is taken of it has its probability."""
    outcomes = {str(i): texts for i, texts in enumerate(itertools.product(LAW, repeat=n))}
    engine = Scripted(lambda request, seed: outcomes[request.id][request.index])
    found = kept_law(by_problem(drawn(list(outcomes), engine, settings(n, wave))), outcomes)
    assert found == kept_law({id_: list(texts) for id_, texts in outcomes.items()}, outcomes)
    p = sum(LAW[text] for text in RIGHT)  # in closed form: solved with 1 - (1-p)^n, then y in proportion to its own
    assert found == {text: LAW[text] / p * (1 - (1 - p) ** n) for text in RIGHT} | {"none": (1 - p) ** n}


@pytest.mark.parametrize("wave", [1, 3])
def test_the_stages_keep_with_the_same_distribution(checkout: Path, wave: int) -> None:
    """Through the random streams, `sample_adaptively`, and fallback-merge's choice, over 4000 problems of one seed."""

    def say(request: Request, seed: int) -> str:
        u, total = uniforms(seed, request, 1)[0], 0.0
        for text, p in LAW.items():
            total += p
            if u < total:
                return text
        raise AssertionError("probabilities add to one")

    counts = []
    for adaptive, seed in ((True, 1), (False, 2)):
        scratch_removed()
        rows = drawn([f"p{i}" for i in range(4000)], Scripted(say), settings(4, wave, adaptive, seed))
        texts, verdicts = by_problem(rows), defaultdict(list)
        for verdict in judge(rows):
            verdicts[verdict.id].append(verdict)
        chosen = [choose(id_, found, [], found[0], seed=0) for id_, found in verdicts.items()]
        kept = Counter(texts[row.id][row.index] if row.index is not None else "none" for row in chosen)
        counts.append([kept[text] for text in (*RIGHT, "none")])
        expected = [LAW[text] * 2 * (1 - Fraction(1, 16)) * 4000 for text in RIGHT] + [Fraction(4000, 16)]
        assert chisquare(counts[-1], [float(value) for value in expected]).pvalue > 0.01
    assert chi2_contingency(counts).pvalue > 0.01


def hardness(request: Request, seed: int) -> str:
    """Problem "3": its fourth response is the first right one."""
    return "short" if request.index >= int(request.id) else "wrong"


@pytest.mark.parametrize(
    ("n", "wave", "sizes"),
    [
        (4, 1, [8, 7, 6, 5]),  # problems "0" to "7"
        (5, 2, [8, 8, 6, 6, 4]),  # the last wave has one response
        (3, 8, [8, 8, 8]),
        (1, 1, [8]),
    ],
)
def test_a_solved_problem_gets_no_more(checkout: Path, n: int, wave: int, sizes: list[int]) -> None:
    ids = [str(i) for i in range(8)]
    rows = drawn(ids, Scripted(hardness), settings(n, wave))
    assert Counter(row.index for row in rows) == dict(enumerate(sizes))
    order = [(row.index // wave, int(row.id), row.index) for row in rows]
    assert order == sorted(order), "wave by wave, in it the problems in their order"


def test_fixed_draws_all_problem_by_problem_and_asks_for_no_verdict(checkout: Path) -> None:
    rows = drawn(["b", "a"], Scripted(lambda *_: "short"), settings(3, 1, adaptive=False), verdicts=None)
    assert [(row.id, row.index) for row in rows] == [(id_, k) for id_ in "ba" for k in range(3)]


def test_all_solved_at_once_and_nothing_to_solve(checkout: Path) -> None:
    assert len(drawn(["a", "b"], Scripted(lambda *_: "short"), settings(4, 1))) == 2
    scratch_removed()
    assert drawn([], None, settings(4, 1)) == []


@pytest.mark.parametrize("wave", [1, 2])
def test_cut_after_any_row_it_ends_in_the_same_bytes(checkout: Path, wave: int) -> None:
    ids, decoding = [str(i) for i in range(8)], settings(5, wave)
    rows = drawn(ids, Scripted(hardness), decoding)
    lines = Path("out.jsonl").read_bytes().splitlines(keepends=True)
    solved = Path(f".scratch/test-solved-{KEY}.done").read_bytes().splitlines(keepends=True)
    ends = [i for i, row in enumerate(rows, 1) if i == len(rows) or row.index // wave < rows[i].index // wave]
    for cut in range(len(lines) + 1):
        finished = sum(end <= cut for end in ends[:-1])
        for judged in {finished, max(0, finished - (cut in ends))}:  # killed before or after the wave was judged
            scratch_removed()
            Path(".scratch").mkdir()
            torn = lines[cut][:20] if cut < len(lines) else b""
            Path(f".scratch/test-{KEY}.jsonl").write_bytes(b"".join(lines[:cut]) + torn)
            Path(f".scratch/test-solved-{KEY}.jsonl").write_bytes(b"".join(solved[:judged]) + b'["')
            engine = Scripted(hardness)
            drawn(ids, engine, decoding)
            assert Path("out.jsonl").read_bytes() == b"".join(lines)
            assert engine.drawn == len(lines) - cut, "nothing finished is drawn again"


def test_a_restart_keeps_the_verdicts_that_the_journal_rests_on(checkout: Path) -> None:
    """A verifier that times out now and not then must not mix two runs."""

    class Killed(Exception):
        pass

    def dies(request: Request, seed: int) -> str:
        if request.index == 2:
            raise Killed
        return hardness(request, seed)

    ids = [str(i) for i in range(8)]
    with pytest.raises(Killed):
        drawn(ids, Scripted(dies), settings(4, 1))
    rows = drawn(ids, Scripted(hardness), settings(4, 1), all_right_from_wave_three)
    assert Counter(row.index for row in rows) == {0: 8, 1: 7, 2: 6}


def all_right_from_wave_three(rows: Iterable[Rollout]) -> Iterator[Verdict]:
    for row in rows:
        assert row.index == 2, "the waves before are judged already"
        yield Verdict(id=row.id, index=row.index, correct=True, extracted=None, reason="equal")


def test_cost_by_hand() -> None:
    rows = [rollout("a", 0, "xx"), rollout("b", 0, "xxxx"), rollout("b", 1, "xxxxxx")]
    counts = cost(rows, settings(4, 1))
    assert counts == {
        "problems": 2,
        "responses": 3,
        "responses_by_wave": [2, 1],
        "cut_off": 0,
        "tokens": 12,
        "responses_if_fixed": 8,
        "tokens_if_fixed": 4 * (2 + 4),
        "token_share": 0.5,
    }
    fixed = [rollout("a", i, "x" * i) for i in range(4)]
    assert cost(fixed, settings(4, 1, adaptive=False))["tokens_if_fixed"] == 6 == sum(range(4))
    assert cost([], settings(4, 1))["token_share"] is None


@pytest.mark.parametrize("wave", [1, 2])
def test_the_estimate_of_fixed_cost_is_unbiased(wave: int) -> None:
    """Exactly, over every sequence of draws, where right responses are shorter; the mean of all drawn is biased."""
    n, true, estimate, naive = 3, Fraction(0), Fraction(0), Fraction(0)
    for texts in itertools.product(LAW, repeat=n):
        chance = LAW[texts[0]] * LAW[texts[1]] * LAW[texts[2]]
        stop = next((i for i in range(wave, n, wave) if set(texts[:i]) & set(RIGHT)), n)
        rows = [rollout("a", i, text) for i, text in enumerate(texts[:stop])]
        true += chance * sum(map(len, texts))
        estimate += chance * cost(rows, settings(n, wave))["tokens_if_fixed"]
        naive += chance * Fraction(n * sum(map(len, texts[:stop])), stop)
    assert estimate == true != naive


@pytest.fixture
def micro(checkout: Path) -> Path:
    """24 testbed problems and the embedded policy."""
    shutil.copytree(ROOT / "models" / "micro", checkout / "models" / "micro")
    write(checkout / "data" / "problems.jsonl", testbed.problems(24, 0))
    return checkout


def with_params(checkout: Path, **values: object) -> None:
    from ruamel.yaml import YAML

    path = checkout / "params.yaml"
    params = YAML().load(path)
    params["sample"].update(values)
    YAML().dump(params, path)


def test_adaptive_rows_are_among_the_fixed_ones(micro: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {}
    for adaptive in (True, False):
        with_params(micro, adaptive=adaptive, wave=2)
        run_stage(sample)
        found[adaptive] = {(row.id, row.index): row.token_ids for row in read(Rollout, "data/samples.jsonl")}
    assert len(found[False]) == 24 * 8 > len(found[True]) >= 24 * 2
    assert all(found[False][key] == tokens for key, tokens in found[True].items())
    counts = json.loads(Path("data/counts/sample.json").read_text())
    assert counts["tokens"] == counts["tokens_if_fixed"] == sum(map(len, found[False].values()))
    first, second = capsys.readouterr().out.splitlines()
    assert "% (estimated) of what 8 for each would take" in first and "estimated" not in second


def test_resolving_nothing_opens_no_engine(micro: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [row.id for row in read(Problem, "data/problems.jsonl")]
    right = [Verdict(id=id_, index=0, correct=True, extracted="1", reason="equal") for id_ in ids]
    write("data/verdicts/sample.jsonl", right)
    monkeypatch.setattr(resolve, "open_engine", lambda *_: pytest.fail("opened"))
    run_stage(resolve, "solution")
    assert Path("data/resolved/solution.jsonl").read_bytes() == b""
    assert json.loads(Path("data/counts/resolve-solution.json").read_text())["responses"] == 0


def test_size_of_the_first_wave(params) -> None:
    drawn_of = {(n, wave, adaptive): settings(n, wave, adaptive).first for n, wave, adaptive in
                [(4, 1, True), (4, 3, True), (2, 3, True), (4, 1, False)]}  # fmt: skip
    assert list(drawn_of.values()) == [1, 3, 2, 4]
    assert dataclasses.asdict(load(ROOT / "params.yaml").sample).get("first") is None, "no param of its own"


def test_params_edited_while_the_engine_opens_are_refused(micro: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows would be drawn under the old ones and kept under the name of the new ones."""

    def slow_open(*args: object) -> object:
        with_params(micro, adaptive=True, wave=3)
        return open_engine(*args)

    with_params(micro, adaptive=True, wave=2)
    monkeypatch.setattr(sample, "open_engine", slow_open)
    with pytest.raises(
        StageError, match=r"params.yaml:sample.wave changed while the stage was starting: start it again"
    ):
        run_stage(sample)
    assert not Path("data/samples.jsonl").exists()
    assert all(path.stat().st_size == 0 for path in Path(".scratch").glob("*.jsonl")), "no row is kept"


def test_verdicts_do_not_outlive_their_rows(checkout: Path) -> None:
    with Journal("test-solved", KEY) as solved:
        solved.append(['["a"]'])
    assert len(drawn(["a", "b"], Scripted(lambda *_: "wrong"), settings(n=2, wave=1))) == 4


def stricter(rows: Iterable[Rollout]) -> Iterator[Verdict]:
    """Another verifier: "short" is no longer correct for problems "1" and "2"."""
    for row, verdict in zip(copies := list(rows), judge(copies), strict=True):
        yield dataclasses.replace(verdict, correct=verdict.correct and row.id not in ("1", "2"))


def kinder(rows: Iterable[Rollout]) -> Iterator[Verdict]:
    """Another: whatever problems "5" and "6" are told is correct."""
    for row, verdict in zip(copies := list(rows), judge(copies), strict=True):
        yield dataclasses.replace(verdict, correct=verdict.correct or row.id in ("5", "6"))


@pytest.mark.parametrize("wave", [1, 2])
@pytest.mark.parametrize("verdicts", [stricter, kinder])
def test_after_an_edit_of_the_verifier_only_flipped_verdicts_draw_again(checkout: Path, wave: int, verdicts) -> None:
    """And the rows are, byte for byte, those that the edited verifier would have led to from the start."""
    ids, decoding = [str(i) for i in range(8)], settings(5, wave)
    before = {(row.id, row.index) for row in drawn(ids, Scripted(hardness), decoding)}
    engine = Scripted(hardness)
    after = {(row.id, row.index) for row in drawn(ids, engine, decoding, verdicts, solved_key="f" * 16)}
    edited = Path("out.jsonl").read_bytes()
    assert engine.drawn == len(after - before) and (engine.drawn > 0) == (verdicts is stricter) and after != before
    scratch_removed()
    drawn(ids, Scripted(hardness), decoding, verdicts)
    assert Path("out.jsonl").read_bytes() == edited


def test_more_responses_are_drawn_beside_those_there_are(checkout: Path) -> None:
    ids, engine = ["6", "7"], Scripted(hardness)
    drawn(ids, engine, settings(2, 1))
    assert engine.drawn == 4 and len(drawn(ids, engine, settings(4, 1), solved_key="f" * 16)) == 8 == engine.drawn


def test_no_engine_opens_where_nothing_is_lacking(micro: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stage itself, after an edit of the verifier that flips no verdict."""
    with_params(micro, adaptive=True, wave=2)
    run_stage(sample)
    once = Path("data/samples.jsonl").read_bytes()
    verifier = micro / "stages" / "lib" / "verifier" / "verify.py"
    verifier.write_text(verifier.read_text() + "# edited\n")
    monkeypatch.setattr(sample, "open_engine", lambda *_: pytest.fail("opened"))
    run_stage(sample)
    assert Path("data/samples.jsonl").read_bytes() == once
    policy = micro / "models" / "micro" / "policy" / "config.json"
    policy.write_text(policy.read_text() + "\n")
    with pytest.raises(pytest.fail.Exception, match="opened"):
        run_stage(sample)
