"""The audit finds what the code does not make."""

import platform
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tools import audit


def lock(**hashes: str) -> dict:
    stages = {name: {"outs": [{"path": f"{name}.txt", "md5": value}]} for name, value in hashes.items()}
    return {"schema": "2.0", "stages": stages}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    YAML().dump(lock(table="aa", figure="bb", curve="cc"), tmp_path / "dvc.lock")
    (tmp_path / "table.txt").write_text("by hand")
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "made"]):
        subprocess.run(
            ["git", "-c", "user.name=test", "-c", "user.email=test@example.com", *words], cwd=tmp_path, check=True
        )
    return tmp_path


def test_what_comes_out_otherwise_is_named(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def make() -> None:
        assert not (repo / "table.txt").exists() and not (repo / "dvc.lock").exists(), "an output that is there is kept"
        YAML().dump(lock(table="ab", figure="bb"), repo / "dvc.lock")

    assert audit.again(repo, Path(), make) == ["table.txt (table)", "curve.txt (curve)"]
    said = capsys.readouterr().out
    assert "1 of 3 outputs reproduced (dvc.lock)" in said and "not reproduced: table.txt (table)" in said


def test_all_the_same(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (repo / "dvc.lock").read_text()
    assert audit.again(repo, Path(), lambda: (repo / "dvc.lock").write_text(before)) == []
    assert capsys.readouterr().out == "3 of 3 outputs reproduced (dvc.lock)\n"


def test_nothing_is_made(repo: Path) -> None:
    assert len(audit.again(repo, Path(), lambda: None)) == 3


def test_where_nothing_is_promised_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert audit.main([]) == 0
    assert capsys.readouterr().out.startswith("not audited: this processor is aarch64, not x86-64")
