"""dvc.yaml against the code: each stage declares what it imports and reads, no more and no less."""

import ast
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
PLUMBING = ROOT / "stages" / "lib" / "run"  # changes no result, so no stage depends on it
ASKED = {"evaluate", "evaluate-base", "resolve", "sample"}  # the stages that draw responses
JUDGED = ASKED | {"verify", "verify-resolved"}  # the stages that ask for verdicts
GRID = {"train", "evaluate"}  # the cells


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
    """A section counts as read where the script, or code that it imports, has `params.<section>` or
    `stage.params.<section>`; machine settings are no params."""
    reads = {
        node.attr
        for path in imports(script(name), {script(name)})
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).split(".")[-1] == "params"
    } - {"hardware"}
    assert reads == {param.split(".")[0] for param in body(name).get("params", [])}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_that_can_load_the_policy_depends_on_its_files(name: str) -> None:
    """Tokenizer, template, configs and weights: whatever lies in the folder."""
    loads = ROOT / "stages/lib/policy.py" in imports(script(name), set())
    assert loads == ("${policy.files}" in body(name)["deps"])


def test_hardware_is_no_stages_param() -> None:
    assert not any("hardware" in str(body(name).get("params", [])) for name in STAGES)


@pytest.mark.parametrize(
    ("path", "stages"),
    [
        ("run/params.py", set()),  # a new param; its value counts, where a stage declares its section
        ("run/stage.py", set()),
        ("data/sources.py", {"prepare"}),  # a new benchmark's format
        ("generation/hf.py", ASKED),
        ("verifier/exact.py", JUDGED),  # those that asked before judge their responses again, and draw few or none
        ("rewriting/copies.py", {"resolve", "verify", "verify-resolved"}),
        ("rewriting/guides.py", {"resolve", "score", "verify", "verify-resolved"}),  # a new guide
        ("rewriting/training_sets.py", {"fallback-merge"}),  # a new data variant; then the cells whose data is new
        ("scoring/likelihood.py", {"score", "tabulate", "plot-variance"}),
        ("training/losses.py", {"train"}),  # a new loss
        ("analysis/figure_data.py", {"plot-variance", "tabulate"}),  # seconds both
        ("report/figures.py", {"plot-variance"}),  # a new figure
        ("report/tables.py", {"tabulate", "plot-variance"}),
    ],
)
def test_a_change_of_each_kind_runs_again_what_it_can_change(path: str, stages: set[str]) -> None:
    assert (ROOT / "stages/lib" / path).exists() and stages_of(f"stages/lib/{path}") == stages


@pytest.mark.parametrize(
    ("param", "stages"),
    [
        ("hardware.engines", set()),
        ("report.bins", {"tabulate"}),
        ("evaluate.n", {"evaluate", "evaluate-base", "tabulate"}),
        ("grid.seed", {"tabulate"}),  # and the cells that there were not before
        ("train.learning_rate", {"train"}),
        ("loss.kl", {"train"}),
        ("merge.seed", {"fallback-merge"}),
        ("verify.unsound", {"fallback-merge", "resolve", "verify", "verify-resolved"}),
        ("copy.words", {"resolve", "verify", "verify-resolved"}),
        ("verify.timeout", JUDGED),
        ("sample.n", {"sample", "tabulate"}),
        ("resolve.guides", {"fallback-merge", "score", "tabulate"}),
        ("problems.n", {"prepare"}),
    ],
)
def test_a_value_of_each_kind_runs_again_what_it_can_change(param: str, stages: set[str]) -> None:
    """And plot-variance, whose page shows the settings."""
    shown = set() if param.startswith("hardware") else {"plot-variance"}
    assert {name for name in STAGES if covers(name, param)} == stages | shown


def covers(name: str, param: str) -> bool:
    return any(f"{param}.".startswith(f"{declared}.") for declared in body(name).get("params", []))


def test_a_cells_inputs_are_its_own() -> None:
    """A new seed, loss or data set runs its own cells; no stage before them reads the grid."""
    for name in GRID:
        assert set(STAGES[name]["matrix"]) - {"temperature"} == {"data", "loss", "seed"} and not covers(
            name, "grid.seed"
        )
    assert not any(dep in ("data/train", "models/cells") for name in GRID for dep in body(name)["deps"])


@pytest.mark.parametrize(
    "room", sorted(path.name for path in (ROOT / "stages/lib").iterdir() if path.is_dir() and path != PLUMBING)
)
def test_the_library_takes_sections_of_the_params(room: str) -> None:
    """A function that is handed everything says nothing of what it reads. Only the page of all settings, and its
    sections, show all."""
    whole = {
        f"{path.stem}.{node.name}"
        for path in (ROOT / "stages/lib" / room).glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        for argument in (*node.args.args, *node.args.kwonlyargs)
        if argument.annotation and ast.unparse(argument.annotation) == "Params"
    }
    assert {name for name in whole if not name.startswith("sections.")} <= {"page.page", "page.settings"}


def test_dvc_yaml_stays_readable() -> None:
    assert len((ROOT / "dvc.yaml").read_text().splitlines()) < 350
