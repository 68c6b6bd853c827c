"""The page shows the counts of this run."""

from pathlib import Path

from stages.lib.analysis.composition import solved_rates
from stages.lib.records import Verdict, write
from stages.lib.report import page, tables
from stages.lib.run.params import Params


def test_counts_of_a_guide_that_was_dropped_are_not_shown(tmp_path: Path) -> None:
    for name in ("prepare", "resolve-solution", "resolve-answer", "verify-resolve-answer", "verify-expert"):
        (tmp_path / f"{name}.json").write_text('{"rows": 1}')
    shown = [label for label, _ in page.counts(tmp_path, ["solution"]).rows]
    assert shown == ["prepare · rows", "resolve-solution · rows", "verify-expert · rows"]


def test_shares_of_nothing_are_no_numbers(params: Params, tmp_path: Path) -> None:
    for name in ("expert", "sample", "resolve-solution"):
        judged = (
            [] if name.startswith("resolve") else [Verdict(id="p", index=0, correct=True, extracted="1", reason="e")]
        )
        write(tmp_path / f"{name}.jsonl", judged)
    shown = tables.solved(solved_rates(tmp_path, params.sample, params.resolve)).rows
    assert shown[1][-3:] == ["100.0", "0.0", "100.0"] and shown[2][-3:] == ["–"] * 3
