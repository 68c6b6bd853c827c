"""The vLLM engine: prefix caching, tensor parallelism, LoRA adapters.

On a GPU every request has its own seed. vLLM's CPU build refuses such seeds. There the generator is seeded at each call
with the name of the call's first request. So two engines never draw the same numbers, nor do a run and its
continuation, but a row depends on the requests drawn with it.
"""

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, get_args

import torch
from transformers import AutoConfig, GenerationConfig

from stages.lib.generation.engine import Request, memory_errors, rollout, stream_seed
from stages.lib.policy import PolicyError, base_of, context_window, load_tokenizer, stop_ids
from stages.lib.records import Rollout
from stages.lib.run.params import Decoding, Hardware, Policy, root

ENGINES = 1024  # of one checkout at a time, at most
REMEDY = "raise hardware.tensor_parallel, or lower max_new_tokens"


class VllmEngine:
    """vLLM's offline engine."""

    chunk = 2048
    batch: int | None = None

    def __init__(self, policy: Policy, hardware: Hardware):
        self.tokenizer = load_tokenizer(policy)
        self.seeded = torch.cuda.device_count() > 0  # is_available() would start CUDA before vLLM starts its processes
        if not self.seeded:
            if hardware.tensor_parallel > 1:
                raise PolicyError(f"hardware.tensor_parallel {hardware.tensor_parallel} needs GPUs; there is none")
            os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # the generator that is seeded lies in this process
        name, revision, adapter = base_of(policy)
        self.adapter = lora_request(policy) if adapter else None
        path, self.place = constant_path(name)
        self.llm = start(path, revision, policy, hardware, lora_options(adapter))
        self.stop = stop_ids(self.tokenizer, generation_config(name, revision, policy))

    @staticmethod
    def gpus(hardware: Hardware) -> int:
        return hardware.tensor_parallel

    @memory_errors(REMEDY)
    def generate(self, requests: Sequence[Request], decoding: Decoding, seed: int) -> list[Rollout]:
        """One rollout per request, in their order."""
        if not requests:
            return []
        if not self.seeded:
            torch.manual_seed(stream_seed(seed, requests[0]) % 2**63)
        prompts = [{"prompt_token_ids": request.prompt_ids} for request in requests]
        settings = [self._settings(request, decoding, seed) for request in requests]
        outputs = self.llm.generate(prompts, settings, use_tqdm=False, lora_request=self.adapter)
        return [self._row(*pair, decoding) for pair in zip(requests, outputs, strict=True)]

    def _settings(self, request: Request, decoding: Decoding, seed: int) -> Any:
        from vllm import SamplingParams

        return SamplingParams(
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            max_tokens=decoding.max_new_tokens,
            stop_token_ids=self.stop,
            logprobs=0,  # of the drawn token only
            flat_logprobs=True,  # one list of numbers instead of one dictionary per token
            detokenize=False,  # `rollout` decodes for every engine
            seed=stream_seed(seed, request) % 2**63 if self.seeded else None,
        )

    def _row(self, request: Request, output: Any, decoding: Decoding) -> Rollout:
        best = output.outputs[0]
        tokens = list(best.token_ids)
        logprobs = [round(value, 6) for _, value in zip(tokens, best.logprobs.logprobs, strict=True)]
        if decoding.temperature == 0:  # vLLM reports those of temperature 1; what it drew from is a point mass
            logprobs = [0.0] * len(tokens)
        finish = "length" if best.finish_reason == "length" else "stop"
        return rollout(self.tokenizer, request, tokens, logprobs, finish)


def start(name: str, revision: str | None, policy: Policy, hardware: Hardware, lora: dict[str, Any]) -> Any:
    """A `vllm.LLM`; PolicyError with vLLM's own message if it does not start."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    # vLLM forks its engine's process by default, which cannot start CUDA where anything before has looked for it.
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    from vllm import LLM

    try:
        return LLM(
            model=name,
            revision=revision,
            dtype=policy.dtype,
            trust_remote_code=policy.trust_remote_code,
            max_model_len=context_window(policy),  # prompts were checked against it
            tensor_parallel_size=hardware.tensor_parallel,
            gpu_memory_utilization=hardware.gpu_memory_utilization,
            enable_prefix_caching=True,
            generation_config="vllm",  # the stage's params decide, not defaults that come with the model
            logprobs_mode="processed_logprobs",  # those of the distribution that is drawn from: temperature, top_p
            hf_overrides={"head_dtype": "float32"},  # logits are not rounded to bf16, as in scoring and training
            seed=0,
            **lora,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise PolicyError(f"policy.name {policy.name}: vLLM does not start: {error}") from error


def constant_path(name: str) -> tuple[str, IO[str] | None]:
    """A name for a policy's folder that the next policy's engine gets too, and the open file that keeps it ours.

    vLLM compiles a model once for each path: its cache key holds the path. Twelve cells in twelve folders would be
    compiled twelve times, though their shapes are one. So a folder is served through a link, .scratch/vllm-policy-N, N
    the first that no living engine holds. A model of a hub keeps its name, and so does a folder where links or locks
    are not to be had.
    """
    if not Path(name).is_dir():
        return name, None
    for number in range(ENGINES):
        link = root().resolve() / ".scratch" / f"vllm-policy-{number}"
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            lock = link.with_suffix(".lock").open("w")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            link.unlink(missing_ok=True)
            link.symlink_to(Path(name).resolve(), target_is_directory=True)
            return str(link), lock
        except BlockingIOError:
            lock.close()
        except OSError:
            break
    return name, None


def lora_options(adapter: dict[str, Any] | None) -> dict[str, Any]:
    """vLLM's engine options for a peft adapter config; {} without one. vLLM knows certain maximal ranks only."""
    if adapter is None:
        return {}
    from vllm.config.lora import MaxLoRARanks

    rank = max([adapter["r"], *(adapter.get("rank_pattern") or {}).values()])
    fitting = [size for size in get_args(MaxLoRARanks) if size >= rank]
    if not fitting:
        raise PolicyError(f"train.lora.rank {rank}: vLLM serves adapters up to {max(get_args(MaxLoRARanks))}")
    return {"enable_lora": True, "max_lora_rank": min(fitting)}


def lora_request(policy: Policy) -> Any:
    from vllm.lora.request import LoRARequest

    return LoRARequest("adapter", 1, str(Path(policy.name).resolve()))


def generation_config(name: str, revision: str | None, policy: Policy) -> GenerationConfig:
    """The model's generation config; if it has none, one made from its config."""
    try:
        return GenerationConfig.from_pretrained(name, revision=revision or "main")
    except OSError:
        config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=policy.trust_remote_code)
        return GenerationConfig.from_model_config(config)
