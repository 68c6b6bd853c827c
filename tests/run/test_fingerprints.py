"""Nothing made under other params, inputs or code is picked up: the fingerprint of what a stage keeps covers exactly
what the stage declares to DVC, and the stage reads nothing else. Everything here is generated from dvc.yaml and
params.yaml, so a new key, stage or dep is under test as soon as it is there."""

import ast
import dataclasses
import re
import shutil
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ruamel.yaml import YAML

from stages import evaluate, fallback_merge, plot_variance, prepare, resolve, sample, score, tabulate, train, verify
from stages.lib.run import fingerprint, params
from stages.lib.run import stage as running
from stages.lib.run.errors import StageError
from stages.lib.run.fingerprint import Instance, assert_unchanged, declared_inputs, instance_of, without
from stages.lib.run.journal import Journal
from stages.lib.run.params import ParamsError
from tests.report.synthetic import experiment
from tests.run_stage import RESUMABLE, run_stage

ROOT = Path(__file__).parents[2]
STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
VALUES = YAML(typ="safe").load((ROOT / "params.yaml").read_text())


def leaves(values: dict[str, Any], before: str = "") -> Iterator[str]:
    for key, value in values.items():
        yield from leaves(value, f"{before}{key}.") if isinstance(value, dict) else [f"{before}{key}"]


LEAVES = list(leaves(VALUES))


def at(values: dict[str, Any], dotted: str) -> Any:
    return reduce(lambda value, key: value[key], dotted.split("."), values)


def body(name: str) -> dict[str, Any]:
    return STAGES[name].get("do", STAGES[name])


def names(stage: str) -> dict[str, Any]:
    """The variables of the stage's first instance."""
    entry = STAGES[stage]
    if "foreach" in entry:
        key, item = next(iter(entry["foreach"].items()))
        return {"key": key, "item": item}
    if "matrix" in entry:
        return {"item": {name: at(VALUES, text.strip("${}"))[0] for name, text in entry["matrix"].items()}}
    return {}


def key(stage: str, **variables: Any) -> str:
    return fingerprint.fingerprint(declared_inputs(Instance(stage, variables or names(stage))))


def deps(stage: str) -> list[str]:
    values = {**VALUES, **names(stage)}
    return [re.sub(r"\$\{([\w.]+)\}", lambda match: str(at(values, match[1])), dep) for dep in body(stage)["deps"]]


def covers(stage: str, leaf: str) -> bool:
    return any(leaf == name or leaf.startswith(name + ".") for name in body(stage).get("params", []))


def other(value: Any) -> Any:
    """Another value of the kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return [*value, value[0]] if isinstance(value, list) else f"{value}x"


@pytest.fixture
def values(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The params that the fingerprint sees, to be changed in place; every dep of every stage exists."""
    for dep in {dep for stage in STAGES for dep in deps(stage)}:
        path = checkout / dep
        file = path if path.suffix else path / "a.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.exists() or file.write_text(f"{file}\n")
    found = YAML(typ="safe").load((ROOT / "params.yaml").read_text())
    monkeypatch.setattr(fingerprint, "_yaml", lambda name: {"params.yaml": found, "dvc.yaml": {"stages": STAGES}}[name])
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_every_param_changes_the_fingerprint_exactly_where_it_is_declared(stage: str, values: dict[str, Any]) -> None:
    before = key(stage)
    for leaf in LEAVES:
        section, last = at(values, leaf.rpartition(".")[0]), leaf.rpartition(".")[2]
        old = section[last]
        copy = Path(f"{old}x")
        if last == "files":
            (shutil.copytree if Path(old).is_dir() else shutil.copy)(old, copy)
        section[last] = other(old)
        assert (key(stage) != before) == covers(stage, leaf), leaf
        section[last] = old
        if last == "files":  # it lies in a folder that is a dep itself
            shutil.rmtree(copy) if copy.is_dir() else copy.unlink()
    assert key(stage) == before


@pytest.mark.parametrize("stage", STAGES)
def test_every_file_changes_the_fingerprint_exactly_where_it_is_declared(
    stage: str, values: dict, checkout: Path
) -> None:
    before, declared = key(stage), [checkout / dep for dep in deps(stage)]
    for path in [path for path in checkout.rglob("*") if path.is_file() and "__pycache__" not in path.parts]:
        old = path.read_bytes()
        path.write_bytes(old + b"#")
        under = any(dep == path or dep in path.parents for dep in declared)
        assert (key(stage) != before) == under, path
        path.write_bytes(old)
    assert key(stage) == before


@pytest.mark.parametrize("stage", [name for name in STAGES if "${policy.files}" in body(name)["deps"]])
def test_every_file_that_loading_the_policy_reads_is_part_of_its_fingerprint(stage: str, values: dict) -> None:
    folder = Path(VALUES["policy"]["files"])
    shutil.copytree(ROOT / VALUES["policy"]["name"], folder, dirs_exist_ok=True)
    parts = {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
    assert parts | {"model.safetensors"} == {path.name for path in folder.iterdir()} - {"a.jsonl"}
    seen = {key(stage)}
    for part in parts:
        (folder / part).write_bytes((folder / part).read_bytes() + b"\n")
        seen.add(key(stage))
    assert len(seen) == 1 + len(parts)


def test_a_renamed_file_in_a_folder_changes_the_fingerprint(values: dict, checkout: Path) -> None:
    """A benchmark's name is its file's."""
    before = key("evaluate-base")
    (checkout / "data/benchmarks/a.jsonl").rename(checkout / "data/benchmarks/b.jsonl")
    assert key("evaluate-base") != before


def test_the_cells_of_a_matrix_have_fingerprints_of_their_own(values: dict) -> None:
    for data in VALUES["grid"]["data"]:
        file = Path(f"data/train/{data}.jsonl")
        file.write_text("the same")
    items = [
        {"data": d, "loss": loss, "seed": s} for d in VALUES["grid"]["data"] for loss in ("sft", "dft") for s in (0, 1)
    ]
    assert len({key("train", item=item) for item in items}) == len(items)


# --- the scripts --------------------------------------------------------------------------------------------------


def script(stage: str) -> Path:
    words = body(stage)["cmd"].split()
    return ROOT / (words[words.index("-m") + 1].replace(".", "/") + ".py")


def calls(path: Path) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]


SCRIPTS = sorted({script(stage) for stage in STAGES})


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_that_keeps_work_takes_its_fingerprint_before_it_reads(path: Path) -> None:
    """`run` takes it, where it is told that the stage is resumable."""
    used = {ast.unparse(call.func) for call in calls(path)}
    [started] = [ast.unparse(call) for call in calls(path) if ast.unparse(call.func) == "run"]
    keeps = bool(used & {"stage.journal", "stage.folder"})
    assert started == ("run(main, resumable=True)" if keeps else "run(main)")
    assert keeps == (path.stem in RESUMABLE)
    assert not used & {"Journal", "load", "declared_inputs"} and "argv" not in path.read_text()


def words_of(stage: str) -> list[str]:
    """A command line of the stage's first instance."""
    words, variables = body(stage)["cmd"].replace("'", "").split(), names(stage)
    place = next(i for i, word in enumerate(words) if word.startswith("stages."))
    fill = re.compile(r"\$\{([\w.]+)\}")
    return [fill.sub(lambda match: str(at(variables, match[1])), word) for word in words[place + 1 :]]


@pytest.mark.parametrize("stage", STAGES)
def test_a_command_line_names_its_stage(stage: str) -> None:
    found = instance_of(script(stage).stem, words_of(stage))
    assert found.stage == stage
    assert {k: v if k == "key" else str(v) for k, v in found.variables.items()} == {
        k: v if k == "key" else str({name: str(x) for name, x in v.items()} if isinstance(v, dict) else v)
        for k, v in names(stage).items()
    }


def test_an_instance_has_the_name_that_dvc_gives_it() -> None:
    """Read from dvc.lock, which is DVC's own."""
    recorded = YAML(typ="safe").load((ROOT / "dvc.lock").read_text())["stages"]
    for stage in STAGES:
        assert instance_of(script(stage).stem, words_of(stage)).name in recorded


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "expert"], "train takes `DATA LOSS SEED`, not 'expert'"),
        (["evaluate"], "evaluate takes `base TEMPERATURE` or `DATA LOSS SEED TEMPERATURE`, not ''"),
        (["verify", "nothing"], "verify takes `expert` or `sample` or `resolve-GUIDE`, not 'nothing'"),
        (["sample", "twice"], "sample takes no words, not 'twice'"),
    ],
)
def test_a_mistaken_command_line_is_told_the_right_ones(words: list[str], said: str) -> None:
    with pytest.raises(ParamsError, match=f"^{re.escape(said)}$"):
        instance_of(words[0], words[1:])


def test_what_changed_while_a_stage_started_is_named() -> None:
    assert_unchanged({"a": "1"}, {"a": "1"})
    with pytest.raises(StageError, match=r"^params.yaml:loss.kl and 1 more changed while the stage was starting"):
        assert_unchanged({"params.yaml:loss.kl": "0", "stages/x.py": "1"}, {"params.yaml:loss.kl": "1"})


# --- responses outlive the verifier that judged them ----------------------------------------------------------------


CHOOSING = {"sample": sample.CHOOSING, "resolve": resolve.CHOOSING, "evaluate": evaluate.CHOOSING}


@pytest.mark.parametrize("stage", CHOOSING)
def test_inputs_that_shape_no_response_are_the_only_ones_left_out(stage: str, values: dict[str, Any]) -> None:
    before = declared_inputs(Instance(stage, names(stage)))
    left = before.keys() - without(before, CHOOSING[stage]).keys()
    for name in CHOOSING[stage]:
        assert any(key == name or key.startswith(f"{name}.") for key in left), f"{name}: no input of {stage}"
    assert left == {key for key in before for name in CHOOSING[stage] if key == name or key.startswith(f"{name}.")}
    assert not any(key.startswith(("params.yaml:policy", "params.yaml:prompt", "models")) for key in left)


def test_what_draws_a_response_knows_nothing_of_what_is_left_out() -> None:
    """No engine, no prompt and no policy imports the verifier or a check of the re-solved; nor reads how many."""
    drawing = [
        *(ROOT / "stages/lib/generation").glob("*.py"),
        ROOT / "stages/lib/prompts.py",
        ROOT / "stages/lib/policy.py",
    ]
    for path in drawing:
        text = path.read_text()
        assert not re.search(r"stages\.lib\.(verifier|rewriting)", text), path
        assert path.stem == "adaptive" or not re.search(r"decoding\.(n|wave|adaptive|first)\b", text), path


# --- what the stages read -----------------------------------------------------------------------------------------


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Fills with the dotted names of the params that are read from what `load` gives."""
    found: set[str] = set()
    places: dict[int, tuple[object, str]] = {}  # the object too, so that its id stays its own
    plain = object.__getattribute__

    def place(section: object, where: str) -> None:
        places[id(section)] = section, where
        for item in dataclasses.fields(section):
            value = plain(section, item.name)
            if dataclasses.is_dataclass(value):
                place(value, f"{where}{item.name}.")

    def read(self: object, name: str) -> Any:
        value = plain(self, name)
        if id(self) in places and name in plain(self, "__dict__") and not dataclasses.is_dataclass(value):
            found.add(places[id(self)][1] + name)
        return value

    plain_load = params.load

    def load(path: Path | None = None) -> params.Params:
        loaded = plain_load(path)
        place(loaded, "")
        return loaded

    for item in vars(params).values():
        if isinstance(item, type) and dataclasses.is_dataclass(item):
            monkeypatch.setattr(item, "__getattribute__", read)
    monkeypatch.setattr(running, "load", load)
    return found


def little(checkout: Path) -> None:
    """The experiment in little: 8 problems, one benchmark problem each, one cell."""
    shutil.copytree(ROOT / "models" / "micro", checkout / "models" / "micro", dirs_exist_ok=True)
    found = YAML().load(checkout / "params.yaml")
    found["problems"]["n"], found["benchmarks"]["n"] = 8, 1
    found["sample"]["n"] = found["resolve"]["n"] = found["evaluate"]["n"] = 2
    found["train"] |= {"epochs": 1, "batch_size": 4, "probe_n": 2}
    YAML().dump(found, checkout / "params.yaml")


@pytest.mark.slow
def test_stages_read_only_what_they_declare(
    checkout: Path, reads: set[str], tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    little(checkout)
    monkeypatch.setattr(
        running, "check_ahead", lambda *_: None
    )  # it looks at later stages' params and changes no result

    def check(name: str, stage: ModuleType, *words: str) -> None:
        reads.clear()
        run_stage(stage, *words)
        undeclared = {leaf for leaf in reads if not covers(name, leaf) and not leaf.startswith("hardware.")}
        assert not undeclared, f"dvc.yaml, {name}: it reads {sorted(undeclared)}"
        assert reads or not body(name).get("params"), "the recorder sees nothing"

    check("prepare", prepare)
    check("sample", sample)
    check("verify", verify, "expert")
    check("verify", verify, "sample")
    check("resolve", resolve, VALUES["resolve"]["guides"][0])
    check("verify-resolved", verify, f"resolve-{VALUES['resolve']['guides'][0]}")
    check("fallback-merge", fallback_merge)
    check("score", score)
    check("train", train, "rewritten", "dft", "0")
    check("evaluate-base", evaluate, "base", "1")
    check("evaluate", evaluate, "rewritten", "dft", "0", "0")
    folder = experiment(tmp_path_factory.mktemp("reported"), problems=30, test_problems=8)
    monkeypatch.setenv("DVC_ROOT", str(folder))
    check("tabulate", tabulate)
    check("plot-variance", plot_variance)


# --- a run that is stopped, changed, and goes on ------------------------------------------------------------------


def set_temperature(checkout: Path, value: float) -> None:
    found = YAML().load(checkout / "params.yaml")
    found["sample"]["temperature"], found["hardware"]["generation_batch"] = value, 1
    YAML().dump(found, checkout / "params.yaml")


@pytest.mark.slow
def test_no_row_outlives_its_params(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sample, stopped, run at another temperature, and run again as at first."""
    little(checkout)
    run_stage(prepare)
    out, append = checkout / "data/samples.jsonl", Journal.append
    expected, made, appended = {}, {}, []

    def counted(self: Journal, lines: Iterator[str]) -> None:
        appended.extend(lines := list(lines))
        append(self, lines)

    monkeypatch.setattr(Journal, "append", counted)
    for temperature in (0.7, 1.0):
        set_temperature(checkout, temperature)
        appended.clear()
        run_stage(sample)
        expected[temperature], made[temperature] = out.read_bytes(), list(appended)
    out.unlink()
    shutil.rmtree(checkout / ".scratch")
    assert expected[0.7] != expected[1.0]

    def killed(self: Journal, lines: Iterator[str]) -> None:
        append(self, lines)
        raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "append", killed)
    with pytest.raises(KeyboardInterrupt):
        run_stage(sample)
    [old] = (checkout / ".scratch").glob("sample-" + "?" * 16 + ".jsonl")
    rows = old.read_text().splitlines()
    assert rows == made[1.0][: len(rows)] and 0 < len(rows) < len(made[1.0])

    monkeypatch.setattr(Journal, "append", counted)
    for temperature, rest in ((0.7, made[0.7]), (1.0, made[1.0][len(rows) :])):
        assert old.read_text().splitlines() == rows, "the old journal is as it was"
        set_temperature(checkout, temperature)
        appended.clear()
        run_stage(sample)
        assert out.read_bytes() == expected[temperature]
        assert appended == rest, "all of it made anew; then only what the old journal lacked"
