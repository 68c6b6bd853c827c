"""The browser of problems: what it shows is what the data folder holds, as text, and headless Chromium filters it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from stages.lib.records import Evaluation, Merged, Problem, Verdict, read
from stages.lib.report.browser import Entry, benchmark_entries, page, shares, training_entries
from tests.report.synthetic import experiment

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"


def pieces(ids: list[int]) -> list[str]:
    return [f"t{id_} " for id_ in ids]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return experiment(tmp_path_factory.mktemp("browser")) / "data"


@pytest.fixture(scope="module")
def entries(data: Path) -> list[Entry]:
    policies = {"base": data / "evaluations/base-t1.jsonl", "DR+DFT": data / "evaluations/rewritten-dft-0-t1.jsonl"}
    return [*training_entries(data, "solution", pieces, 30), *benchmark_entries(data, policies, 10)]


def test_training_entries_hold_both_responses_and_their_verdicts(data: Path, entries: list[Entry]) -> None:
    verdicts = {(row.id, row.index): row for row in read(Verdict, data / "verdicts" / "sample.jsonl")}
    merged = {row.id: row for row in read(Merged, data / "merged.jsonl")}
    training = [entry for entry in entries if entry.set == "training"]
    assert len(training) == 30 and {entry.source for entry in training} == {"self", "resolved", "expert"}
    for entry in training:
        labels = [response.label for response in entry.responses]
        assert labels == ["expert"] + ([] if entry.source == "expert" else [f"rewritten ({entry.source})"])
        if entry.source == "self":
            assert entry.responses[1].reason == verdicts[entry.id, merged[entry.id].index or 0].reason


def test_tokens_carry_the_scored_probabilities(entries: list[Entry]) -> None:
    for entry in entries:
        for response in entry.responses:
            assert bool(response.tokens) == (entry.set == "training")
            assert all(text == "t5 " and logp <= 0 for text, logp in response.tokens)


def test_benchmark_entries_hold_the_first_response_of_every_policy(data: Path, entries: list[Entry]) -> None:
    first = {row.id: row for row in read(Evaluation, data / "evaluations/base-t1.jsonl") if row.index == 0}
    held_out = [entry for entry in entries if entry.set != "training"]
    assert len(held_out) == 20
    for entry in held_out:
        assert [response.label for response in entry.responses] == ["base", "DR+DFT"]
        assert entry.responses[0].correct == first[entry.id].correct


def test_sources_take_turns() -> None:
    rows = [
        Merged(id=f"{source}{i}", source=source, index=None, samples=1, samples_correct=0, resolved=0,
               resolved_correct=0, expert_correct=True)
        for source, count in (("self", 9), ("resolved", 1), ("expert", 2)) for i in range(count)
    ]  # fmt: skip
    assert shares(rows, 6) == {"self0", "resolved0", "expert0", "self1", "expert1", "self2"}
    assert len(shares(rows, 100)) == 12


def test_the_page_loads_nothing_and_closes_no_tag(data: Path, tmp_path: Path) -> None:
    rows = [*read(Problem, data / "problems.jsonl")]
    hostile = Entry(id="x", set="training", source="self", problem=HOSTILE, answer=HOSTILE, responses=[])
    text = page([hostile])
    assert len(rows) > 0 and "</script><script>" not in text
    assert not re.search(r"""(?:src|href)=["'](?!index\.html)""", text.replace("\\u003c", "<").partition("<script")[0])
    found = json.loads(re.search(r'id="entries">(.*?)</script>', text, re.S)[1])  # type: ignore[index]
    assert found[0]["problem"] == HOSTILE


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: chromium)")
def test_chromium_draws_and_filters(entries: list[Entry], tmp_path: Path) -> None:
    hostile = Entry(id="evil", set="near", source="", problem=HOSTILE, answer="3", responses=[])
    path = tmp_path / "problems.html"
    path.write_text(page([*entries, hostile]), encoding="utf-8")
    everything = dom(path, "")
    assert "51 of 51 problems" in everything and "<title>Guided re-solving: problems</title>" in everything
    assert "background-color: rgba(213, 94, 0," in everything
    wrong = dom(path, "#set=near&verdict=no_answer")
    expected = [e for e in entries if e.set == "near" and any(r.reason == "no_answer" for r in e.responses)]
    assert 0 < len(expected) < 10 and f"{len(expected)} of 51 problems" in wrong
    assert wrong.count("<article>") == len(expected)
    found = dom(path, "#find=evil")
    assert "1 of 51 problems" in found and "&lt;/script&gt;&lt;script&gt;" in found and "<title>taken" not in found


def dom(path: Path, fragment: str) -> str:
    """The page after its script ran."""
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    words += [f"--user-data-dir={path.parent / 'profile'}", "--virtual-time-budget=5000", "--dump-dom"]
    command = [CHROMIUM or "", *words, f"{path.as_uri()}{fragment}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
