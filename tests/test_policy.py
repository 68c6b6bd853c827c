"""A policy is looked at once, when it is first opened: what a later stage could not use is refused then."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from stages import sample
from stages.lib.policy import PolicyError, check, load_tokenizer
from stages.lib.records import write
from stages.lib.run.params import Policy
from tests.report.synthetic import problem
from tests.run_stage import run_stage


@pytest.fixture
def other(tiny_folder: Path, tiny_policy: Policy, tmp_path: Path) -> Policy:
    """A copy of the tiny policy to change; without weights, which no check needs."""
    folder = tmp_path / "other"
    shutil.copytree(tiny_folder, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    return dataclasses.replace(tiny_policy, name=str(folder))


def configure(policy: Policy, **values: object) -> None:
    path = Path(policy.name) / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_sound_policy_passes(other: Policy) -> None:
    check(other, load_tokenizer(other))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"vocab_size": 200}, r"tokenizer has token 25\d, and the model embeddings for 200 tokens"),
        ({"final_logit_softcapping": 30.0}, r"its config has final_logit_softcapping 30\.0, so"),
        ({"logits_scaling": 4.0}, r"its config has logits_scaling 4\.0"),
    ],
)
def test_what_sampling_or_training_would_die_of(other: Policy, config: dict[str, object], message: str) -> None:
    configure(other, **config)
    with pytest.raises(PolicyError, match=message):
        check(other, load_tokenizer(other))


def test_special_tokens_that_no_text_writes_may_lack_embeddings(other: Policy) -> None:
    """A pad token that was added to the tokenizer alone."""
    tokenizer = AutoTokenizer.from_pretrained(other.name)
    tokenizer.add_special_tokens({"unk_token": "<|unknown|>"})
    assert len(tokenizer) > json.loads((Path(other.name) / "config.json").read_text())["vocab_size"]
    check(other, tokenizer)


def test_sample_refuses_before_any_weights_are_loaded(
    checkout: Path, other: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(other, vocab_size=200)
    text = (checkout / "params.yaml").read_text().replace(": models/micro/policy", f": {other.name}")
    (checkout / "params.yaml").write_text(text)
    write(checkout / "data/problems.jsonl", [problem("p")])
    monkeypatch.setattr(sample, "open_engine", lambda *_: pytest.fail("opened"))
    with pytest.raises(PolicyError, match="embeddings for 200 tokens"):
        run_stage(sample)


def test_a_policy_without_tokenizer_files_is_told_so(other: Policy) -> None:
    for path in Path(other.name).glob("*token*"):
        path.unlink()
    (Path(other.name) / "chat_template.jinja").unlink(missing_ok=True)
    with pytest.raises(PolicyError, match="the folder has no tokenizer files"):
        load_tokenizer(other)
