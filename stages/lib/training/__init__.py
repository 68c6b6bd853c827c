"""One cell of the grid: a data set, a loss and a seed in, a policy out.

Used by the stage train.
Start with `losses.py`: each loss is one function from log-probabilities to token weights. `fused_loss.py` applies it to
hidden states, `trainer.py` is transformers' Trainer around it, `probe.py` measures the policy along training.
"""
