"""What happens to files: cut short, or of the same length with other bytes."""

from pathlib import Path


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garble(path: Path) -> None:
    """Other bytes at the head."""
    path.write_bytes(b"\xff" * 64 + path.read_bytes()[64:])


def flip(path: Path) -> None:
    """One bit in the middle, which no format's own header shows."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
