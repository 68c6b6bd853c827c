"""The probe: fixed problems whose responses in the cell's own data are scored along training.

One row per step and data set, with per-token statistics over all response tokens:
{"data": "rewritten", "loss": "dft", "seed": 0, "step": 12, "tokens": 20480, "probe": "rewritten", "nll": 1.2, ...}

The probe uses the cell's own data only. So a cell depends on no other training set, and a change of the rewritten data
does not re-run the expert's cells.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm
from transformers import TrainerCallback, TrainerState, TrainingArguments

from stages.lib import importance
from stages.lib.run.files import replacing
from stages.lib.run.lock import rank
from stages.lib.run.restart import write_checksums
from stages.lib.training import batches
from stages.lib.training.batches import Example
from stages.lib.training.checkpoints import REFERENCE
from stages.lib.training.fused_loss import Head, ReferenceStates
from stages.lib.training.losses import Objective
from stages.lib.training.model import arguments_of
from stages.lib.training.trainer import TrainingTask

COLUMNS = (
    *("data", "loss", "seed", "step", "tokens", "probe", "weighted_loss", "nll", "entropy", "kl", "weight_var", "ess"),
    *("logp_var", "ratio_var", "ratio_ess", "eos_prob", "accuracy", "loss_weight_mean", "loss_weight_ess"),
    "unclipped_ess",
)


def choose(examples: Sequence[Example], n: int) -> list[Example]:
    """n of the responses, first by a hash of their ids: cells with the same problems choose the same ones."""
    return sorted(examples, key=lambda example: hashlib.sha256(example.id.encode()).digest())[:n]


class Probe:
    """Scores the probe under the policy as it is, against the reference policy; each process takes a share of it."""

    def __init__(self, kinds: dict[str, list[Example]], tokens: int, device: torch.device):
        self.groups: dict[str, list[list[int]]] = {}  # this process's micro-batches, as rows of the kind
        self.batches: dict[str, list[dict[str, Tensor]]] = {}
        self.order: dict[str, list[int]] = {}  # of the rows in the statistics, whatever the number of processes
        self.sizes: dict[str, list[int]] = {}  # response tokens of each row
        place, ranks = (dist.get_rank(), dist.get_world_size()) if together() else (0, 1)
        for kind, examples in kinds.items():
            lengths = [len(example) for example in examples]
            self.groups[kind] = batches.plan(lengths, ranks, tokens)[place]
            micro = [batches.collate([examples[row] for row in group]) for group in self.groups[kind]]
            self.batches[kind] = [_to(tensors, device) for tensors in micro]
            self.order[kind] = [row for group in batches.plan(lengths, 1, tokens)[0] for row in group]
            self.sizes[kind] = [len(example.response) for example in examples]
        self.device = device
        self.reference: dict[str, Tensor] = {}

    def begin(self, model: nn.Module, folder: Path, resumed: bool) -> None:
        """Remember the reference policy: its hidden states on the probe, a tensor a row, and its head.

        A resumed run finds them in `folder`, since its policy is no longer the initial one; a file a process that wrote
        them, and the run that reads them may have another number of processes.
        """
        if resumed:
            self.reference = self._load(folder)
            return
        for kind, groups in self.groups.items():
            for group, outputs in zip(groups, self._run(model, kind), strict=True):
                hidden = outputs["hidden"].split([self.sizes[kind][row] for row in group])
                self.reference |= {f"{kind}.{row}": part.clone() for row, part in zip(group, hidden, strict=True)}
        names: tuple[str, ...] = ("weight", "bias")
        head = {key: outputs[key].clone() for key in names if key in outputs}
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self.reference | (head if rank() == 0 else {}), folder / f"{rank()}.safetensors")
        self.reference |= head
        if together():
            dist.barrier()
        if rank() == 0:
            write_checksums(folder)

    def _load(self, folder: Path) -> dict[str, Tensor]:
        """Of all files what this process needs: the head, and the rows of its share."""
        mine = {f"{kind}.{row}" for kind, groups in self.groups.items() for group in groups for row in group}
        found: dict[str, Tensor] = {}
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, framework="pt") as file:
                found |= {key: file.get_tensor(key) for key in (mine | {"weight", "bias"}) & set(file.keys())}
        return _to(found, self.device)

    def score(self, model: nn.Module, objective: Objective) -> list[dict[str, Any]]:
        """One row of statistics per kind, the same in every process."""
        rows = []
        for kind, groups in self.groups.items():
            mine: dict[int, dict[str, np.ndarray]] = {}
            for group, outputs in zip(groups, self._run(model, kind, objective), strict=True):
                mine |= self._by_row(kind, group, outputs)
            found, order = gathered(mine), self.order[kind]
            values = {key: np.concatenate([found[row][key] for row in order]) for key in found[order[0]]}
            last = np.cumsum([self.sizes[kind][row] for row in order]) - 1
            rows.append({"probe": kind, **summary(values, last, objective)})
        return rows

    def _by_row(self, kind: str, group: list[int], values: dict[str, Tensor]) -> dict[int, dict[str, np.ndarray]]:
        """A micro-batch's values a token, [N] each, as one [T] for each of its rows."""
        ends = np.cumsum([self.sizes[kind][row] for row in group])[:-1]
        parts = {key: np.split(values[key].double().cpu().numpy(), ends) for key in values if key != "loss" and group}
        return {row: {key: part[place] for key, part in parts.items()} for place, row in enumerate(group)}

    @torch.no_grad()
    def _run(self, model: nn.Module, kind: str, objective: Objective | None = None) -> Iterator[dict[str, Tensor]]:
        model.eval()
        for group, tensors in zip(self.groups[kind], self.batches[kind], strict=True):
            reference = self._reference(kind, group) if objective else None
            yield model(**arguments_of(tensors), objective=objective, reference=reference)

    def _reference(self, kind: str, group: list[int]) -> ReferenceStates:
        weight = self.reference["weight"]
        none = weight.new_empty(0, weight.shape[1])
        hidden = [self.reference[f"{kind}.{row}"] for row in group]
        return ReferenceStates(torch.cat(hidden) if hidden else none, Head(weight, self.reference.get("bias")))


def together() -> bool:
    """Whether this process is one of several."""
    return dist.is_available() and dist.is_initialized()


def gathered(mine: dict[int, Any]) -> dict[int, Any]:
    """The dictionaries of all processes in one, in every process."""
    if not together():
        return mine
    every: list[dict[int, Any]] = [{} for _ in range(dist.get_world_size())]
    dist.all_gather_object(every, mine)
    return {key: value for part in every for key, value in part.items()}


def summary(values: dict[str, np.ndarray], last: np.ndarray, objective: Objective) -> dict[str, float]:
    """Statistics of one data set from per-token values [N]; `last` holds the positions of the end tokens.

    weight_var, ess, logp_var: of w = p (the behaviour probability is taken as 1); ratio_*: of pi_theta / pi_0;
    loss_weight_*: of the weights in the loss; unclipped_ess: of the same weights before clipping.
    """
    logp, weight = values["logp"], values["weight"]
    log_ratio = logp - values["ref_logp"]
    normaliser = weight.sum() if objective.options.weight_normalisation == "mean-one" else len(weight)
    with np.errstate(divide="ignore"):  # a weight may be 0
        log_weight, log_unclipped = np.log(weight), np.log(values["unclipped"])
    return {
        "weighted_loss": float(-(weight * logp).sum() / normaliser),
        "nll": float(-logp.mean()),
        "entropy": float(values["entropy"].mean()),
        "kl": float(values["kl"].mean()),
        "weight_var": importance.variance(logp),
        "ess": importance.ess_share(logp),
        "logp_var": importance.log_variance(logp),
        "ratio_var": importance.variance(log_ratio),
        "ratio_ess": importance.ess_share(log_ratio),
        "eos_prob": float(np.exp(logp[last]).mean()),
        "accuracy": float(values["best"].mean()),
        "loss_weight_mean": float(weight.mean()),
        "loss_weight_ess": importance.ess_share(log_weight),
        "unclipped_ess": importance.ess_share(log_unclipped),
    }


def write(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Write the rows as CSV, with enough digits for exact float32 values."""
    with replacing(path) as file:
        file.write(",".join(COLUMNS) + "\n")
        for row in rows:
            file.write(
                ",".join(f"{row[key]:.9g}" if isinstance(row[key], float) else str(row[key]) for key in COLUMNS) + "\n"
            )


def _to(tensors: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {key: value.to(device) for key, value in tensors.items()}


class ProbeCallback(TrainerCallback):
    """Scores the probe every so many steps and shows the essentials on a progress bar.

    The rows are part of the Trainer's state, so checkpoints hold them.
    """

    def __init__(self, probe: Probe, task: TrainingTask, every: int, name: str):
        self.probe, self.task, self.every = probe, task, every
        self.tokens = task.tokens()
        self.bar = tqdm(desc=f"train {name}", disable=rank() > 0)

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self.bar.close()  # an error's line then starts a line

    def rows(self, state: TrainerState) -> list[dict[str, Any]]:
        return [row for row in state.log_history if "probe" in row]

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: Any, **more: Any) -> None:
        model = more["model"]
        self.bar.total = state.max_steps
        self.bar.update(state.global_step)
        self.probe.begin(model, Path(str(args.output_dir)) / REFERENCE, resumed=state.global_step > 0)
        if state.global_step == 0:
            self.score(state, model)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: Any, **more: Any) -> None:
        self.bar.update()
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            self.score(state, more["model"])
        if state.global_step == state.max_steps:
            control.should_save = False  # the policy itself is saved next; a restart point of 7B is 91 GB

    def score(self, state: TrainerState, model: Any) -> None:
        rows = self.probe.score(model, self.task.objective(detail=True))
        position = {"step": state.global_step, "tokens": self.tokens[state.global_step]}
        state.log_history += [{**position, **row} for row in rows]
        last = rows[-1]
        self.bar.set_postfix({key: f"{last[key]:.3g}" for key in ("nll", "kl", "ess", "eos_prob")})
