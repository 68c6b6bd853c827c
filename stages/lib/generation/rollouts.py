"""Opens engines and draws responses into a journal.

    kept = fitting(prompts, params.sample, context_window(params.policy))          # before any weights are loaded
    drawn = Drawn(journal, lambda: open_engine("auto", params.policy, params.hardware), params.sample, seed=0)
    drawn.draw(requests_for(kept, n=4))          # those that the journal lacks; the engine opens when it is needed
    drawn.rows(requests)                         # one row per request, in their order

engine.py defines the interface of an engine and the random stream of each request.
"""

import importlib.util
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from tqdm import tqdm

from stages.lib.generation import ray
from stages.lib.generation.engine import Engine, Request, chunks, requests_for
from stages.lib.generation.hf import TransformersEngine
from stages.lib.generation.processes import ParallelEngine
from stages.lib.generation.vllm import VllmEngine
from stages.lib.policy import PolicyError, gpu_count
from stages.lib.records import Rollout, dumps, parse
from stages.lib.run.errors import StageError
from stages.lib.run.journal import Journal
from stages.lib.run.params import Decoding, Hardware, Policy

__all__ = ["Drawn", "Engine", "Request", "chunks", "fitting", "open_engine", "requests_for"]


def fitting(
    prompts: Sequence[tuple[str, list[int]]], decoding: Decoding, context: int | None
) -> list[tuple[str, list[int]]]:
    """The prompts that leave room for a response of `max_new_tokens` in the context window.

    Longer ones are left out: one problem must not stop a run over fifty thousand.

    Raises:
        StageError: no prompt fits.
    """
    room = (context or math.inf) - decoding.max_new_tokens
    kept = [prompt for prompt in prompts if len(prompt[1]) <= room]
    if not kept and prompts:
        raise StageError(
            f"no prompt fits: the shortest has {min(len(ids) for _, ids in prompts)} tokens, and max_new_tokens "
            f"{decoding.max_new_tokens} leaves {room} of the context window; lower max_new_tokens"
        )
    return kept


def open_engine(name: str, policy: Policy, hardware: Hardware) -> Engine:
    """The engine by name; "auto" is vLLM if there is a GPU, else transformers.

    `hardware` says how many engines run at once, on this machine or in a Ray cluster. vLLM always has its own process,
    even a single engine: the process that holds the GPU then ends with the stage, however that ends.

    Raises:
        PolicyError: the policy cannot be loaded, vLLM or Ray is named but not installed, or there are too few GPUs.
    """
    gpus = ray.connect(hardware.engines) if hardware.ray else gpu_count()
    engine_class = VllmEngine if chosen(name, gpus) == "vllm" else TransformersEngine
    if hardware.ray:
        return ray.RayEngine(engine_class, policy, hardware)
    if hardware.engines > 1 or engine_class is VllmEngine:
        return ParallelEngine(engine_class, policy, hardware)
    return TransformersEngine(policy, hardware)


def chosen(name: str, gpus: float) -> str:
    """vllm or transformers, for the value of sample.engine.

    Raises:
        PolicyError: vLLM is named, or "auto" finds a GPU, and vLLM is not installed.
    """
    installed = importlib.util.find_spec("vllm") is not None
    if name == "auto" and gpus and not installed:
        raise PolicyError(
            f"{gpus:g} GPUs and no vLLM: pip install -r requirements-gpu.txt, or set sample.engine to transformers, "
            "which generates several times more slowly (each of its batches waits for its longest response)"
        )
    if name == "vllm" and not installed:
        raise PolicyError("sample.engine is vllm, which is not installed: pip install -r requirements-gpu.txt")
    return ("vllm" if gpus else "transformers") if name == "auto" else name


class Drawn:
    """The responses in a journal, found by (problem id, index), whatever order they were drawn in.

    A response is named by (seed, id, index): which others are asked for does not change it (up to floating point, see
    engine.py). So the journal serves a stage that was killed, and one that now asks for other problems or for more
    responses; only what it lacks is drawn.
    """

    def __init__(self, journal: Journal, open_: Callable[[], Engine], decoding: Decoding, seed: int):
        self.journal, self.open, self.decoding, self.seed = journal, open_, decoding, seed
        self.engine: Engine | None = None
        self.places: dict[tuple[str, int], int] = {}  # where in the file a row begins
        self.size = 0
        for line in journal.lines():
            self._note(parse(Rollout, line, str(journal.path)), line)
        self.before = len(self.places)

    def draw(self, requests: Sequence[Request]) -> int:
        """Draw what the journal lacks of `requests`, chunk by chunk; returns how many that were."""
        lacking = [request for request in requests if (request.id, request.index) not in self.places]
        if not lacking:
            return 0
        self.engine = self.engine or self.open()
        done = len(requests) - len(lacking)
        with tqdm(total=len(requests), initial=done, unit="response", desc=self.journal.name, smoothing=0) as bar:
            for chunk in chunks(lacking, self.engine.chunk):
                rows = self.engine.generate(chunk, self.decoding, self.seed)
                lines = [dumps(row) for row in rows]
                self.journal.append(lines)
                for row, line in zip(rows, lines, strict=True):
                    self._note(row, line)
                bar.update(len(chunk))
        return len(lacking)

    def lines(self, requests: Iterable[Request]) -> Iterator[str]:
        """The journal's lines for these requests, in their order."""
        with self.journal.path.open("rb") as file:
            for request in requests:
                file.seek(self.places[request.id, request.index])
                yield file.readline().decode().rstrip("\n")

    def rows(self, requests: Iterable[Request]) -> Iterator[Rollout]:
        """As `lines`, as rows."""
        for line in self.lines(requests):
            yield parse(Rollout, line, str(self.journal.path))

    def _note(self, row: Rollout, line: str) -> None:
        self.places[row.id, row.index] = self.size
        self.size += len(line.encode()) + 1
