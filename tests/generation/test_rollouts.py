"""Generation: exact sampling, streams of their own, engines on a random-weight policy."""

import dataclasses
import json
import math
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.lib.generation.engine import memory_errors, uniforms
from stages.lib.generation.hf import SeededSampler, TransformersEngine, rounded
from stages.lib.generation.rollouts import Drawn, Request, fitting, open_engine, requests_for
from stages.lib.policy import PolicyError, context_window, load_model, response_ids, set_threads
from stages.lib.prompts import encode, plain
from stages.lib.records import Rollout, read
from stages.lib.run.errors import StageError
from stages.lib.run.journal import Journal
from stages.lib.run.params import Decoding, Params, Policy

DECODING = Decoding(n=1, temperature=1.0, top_p=1.0, max_new_tokens=12, seed=0)


@pytest.fixture(scope="module")
def engine(tiny_policy: Policy) -> TransformersEngine:
    from stages.lib.run.params import load

    return TransformersEngine(tiny_policy, load(Path(__file__).parents[2] / "params.yaml").hardware)


def some_requests(engine: TransformersEngine, params: Params, count: int = 9, n: int = 2) -> list[Request]:
    texts = [(f"p{i}", encode(engine.tokenizer, plain("1 + " * i + "1 =", params.prompt))) for i in range(count)]
    return requests_for(texts, n)


def draw(scores: list[float], count: int, **settings: float) -> Counter:
    """Draw `count` tokens from one row of logits, one a row of a batch."""
    decoding = dataclasses.replace(DECODING, **settings)
    sampler = SeededSampler([uniforms(0, Request("x", i, []), 1) for i in range(count)], decoding)
    forced = sampler(torch.zeros(count, 1, dtype=torch.long), torch.tensor([scores] * count))
    return Counter(forced.argmax(-1).tolist())


def test_sampler_draws_from_the_softmax() -> None:
    scores, count = [0.0, 1.0, 2.0, -torch.inf], 40_000
    exact = torch.tensor(scores).div(0.7).softmax(-1).tolist()
    drawn = draw(scores, count, temperature=0.7)
    for token, p in enumerate(exact):
        assert abs(drawn[token] / count - p) <= 4.5 * math.sqrt(p * (1 - p) / count)


def test_sampler_keeps_to_top_p_and_to_greedy() -> None:
    assert set(draw([3.0, 2.0, 1.0, 0.0], 2000, top_p=0.8)) == {0, 1}  # 0.64 + 0.24 covers 0.8
    assert set(draw([3.0, 2.0, 1.0, 0.0], 100, temperature=0.0)) == {0}


def test_logprobs_are_rounded_as_python_does_it() -> None:
    """Ties too: 2**-7 is 7812.5 millionths."""
    torch.manual_seed(0)
    values = torch.cat([-torch.rand(50_000) * 20, -torch.arange(1, 4096).float() / 2**13, torch.zeros(1)])
    assert repr(rounded(values).tolist()) == repr([round(value, 6) for value in values.tolist()])


def test_logprobs_know_the_cut_of_top_p() -> None:
    sampler = SeededSampler([np.array([0.1])], dataclasses.replace(DECODING, top_p=0.8))
    sampler(torch.zeros(1, 1, dtype=torch.long), torch.tensor([[3.0, 2.0, 1.0, 0.0]]))
    assert sampler.logprobs[0].item() == pytest.approx(-math.log(1 + math.exp(-1)))


def test_streams_differ_by_seed_problem_and_index_only() -> None:
    same = uniforms(0, Request("a", 0, [1]), 5)
    assert np.array_equal(same, uniforms(0, Request("a", 0, [2, 3]), 5))
    others = [
        uniforms(1, Request("a", 0, []), 5),
        uniforms(0, Request("b", 0, []), 5),
        uniforms(0, Request("a", 1, []), 5),
    ]
    assert not any(np.array_equal(same, other) for other in others)


def test_rows_do_not_depend_on_their_batch(engine: TransformersEngine, params: Params) -> None:
    requests = some_requests(engine, params)
    together = engine.generate(requests, DECODING, seed=3)
    alone = [engine.generate([request], DECODING, seed=3)[0] for request in requests]
    assert [row.token_ids for row in together] == [row.token_ids for row in alone]
    assert [(row.id, row.index) for row in together] == [(r.id, r.index) for r in requests]


def test_logprobs_are_those_of_the_distribution_drawn_from(
    engine: TransformersEngine, params: Params, tiny_policy: Policy
) -> None:
    model = load_model(tiny_policy)
    requests = some_requests(engine, params, count=3)
    decoding = dataclasses.replace(DECODING, temperature=0.5)
    for request, row in zip(requests, engine.generate(requests, decoding, seed=0), strict=True):
        ids = torch.tensor([request.prompt_ids + row.token_ids])
        with torch.no_grad():
            logits = model(ids).logits[0, len(request.prompt_ids) - 1 : -1]
        logp = logits.div(0.5).log_softmax(-1)
        expected = logp.gather(1, torch.tensor(row.token_ids)[:, None])[:, 0]
        assert torch.allclose(torch.tensor(row.logprobs), expected, atol=1e-4)


def test_finish_says_whether_the_response_ended(engine: TransformersEngine, params: Params) -> None:
    rows = engine.generate(
        some_requests(engine, params, n=30), dataclasses.replace(DECODING, max_new_tokens=40), seed=0
    )
    assert {row.finish for row in rows} == {"stop", "length"}
    for row in rows:
        ended = row.token_ids[-1] in engine.stop
        assert (row.finish == "stop") == ended and len(row.token_ids) == len(row.logprobs) <= 40
        assert "<|end|>" not in row.response


def test_the_context_window_is_known_from_the_config_alone(tiny_folder: Path, tiny_policy: Policy) -> None:
    """An adapter has its base's; a config that does not say leaves it open."""
    bare, adapter = tiny_folder.parent / "no-weights", tiny_folder.parent / "adapter"
    shutil.copytree(tiny_folder, bare, dirs_exist_ok=True)
    (bare / "model.safetensors").unlink()
    adapter.mkdir(exist_ok=True)
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(bare)}))
    for folder in (bare, adapter):
        assert context_window(dataclasses.replace(tiny_policy, name=str(folder))) == 512
    (adapter / "adapter_config.json").write_text("{}")
    with pytest.raises(PolicyError, match=r"adapter_config\.json: names no base model"):
        context_window(dataclasses.replace(tiny_policy, name=str(adapter)))
    (bare / "config.json").write_text(json.dumps({"model_type": "bloom"}))
    assert context_window(dataclasses.replace(tiny_policy, name=str(bare))) is None


def test_problems_too_long_for_the_context_window_are_left_out() -> None:
    prompts = [("short", [1] * 11), ("long", [1] * 12)]
    decoding = dataclasses.replace(DECODING, max_new_tokens=9)
    assert fitting(prompts, decoding, context=20) == prompts[:1]
    assert fitting(prompts, decoding, context=None) == prompts
    with pytest.raises(StageError, match=r"shortest has 11 tokens, and max_new_tokens 9 leaves 1 of the context"):
        fitting(prompts, decoding, context=10)


@pytest.mark.parametrize(
    ("cores", "threads", "processes", "expected"),
    [(2, 0, None, 1), (4, 0, 2, 1), (16, 0, None, 8), (16, 0, 3, 2), (16, 0, 32, 1), (16, 5, 3, 5), (2, 2, 2, 2)],
)
def test_engines_side_by_side_share_the_cores(
    tiny_policy: Policy,
    monkeypatch: pytest.MonkeyPatch,
    cores: int,
    threads: int,
    processes: int | None,
    expected: int,
) -> None:
    before, after = torch.get_num_threads(), []
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    monkeypatch.setattr(torch, "set_num_threads", after.append)
    set_threads(tiny_policy, threads, processes)
    set_threads(dataclasses.replace(tiny_policy, deterministic=True), threads, processes)
    assert after == [expected, 1] and torch.get_num_threads() == before


def test_interrupted_rollouts_end_in_the_same_rows(
    engine: TransformersEngine, params: Params, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = some_requests(engine, params)
    monkeypatch.setattr(engine, "chunk", 4)
    for name, parts in (("whole", [requests]), ("cut", [requests[:8], requests])):
        for part in parts:
            with Journal(name, "a" * 16) as journal:
                Drawn(journal, lambda: engine, DECODING, 0).draw(part)
                journal.file.write('{"id": "torn' if part is not requests else "")
    whole, cut = (checkout / ".scratch" / f"{name}-{'a' * 16}.jsonl" for name in ("whole", "cut"))
    assert whole.read_bytes() == cut.read_bytes() and len(list(read(Rollout, cut))) == len(requests)


def test_out_of_memory_names_the_remedy(engine: TransformersEngine, params: Params, monkeypatch) -> None:
    with pytest.raises(RuntimeError) as cpu:
        torch.empty(2**60, dtype=torch.int8)  # how torch's allocator on this machine says it
    for error in (torch.OutOfMemoryError("CUDA out of memory"), cpu.value, MemoryError()):

        def fail(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(engine.model, "generate", fail)
        with pytest.raises(PolicyError, match=r"out of memory: lower hardware\.generation_batch"):
            engine.generate(some_requests(engine, params), DECODING, seed=0)
    with pytest.raises(RuntimeError, match="another fault"), memory_errors("none"):
        raise RuntimeError("another fault")


def test_every_end_token_of_the_generation_config_stops(tiny_folder: Path, tiny_policy: Policy, params: Params) -> None:
    """As in Llama 3.1's: several ids, some unknown to the tokenizer's eos_token and to the chat template."""
    folder = tiny_folder.parent / "several-ends"
    shutil.copytree(tiny_folder, folder, dirs_exist_ok=True)
    config = json.loads((folder / "generation_config.json").read_text())
    extra = list(range(10, 90))
    (folder / "generation_config.json").write_text(
        json.dumps({**config, "eos_token_id": [*extra, config["eos_token_id"]]})
    )
    engine = TransformersEngine(dataclasses.replace(tiny_policy, name=str(folder)), params.hardware)
    rows = engine.generate(some_requests(engine, params), dataclasses.replace(DECODING, max_new_tokens=40), seed=0)
    assert set(engine.stop) >= set(extra)
    ends = {row.token_ids[-1] for row in rows if row.finish == "stop"}
    assert len(ends & set(extra)) > 1
    assert all(set(row.token_ids[:-1]).isdisjoint(engine.stop) for row in rows)


def test_engine_that_is_not_installed(tiny_policy: Policy, params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PolicyError, match=r"requirements-gpu\.txt"):
        open_engine("vllm", tiny_policy, params.hardware)


def test_training_tokens_are_those_sampled(engine: TransformersEngine) -> None:
    tokens = response_ids(engine.tokenizer, "12")
    assert tokens[-1] == engine.tokenizer.eos_token_id and engine.tokenizer.decode(tokens[:-1]) == "12"
    assert response_ids(engine.tokenizer, "12", [7, 8]) == [7, 8]


def test_absent_policy_is_named(params: Params) -> None:
    with pytest.raises(PolicyError, match="models/absent: no such model folder"):
        open_engine("transformers", dataclasses.replace(params.policy, name="models/absent"), params.hardware)
