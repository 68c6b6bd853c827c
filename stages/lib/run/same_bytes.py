"""The same bytes on every x86-64 processor with AVX2: environment variables to set before numeric libraries load.

    begin()        # in the first lines of a program; stages/__init__.py does it for every stage

MKL, ATen, oneDNN, OpenBLAS, NumPy and Arrow choose their code by processor, so sums differ in their last bits. NumPy,
OpenBLAS and Arrow are always limited to AVX2; statistics and tables take the same time. Torch is limited if
`policy.deterministic` is true. It then uses the CPU even if there is a GPU, and training takes longer (measured in
docs/reproducibility.md). The variables override the caller's and hold in all processes that a stage starts.
"""

import os
import platform
import re
import sys
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.lib.run.checkout import root

AVX512 = "AVX512F AVX512CD AVX512_KNL AVX512_KNM AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR"
ALWAYS = {
    "NPY_DISABLE_CPU_FEATURES": AVX512,
    "OPENBLAS_CORETYPE": "Haswell",  # NumPy's and SciPy's
    "OPENBLAS_NUM_THREADS": "1",
    "ARROW_USER_SIMD_LEVEL": "AVX2",
}
TORCH = {
    "MKL_CBWR": "COMPATIBLE",  # AVX2 is not enough: Intel and AMD then differ
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "ONEDNN_DEFAULT_FPMATH_MODE": "STRICT",
    "CUDA_VISIBLE_DEVICES": "",
    "HIP_VISIBLE_DEVICES": "",
}
CONFLICTING = (  # older names of the same settings, and what NumPy refuses beside its own
    "DNNL_DEFAULT_FPMATH_MODE", "DNNL_MAX_CPU_ISA", "MKL_DEBUG_CPU_TYPE", "MKL_ENABLE_INSTRUCTIONS",
    "NPY_ENABLE_CPU_FEATURES",
)  # fmt: skip


def begin(deterministic: bool | None = None) -> None:
    """Set the environment of this process and of those that it starts; say so where that does not help.

    deterministic: whether torch is held, too; None: as params.yaml says.
    """
    held = asked() if deterministic is None else deterministic
    reason = obstacle()
    if not reason:
        for name in CONFLICTING:
            os.environ.pop(name, None)
        os.environ.update(ALWAYS)
    if held and reason:
        print(f"policy.deterministic: last bits may differ from other machines': {reason}", file=sys.stderr)
    elif held:
        os.environ.update(TORCH)


def asked() -> bool:
    """`policy.deterministic` of params.yaml; errors in that file are left to `params.load`."""
    try:
        found = YAML(typ="safe").load((root() / "params.yaml").read_text(encoding="utf-8"))
        return found["policy"]["deterministic"] is True
    except (OSError, YAMLError, ValueError, RecursionError, LookupError, TypeError):
        return False


def obstacle(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Why this processor cannot make the same bytes as others; "" if it can."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return f"this processor is {platform.machine()}, not x86-64"
    if not cpuinfo.exists():  # not Linux: the libraries find out themselves
        return ""
    found = re.search(r"^flags\s*:(.*)$", cpuinfo.read_text(encoding="utf-8", errors="replace"), re.M)
    missing = {"avx2", "fma"} - set(found[1].split() if found else ())
    return f"this processor has no {' and no '.join(sorted(missing))}" if missing else ""
