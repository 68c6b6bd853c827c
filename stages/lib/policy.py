"""Loads the policy: tokenizer, context window and weights, and the tokens that end a response. Names no model.

tokenizer = load_tokenizer(params.policy)
context_window(params.policy)                # 4096 tokens of prompt and response, known without loading any weights
model = load_model(params.policy)            # eval mode, on the best device
stop_ids(tokenizer, model.generation_config) # {2}: generation stops at any of them
end_id(tokenizer)                            # 2: the one that training appends to a demonstration
response_ids(tokenizer, "It is 42.")         # a demonstration as the policy's own turn: tokens behind the prompt
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils.logging import disable_progress_bar

from stages.lib.prompts import plain_ids, render
from stages.lib.run.errors import StageError
from stages.lib.run.params import Policy

disable_progress_bar()  # each stage shows its own bar only


class PolicyError(StageError):
    """The policy cannot be loaded or used; the message says what to do."""


TOKENIZERS = ("*token*", "vocab*", "*.model")  # the files of a tokenizer, of whatever kind
DRIVER = Path("/proc/driver/nvidia/gpus")  # a folder a GPU, where NVIDIA's driver is loaded


def gpu_count() -> int:
    """How many GPUs torch computes on; 0 where there are none, or CUDA_VISIBLE_DEVICES hides them.

    Raises:
        PolicyError: there are GPUs that torch cannot use. Going on would mean days on the CPU, without a word.
    """
    count = torch.cuda.device_count()  # from the driver's own list (NVML), which also an unusable driver gives
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    here = count or (0 if hidden else sum(1 for _ in DRIVER.glob("*")))
    if here and not torch.cuda.is_available():
        built = f"is built for CUDA {torch.version.cuda}" if torch.version.cuda else "is a build without CUDA"
        raise PolicyError(
            f"{here} GPUs are here, and torch cannot use them: torch {torch.__version__} {built}. Install torch's "
            "CUDA build and a driver for its CUDA (13.0: series 580 or newer), or run on the CPU: CUDA_VISIBLE_DEVICES="
        )
    return count


def device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if gpu_count() else "cpu")


def set_threads(policy: Policy, threads: int, processes: int | None = None) -> None:
    """Set torch's threads: 1 if the policy is deterministic; else `threads` if given; else 1 on at most 4 cores; else
    cores / 2 / processes.


    processes: how many run on this machine at once; None: as many as torchrun or accelerate started.
    One thread, because two threads that share a core with other work wait for each other at every step and are many
    times slower. Never chosen from the machine's load: a different thread count changes the last bits of sums.
    """
    cores, processes = os.cpu_count() or 1, processes or int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    share = 1 if cores <= 4 else max(1, cores // 2 // processes)
    torch.set_num_threads(1 if policy.deterministic else threads or share)


def load_tokenizer(policy: Policy) -> PreTrainedTokenizerBase:
    """The policy's tokenizer, with a pad token.

    Raises:
        PolicyError: absent folder, unreachable hub, or no chat template.
    """
    folder = Path(policy.name)
    if (folder / "config.json").is_file() and not any(found for name in TOKENIZERS for found in folder.glob(name)):
        raise PolicyError(f"policy.name {policy.name}: the folder has no tokenizer files; copy or download them, too")
    tokenizer = _load(AutoTokenizer, policy)
    if not tokenizer.chat_template:
        raise PolicyError(f"policy.name {policy.name}: its tokenizer has no chat template; use a model that has one")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def context_window(policy: Policy) -> int | None:
    """Largest number of prompt and response tokens, read from the config; None if the config does not say.

    Raises:
        PolicyError: absent folder, unreachable hub, or a broken config.
    """
    return getattr(load_config(policy).get_text_config(), "max_position_embeddings", None)


def check(policy: Policy, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a policy that a later stage could not use: called where it is first opened, before anything is sampled.

    Its template writes prompt and answer, an end token is known, texts and template have embeddings, and the output
    layer is one that training can compute.

    Raises:
        PolicyError, PromptError: it is not so; the message says what to do.
    """
    config, end = load_config(policy).get_text_config(), end_id(tokenizer)
    rows = getattr(config, "vocab_size", None)
    special = set(tokenizer.all_special_ids)
    of_texts = {token for token in tokenizer.get_vocab().values() if token not in special}
    largest = max(of_texts | {end})
    if rows is not None and largest >= rows:
        raise PolicyError(
            f"policy.name {policy.name}: its tokenizer has token {largest}, and the model embeddings for {rows} tokens "
            "only; use the tokenizer that belongs to it, or resize its embeddings"
        )
    if scaled := scaled_head(config):
        raise PolicyError(
            f"policy.name {policy.name}: its config has {scaled}, so it changes its logits after the output layer; "
            "training supports a plain linear head only"
        )


def scaled_head(config: Any) -> str | None:
    """The option of a config that changes logits after the output layer (soft cap, scale), if it has one."""
    scales = {name: getattr(config, name, None) for name in ("logit_scale", "logits_scaling", "lm_head_multiplier")}
    found = [f"{name} {value}" for name, value in scales.items() if value not in (None, 1, 1.0)]
    cap = getattr(config, "final_logit_softcapping", None)
    return next(iter([*found, f"final_logit_softcapping {cap}"] if cap else found), None)


def load_config(policy: Policy) -> Any:
    """The policy's config; an adapter's is its base's.

    Raises:
        PolicyError: absent folder, unreachable hub, or a broken config.
    """
    name, revision, _ = base_of(policy)
    return _load(AutoConfig, replace(policy, name=name, revision=revision))


def base_of(policy: Policy) -> tuple[str, str | None, dict[str, Any] | None]:
    """The model to load, its revision, and the adapter's config if the policy is a folder with an adapter.

    A cell's adapter stores the revision of its base (`trainer.save`), because the folder itself has none.

    Raises:
        PolicyError: the adapter's config is broken.
    """
    file = Path(policy.name) / "adapter_config.json"
    if not file.is_file():
        return policy.name, policy.revision, None
    try:
        adapter = json.loads(file.read_text(encoding="utf-8"))
        return adapter["base_model_name_or_path"], adapter.get("revision"), adapter
    except (ValueError, LookupError, TypeError):
        raise PolicyError(f"{file}: names no base model; train the cell again or download it again") from None


def load_model(policy: Policy) -> PreTrainedModel:
    """The policy's weights (safetensors only), in evaluation mode on `device()`.

    Raises:
        PolicyError: absent, broken or incomplete weights (transformers would fill gaps at random), or no memory.
    """
    dtype = policy.dtype if policy.dtype == "auto" else getattr(torch, policy.dtype)
    with memory("policy.dtype bfloat16 halves the policy"):
        loaded = _load(AutoModelForCausalLM, policy, dtype=dtype, use_safetensors=True, output_loading_info=True)
        model, info = loaded
        if info["missing_keys"]:
            names = sorted(info["missing_keys"])
            raise PolicyError(
                f"policy.name {policy.name}: its weights lack {len(names)} tensors, {names[0]} among them; "
                "copy or download it again"
            )
        return model.to(device()).eval()


def wide_logits(hidden: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """[N, D], [V, D], [V] -> logits [N, V], in float32 where the factors are narrower, as the sums come out of the
    multiplication.

    Rounded to bf16, as a layer's own call would return them, logits of 16 to 32 are multiples of 0.125.
    """
    wide = torch.promote_types(hidden.dtype, torch.float32)
    if hidden.dtype == wide:
        return F.linear(hidden, weight, bias)
    with torch.autocast(hidden.device.type, enabled=False):
        if hidden.is_cuda:
            logits = torch.mm(hidden, weight.to(hidden.dtype).T, out_dtype=wide)
        else:  # products of two bf16 numbers are exact in float32
            logits = hidden.to(wide) @ weight.to(hidden.dtype).to(wide).T
        return logits if bias is None else logits + bias


def out_of_memory(error: BaseException) -> bool:
    """Whether an error is torch's, its CPU allocator's ("can't allocate memory") or vLLM's out-of-memory error."""
    words = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    )


@contextmanager
def memory(remedy: str) -> Iterator[None]:
    """Turn an out-of-memory error of the GPU or the machine into a PolicyError that names the remedy."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise PolicyError(f"out of memory on {device()}: {remedy}; finished work is kept") from None


def stop_ids(tokenizer: PreTrainedTokenizerBase, generation_config: Any) -> list[int]:
    """All tokens that end a response, sorted: of the generation config, the tokenizer and the chat template."""
    configured = generation_config.eos_token_id
    configured = configured if isinstance(configured, list) else [configured]
    return sorted({*configured, tokenizer.eos_token_id, end_id(tokenizer)} - {None})


def delivered_generation(tokenizer: PreTrainedTokenizerBase, configured: Any) -> GenerationConfig:
    """The generation config of a trained policy: it stops where this project's engines stop, and draws as it is asked.

    The model's own may lack the token that training taught to end with, and may be one that cannot be saved
    (a temperature without do_sample).
    """
    return GenerationConfig(
        bos_token_id=getattr(configured, "bos_token_id", None),
        eos_token_id=stop_ids(tokenizer, configured),
        pad_token_id=tokenizer.pad_token_id,
    )


def end_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that the chat template writes after the assistant's text (<|im_end|> for Qwen); else the EOS token."""
    return _turn(tokenizer, str(tokenizer.chat_template), tokenizer.eos_token).end


def response_ids(tokenizer: PreTrainedTokenizerBase, response: str, token_ids: list[int] | None = None) -> list[int]:
    """The tokens of a response, with the end token: the sampled ones if known, else those of the text.

    A text becomes the assistant's turn as the template writes it: what the template puts between the generation prompt
    and the text (an empty <think></think>, a channel's name) stands before it, unless the text brings its own.
    """
    if token_ids:
        return token_ids
    turn = _turn(tokenizer, str(tokenizer.chat_template), tokenizer.eos_token)
    opening = turn.scaffold.split()[:1]
    scaffold = "" if opening and response.lstrip().startswith(opening[0]) else turn.scaffold
    ids = tokenizer(scaffold, add_special_tokens=False)["input_ids"] if scaffold else []
    return [*ids, *plain_ids(tokenizer, response), turn.end]


def unmatched_opening(tokenizer: PreTrainedTokenizerBase) -> str:
    """What the generation prompt opens that the template's own assistant turns do not have: "<think>\\n" of R1.

    Demonstrations then stand inside it. "" where the generation prompt begins an assistant's turn as written.
    """
    return _turn(tokenizer, str(tokenizer.chat_template), tokenizer.eos_token).opened


class Turn(NamedTuple):
    """How the template writes an assistant's turn behind the generation prompt."""

    scaffold: str  # between the generation prompt and the text
    opened: str  # of the generation prompt, what a written turn does not have
    end: int  # the token behind the text


@lru_cache(maxsize=4)  # by the tokenizer itself: it is asked for every row
def _turn(tokenizer: PreTrainedTokenizerBase, template: str, eos: str | None) -> Turn:
    answer = "It is 42."
    asked = [{"role": "user", "content": "Q"}]
    [prompt] = render(tokenizer, [asked])
    [text] = render(tokenizer, [[*asked, {"role": "assistant", "content": answer}]], generation_prompt=False)
    before, found, behind = text.rpartition(answer)
    if not found:
        raise PolicyError("the policy's chat template does not write the assistant's text as it is; use another")
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(prompt, before, strict=False)))
    scaffold = before[shared:] if shared == len(prompt) else ""
    return Turn(scaffold, prompt[shared:], _end(tokenizer, behind))


def _end(tokenizer: PreTrainedTokenizerBase, behind: str) -> int:
    tail = tokenizer(behind, add_special_tokens=False)["input_ids"]
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    found = next((token for token in tail if token in special), tokenizer.eos_token_id)
    if found is None:
        raise PolicyError("the tokenizer has neither an EOS token nor an end token in its chat template")
    return found


def _load(auto: Any, policy: Policy, **more: Any) -> Any:
    local = Path(policy.name)
    here = local.is_absolute() or policy.name.startswith(("models/", "."))
    if here and not any((local / name).is_file() for name in ("config.json", "adapter_config.json")):
        raise PolicyError(f"policy.name {policy.name}: no such model folder (no config.json there)")
    try:
        return auto.from_pretrained(
            policy.name, revision=base_of(policy)[1], trust_remote_code=policy.trust_remote_code, **more
        )
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a broken or hostile folder can raise anything, anywhere in the libraries
        if "can't allocate memory" in str(error):
            raise
        reason, remedy = " ".join(str(error).split())[:300], "mend or download its files again, or name another"
        if "trust_remote_code" in str(error):
            remedy = "set policy.trust_remote_code if you trust the code that comes with it"
        raise PolicyError(
            f"policy.name {policy.name}: cannot be loaded ({type(error).__name__}: {reason}); {remedy}"
        ) from None
