"""Temperature 0: a point mass under every engine, and one response to a problem, however many are asked for."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from stages.lib.generation.engine import Request, rollout
from stages.lib.generation.rollouts import Drawn
from stages.lib.generation.vllm import VllmEngine
from stages.lib.policy import load_tokenizer
from stages.lib.records import Rollout
from stages.lib.run.journal import Journal
from stages.lib.run.params import Decoding, Policy

GREEDY = Decoding(n=3, temperature=0.0, top_p=1.0, max_new_tokens=8, seed=0)
REQUESTS = [Request(f"p{i}", index, [5, 6]) for i in range(4) for index in range(3)]


class Engine:
    """Its responses say what was asked; it notes it."""

    chunk = 3

    def __init__(self, tokenizer) -> None:
        self.tokenizer, self.asked = tokenizer, []

    def generate(self, requests: Sequence[Request], decoding: Decoding, seed: int) -> list[Rollout]:
        self.asked += [(request.id, request.index) for request in requests]
        return [rollout(self.tokenizer, request, [7, 8], [0.0, 0.0], "length") for request in requests]


def test_a_greedy_response_is_drawn_once_and_copied(
    checkout: Path, tiny_policy: Policy, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = Engine(load_tokenizer(tiny_policy))
    with Journal("sample", "a" * 16) as journal:  # killed after some rows
        Drawn(journal, lambda: engine, GREEDY, 0).draw(REQUESTS[1:2])
    with Journal("sample", "a" * 16) as journal:
        drawn = Drawn(journal, lambda: engine, GREEDY, 0)
        assert drawn.draw(REQUESTS) == len(REQUESTS) - 1
        rows = list(drawn.rows(REQUESTS))
        assert drawn.draw(REQUESTS) == 0
    assert engine.asked == [("p0", 1), ("p1", 0), ("p2", 0), ("p3", 0)]
    assert [(row.id, row.index) for row in rows] == [(request.id, request.index) for request in REQUESTS]
    assert {tuple(row.token_ids) for row in rows} == {(7, 8)}
    assert "temperature 0 gives one response to a problem; the others are copies" in capsys.readouterr().err


def test_warm_responses_are_all_drawn(checkout: Path, tiny_policy: Policy) -> None:
    engine = Engine(load_tokenizer(tiny_policy))
    with Journal("sample", "b" * 16) as journal:
        Drawn(journal, lambda: engine, dataclasses.replace(GREEDY, temperature=0.5), 0).draw(REQUESTS)
    assert engine.asked == [(request.id, request.index) for request in REQUESTS]


@pytest.mark.parametrize(("temperature", "logprobs"), [(0.0, [0.0, 0.0]), (1.0, [-1.25, -0.5])])
def test_vllm_records_a_greedy_token_as_certain(
    tiny_policy: Policy, monkeypatch: pytest.MonkeyPatch, temperature: float, logprobs: list[float]
) -> None:
    """vLLM itself is not needed: its answer to greedy requests has the log-probabilities of the raw logits."""
    stub = ModuleType("vllm")
    stub.SamplingParams = SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", stub)
    best = SimpleNamespace(token_ids=[7, 8], logprobs=SimpleNamespace(logprobs=[-1.25, -0.5]), finish_reason="length")
    engine = VllmEngine.__new__(VllmEngine)
    engine.tokenizer, engine.seeded, engine.stop, engine.adapter = load_tokenizer(tiny_policy), True, [1], None
    engine.llm = SimpleNamespace(generate=lambda prompts, *_, **__: [SimpleNamespace(outputs=[best]) for _ in prompts])
    rows = engine.generate(REQUESTS[:2], dataclasses.replace(GREEDY, temperature=temperature), seed=0)
    assert [row.logprobs for row in rows] == [logprobs, logprobs]
