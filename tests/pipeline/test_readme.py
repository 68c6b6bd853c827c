"""The README shows what the pipeline wrote: its generated blocks are up to date."""

import re
from pathlib import Path

import pytest

from tools import readme

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def text() -> str:
    return (ROOT / "README.md").read_text()


def test_generated_blocks_are_current(text: str) -> None:
    assert readme.filled(text) == text, "run: python -m tools.readme"


def test_every_block_has_its_place(text: str) -> None:
    for name in readme.blocks():
        assert f"<!-- {name} -->" in text and f"<!-- /{name} -->" in text


def test_linked_files_exist(text: str) -> None:
    links = re.findall(r"\]\(([\w./-]+)\)", text)
    assert links and all((ROOT / link).exists() for link in links)
