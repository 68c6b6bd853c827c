"""The reporting stages on a synthetic experiment, end to end; figures from sums against figures from weights; the words
for either outcome."""

import itertools
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from stages import plot_variance, tabulate
from stages.lib import importance
from stages.lib.analysis import accuracy, composition, gap, gap_table, gap_vs_gain
from stages.lib.analysis.arms import contrasts
from stages.lib.analysis.bootstrap import Draws
from stages.lib.analysis.evaluations import Answers, _classes, read_answers
from stages.lib.analysis.measures import majority, pass_at
from stages.lib.records import Evaluation, Merged, RecordError
from stages.lib.report import control_sentences, formatting, gap_sentences, sentences, tables
from stages.lib.run.params import Params, load
from stages.lib.verifier.verify import canonical
from tests import oracle
from tests.report.synthetic import experiment
from tests.run_stage import run_stage

CLIP = (0.5, 2.0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return experiment(tmp_path)


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same experiment with its reports, for tests that only look."""
    folder = experiment(tmp_path_factory.mktemp("reported"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_ROOT", str(folder))
        run()
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def run() -> None:
    run_stage(tabulate)
    run_stage(plot_variance)


def test_everything_declared_is_written_with_the_same_bytes_each_time(folder: Path, reported: Path) -> None:
    run()
    first = contents(reported / "reports")
    assert contents(folder / "reports") == first
    for name in ("accuracy", "logp", "paired", "source", "length", "training", "gain"):
        assert {f"figures/{name}.svg", f"figures/{name}.png"} <= set(first)
    for name in (
        "table.md",
        "table.tex",
        "table.csv",
        "effects.md",
        "effects.csv",
        "composition.md",
        "gap.md",
        "gap.csv",
    ):
        assert first[name]
    assert not re.search(rb"<dc:date>|Matplotlib v", first["figures/gain.svg"])


def test_the_page_loads_nothing_and_escapes_what_it_shows(reported: Path) -> None:
    page = (reported / "reports/index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script|<link|https?://|src=\"(?!data:)|@import|url\(", page)
    assert "&lt;train-" in page and "<train-" not in page, "problems are text, not markup"
    assert "\\boxed{3} &amp; done." in page
    assert str(reported) not in page
    for heading in (
        "What was compared",
        "Accuracy and decoding",
        "The gap before training",
        "Gap and gain",
        "Examples",
    ):
        assert f">{heading}<" in page


def test_the_numbers_are_those_of_the_data(reported: Path) -> None:
    folder = reported
    metrics = json.loads((folder / "reports/metrics.json").read_text())
    assert list(metrics["accuracy"]) == ["base", "SFT", "DFT", "DR+SFT", "DR+DFT"]
    rows = [json.loads(line) for line in (folder / "data/evaluations/base-t1.jsonl").open()]
    assert metrics["accuracy"]["base"] == pytest.approx(100 * np.mean([row["correct"] for row in rows]), abs=0.05)
    assert sum(metrics["share"].values()) == pytest.approx(100, abs=0.2)
    scores = pd.read_parquet(folder / "data/scores.parquet")
    expert = scores[scores["source"] == "expert"]["logp"].to_numpy(np.float64)
    assert metrics["ess"]["expert"] == pytest.approx(importance.ess_share(expert), abs=0.0005)
    effects = pd.read_csv(folder / "reports/effects.csv").set_index(["kind", "new", "old", "benchmark"])
    row = effects.loc[("data", "rewritten", "expert", "average")]
    assert row["low"] > 30 and row["high"] < 46, "the synthetic effect is somewhat under 42.5 points"


def test_sums_give_the_figures_of_the_weights_themselves(folder: Path) -> None:
    path = folder / "data/scores.parquet"
    chosen = {row.id: row.source for row in composition.read_merged(folder / "data").values()}
    pairs = gap.pair(gap.read_responses(path, CLIP), chosen)
    tokens = gap.read_tokens(path, pairs)
    raw = pd.read_parquet(path)
    own = raw[raw["source"] == raw["id"].map(chosen)]
    for data, frame in (("expert", raw[raw["source"] == "expert"]), ("rewritten", own)):
        logp = frame["logp"].to_numpy(np.float64)
        np.testing.assert_array_equal(np.sort(tokens[data].logp), np.sort(logp))
        found = gap.token_figures(gap.side(pairs, data).sum(0))
        assert found["ESS/N"] == pytest.approx(importance.ess_share(logp))
        assert found["ESS/N, clipped"] == pytest.approx(importance.ess_share(oracle.clip(logp, *CLIP)))
        assert found["CV²"] == pytest.approx(oracle.cv2(logp))
        assert found["Var(w)"] == pytest.approx(importance.variance(logp))
        assert found["Var(log w)"] == pytest.approx(importance.log_variance(logp))
    known = own.dropna()
    log_r = (known["logp"].astype(float) - known["logp_behaviour"].astype(float)).to_numpy()
    found = gap.known_figures(gap.side(pairs, "rewritten").sum(0))
    assert found["ESS/N"] == pytest.approx(importance.ess_share(log_r))
    assert found["mean w"] == pytest.approx(np.exp(log_r).mean())
    assert found["mean log w"] == pytest.approx(log_r.mean())


def test_response_figures_are_those_of_the_weights() -> None:
    log_w = np.random.default_rng(0).normal(-900, 3, 50)
    found = gap.response_figures(gap.response_sums(log_w, CLIP).sum(0))
    assert found["ESS/N"] == pytest.approx(importance.ess_share(log_w)), "however small the weights"
    assert found["CV²"] == pytest.approx(oracle.cv2(log_w))
    assert found["Var(log w)"] == pytest.approx(importance.log_variance(log_w))
    assert found["ESS/N, clipped"] == pytest.approx(1.0)


def test_the_fallback_rows_do_not_differ(folder: Path) -> None:
    path = folder / "data/scores.parquet"
    chosen = {row.id: row.source for row in composition.read_merged(folder / "data").values()}
    pairs = gap.pair(gap.read_responses(path, CLIP), chosen)
    table = gap_table.gap_table(pairs, gap.read_tokens(path, pairs), Draws(100, 0.95, 0), CLIP)
    same = table[(table["problems"] == "fallback") & (table["side"] == "difference")].dropna()
    assert len(same) and (same[["value", "low", "high"]] == 0).all(axis=None)
    assert not (table[table["problems"] == "fallback"]["behaviour"] == "known").any()


def test_one_seed_one_source_and_few_problems_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    experiment(tmp_path, problems=7, test_problems=3, seeds=1, n=1, sources=["self"])
    run()
    assert "1 order seed;" in (tmp_path / "reports/table.md").read_text()


def test_a_missing_cell_is_named_and_a_stale_one_ignored(folder: Path) -> None:
    stale = folder / "data/evaluations/self-sft-0-t1.jsonl"
    stale.write_text("not even JSON\n")
    assert set(read_answers(load().grid, 1)) == {"base", "SFT", "DFT", "DR+SFT", "DR+DFT"}
    (folder / "data/evaluations/rewritten-dft-2-t1.jsonl").unlink()
    with pytest.raises(RecordError, match=r"rewritten-dft-2-t1\.jsonl: no such file"):
        read_answers(load().grid, 1)


def test_a_cell_with_other_problems_is_named(folder: Path) -> None:
    path = folder / "data/evaluations/expert-sft-1-t1.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[4:]))
    with pytest.raises(RecordError, match=r"expert-sft-1-t1\.jsonl: does not match base-t1\.jsonl"):
        read_answers(load().grid, 1)


def test_a_missing_curve_is_named(folder: Path) -> None:
    run_stage(tabulate)
    (folder / "data/training/expert-dft-0.csv").unlink()
    with pytest.raises(RecordError, match=r"expert-dft-0\.csv"):
        run_stage(plot_variance)


@pytest.mark.parametrize(("n", "k"), [(4, 1), (4, 2), (5, 3), (4, 4)])
def test_pass_at_k_is_the_mean_over_all_subsets(n: int, k: int) -> None:
    for right in range(n + 1):
        correct = np.arange(n) < right
        exact = np.mean([correct[list(subset)].any() for subset in itertools.combinations(range(n), k)])
        assert pass_at(correct, k) == pytest.approx(exact)


def test_majority_by_hand() -> None:
    classes = np.array([[0, 0, 1, 2], [1, 1, 0, 2], [0, 1, 0, 1], [-1, -1, -1, 0], [-1, -1, -1, -1], [0, 1, 2, -1]])
    assert majority(classes).tolist() == pytest.approx([1, 0, 0.5, 1, 0, 1 / 3]), "no answer has no vote"


@pytest.mark.parametrize("n", [3, 5])
def test_majority_is_the_mean_over_fair_tie_breaks(n: int) -> None:
    for votes in itertools.product((0, 1, 2, -1), repeat=n):
        cast = [vote for vote in votes if vote >= 0]
        winners = [vote for vote in set(cast) if cast.count(vote) == max(map(cast.count, cast))]
        exact = np.mean([winner == 0 for winner in winners]) if winners else 0.0
        assert majority(np.array(votes)) == pytest.approx(exact)


def answered(*extracted: str | None) -> list[Evaluation]:
    return [
        Evaluation(
            benchmark="b",
            id="p",
            index=i,
            correct=formatting == "right",
            extracted=formatting,
            canonical=None if formatting is None else canonical(formatting),
            reason="",
            finish="stop",
            tokens=1,
            response="",
        )
        for i, formatting in enumerate(extracted)
    ]


def test_wrong_answers_of_one_value_vote_together() -> None:
    halves = answered("1/2", "right", "0.5", r"\frac12", None, r"$\dfrac{1}{2}$", "50\\%")
    assert _classes(halves) == [1, 0, 1, 1, -1, 1, 1]
    others = answered("x + 1", "x+1", r"\sqrt 2", "1/0", "9" * 100_000, "2^{10^9}", "((((", "no idea")
    assert _classes(others) == [1, 1, 2, 3, 4, 5, 6, 7]


def rows_of(correct: np.ndarray, answers: bool = True) -> Answers:
    shape = correct.shape
    return Answers(
        ids=[str(i) for i in range(shape[1])],
        correct=correct,
        classes=np.where(correct, 0, 1 if answers else -1),
        texts=np.zeros(shape, int),
        tokens=np.full(shape, 7),
        cut_off=np.zeros(shape, bool),
    )


def evaluated(**benchmarks: Answers) -> pd.DataFrame:
    frame = accuracy.evaluation({"base": benchmarks}, Draws(2000, 0.95, 0))
    return frame.set_index(["benchmark", "measure"])[["value", "low", "high"]]


def test_measures_of_one_response_and_one_seed() -> None:
    correct = np.random.default_rng(0).random((1, 60, 1)) < 0.4
    frame = evaluated(b=rows_of(correct))
    assert list(frame.loc["b"].index) == ["avg@1", "maj@1", "distinct", "tokens", "cut off", "no answer"]
    assert frame.loc[("b", "avg@1")].tolist() == frame.loc[("b", "maj@1")].tolist()
    value, low, high = frame.loc[("b", "avg@1")]
    wilson = stats.binomtest(int(correct.sum()), 60).proportion_ci(method="wilson")
    assert value == pytest.approx(100 * correct.mean())
    assert (low, high) == pytest.approx((100 * wilson.low, 100 * wilson.high), abs=3)


def test_an_arm_that_answers_nothing_has_intervals_all_the_same() -> None:
    frame = evaluated(b=rows_of(np.zeros((3, 30, 4), bool), answers=False))
    exact = stats.binomtest(0, 30).proportion_ci(method="exact").high
    for measure in ("avg@4", "pass@2", "pass@4", "maj@4", "cut off"):
        value, low, high = frame.loc[("b", measure)]
        assert (value, low) == (0, 0) and high == pytest.approx(100 * exact, rel=0.1), "Wilson's is near the exact one"
    value, low, high = frame.loc[("b", "no answer")]
    assert (value, high) == (100, 100) and low == pytest.approx(100 - 100 * exact, rel=0.01)
    assert frame.loc[("b", "tokens")].tolist() == [7, 7, 7]


def test_benchmarks_of_any_size_weigh_the_same_on_average() -> None:
    rng = np.random.default_rng(0)
    small, large = rng.random((2, 30, 4)) < 0.2, rng.random((2, 500, 4)) < 0.8
    frame = evaluated(small=rows_of(small), large=rows_of(large))
    assert frame.loc[("average", "avg@4"), "value"] == pytest.approx(50 * (small.mean() + large.mean()))
    width = frame["high"] - frame["low"]
    assert width["small", "avg@4"] > width["average", "avg@4"] > width["large", "avg@4"]


def test_one_problem_bears_no_interval() -> None:
    frame = evaluated(b=rows_of(np.ones((3, 1, 4), bool)))
    assert frame.loc[("b", "avg@4"), "value"] == 100 and frame[["low", "high"]].isna().all(axis=None)


def test_contrasts_are_the_factorial_ones(folder: Path) -> None:
    found = {(item.kind, item.new, item.old, item.by): item.weights for item in contrasts(load().grid)}
    assert found["data", "rewritten", "expert", ""] == {"DR+SFT": 0.5, "SFT": -0.5, "DR+DFT": 0.5, "DFT": -0.5}
    assert found["interaction", "rewritten", "expert", "dft"] == {"DR+DFT": 1, "DR+SFT": -1, "DFT": -1, "SFT": 1}
    assert found["base", "DR+DFT", "base", ""] == {"DR+DFT": 1, "base": -1}


def effects(value: float, low: float, high: float, kind: str, new: str, old: str) -> pd.DataFrame:
    rows = [[kind, new, old, "", scope, value, low, high] for scope in ("near", "average")]
    return pd.DataFrame(rows, columns=["kind", "new", "old", "by", "benchmark", "value", "low", "high"])


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        ((3.0, 1.0, 5.0), "raises average accuracy by 3.0 points [1.0, 5.0]. Benchmark by benchmark: up on near."),
        (
            (-3.0, -5.0, -1.0),
            "lowers average accuracy by 3.0 points [−5.0, −1.0]. Benchmark by benchmark: down on near.",
        ),
        ((0.5, -1.0, 2.0), "neither a gain nor a loss in average accuracy is shown, 0.5 [−1.0, 2.0] points."),
    ],
)
def test_an_effect_is_told_as_it_is(interval: tuple[float, float, float], words: str) -> None:
    assert words in sentences.effect(effects(*interval, "data", "rewritten", "expert"), "It")


@pytest.mark.parametrize(
    ("value", "p_holm", "words"),
    [(2.0, 0.01, "it adds"), (-2.0, 0.01, "it costs accuracy"), (2.0, 0.2, "is not shown"), (0.0, 1.0, "is not shown")],
)
def test_a_control_is_answered_by_the_adjusted_p(folder: Path, value: float, p_holm: float, words: str) -> None:
    """An interval that excludes 0 does not claim what the adjusted p does not; sets of another size are marked."""
    params = load()
    grid = replace(params.grid, data=["rewritten", "no-guide"], loss=["dft"])
    frame = effects(-value, -value - 0.5, -value + 0.5, "pair", "no-guide+DFT", "DR+DFT").assign(p_holm=p_holm)
    [row] = control_sentences.controls(frame, grid, {"rewritten": 768, "no-guide": 700}, 0.05).rows
    assert words in row[-1] and "768 rows against 700: confounded with size" in row[-1]
    assert row[1:3] == ["rewritten − no-guide", "dft"]


def test_shares_right_are_of_the_responses_that_every_problem_has(folder: Path) -> None:
    """Problem i is solved by response i % 4, so that later ones exist where the first was wrong."""
    params = load()
    merged = composition.read_merged(folder / "data").values()
    found = (
        composition.solved_rates(folder / "data/verdicts", params.sample, params.resolve).set_index("of").loc["samples"]
    )
    at_once = [row.samples_correct == 1 and row.samples == 1 for row in merged]
    assert found["first"] == 1 and found["right"] == pytest.approx(100 * np.mean(at_once))
    assert found["responses"] == sum(row.samples for row in merged)
    assert found["problems solved"] == pytest.approx(100 * np.mean([row.samples_correct > 0 for row in merged]))


@pytest.mark.parametrize(
    ("adaptive", "groups", "scale"),
    [
        (True, [">4", "3", "1"], "samples drawn until one is right"),
        (False, ["0/4", "1/4", "3/4"], "right samples of the training problem"),
    ],
)
def test_hard_problems_are_told_from_easy_ones(params: Params, adaptive: bool, groups: list[str], scale: str) -> None:
    sample = replace(params.sample, n=4, adaptive=adaptive, wave=1)
    counts = [(4, 0), (3, 1), (1, 1)] if adaptive else [(4, 0), (4, 1), (4, 3)]
    merged = {
        f"{i}-{k}": Merged(id=f"{i}-{k}", source="self", index=0, samples=drawn, samples_correct=right, resolved=0,
                           resolved_correct=0, expert_correct=True)
        for i, (drawn, right) in enumerate(counts) for k in range(5)
    }  # fmt: skip
    nll = [3.0 - int(id_[0]) + 0.01 * int(id_[2]) for id_ in merged]
    pairs = pd.DataFrame({"id": list(merged), "expert_l": -np.array(nll), "expert_n": 1.0})
    pairs = pairs.assign(rewritten_l=pairs["expert_l"], rewritten_n=1.0)[::-1]
    frame = gap_vs_gain.by_solved(pairs, merged, sample, Draws(200, 0.95, 0))
    assert list(frame["group"].unique()) == groups and set(frame["problems"]) == {5}
    line = gap_sentences.solved(frame, gap_vs_gain.scale(sample))
    assert line.startswith("The less readily samples solve a training problem, the less probable")
    assert f"at {groups[0]} and" in line and f"at {groups[-1]} ({scale})." in line


def test_more_tokens_are_admitted() -> None:
    shares = pd.DataFrame({"source": ["all"], "tokens": [30.0], "expert tokens": [20.0]})
    assert "a part of a gain could come from more tokens" in gap_sentences.tokens(shares)
    assert "no explanation" in gap_sentences.tokens(
        shares.rename(columns={"tokens": "expert tokens", "expert tokens": "tokens"})
    )


def test_figures_that_disagree_are_named() -> None:
    rows = [
        ["ESS/N", 0.1, 0.05, 0.2],
        ["Var(log w)", 0.3, 0.1, 0.5],
        ["MAD(log w)", 0.0, -1.0, 1.0],
        ["Var(w)", 1.0, 0.5, 2.0],
    ]
    table = pd.DataFrame(rows, columns=["figure", "value", "low", "high"])
    table = table.assign(problems="all", behaviour="b = 1", side="difference", level="token")
    words = "these say that the gap is smaller: ESS/N per token; these say the opposite: Var(log w) per token; these do"
    assert words in gap_sentences.disagreeing(table)
    assert "Var(w)" not in gap_sentences.disagreeing(table), "it goes either way"


def test_numbers_carry_as_many_digits_as_their_interval() -> None:
    assert formatting.show(0.61432, 0.60512, 0.62391) == "0.6143 [0.6051, 0.6239]"
    assert formatting.show(-12.3456, -14.0, -10.0) == "−12.3 [−14.0, −10.0]"
    assert formatting.show(1234.4, 1000.0, 1500.0) == "1234 [1000, 1500]"
    assert formatting.show(-0.0001, digits=1) == "0.0", "no minus before nothing"
    assert formatting.show(float("nan")) == "–"


def test_latex_is_escaped() -> None:
    table = formatting.Table(["", "a_b"], [["50 %", "−1.0 [−2.0, 0.5]"]])
    found = formatting.latex(table, {(0, 1)}, "note")
    assert r" & a\_b \\" in found
    assert r"50 \% & \textbf{$-$1.0} {\scriptsize [$-$2.0, 0.5]} \\" in found


def test_the_best_of_each_column() -> None:
    rows = [["a", "x", 1.0], ["a", "y", 5.0], ["b", "x", 2.0], ["b", "y", 4.0]]
    assert tables.best(pd.DataFrame(rows, columns=["arm", "benchmark", "value"])) == {(1, 1), (0, 2)}
