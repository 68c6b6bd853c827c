"""Fixtures shared by the tests: a random-weight policy in a folder, and a repository root in a temporary folder."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from stages.lib.run.params import Params, Policy, load

ROOT = Path(__file__).parent.parent
CHAT = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte, and the chat template's special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({char: place for place, char in enumerate(alphabet)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<|system|>", "<|user|>", "<|assistant|>"]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>", pad_token="<|pad|>")
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    tokenizer.chat_template = CHAT
    return tokenizer


@pytest.fixture(autouse=True)
def _no_test_writes_at_the_root() -> Iterator[None]:
    """A test writes in its temporary folder; what appears beside README.md is its fault."""
    before = set(ROOT.iterdir())
    yield
    strays = {path.name for path in set(ROOT.iterdir()) - before if not path.name.startswith(".")}
    assert not strays, f"it left {sorted(strays)} at the repository's root"


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two thin layers with random weights, saved as a Hugging Face folder."""
    folder = tmp_path_factory.mktemp("policy")
    tokenizer = byte_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
        initializer_range=0.3,  # far from uniform, so that a wrong prompt or position shows in the numbers
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_policy(tiny_folder: Path) -> Policy:
    return Policy(
        name=str(tiny_folder),
        revision=None,
        files="none",
        dtype="float32",
        trust_remote_code=False,
        deterministic=False,
    )


@pytest.fixture
def params() -> Params:
    """The params as committed."""
    return load(ROOT / "params.yaml")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty repository root with dvc.yaml, params.yaml and the code, where stages can run without touching ours."""
    for name in ("dvc.yaml", "params.yaml", "stages"):
        source = ROOT / name
        shutil.copytree(source, tmp_path / name) if source.is_dir() else shutil.copy(source, tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path
