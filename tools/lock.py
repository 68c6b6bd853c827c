"""Compile the locks from the short requirements, with uv: `make lock`.

    requirements.in      -> requirements.txt        everything but CUDA, whichever index torch comes from
                            requirements-cuda.txt   what torch needs beside it where it comes with CUDA, as PyPI's does
    requirements-gpu.in  -> requirements-gpu.txt    one whole environment for a machine with a GPU: adds vLLM

A pinned version stays until the short requirements ask for another; delete the lock to renew all. The CPU lock has two
parts because a lock with hashes must name every package, and torch's two builds need different packages.
"""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
CUDA = re.compile(r"(cuda|nvidia)-|triton==")
UV = ("uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes", "--no-header")
CPU_WHEELS = {  # builds of pinned packages that PyPI does not have: those for the CPU alone, of PyTorch's own index
    "torch==2.13.0": ["sha256:6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"],
}
HEAD = "# Made by `make lock` from {}: change that file, not this one.\n"


def main() -> None:
    lock, cuda, gpu = (ROOT / f"requirements{name}.txt" for name in ("", "-cuda", "-gpu"))
    whole = compiled("requirements.in", lock, cuda)
    write(lock, "requirements.in", [hashed(entry, CPU_WHEELS) for entry in whole if not CUDA.match(entry)])
    write(cuda, "requirements.in", [entry for entry in whole if CUDA.match(entry)])
    write(gpu, "requirements-gpu.in", [hashed(entry, {}) for entry in compiled("requirements-gpu.in", gpu, lock, cuda)])


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


def hashed(entry: str, more: dict[str, list[str]]) -> str:
    """The entry with the hashes that `more` has for it, and without others of CPU_WHEELS (uv keeps what a lock had)."""
    first, rest = entry.split("\n", 1)
    for line in (f"    --hash={value} \\\n" for values in CPU_WHEELS.values() for value in values):
        rest = rest.replace(line, "")
    name = re.split(r"[ ;]", first, maxsplit=1)[0]
    return "\n".join([first, *(f"    --hash={value} \\" for value in more.get(name, [])), rest])


def write(path: Path, source: str, packages: list[str]) -> None:
    path.write_text(HEAD.format(source) + "".join(packages), encoding="utf-8")


if __name__ == "__main__":
    main()
