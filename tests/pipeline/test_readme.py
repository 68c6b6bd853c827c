"""README.md and docs/ describe this repository: blocks, links, the tree and the commands are right."""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tools import readme

ROOT = Path(__file__).parents[2]
PAGES = readme.pages()
TREE = re.compile(r"^(?P<indent>[│ ]*)[├└]── (?P<names>[^\s,]+(?:, [^\s,]+)*)", re.M)


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tracked() -> list[str]:
    """Paths in git's index; files of a user's own that git does not know need no place in the README."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [path for path in listed.stdout.splitlines() if (ROOT / path).exists()]


def entries(folder: str = "") -> set[str]:
    """Names directly in a folder of the repository, as git has them."""
    return {path.removeprefix(folder).split("/")[0] for path in tracked() if path.startswith(folder)}


@cache
def drawn() -> dict[int, set[str]]:
    """Names in the README's tree by depth: 0 the root, 1 stages/, 2 stages/lib/."""
    names: dict[int, set[str]] = {0: set(), 1: set(), 2: set()}
    for match in TREE.finditer(text(ROOT / "README.md")):
        names[len(match["indent"]) // 4] |= set(match["names"].split(", "))
    return names


@cache
def commands() -> list[str]:
    """Every line of a bash block, comments removed."""
    blocks = re.findall(r"```bash\n(.*?)```", "\n".join(map(text, PAGES)), re.S)
    return [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]


# Blocks --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", readme.BLOCKS)
def test_block_is_current(block: str) -> None:
    new = readme.BLOCKS[block]()
    for page in PAGES:
        assert readme.filled(text(page), {block: new}) == text(page), f"{name(page)}: run python -m tools.readme"


@pytest.mark.parametrize("block", readme.BLOCKS)
def test_block_stands_on_one_page(block: str) -> None:
    pages = "\n".join(map(text, PAGES))
    assert pages.count(f"<!-- {block} -->") == pages.count(f"<!-- /{block} -->") == 1


def test_no_block_without_a_generator() -> None:
    assert set(re.findall(r"<!-- /?([\w-]+) -->", "\n".join(map(text, PAGES)))) == set(readme.BLOCKS)


def test_missing_row_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = "| contrast (points) | T = 1 | greedy |\n| :-- | --: | --: |\n| loss: dft − sft | 1.0 | −1.0 |\n"
    (tmp_path / "decoding.md").write_text(table)
    monkeypatch.setattr(readme, "REPORTS", tmp_path)
    assert readme.cells("decoding", "loss: dft − sft") == ["1.0", "−1.0"]
    with pytest.raises(LookupError, match=r"reports/decoding\.md has no row 'data: rewritten"):
        readme.headline()


# Links ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", text(page))
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing
    assert name(page) != "README.md" or links


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_anchors_are_headings(page: Path) -> None:
    for link, anchor in re.findall(r"\]\(([\w./-]*)#([\w-]+)\)", text(page)):
        target = page.parent / link if link else page
        headings = re.findall(r"^#+ (.+)$", text(target), re.M)
        assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_readme_links_every_page_of_docs() -> None:
    linked = set(re.findall(r"\]\((docs/[\w-]+\.md)\)", text(ROOT / "README.md")))
    assert linked == {path for path in tracked() if path.startswith("docs/") and path.endswith(".md")}


# Size and tree -------------------------------------------------------------------------------------------------------


def test_readme_has_at_most_180_lines() -> None:
    assert len(text(ROOT / "README.md").splitlines()) <= 180


def test_tree_shows_what_the_root_holds() -> None:
    assert drawn()[0] == entries()


def test_tree_shows_every_stage() -> None:
    assert drawn()[1] == entries("stages/") - {"__init__.py"}


def test_tree_shows_every_room() -> None:
    assert drawn()[2] == entries("stages/lib/") - {"__init__.py"}


# Commands ------------------------------------------------------------------------------------------------------------


def test_make_targets_exist() -> None:
    shown = {words[1] for command in commands() if (words := command.split()) and words[0] == "make"}
    makefile = text(ROOT / "Makefile")
    assert {"repro", "test"} <= shown
    assert all(re.search(rf"^{target}:", makefile, re.M) for target in shown)


def test_presets_exist() -> None:
    shown = re.findall(r"presets/(?:apply|cost)\.py ([\w.-]+)", "\n".join(map(text, PAGES)))
    known = {path.stem for path in (ROOT / "presets").glob("*.yaml")}
    assert shown and set(shown) - {"NAME"} <= known


def test_table_of_presets_names_real_ones() -> None:
    shown = re.findall(r"^\| `([\w.-]+)` \|", text(ROOT / "README.md"), re.M)
    assert shown and all((ROOT / "presets" / f"{preset}.yaml").exists() for preset in shown)


def test_modules_exist() -> None:
    for module in re.findall(r"python -m ((?:stages|tools|tests|models)\.[\w.]+)", "\n".join(map(text, PAGES))):
        assert (ROOT / f"{module.replace('.', '/')}.py").exists(), module


def test_params_set_on_the_command_line_exist() -> None:
    params = YAML(typ="safe").load(text(ROOT / "params.yaml"))
    shown = [key for command in commands() for key in re.findall(r"-S ([\w.]+)=", command)]
    assert shown
    for key in shown:
        section, _, field = key.partition(".")
        assert field in params[section], key
