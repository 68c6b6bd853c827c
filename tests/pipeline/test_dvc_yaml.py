"""dvc.yaml against the code: each stage declares what it imports and reads, no more and no less."""

import ast
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
PLUMBING = ROOT / "stages" / "lib" / "run"  # changes no result, so no stage depends on it
ASKED = {"evaluate", "evaluate-base", "resolve", "sample"}  # the stages that draw responses


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


def needed(name: str) -> set[Path]:
    """The code that shapes a stage's result: its script and what that imports, without the plumbing."""
    return {path for path in imports(script(name), {script(name)}) if not path.is_relative_to(PLUMBING)}


def code_deps(name: str) -> set[Path]:
    return {ROOT / dep for dep in body(name)["deps"] if dep.startswith("stages/")}


def stages_of(path: str) -> set[str]:
    """The stages that run again when a file of stages/ changes."""
    return {name for name in STAGES if any((ROOT / path).is_relative_to(dep) for dep in code_deps(name))}


@pytest.mark.parametrize("name", STAGES)
def test_every_import_is_covered_by_a_dep(name: str) -> None:
    deps = code_deps(name)
    missing = {str(p.relative_to(ROOT)) for p in needed(name) if not any(p.is_relative_to(dep) for dep in deps)}
    assert not missing, f"dvc.yaml, {name}: add {sorted(missing)}, or a folder that holds them"


@pytest.mark.parametrize("name", STAGES)
def test_every_code_dep_is_used(name: str) -> None:
    """A folder is used where the stage imports at least half of its modules."""
    for dep in code_deps(name):
        assert dep.exists(), f"dvc.yaml, {name}: {dep} is gone"
        modules = {dep} if dep.is_file() else set(dep.glob("*.py")) - {dep / "__init__.py"}
        used = modules & needed(name)
        assert 2 * len(used) >= len(modules), f"dvc.yaml, {name}: name the files that it uses, not {dep}"


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


def test_a_new_param_runs_nothing_again() -> None:
    """Its value does, where a stage declares its section; the schema's code is plumbing."""
    assert stages_of("stages/lib/run/params.py") == set()


def test_a_new_figure_runs_the_plots_again() -> None:
    assert stages_of("stages/lib/report/figures.py") == {"plot-variance"}
    assert stages_of("stages/lib/analysis/figure_data.py") == {"plot-variance", "tabulate"}, "seconds both"


def test_a_new_data_variant_runs_the_merge_again() -> None:
    """And the cells that train on it, since their data set is new."""
    assert stages_of("stages/lib/rewriting/training_sets.py") == {"fallback-merge"}


def test_a_new_loss_runs_the_trainings_again() -> None:
    assert stages_of("stages/lib/training/losses.py") == {"train"}


def test_an_engine_runs_again_what_draws_responses() -> None:
    assert stages_of("stages/lib/generation/hf.py") == ASKED


def test_dvc_yaml_stays_readable() -> None:
    assert len((ROOT / "dvc.yaml").read_text().splitlines()) < 350
