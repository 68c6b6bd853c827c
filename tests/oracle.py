"""Figures of importance weights straight from their definitions: the oracle for the sums of `analysis/gap.py`."""

import numpy as np
from numpy.typing import ArrayLike

from stages.lib import importance
from stages.lib.importance import Array


def cv2(log_w: ArrayLike) -> float:
    """Squared coefficient of variation, Var(w) / mean(w)^2 = N / ESS - 1 (Liu 1996)."""
    return 1.0 / importance.ess_share(log_w) - 1.0


def chi2(log_w: ArrayLike) -> float:
    """chi^2(p || b) = E_b[w^2] - 1 from a sample of b whose density is known (both normalised)."""
    return float(np.exp(2 * np.asarray(log_w, dtype=np.float64).ravel()).mean() - 1.0)


def kl_k1(log_w: ArrayLike) -> float:
    """KL(b || p) = E_b[-log w] from a sample of b: unbiased, can come out negative (Schulman 2020, k1)."""
    return float(-np.asarray(log_w, dtype=np.float64).ravel().mean())


def kl_k3(log_w: ArrayLike) -> float:
    """KL(b || p) = E_b[w - 1 - log w] from a sample of b: unbiased where E_b[w] = 1, never negative (k3)."""
    log_w = np.asarray(log_w, dtype=np.float64).ravel()
    return float((np.expm1(log_w) - log_w).mean())


def clip(log_w: ArrayLike, low: float, high: float) -> Array:
    """log of clip(w, low, high), [N]. Clipping hides a gap: show the unclipped figure beside the clipped one."""
    return np.clip(np.asarray(log_w, dtype=np.float64).ravel(), np.log(low) if low > 0 else -np.inf, np.log(high))
