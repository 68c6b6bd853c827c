"""Compile the locks from the short requirements, with uv: `make lock`.

    requirements.in      -> requirements.txt        everything but torch
                            requirements-cpu.txt    torch for the CPU alone, where an index or a folder has it
                            requirements-cuda.txt   torch as PyPI has it, and the CUDA packages that it asks for
    requirements-gpu.in  -> requirements-gpu.txt    one whole environment for a machine with a GPU: adds vLLM

A pin that is in a lock stays until the short requirements ask for another (`rm` the lock to renew all). Torch stands
apart because its two builds ask for different packages, a lock with hashes names every package, and pip would take
PyPI's, whose hash the index tells, before a file of the same version.
"""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
TORCH = re.compile(r"torch==|triton==|cuda-|nvidia-(?!ml-py)")
UV = ("uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes", "--no-header")
CPU = {  # Linux, Python 3.11, x86-64
    "2.13.0": "sha256:6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"
}
HEAD = "# Made by `make lock` from {}: change that file, not this one.\n"


def main() -> None:
    lock, cpu, cuda, gpu = (ROOT / f"requirements{name}.txt" for name in ("", "-cpu", "-cuda", "-gpu"))
    whole = compiled("requirements.in", lock, cuda)
    write(lock, "requirements.in", [entry for entry in whole if not TORCH.match(entry)])
    write(cuda, "requirements.in", [entry for entry in whole if TORCH.match(entry)])
    version = next(entry for entry in whole if entry.startswith("torch==")).split()[0].removeprefix("torch==")
    write(cpu, "requirements.in", [f"torch=={version}+cpu --hash={CPU[version]}\n"])
    write(gpu, "requirements-gpu.in", compiled("requirements-gpu.in", gpu, lock, cuda))


def compiled(source: str, *kept: Path) -> list[str]:
    """The lock of a short file, an entry a package; pins of the files in `kept` are preferred, the first's most."""
    out = ROOT / f"{source}.tmp"
    out.write_text("".join(path.read_text(encoding="utf-8") for path in kept[::-1] if path.exists()), encoding="utf-8")
    try:
        subprocess.run([*UV, source, "--output-file", out.name], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        return entries(out.read_text(encoding="utf-8"))
    finally:
        out.unlink()


def entries(text: str) -> list[str]:
    """Each package's lines: its name and version, its hashes, and who asks for it."""
    return re.findall(r"^[\w.\[\],-]+==.*\n(?:[ \t]+.*\n)*", text, flags=re.M)


def write(path: Path, source: str, packages: list[str]) -> None:
    path.write_text(HEAD.format(source) + "".join(packages), encoding="utf-8")


if __name__ == "__main__":
    main()
