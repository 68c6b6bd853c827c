"""dvc.yaml against the code: each stage declares what it imports and reads, no more and no less."""

import ast
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]


def body(name: str) -> dict:
    return STAGES[name].get("do", STAGES[name])


def script(name: str) -> Path:
    words = body(name)["cmd"].split()
    return ROOT / (words[words.index("-m") + 1].replace(".", "/") + ".py")


def imports(path: Path, seen: set[Path]) -> set[Path]:
    """The files of stages/lib that `path` imports, directly or not, lazy imports and type hints too."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            file = ROOT / (name.replace(".", "/") + ".py")
            if name.startswith("stages.lib.") and file.exists() and file not in seen:
                seen.add(file)
                imports(file, seen)
    return seen


def dep(path: Path) -> str:
    """A file is a dep of its own, one of a folder in stages/lib stands for the folder."""
    return str((path if path.parent.name in ("stages", "lib") else path.parent).relative_to(ROOT))


@pytest.mark.parametrize("name", STAGES)
def test_deps_are_the_code_that_the_stage_imports(name: str) -> None:
    needed = {dep(path) for path in imports(script(name), {script(name)})}
    listed = {dep for dep in body(name)["deps"] if dep.startswith("stages/") and not dep.endswith(".html")}
    assert listed == needed, f"dvc.yaml, {name}: add {sorted(needed - listed)}, drop {sorted(listed - needed)}"


@pytest.mark.parametrize("name", STAGES)
def test_params_are_the_sections_that_the_stage_reads(name: str) -> None:
    """A section counts as read where the script, or code that it imports, has `params.<section>`; machine settings are
    no params."""
    reads = {
        node.attr
        for path in imports(script(name), {script(name)})
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "params"
    } - {"hardware"}
    assert reads == {param.split(".")[0] for param in body(name).get("params", [])}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_that_can_load_the_policy_depends_on_its_files(name: str) -> None:
    """Tokenizer, template, configs and weights: whatever lies in the folder."""
    loads = ROOT / "stages/lib/policy.py" in imports(script(name), set())
    assert loads == ("${policy.files}" in body(name)["deps"])


def test_hardware_is_no_stages_param() -> None:
    assert not any("hardware" in str(body(name).get("params", [])) for name in STAGES)
