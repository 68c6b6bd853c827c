"""The page shows the counts of this run."""

from pathlib import Path

from stages.lib.report import page


def test_counts_of_a_guide_that_was_dropped_are_not_shown(tmp_path: Path) -> None:
    for name in ("prepare", "resolve-solution", "resolve-answer", "verify-resolve-answer", "verify-expert"):
        (tmp_path / f"{name}.json").write_text('{"rows": 1}')
    shown = [label for label, _ in page.counts(tmp_path, ["solution"]).rows]
    assert shown == ["prepare · rows", "resolve-solution · rows", "verify-expert · rows"]
