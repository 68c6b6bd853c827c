"""params.yaml: strict, typed, and clear about what is wrong."""

import re
from pathlib import Path

import pytest

from stages.lib.run.checkout import root
from stages.lib.run.params import ParamsError, load

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "params.yaml").read_text()
GRID_LOSS = re.findall(r"^  loss: .*\n(?:    - \w+\n)+", TEXT, re.M)[0]


def load_with(tmp_path: Path, old: str, new: str) -> None:
    assert TEXT.count(old) >= 1, old
    path = tmp_path / "params.yaml"
    path.write_text(TEXT.replace(old, new, 1))
    load(path)


def test_committed_params_load() -> None:
    assert load(ROOT / "params.yaml").loss.kl == 0.0


def test_every_key_has_a_comment() -> None:
    keys = [line for line in TEXT.splitlines() if re.match(r" *\w+:( |$)", line)]
    sections = [line for line in keys if not line.startswith(" ") and line.endswith(":")]
    bare = [line for line in keys if " # " not in line and line not in sections]
    assert len(keys) > 70 and not bare


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  kl: 0.0", "  kll: 0.0", r"unknown key loss\.kll; did you mean kl\?"),
        ("sample:", "sampel:", r"unknown key sampel; did you mean sample\?"),
        ("    rank: 0", "    rnak: 0", r"unknown key train\.lora\.rnak; did you mean rank\?"),
        ("  kl: 0.0", "  kl: high", r"loss\.kl must be float, not str 'high'"),
        ("  kl: 0.0", "  kl: .nan", r"loss\.kl must be finite"),
        ("  kl: 0.0", "  kl: -1.0", r"loss\.kl must be at least 0\.0, not -1\.0"),
        ("  kl: 0.0", "  kl: 1e7", r"loss\.kl must be at most 1000000\.0, not 10000000\.0"),
        ("  kl: 0.0", "  kl: true", r"loss\.kl must be float, not bool"),
        ("  engine: auto", "  engine: fast", r"sample\.engine must be one of auto, transformers, vllm, not 'fast'"),
        ("  n: 8 ", "  n: 0 ", r"sample\.n must be at least 1, not 0"),
        ("  n: 8 ", "  n: 8.0 ", r"sample\.n must be int, not float"),
        ("    - sft\n", "    - dft\n", r"grid\.loss names a value twice"),
        ("    - sft\n", "    - s'; touch ran; '\n", r"grid\.loss .*touch ran.*: a value is letters, digits"),
        ("    - rewritten\n", "    - ../x\n", r"grid\.data '\.\./x': a value is letters"),
        ("    - 0\n", "    - -1\n", r"grid\.seed must be at least 0, not -1"),
        (GRID_LOSS, "  loss: []\n", r"grid\.loss must be a list of at least one value"),
        ("  subset: ", "  # subset: ", r"missing key problems\.subset"),
        ("policy:", "policy: [", "not readable as YAML"),
        ("policy:", ": x\npolicy:", r"unknown key null; did you mean"),
        ("policy:", "? 2026-01-02\n: x\npolicy:", r"the file cannot be used: keys must be str"),
        ("  revision: null", "  revision: 2026-01-02", r"policy\.revision must be str, not dict .*2026-01-02"),
        ("  mapping: null", "  mapping: 3", r"problems\.mapping must be str, not int 3"),
        ("  mapping: null", "  mapping: {prblem: q}", r"unknown key problems\.mapping\.prblem; did you mean problem\?"),
        ("  mapping: null", "  mapping: {answer: 2}", r"problems\.mapping\.answer must be str, not int 2"),
        ("    - path: testbed", "    - path: 1", r"benchmarks\.sources\.path must be str, not int 1"),
        ("    - path: testbed", "    - pth: testbed", r"unknown key benchmarks\.sources\.pth; did you mean path\?"),
        ("    - path: testbed", "    - testbed", r"benchmarks\.sources must be a mapping, not str"),
        ("  guide_tokens: null", "  guide_tokens: 0", r"resolve\.guide_tokens must be at least 1, not 0"),
        ("  system: null", '  system: "\\ud800"', "params.yaml: the file holds what is no text"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        load_with(tmp_path, old, new)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "name: models/micro/policy",
            "name: mine",
            r"policy\.name is mine, which policy\.files .* set policy\.files to mine,",
        ),
        (
            "files: models/micro/policy",
            "files: models/micro/policy/model.safetensors",
            r"set policy\.files to models/micro",
        ),
        (
            "source: testbed",
            "source: mine/a.jsonl",
            r"problems\.source is mine/a\.jsonl, .* set problems\.files to mine/a\.js",
        ),
        ("source: testbed", "source: mine/*.jsonl", r"set problems\.files to mine,"),
        ("path: testbed", "path: mine", r"benchmarks\.sources is mine, .* set benchmarks\.files to mine,"),
    ],
)
def test_a_local_input_that_dvc_does_not_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, message: str
) -> None:
    for file in ("mine/a.jsonl", "models/micro/policy/model.safetensors"):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).touch()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    with pytest.raises(ParamsError, match=message):
        load_with(tmp_path, old, new)


@pytest.mark.parametrize("watched", ["mine", "mine/a.jsonl", "./mine/"])
def test_a_local_input_that_dvc_watches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, watched: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/a.jsonl").touch()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    text = TEXT.replace("source: testbed", "source: mine/a.jsonl")
    text = text.replace("files: stages/lib/data/testbed.py", f"files: {watched}", 1)  # of problems, which come first
    (tmp_path / "params.yaml").write_text(text)
    assert load(tmp_path / "params.yaml").problems.files == watched


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="no such file"):
        load(tmp_path / "params.yaml")


def test_ints_pass_for_floats(tmp_path: Path) -> None:
    load_with(tmp_path, "  kl: 0.0", "  kl: 1")


def test_a_queue_workers_root_is_its_own_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC sets DVC_ROOT to the checkout that the experiment was queued in, and starts the stage in a temporary one."""
    monkeypatch.setenv("DVC_ROOT", "/parent")
    monkeypatch.setenv("DVC_STAGE", "sample")
    monkeypatch.chdir(tmp_path)
    assert root() == tmp_path
    monkeypatch.delenv("DVC_STAGE")
    assert root() == Path("/parent")
