"""The README shows what the pipeline wrote: its generated blocks are up to date."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
spec = importlib.util.spec_from_file_location("readme", ROOT / ".ci" / "readme.py")
readme = importlib.util.module_from_spec(spec)
spec.loader.exec_module(readme)


@pytest.fixture(scope="module")
def text() -> str:
    return (ROOT / "README.md").read_text()


def test_generated_blocks_are_current(text: str) -> None:
    assert readme.filled(text) == text, "run: python .ci/readme.py"


def test_every_block_has_its_place(text: str) -> None:
    for name in readme.blocks():
        assert f"<!-- {name} -->" in text and f"<!-- /{name} -->" in text


def test_linked_files_exist(text: str) -> None:
    links = re.findall(r"\]\(([\w./-]+)\)", text)
    assert links and all((ROOT / link).exists() for link in links)
