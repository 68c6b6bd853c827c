"""Run by torchrun with two processes: the training stage with its policy in shards (FSDP2), over gloo.

accelerate shards on accelerators only. It is told that this is one at the single place where it asks; everything after
that is its own path, as under presets/accelerate/fsdp2.yaml. argv: data, loss, seed, and a step to be killed after.
"""

import os
import signal
import sys
from typing import Any

import torch.distributed as dist
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType

from stages import train
from stages.lib.run.stage import run
from stages.lib.training.probe import ProbeCallback
from stages.lib.training.trainer import Finetuner

plain_init, plain_end = AcceleratorState.__init__, ProbeCallback.on_step_end


def init(self: AcceleratorState, *args: Any, **more: Any) -> None:
    state = PartialState._shared_state
    if AcceleratorState._shared_state:  # made before: as it is
        self.__dict__ = AcceleratorState._shared_state
        return
    before, state["distributed_type"] = state["distributed_type"], DistributedType.MULTI_GPU
    plain_init(self, *args, **more)
    state["distributed_type"] = before
    assert self.distributed_type == DistributedType.FSDP


def on_step_end(self: ProbeCallback, args: Any, state: Any, control: Any, **more: Any) -> None:
    plain_end(self, args, state, control, **more)
    assert any(hasattr(weight, "full_tensor") for weight in more["model"].parameters())  # DTensors: it is in shards
    if len(words) == 4 and state.global_step == int(words[3]):
        os.kill(os.getpid(), signal.SIGKILL)


words = sys.argv[1:]
sys.argv = sys.argv[:4]
AcceleratorState.__init__ = init  # type: ignore[method-assign]
ProbeCallback.on_step_end = on_step_end  # type: ignore[method-assign]
Finetuner.place_model_on_device = False
run(train.main, resumable=True)
if dist.is_initialized():
    dist.destroy_process_group()
