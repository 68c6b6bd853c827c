"""Presets: each applies to the committed params, parses, says nothing that params.yaml lacks, and fits its model."""

import importlib.util
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from ruamel.yaml import YAML
from scipy import stats
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from presets import memory
from stages.lib.run.config import from_dict
from stages.lib.run.params import Params, ParamsError, load
from stages.lib.training.losses import named

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "params.yaml").read_text()
PRESETS = sorted((ROOT / "presets").glob("*.yaml"))


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "presets" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


apply, cost = script("apply"), script("cost")


def preset(name: str, *more: Path) -> Params:
    text = TEXT
    for path in (ROOT / "presets" / f"{name}.yaml", *more):
        text = apply.applied(text, path.read_text())
    return from_dict(Params, YAML(typ="safe").load(text))


@dataclass(frozen=True)
class Facts:
    """Of a model's public config.json at the revision that the preset pins."""

    name: str
    context: int  # max_position_embeddings
    hidden: int
    layers: int
    vocabulary: int


FACTS = {
    "qwen2.5-math-7b": Facts("Qwen/Qwen2.5-Math-7B", 4096, 3584, 28, 152064),
    "llama-3.1-8b-instruct": Facts("meta-llama/Llama-3.1-8B-Instruct", 131072, 4096, 32, 128256),
    "qwen2.5-math-1.5b": Facts("Qwen/Qwen2.5-Math-1.5B", 4096, 1536, 28, 151936),
    "qwen2.5-0.5b-instruct-gsm8k": Facts("Qwen/Qwen2.5-0.5B-Instruct", 32768, 896, 24, 151936),
    "smollm2-135m-gsm8k": Facts("HuggingFaceTB/SmolLM2-135M-Instruct", 8192, 576, 30, 49152),
}
REAL = pytest.mark.parametrize("name", FACTS)
# The longest problem in tokens (of SmolLM2's tokenizer; OlympiadBench's with its context), and what instruction, system
# text and chat template add at most.
LONGEST = {"olympiadbench": 1301, "gsm8k": 188}
SCAFFOLD = 100


@pytest.mark.parametrize("path", [None, *PRESETS], ids=lambda path: path.stem if path else "params")
def test_guided_responses_have_random_numbers_of_their_own(path: Path | None) -> None:
    """Streams are named by seed, problem and index: with one seed, those that failed on a problem would come again."""
    params = YAML(typ="safe").load(apply.applied(TEXT, path.read_text()) if path else TEXT)
    assert params["sample"]["seed"] != params["resolve"]["seed"]


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_preset_applies_and_keeps_every_comment(path: Path) -> None:
    assert comments(TEXT) <= comments(apply.applied(TEXT, path.read_text()))


def comments(text: str) -> Counter[str]:
    return Counter(re.findall(r"(?:^|(?<= ))# .*", text, re.M))


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_what_a_preset_names_exists(path: Path) -> None:
    params = preset(path.stem)
    for file in (params.policy.files, params.problems.files, params.benchmarks.files):
        assert (ROOT / file).exists()
    for loss in params.grid.loss:
        named(loss, params.loss)
    controls = {"self", "no-guide", "solved", "matched", "answer-hint", "unfiltered", "right-steps", "oracle"}
    assert set(params.grid.data) <= {"expert", "rewritten", *controls}
    assert path.stem in FACTS or params.policy.name == "models/micro/policy", "a real model's facts belong into FACTS"


def test_nothing_changes_without_a_reason() -> None:
    assert apply.applied(TEXT, "{}") == TEXT


@pytest.mark.parametrize(
    ("preset", "message"),
    [("loss: {kll: 1}", r"loss\.kll is not in params"), ("sample: {n: 0}", r"sample\.n must be at least 1")],
)
def test_a_preset_with_a_mistake_is_refused(preset: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        apply.applied(TEXT, preset)


@REAL
def test_the_model_and_the_data_are_pinned(name: str) -> None:
    params = preset(name)
    assert params.policy.name == FACTS[name].name
    pinned = [params.policy.revision, params.problems.revision, *(row.revision for row in params.benchmarks.sources)]
    assert all(len(revision) == 40 and int(revision, 16) for revision in pinned)


@REAL
def test_prompts_and_responses_fit_the_context_window(name: str) -> None:
    params, context = preset(name), FACTS[name].context
    longest = max(LONGEST.get(source.name, 0) for source in params.benchmarks.sources)
    assert longest, "a benchmark whose longest problem is known"
    assert longest + SCAFFOLD + params.evaluate.max_new_tokens <= context
    # What is learned must have been sampled within what is trained on; a guided prompt holds the problem twice as long.
    assert params.train.max_length <= context
    assert params.sample.max_new_tokens <= params.train.max_length
    assert params.resolve.max_new_tokens + params.train.max_length <= context


@REAL
def test_an_optimizer_step_splits_evenly_over_the_gpus(name: str) -> None:
    params = preset(name)
    gpus = params.hardware.engines * params.hardware.tensor_parallel
    assert params.train.batch_size % gpus == 0
    assert params.train.max_length <= params.hardware.train_tokens
    assert params.train.batch_size <= params.problems.n


def test_real_models_see_the_same_words() -> None:
    words = {preset(name).prompt for name in FACTS}
    assert len(words) == 1
    [prompt] = words
    assert prompt.system == "You are a helpful assistant."
    assert prompt.instruction == "{problem}\nPlease reason step by step, and put your final answer within \\boxed{}."
    assert prompt.guided == preset("guided").prompt.guided


@pytest.mark.parametrize("name", ["qwen2.5-math-7b", "llama-3.1-8b-instruct"])
def test_the_papers_setting(name: str) -> None:
    params = preset(name)
    train, evaluate = params.train, params.evaluate
    assert (params.problems.source, params.problems.n) == ("AI-MO/NuminaMath-CoT", 50_000)
    assert (train.epochs, train.batch_size, train.learning_rate, train.max_length) == (1, 256, 5e-5, 2048)
    assert (train.adam_beta1, train.adam_beta2, train.weight_decay) == (0.9, 0.95, 0.01)
    assert (train.warmup_ratio, train.max_grad_norm, train.lora.rank) == (0.1, 1.0, 0)
    assert (evaluate.n, evaluate.temperatures, evaluate.top_p) == (16, [1.0, 0.0], 1.0)
    assert {source.name for source in params.benchmarks.sources} == set(cost.PROBLEMS)
    assert max(cost.PROBLEMS.values()) <= params.benchmarks.n


def test_the_1_5b_model_fits_24_gb_with_adapters_only() -> None:
    """The preset's arithmetic, against the model itself (without weights)."""
    params, facts = preset("qwen2.5-math-1.5b"), FACTS["qwen2.5-math-1.5b"]
    shape = {"hidden_size": facts.hidden, "num_hidden_layers": facts.layers, "vocab_size": facts.vocabulary}
    heads = {"num_attention_heads": 12, "num_key_value_heads": 2, "intermediate_size": 8960}
    with torch.device("meta"):
        model = Qwen2ForCausalLM(Qwen2Config(**shape, **heads, tie_word_embeddings=True))
        weights = model.num_parameters()
        lora = LoraConfig(r=params.train.lora.rank, target_modules="all-linear", task_type="CAUSAL_LM")
        adapters = get_peft_model(model, lora).get_nb_trainable_parameters()[0]
    assert 16 * weights > 24e9
    rows = params.hardware.train_tokens
    layer_inputs = 4 * rows * facts.layers * facts.hidden
    recomputed = 3 * 2 * 2 * rows * heads["intermediate_size"]
    assert params.hardware.gradient_checkpointing
    assert adapters == pytest.approx(74e6, rel=0.01)
    assert (4 + 2) * weights + 16 * adapters + layer_inputs + recomputed < 16e9


@pytest.mark.parametrize("most", [1, 4, 8])
def test_expected_draws_are_those_of_the_pass_rates(most: int) -> None:
    """Against the integral over pass rates of (1 - (1-p)^n) / p, the mean of a geometric distribution cut at n."""
    expected = stats.beta(2.0, 3.0).expect(lambda p: (1 - (1 - p) ** most) / p)
    assert cost.drawn({"n": most, "adaptive": True}, 2.0, 3.0) == pytest.approx(expected)
    assert cost.drawn({"n": most, "adaptive": False}, 2.0, 3.0) == most
    assert cost.failing(most, 2.0, 3.0) == pytest.approx(stats.beta(2.0, 3.0).expect(lambda p: (1 - p) ** most))


def test_costs_scale_as_counts_do() -> None:
    params = cost.complete("qwen2.5-math-7b")
    rows = {row.stage: row for row in cost.costs(params, 7e9)}
    assert rows["evaluate"].tokens == 13 * 1516 * (16 + 1) * cost.EVALUATED
    assert rows["train"].tokens == 12 * 50_000 * (cost.PROMPT + cost.RESPONSE)
    half = cost.costs(params | {"problems": {"n": 25_000}}, 7e9)
    assert [row.seconds / rows[row.stage].seconds for row in half] == pytest.approx([0.5, 0.5, 0.5, 0.5, 1.0])


def test_smollm2_splits_digits_before_anything_else() -> None:
    """With the GGUF file's own tokens for line breaks, spaces and digits."""
    tokens = ["1", "6", "Ċ", "ĊĊ", "Ġ", "ĠĠ"]
    bpe = models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=[("Ċ", "Ċ"), ("Ġ", "Ġ")])
    tokenizer = script("smollm2_from_gguf").with_single_digits(PreTrainedTokenizerFast(tokenizer_object=Tokenizer(bpe)))
    assert tokenizer.tokenize("\n\n16  1") == ["ĊĊ", "1", "6", "ĠĠ", "1"]


def test_the_local_smollm2_run_changes_where_things_are_and_nothing_else() -> None:
    here, there = (
        preset("smollm2-135m-gsm8k", ROOT / "reports/smollm2-135m-gsm8k/local.yaml"),
        preset("smollm2-135m-gsm8k"),
    )
    moved: dict[str, Any] = {"policy": there.policy, "problems": there.problems, "benchmarks": there.benchmarks}
    assert here != there and {**vars(here), **moved} == vars(there)
    assert (here.problems.n, here.benchmarks.n) == (there.problems.n, there.benchmarks.n)


def test_several_presets_apply_in_order(tmp_path: Path) -> None:
    for file in ("params.yaml", "presets/apply.py", "presets/ci.yaml"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text((ROOT / file).read_text())
    shutil.copytree(ROOT / "stages", tmp_path / "stages")
    (tmp_path / "mine.yaml").write_text("sample: {n: 7}\nmerge: {seed: 5}\n")
    (tmp_path / "last.yaml").write_text("sample: {n: 6}\n")
    words = [sys.executable, "presets/apply.py", "ci", "mine.yaml", "last.yaml"]
    subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
    found = load(tmp_path / "params.yaml")
    assert (found.sample.n, found.merge.seed) == (6, 5)
    assert found.problems.n == preset("ci").problems.n


# --- memory and disk ------------------------------------------------------------------------------------------------

SMALL = memory.Shape(hidden=64, layers=4, heads=4, kv_heads=2, intermediate=128, vocabulary=500, tied=True)


def changed(params: Params, **hardware: Any) -> Params:
    train = replace(params.train, max_length=128, lora=replace(params.train.lora, rank=hardware.pop("rank", 0)))
    return replace(params, train=train, hardware=replace(params.hardware, **hardware))


def test_a_step_is_counted_from_its_storages() -> None:
    """Weights and gradients exactly; activations grow with the budget and shrink when they are recomputed."""
    params, n = from_dict(Params, YAML(typ="safe").load(TEXT)), SMALL.parameters()
    step = memory.training_step(changed(params, train_tokens=1024, gradient_checkpointing=False), SMALL)
    assert step.weights == step.trained == 4 * n
    wider = memory.training_step(changed(params, train_tokens=4096, gradient_checkpointing=False), SMALL)
    assert wider.trained == step.trained and 2 < wider.activations / step.activations < 4.5
    less = memory.training_step(changed(params, train_tokens=4096, gradient_checkpointing=True), SMALL)
    assert less.activations < 0.8 * wider.activations
    adapted = memory.training_step(changed(params, train_tokens=1024, gradient_checkpointing=False, rank=4), SMALL)
    assert adapted.trained == 4 * memory.adapters(changed(params, rank=4), SMALL) < step.trained


def test_shards_divide_what_is_kept_and_not_what_is_computed() -> None:
    params = changed(from_dict(Params, YAML(typ="safe").load(TEXT)), train_tokens=1024, gradient_checkpointing=True)
    one, eight = memory.training(params, SMALL, 1), memory.training(params, SMALL, 8)
    assert eight["weights"] == one["weights"] / 8 and eight["moments"] == one["moments"] / 8
    assert 0.3 * one["activations"] < eight["activations"] <= one["activations"]
    assert eight["gradients"] == one["gradients"] * 9 / 8  # whole between micro-batches
    assert one["gathered"] == 0 < eight["gathered"]


def test_disk_counts_policies_and_restart_points() -> None:
    params = preset("qwen2.5-math-7b")
    rows = memory.disk(params, memory.SHAPES["qwen2.5-math-7b"], 4e5, 450, 6e7)
    assert rows["policies of the cells"][0] == pytest.approx(2 * 12 * 15.2e9, rel=0.01)
    assert rows["restart points"][0] == pytest.approx(91.4e9, rel=0.01) and "1 a cell" in rows["restart points"][1]


@pytest.mark.parametrize("name", FACTS)
def test_shapes_are_those_of_the_facts(name: str) -> None:
    shape, facts = memory.SHAPES[name], FACTS[name]
    assert (shape.hidden, shape.layers, shape.vocabulary) == (facts.hidden, facts.layers, facts.vocabulary)
    if name in cost.PARAMETERS:
        assert shape.parameters() == pytest.approx(cost.PARAMETERS[name], rel=0.001)


@pytest.mark.slow
@pytest.mark.parametrize("name", FACTS)
def test_a_preset_fits_the_hardware_that_it_names(name: str) -> None:
    gpus, gib = cost.HARDWARE[name]
    rows = list(cost.memory_rows(preset(name), memory.SHAPES[name], gpus, gib * 2**30))
    assert rows and all(cost.fits(size, gib * 2**30) == "yes" for _, size, _ in rows), rows


@pytest.mark.slow
def test_without_checkpointing_the_half_billion_does_not_fit_16_gib() -> None:
    """As the preset was: the audit counted 18.6 GB and a probe for 8 rows of 640 tokens."""
    params, shape = preset("qwen2.5-0.5b-instruct-gsm8k"), memory.SHAPES["qwen2.5-0.5b-instruct-gsm8k"]
    was = replace(params, hardware=replace(params.hardware, gradient_checkpointing=False, train_tokens=8 * 640))
    assert cost.fits(sum(memory.training(was, shape, 1).values()), 16 * 2**30) != "yes"
