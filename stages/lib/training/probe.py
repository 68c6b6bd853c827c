"""The probe: fixed problems whose responses in the cell's own data are scored along training.

One row per step and data set, with per-token statistics over all response tokens:
{"data": "rewritten", "loss": "dft", "seed": 0, "step": 12, "tokens": 20480, "probe": "rewritten", "nll": 1.2, ...}

The probe uses the cell's own data only. So a cell depends on no other training set, and a change of the rewritten data
does not re-run the expert's cells.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm
from transformers import TrainerCallback, TrainerState, TrainingArguments

from stages.lib import importance
from stages.lib.run.files import replacing
from stages.lib.run.lock import rank
from stages.lib.run.restart import write_checksums
from stages.lib.training import batches
from stages.lib.training.batches import Example
from stages.lib.training.checkpoints import START
from stages.lib.training.fused_loss import Head, Start
from stages.lib.training.losses import Objective
from stages.lib.training.trainer import Work

COLUMNS = (
    *("data", "loss", "seed", "step", "tokens", "probe", "weighted_loss", "nll", "entropy", "kl", "weight_var", "ess"),
    *("logp_var", "ratio_var", "ratio_ess", "eos_prob", "accuracy", "loss_weight_mean", "loss_weight_ess"),
    "unclipped_ess",
)
TENSORS = "start.safetensors"


def choose(examples: Sequence[Example], n: int) -> list[Example]:
    """n of the responses, first by a hash of their ids: cells with the same problems choose the same ones."""
    return sorted(examples, key=lambda example: hashlib.sha256(example.id.encode()).digest())[:n]


class Probe:
    """Scores the probe under the current policy and compares it with the reference policy."""

    def __init__(self, kinds: dict[str, list[Example]], limit: int, device: torch.device):
        self.batches: dict[str, list[dict[str, Tensor]]] = {}
        self.last: dict[str, np.ndarray] = {}  # which tokens are end tokens
        for kind, examples in kinds.items():
            [groups] = batches.plan([len(example) for example in examples], 1, limit)
            groups = [[examples[row] for row in group] for group in groups]
            self.batches[kind] = [_to(batches.collate(group), device) for group in groups]
            self.last[kind] = np.cumsum([len(example.response) for group in groups for example in group]) - 1
        self.device = device
        self.start: dict[str, Tensor] = {}

    def begin(self, model: nn.Module, folder: Path, resumed: bool) -> None:
        """Keep the reference policy's hidden states on the probe, and its head.

        A resumed run reads them from `folder`, because its policy has already changed.
        """
        if resumed:
            self.start = _to(load_file(folder / TENSORS), self.device)
            return
        for kind in self.batches:
            for number, outputs in enumerate(self._run(model, kind)):
                self.start[f"{kind}.{number}"] = outputs["hidden"].contiguous()
        self.start |= {key: outputs[key].clone() for key in ("weight", "bias") if key in outputs}
        if rank() == 0:
            folder.mkdir(parents=True, exist_ok=True)
            save_file(self.start, folder / TENSORS)
            write_checksums(folder)

    def score(self, model: nn.Module, objective: Objective) -> list[dict[str, Any]]:
        """One row of statistics per kind."""
        rows = []
        for kind in self.batches:
            parts = list(self._run(model, kind, objective))
            values = {
                key: torch.cat([part[key] for part in parts]).double().cpu().numpy()
                for key in parts[0]
                if key != "loss"
            }
            rows.append({"probe": kind, **summary(values, self.last[kind], objective)})
        return rows

    @torch.no_grad()
    def _run(self, model: nn.Module, kind: str, objective: Objective | None = None) -> Any:
        model.eval()
        for number, inputs in enumerate(self.batches[kind]):
            start = self._start(kind, number) if objective else None
            yield model(**inputs, objective=objective, start=start)

    def _start(self, kind: str, number: int) -> Start:
        return Start(self.start[f"{kind}.{number}"], Head(self.start["weight"], self.start.get("bias")))


def summary(values: dict[str, np.ndarray], last: np.ndarray, objective: Objective) -> dict[str, float]:
    """Statistics of one data set from per-token values [N]; `last` holds the positions of the end tokens.

    weight_var, ess, logp_var: of w = p (the behaviour probability is taken as 1); ratio_*: of pi_theta / pi_0;
    loss_weight_*: of the weights in the loss; unclipped_ess: of the same weights before clipping.
    """
    logp, weight = values["logp"], values["weight"]
    log_ratio = logp - values["start_logp"]
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


class Watch(TrainerCallback):
    """Scores the probe every `every` steps and shows a few values on a progress bar.

    The rows are part of the Trainer's state, so checkpoints hold them.
    """

    def __init__(self, probe: Probe, work: Work, every: int, name: str):
        self.probe, self.work, self.every = probe, work, every
        self.tokens = work.tokens()
        self.bar = tqdm(desc=f"train {name}", disable=rank() > 0)

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self.bar.close()  # an error's line then starts a line

    def rows(self, state: TrainerState) -> list[dict[str, Any]]:
        return [row for row in state.log_history if "probe" in row]

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: Any, model: Any, **_: Any) -> None:
        self.bar.total = state.max_steps
        self.bar.update(state.global_step)
        self.probe.begin(model, Path(args.output_dir) / START, resumed=state.global_step > 0)
        if state.global_step == 0:
            self.score(state, model)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: Any, model: Any, **_: Any) -> None:
        self.bar.update()
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            self.score(state, model)

    def score(self, state: TrainerState, model: Any) -> None:
        rows = self.probe.score(model, self.work.objective(detail=True))
        position = {"step": state.global_step, "tokens": self.tokens[state.global_step]}
        state.log_history += [{**position, **row} for row in rows]
        last = rows[-1]
        self.bar.set_postfix({key: f"{last[key]:.3g}" for key in ("nll", "kl", "ess", "eos_prob")})
