"""Nothing unsafe: no code from data or from a model's folder runs, nothing of a row becomes markup, a path or a shell
word, no secret is printed."""

import ast
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML

from stages import plot_variance, prepare, tabulate
from stages.lib.data.sources import SourceError
from stages.lib.policy import PolicyError, load_model, load_tokenizer
from stages.lib.records import Problem, RecordError, write
from stages.lib.run.params import Policy, load
from tests.report.synthetic import experiment
from tests.run_stage import run_stage

ROOT = Path(__file__).parents[2]
CODE = sorted(path for folder in ("stages", "presets", "models/micro") for path in (ROOT / folder).rglob("*.py"))
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}|<b onclick="x">'


# --- code that is never called ----------------------------------------------------------------------------------------

REFUSED = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "subprocess.getoutput", "marshal.loads"),
    *("pickle.load", "pickle.loads", "torch.load", "joblib.load", "dill.loads", "pd.read_pickle", "yaml.unsafe_load"),
    *("sympify", "parse_expr", "sympy.sympify", "pd.eval"),
}


def unsafe(text: str) -> list[str]:
    """The calls in a module that could run what they are given."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            words = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if name in REFUSED or words.get("shell", "False") != "False" or "unsafe" in words.get("typ", ""):
                found.append(f"line {node.lineno}: {name}")
            if words.get("allow_pickle", "False") != "False" or words.get("weights_only") == "False":
                found.append(f"line {node.lineno}: {name}: pickle")
            if words.get("trust_remote_code", "False") not in ("False", "policy.trust_remote_code"):
                found.append(f"line {node.lineno}: {name}: trust_remote_code")
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if {"pickle", "joblib", "dill", "marshal", "shelve", "eval", "sympify", "parse_expr"} & set(names):
            found.append(f"line {node.lineno}: import of {names}")
    return found


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_call_runs_what_it_is_given(path: Path) -> None:
    assert not unsafe(path.read_text())


@pytest.mark.parametrize(
    "line",
    ["eval(x)", "os.system(x)", "subprocess.run(x, shell=True)", "torch.load(x)", "np.load(x, allow_pickle=True)",
     "import pickle", "from sympy import sympify", "f(trust_remote_code=True)"],
)  # fmt: skip
def test_the_search_finds_unsafe_calls(line: str) -> None:
    assert unsafe(line)


def test_nothing_prints_the_environment() -> None:
    """`os.environ` is read by name only, or passed on to a child process."""
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "print",
                "tqdm.write",
                "json.dump",
                "json.dumps",
            ):
                assert "environ" not in ast.unparse(node), path


# --- a model's folder -------------------------------------------------------------------------------------------------


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple:
        return (os.system, (f"touch {self.mark}",))


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "policy"))


def policy(folder: Path) -> Policy:
    return Policy(
        name=str(folder), revision=None, files="none", dtype="float32", trust_remote_code=False, deterministic=False
    )


def test_a_pickle_of_weights_is_refused_and_not_run(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (folder / "model.safetensors").unlink()
    torch.save({"weight": Payload(mark)}, folder / "pytorch_model.bin")
    with pytest.raises(PolicyError, match="safetensors"):
        load_model(policy(folder))
    assert not mark.exists()
    torch.load(folder / "pytorch_model.bin", weights_only=False)  # the payload is a live one
    assert mark.exists()


def test_a_pickled_adapter_is_refused_and_not_run(folder: Path, tiny_folder: Path, tmp_path: Path) -> None:
    mark, adapter = tmp_path / "ran", tmp_path / "adapter"
    adapter.mkdir()
    config = {"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"], "base_model_name_or_path": str(tiny_folder)}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    (adapter / "adapter_model.bin").write_bytes(pickle.dumps(Payload(mark)))
    with pytest.raises(PolicyError):
        load_model(policy(adapter))
    assert not mark.exists()


def test_code_in_a_models_folder_is_not_run(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "hostile", "architectures": ["Hostile"]}
    config["auto_map"] = {"AutoConfig": "hostile.Config", "AutoModelForCausalLM": "hostile.Hostile"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "hostile.py").write_text(f"open({str(mark)!r}, 'w')\nclass Config: pass\nclass Hostile: pass\n")
    with pytest.raises(PolicyError, match=r"policy\.trust_remote_code if you trust"):
        load_model(policy(folder))
    assert not mark.exists()


def test_code_for_a_tokenizer_is_not_run(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config |= {"auto_map": {"AutoTokenizer": ["hostile.Tokenizer", None]}, "tokenizer_class": "Hostile"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "hostile.py").write_text(f"open({str(mark)!r}, 'w')\nclass Tokenizer: pass\n")
    with pytest.raises(PolicyError, match=r"policy\.trust_remote_code if you trust"):
        load_tokenizer(policy(folder))
    assert not mark.exists()


def test_a_chat_template_cannot_reach_python(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    tokenizer = load_tokenizer(policy(folder))
    reach = "{{ ''.__class__.__mro__[1].__subclasses__() }}{{ cycler.__init__.__globals__.os.system('touch %s') }}"
    tokenizer.chat_template = reach % mark
    with pytest.raises(Exception, match=r"unsafe|undefined|not safe"):
        tokenizer.apply_chat_template([{"role": "user", "content": "Q"}], tokenize=False)
    assert not mark.exists()


def test_code_beside_data_is_not_run(checkout: Path) -> None:
    (checkout / "set").mkdir()
    (checkout / "set" / "set.py").write_text("open('ran', 'w')")
    text = (checkout / "params.yaml").read_text()
    (checkout / "params.yaml").write_text(
        text.replace("path: testbed", "path: ./set").replace("files: stages/lib/data/testbed.py", "files: set")
    )
    with pytest.raises(SourceError, match="no JSONL, JSON or parquet file"):
        prepare.benchmark_problems(load().benchmarks, [])
    assert not Path("ran").exists()


# --- the shell --------------------------------------------------------------------------------------------------------


def test_commands_take_grid_values_as_one_word_each() -> None:
    """DVC pastes them into a shell's line."""
    for name, entry in YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"].items():
        command = entry.get("do", entry)["cmd"]
        assert "${" not in re.sub(
            r"'[\w-]*\$\{item\.\w+\}'|\\\$\{LAUNCH:-python\}", "", command.replace("${key}", "")
        ), name


def test_a_hostile_grid_value_is_no_command(tmp_path: Path) -> None:
    command = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]["train"]["cmd"]
    stages = {"train": {"matrix": {name: f"${{grid.{name}}}" for name in ("data", "loss", "seed")}, "cmd": command}}
    stages["train"]["cmd"] = command.replace("-m stages.train", "-c pass").replace(
        "\\${LAUNCH:-python}", sys.executable
    )
    grid = {"data": ["a; touch ran1"], "loss": ["$(touch ran2)", "`touch ran3`"], "seed": ["0 && touch ran4"]}
    YAML().dump({"stages": stages}, tmp_path / "dvc.yaml")
    YAML().dump({"grid": grid}, tmp_path / "params.yaml")
    environment = {key: value for key, value in os.environ.items() if key != "DVC_ROOT"}
    for words in (["init", "-q", "--no-scm"], ["repro", "-q"]):
        ended = subprocess.run(
            [sys.executable, "-m", "dvc", *words], cwd=tmp_path, env=environment, capture_output=True
        )
        assert ended.returncode == 0, ended.stderr.decode()
    assert not list(tmp_path.glob("ran*"))


# --- paths ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../../x", "/tmp/x", "a/b", "", ".", "..", ".hidden", "a\nb", "a\0b", "x" * 300, "<b>"]
)
def test_benchmark_names_are_file_names(name: str) -> None:
    with pytest.raises(RecordError, match=r"benchmarks\.sources"):
        prepare.file_name(name)


@pytest.mark.parametrize("name", ["math-500", "AIME 2024", "Größe_2", "v1.0", "c++"])
def test_ordinary_names_are_not_refused(name: str) -> None:
    assert prepare.file_name(name) == name


# --- reports ----------------------------------------------------------------------------------------------------------


class Elements(HTMLParser):
    """Every element and attribute of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, list[tuple[str, str | None]]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, attrs))

    handle_startendtag = handle_starttag


def hostile(value: object, keep: set[str]) -> object:
    """A row's JSON with markup in every text, but for words that the code compares."""
    if isinstance(value, dict):
        return {key: item if key in keep else hostile(item, keep) for key, item in value.items()}
    return value + HOSTILE if isinstance(value, str) else value


def test_hostile_rows_are_text_in_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment(tmp_path, problems=30, test_problems=8)
    keep = {"id", "source", "finish", "benchmark"}
    for path in [*(tmp_path / "data").glob("*.jsonl"), *(tmp_path / "data").rglob("*/*.jsonl")]:
        rows = [hostile(json.loads(line), keep) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "data/counts/prepare.json").write_text(json.dumps({HOSTILE: 1, "left_out": [HOSTILE]}))
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    params = YAML().load(tmp_path / "params.yaml")
    params["policy"]["name"] = params["prompt"]["system"] = HOSTILE
    params["report"]["browse"] = 0  # tests/report/test_browser.py has its own
    YAML().dump(params, tmp_path / "params.yaml")
    for stage in (tabulate, plot_variance):
        run_stage(stage)
    page = (tmp_path / "reports/index.html").read_text()
    parsed = Elements()
    parsed.feed(page)
    tags = {tag for tag, _ in parsed.found}
    attributes = {name for _, attrs in parsed.found for name, _ in attrs}
    assert "alert(1)" in page and "{{ 7*7 }}" in page, "the rows are shown"
    assert not tags & {"script", "iframe", "object", "embed", "b", "link", "form"}
    assert not [name for name in attributes if name.startswith("on")] and attributes <= {
        "lang", "charset", "name", "content", "id", "class", "href", "src", "alt", "open",
    }  # fmt: skip
    links = {value for _, attrs in parsed.found for name, value in attrs if name in ("src", "href")}
    assert all(link.startswith(("#", "data:image/svg+xml;base64,")) or link == "problems.html" for link in links)


# --- secrets ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub() -> Iterator[tuple[str, list[str]]]:
    """A hub that knows nobody: its address, and the tokens that it was shown."""
    shown: list[str] = []

    class Refusal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown.append(self.headers.get("authorization", ""))
            self.send_error(401)

        do_HEAD = do_POST = do_GET  # noqa: N815  # as http.server calls them

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusal)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", shown
    server.shutdown()


@pytest.mark.parametrize("stage", ["sample", "prepare"])
def test_errors_do_not_show_secrets(stage: str, checkout: Path, hub: tuple[str, list[str]]) -> None:
    """A hub that refuses the token: the error's line names the model or data set, and not the token."""
    secrets = {"HF_TOKEN": "hf_SECRETSECRETSECRET", "AWS_SECRET_ACCESS_KEY": "awsSECRETaws"}
    text = (checkout / "params.yaml").read_text()
    text = text.replace("name: models/micro/policy", "name: some/model").replace("source: testbed", "source: some/set")
    text = text.replace("files: models/micro/policy", "files: params.yaml")
    (checkout / "params.yaml").write_text(text)
    write(checkout / "data/problems.jsonl", [Problem(id="a", problem="1 + 1 =", answer="2", solution="2")])
    secrets |= {"HF_ENDPOINT": hub[0], "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    environment = {**os.environ, **secrets, "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HOME": str(checkout / "hf")}
    command = [sys.executable, "-m", f"stages.{stage}"]
    ended = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True)
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1 and said.strip().splitlines()[-1].startswith("error: ")
    assert any("SECRET" in token for token in hub[1]), "it was sent"
    assert "SECRET" not in said and "Traceback" not in said
