"""Every row of the tables in docs/verifier.md holds."""

import re
from pathlib import Path

import pytest

from stages.lib.verifier.extract import extract
from stages.lib.verifier.verify import verify

PAGE = Path(__file__).parents[2] / "docs" / "verifier.md"


def rows(header: str) -> list[list[str]]:
    """The cells of the table with this header, in Markdown."""
    lines = PAGE.read_text().split(header)[1].splitlines()[2:]
    table = lines[: next(i for i, line in enumerate(lines) if not line.startswith("|"))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]*)`", cell)


@pytest.mark.parametrize("row", rows("| rule | response | stated answer |"), ids=lambda row: row[0])
def test_where_the_answer_stands(row: list[str]) -> None:
    stated = [found for found in extract(code(row[1])[0], markers=True) if found]
    assert stated == code(row[2])


@pytest.mark.parametrize("row", rows("| rule | reference | response | right |"), ids=lambda row: row[0])
def test_ambiguous_notation(row: list[str]) -> None:
    assert verify(rf"\boxed{{{code(row[2])[0]}}}", code(row[1])[0]).correct is (row[3] == "yes")


@pytest.mark.parametrize(
    "row", rows("| question | reference | response | right |"), ids=lambda row: f"{row[0]} {row[2]}"
)
def test_what_the_question_changes(row: list[str]) -> None:
    question, reference, response = (code(cell)[0] for cell in row[:3])
    assert verify(rf"\boxed{{{response}}}", reference, question=question).correct is (row[3] == "yes")
