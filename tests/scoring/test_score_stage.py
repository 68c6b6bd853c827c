"""Scores against one response at a time through the model's own forward pass; restarts; bad input."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML

from stages import score
from stages.lib import prompts
from stages.lib.policy import end_id, load_model, load_tokenizer
from stages.lib.records import RecordError, write
from stages.lib.run.params import Params, Policy, load
from stages.lib.scoring import likelihood, token_scores
from tests.report.synthetic import problem, training_row
from tests.run.damage import cut, flip
from tests.run_stage import run_stage

SOURCES = ["self", "resolved", "expert", "self", "resolved", "self"]


@pytest.fixture
def scored(checkout: Path, tiny_folder: Path) -> Path:
    """Six problems with their training sets, and the tiny policy."""
    settings = YAML().load((checkout / "params.yaml").read_text())
    settings["policy"] |= {"name": str(tiny_folder), "files": str(tiny_folder)}
    settings["hardware"]["score_batch"] = 3
    with (checkout / "params.yaml").open("w") as file:
        YAML().dump(settings, file)
    rows = [problem("p" + "x" * i) for i in range(len(SOURCES))]
    write(checkout / "data/problems.jsonl", rows)
    write(checkout / "data/train/expert.jsonl", [training_row(row, "expert") for row in rows])
    merged = [training_row(row, source) for row, source in zip(rows, SOURCES, strict=True)]
    write(checkout / "data/train/rewritten.jsonl", merged)
    write(checkout / "data/benchmarks/shown.jsonl", [problem("px")])
    write(checkout / "data/benchmarks/bare.jsonl", [replace(problem("px"), solution=None)])
    return checkout


def direct(policy: Policy, prompt: list[int], response: list[int], temperature: float = 1.0) -> np.ndarray:
    """log p and entropy [2, T] from one unpadded forward pass in float64."""
    with torch.inference_mode():
        logits = load_model(policy)(torch.tensor([prompt + response])).logits[0].double() / temperature
    logp = torch.log_softmax(logits, -1)[len(prompt) - 1 : -1]
    entropy = torch.distributions.Categorical(logits=logp).entropy()
    return torch.stack([logp[range(len(response)), response], entropy]).numpy()


def expected(params: Params, source: str, i: int, guided: bool) -> tuple[list[int], np.ndarray]:
    tokenizer, row = load_tokenizer(params.policy), training_row(problem("p" + "x" * i), source)
    response = [*tokenizer(row.response)["input_ids"], end_id(tokenizer)]
    solution = problem(row.id).solution or ""
    chat = prompts.guided(row.problem, solution, params.prompt) if guided else prompts.plain(row.problem, params.prompt)
    return response, direct(params.policy, prompts.encode(tokenizer, chat), response)


def test_every_response_once_with_the_models_own_log_probabilities(scored: Path) -> None:
    run_stage(score)
    frame, params = pd.read_parquet(scored / "data/scores.parquet"), load()
    found = {key: part for key, part in frame.groupby(["id", "source"], sort=False)}
    wanted = {("p" + "x" * i, source) for i, own in enumerate(SOURCES) for source in {own, "expert"}}
    assert set(found) == wanted | {("shown/px", "benchmark")}
    held_out = found.pop(("shown/px", "benchmark"))
    np.testing.assert_allclose(held_out["logp"], found[("px", "expert")]["logp"], atol=2e-5)
    for (name, source), part in found.items():
        response, (logp, entropy) = expected(params, source, len(name) - 1, guided=False)
        assert part["token_id"].tolist() == response and part["position"].tolist() == list(range(len(response)))
        np.testing.assert_allclose(part["logp"], logp, atol=2e-5)
        np.testing.assert_allclose(part["entropy"], entropy, atol=2e-5)


def test_the_behaviour_density_is_the_one_it_was_sampled_with(scored: Path) -> None:
    run_stage(score)
    frame, params = pd.read_parquet(scored / "data/scores.parquet"), load()
    own, guided, expert = (frame[frame["source"] == source] for source in ("self", "resolved", "expert"))
    assert (own["logp_behaviour"] == own["logp"]).all()
    assert expert["logp_behaviour"].isna().all()
    for name, part in guided.groupby("id"):
        _, (logp, _) = expected(params, "resolved", len(str(name)) - 1, guided=True)
        np.testing.assert_allclose(part["logp_behaviour"], logp, atol=2e-5)
    assert (guided["logp_behaviour"] - guided["logp"]).abs().max() > 0.01


def test_killed_and_started_again_it_ends_in_the_same_bytes(scored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "WINDOW", 4)
    run_stage(score)
    whole = (scored / "data/scores.parquet").read_bytes()
    (scored / "data/scores.parquet").unlink()
    shutil.rmtree(scored / ".scratch")
    written, write_part = [], token_scores.write_part

    def die(folder: Path, number: int, responses: list) -> Path:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(number)
        return write_part(folder, number, responses)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(score, "write_part", die)
        run_stage(score)
    monkeypatch.setattr(score, "write_part", lambda *args: (written.append(args[1]), write_part(*args))[1])
    run_stage(score)
    assert len(written) == len(set(written)) == 3, "a finished part was scored twice"
    assert (scored / "data/scores.parquet").read_bytes() == whole

    (scored / "data/scores.parquet").unlink()  # as DVC does when it was killed before it had recorded the out
    run_stage(score)
    assert len(written) == 3 and (scored / "data/scores.parquet").read_bytes() == whole


@pytest.mark.parametrize("damage", [cut, flip, lambda path: path.write_bytes(b"")], ids=["cut", "flipped", "empty"])
def test_a_damaged_part_is_said_and_scored_again(
    scored: Path, damage: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(score, "WINDOW", 4)
    run_stage(score)
    whole = (scored / "data/scores.parquet").read_bytes()
    [part] = (scored / ".scratch").glob("score-*/000001-*.parquet")
    damage(part)
    again, write_part = [], token_scores.write_part
    monkeypatch.setattr(score, "write_part", lambda *args: (again.append(args[1]), write_part(*args))[1])
    run_stage(score)
    assert again == [1] and (scored / "data/scores.parquet").read_bytes() == whole
    [line] = [line for line in capsys.readouterr().err.splitlines() if "damaged" in line]
    assert part.name in line and line.endswith("scoring its responses again")


def test_a_response_beyond_the_context_is_counted_and_left_out(
    scored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [problem("p"), problem("long" + "x" * 500)]
    write(scored / "data/problems.jsonl", rows)
    for name in ("expert", "rewritten"):
        write(scored / f"data/train/{name}.jsonl", [training_row(row, "expert") for row in rows])
    run_stage(score)
    assert "left out 1 longer than the policy's context of 512 tokens" in capsys.readouterr().out
    assert set(pd.read_parquet(scored / "data/scores.parquet")["id"]) == {"p", "shown/px"}


def test_a_window_of_nothing_but_too_long_responses(scored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score, "WINDOW", 1)
    rows = [problem("p"), problem("long" + "x" * 500)]
    write(scored / "data/problems.jsonl", rows)
    for name in ("expert", "rewritten"):
        write(scored / f"data/train/{name}.jsonl", [training_row(row, "expert") for row in rows])
    run_stage(score)
    assert set(pd.read_parquet(scored / "data/scores.parquet")["id"]) == {"p", "shown/px"}


def test_an_unknown_problem_stops_before_the_policy_is_loaded(scored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(scored / "data/train/expert.jsonl", [training_row(problem("stranger"), "expert")])
    monkeypatch.setattr(score, "load_model", lambda policy: pytest.fail("loaded"))
    with pytest.raises(RecordError, match="stranger"):
        run_stage(score)


def test_slices_of_logits_change_nothing(tiny_policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(tiny_policy)
    scorer = likelihood.Scorer(model)
    pairs = [([5, 6, 7], [8, 9]), ([5], [10, 11, 12, 13])]
    whole = scorer.batched(pairs, size=2, temperature=0.7)
    monkeypatch.setattr(likelihood, "SLICE", 2 * model.config.vocab_size)
    assert scorer.sliced, "a Llama's logits are its head on the last hidden state"
    for sliced in (True, False):
        scorer.sliced = sliced
        for (prompt, response), a, b in zip(pairs, whole, scorer.batched(pairs, 1, 0.7), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)
            np.testing.assert_allclose(a, direct(tiny_policy, prompt, response, 0.7), atol=2e-5)
