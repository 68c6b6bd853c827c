"""Full disks, damaged files and full memory: one line that says what to do, or a recovery; earlier results stay."""

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import multiprocessing

from stages.lib.policy import PolicyError, load_model, memory
from stages.lib.run import restart
from stages.lib.run.errors import StageError
from stages.lib.run.exits import REMEDIES, one_line_errors
from stages.lib.run.files import replacing, replacing_folder
from stages.lib.run.journal import Journal
from stages.lib.run.params import Policy
from stages.lib.run.restart import COMPLETE, checksum, verified, write_checksums
from stages.lib.training.checkpoints import REFERENCE, last_checkpoint
from tests.run.damage import cut, flip, garble


def policy(folder: Path) -> Policy:
    return Policy(
        name=str(folder), revision=None, files="none", dtype="float32", trust_remote_code=False, deterministic=False
    )


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "policy"))


# --- disks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", sorted(REMEDIES))
def test_errors_of_the_system_are_one_line(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise OSError(number, "why", "data/out.jsonl")

    with pytest.raises(SystemExit) as stop:
        one_line_errors(fail)
    [line] = capsys.readouterr().err.splitlines()
    assert stop.value.code == 1 and line.startswith("error: data/out.jsonl: ") and "then the same command" in line


def test_a_full_disk_that_a_library_reports(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise RuntimeError("I/O error: No space left on device (os error 28)")

    with pytest.raises(SystemExit):
        one_line_errors(fail)
    assert "free some space" in capsys.readouterr().err


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    def fail() -> None:
        raise OSError(errno.EPIPE, "why")

    with pytest.raises(OSError, match="why"):
        one_line_errors(fail)


def test_a_file_that_outgrows_its_limit_leaves_the_old_one(checkout: Path) -> None:
    """A real write that the kernel refuses, in a process whose files may be 4 kB long."""
    (checkout / "out.jsonl").write_text("earlier\n")
    script = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from stages.lib.run.exits import one_line_errors\nfrom stages.lib.run.files import replacing\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "def main():\n    with replacing('out.jsonl') as file: file.write('x' * 100_000)\n"
        "one_line_errors(main)"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=checkout, capture_output=True, text=True)
    assert ended.returncode == 1 and "File too large; raise the limit" in ended.stderr
    assert "Traceback" not in ended.stderr and (checkout / "out.jsonl").read_text() == "earlier\n"
    assert not list(checkout.glob("out.jsonl?*"))


def test_a_full_disk_under_torch(checkout: Path) -> None:
    """torch's zip writer names no errno: a real one, in a process whose files may be 4 kB long."""
    script = (
        "import resource, signal, torch; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from stages.lib.run.exits import one_line_errors\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "one_line_errors(lambda: torch.save(torch.zeros(10**6), 'optimizer.pt'))"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=checkout, capture_output=True, text=True)
    assert ended.returncode == 1 and "free some space" in ended.stderr and "Traceback" not in ended.stderr


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    replace, calls = os.replace, []

    def second_fails(source: Path, target: Path) -> None:
        calls.append(source)
        if len(calls) == 2:
            raise OSError(errno.EIO, "why", str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", second_fails)
    with pytest.raises(OSError, match="why"), replacing_folder(tmp_path / "out") as folder:
        (folder / "new").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "old"]
    with replacing_folder(tmp_path / "out") as folder:
        (folder / "new").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "new"]


@pytest.fixture
def anyones(checkout: Path) -> Iterator[Path]:
    """The checkout where every user can reach it: permissions do not bind root, so the stage runs as another."""
    folder = Path(tempfile.mkdtemp())
    shutil.copytree(checkout, folder, dirs_exist_ok=True)
    (folder / "data").mkdir()
    (folder / "data" / "problems.jsonl").write_text("earlier\n")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    yield folder
    shutil.rmtree(folder)


def prepare_as_nobody(folder: Path) -> str:
    """The line that prepare ends with, run by a user whom permissions bind; the interpreter may be root's alone."""
    script = (
        "import os; from stages import prepare; from stages.lib.run.stage import open_stage, run\n"
        "open_stage('prepare', [])\n"  # imports what is imported at first use
        "if os.geteuid() == 0: os.setresuid(65534, 65534, 65534)\n"
        "run(prepare.main)"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run([sys.executable, "-c", script], cwd=folder, env=environment, capture_output=True, text=True)
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    assert (folder / "data" / "problems.jsonl").read_text() == "earlier\n"
    return ended.stderr.splitlines()[-1]


@pytest.mark.slow
def test_an_output_folder_that_is_read_only(anyones: Path) -> None:
    (anyones / "data").chmod(0o555)
    line = prepare_as_nobody(anyones)
    assert line.startswith("error: data/problems.jsonl") and "Permission denied; change its permissions" in line


@pytest.mark.slow
def test_an_input_that_may_not_be_read(anyones: Path) -> None:
    (anyones / "params.yaml").chmod(0)
    assert "params.yaml" in (line := prepare_as_nobody(anyones)) and "Permission denied" in line


def test_a_full_disk_costs_a_journal_its_last_lines_only(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError), Journal("stage", "0" * 16) as journal:
        journal.append(["one"])
        patch.setattr("os.fsync", full)
        journal.append(["two"])
    with Journal("stage", "0" * 16) as journal:
        assert next(journal.lines()) == "one"


def test_a_folder_where_a_file_belongs(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").mkdir()
    with pytest.raises(OSError), replacing(tmp_path / "out.jsonl") as file:
        file.write("x")
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


# --- policies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [cut, garble, lambda path: path.write_bytes(b"")], ids=["cut", "garbled", "empty"])
@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_damaged_policy_is_named(folder: Path, name: str, damage: object) -> None:
    damage(folder / name)
    with pytest.raises(PolicyError, match=r"policy\.name .*/policy: .*download its files again"):
        load_model(policy(folder))


@pytest.mark.parametrize(
    "text", ["[]", "null", "3", '{"model_type": "llama", "hidden_size": "wide"}', '{"model_type": 7}']
)
def test_a_config_of_odd_content(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(PolicyError, match=r"policy\.name"):
        load_model(policy(folder))


def test_missing_tensors_are_not_filled_with_random_ones(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(PolicyError, match=r"lack 1 tensors, model\.layers\.1\.mlp\.up_proj\.weight"):
        load_model(policy(folder))


def test_an_adapter_without_its_base(tmp_path: Path) -> None:
    config = {
        "peft_type": "LORA",
        "r": 2,
        "target_modules": ["q_proj"],
        "base_model_name_or_path": str(tmp_path / "gone"),
    }
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(PolicyError, match=r"policy\.name"):
        load_model(policy(tmp_path))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_out_of_memory_names_the_remedy(error: Exception) -> None:
    with pytest.raises(PolicyError, match=r"lower hardware\.train_tokens"), memory("lower hardware.train_tokens"):
        raise error


def test_other_runtime_errors_are_not_taken_for_out_of_memory() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory("lower hardware.train_tokens"):
        raise RuntimeError("shapes do not match")


# --- restart points of training ---------------------------------------------------------------------------------------


@pytest.fixture
def points(tmp_path: Path) -> Path:
    names = ("model.safetensors", "optimizer.pt", "trainer_state.json")
    for folder, files in (("checkpoint-2", names), ("checkpoint-10", names), (REFERENCE, ("0.safetensors",))):
        for name in files:
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / name).write_bytes(b"x" * 100)
        write_checksums(tmp_path / folder, fsdp=False)
    return tmp_path


def test_the_newest_point_counts(points: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert last_checkpoint(points, fsdp=False) == str(points / "checkpoint-10")
    assert not capsys.readouterr().err


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "trainer_state.json", COMPLETE])
@pytest.mark.parametrize("damage", [cut, flip, Path.unlink], ids=["cut", "flipped", "gone"])
def test_a_damaged_point_is_dropped(
    points: Path, name: str, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    damage(points / "checkpoint-10" / name)
    assert last_checkpoint(points, fsdp=False) == str(points / "checkpoint-2")
    assert not (points / "checkpoint-10").exists()
    said = capsys.readouterr().err.splitlines()
    if (name, damage) == (COMPLETE, Path.unlink):  # not damaged: a kill came while it was written
        assert said == []
    else:
        [line] = said
        assert "checkpoint-10/" in line and line.endswith("going on from the restart point before it")


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink], ids=["cut", "flipped", "gone"])
def test_without_the_initial_policy_training_begins_again(
    points: Path, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    damage(points / REFERENCE / "0.safetensors")
    assert last_checkpoint(points, fsdp=False) is None
    assert not list(points.iterdir()), "restart points that nothing can go on from"
    assert capsys.readouterr().err.endswith("without it training begins again\n")


def test_sharded_points_are_not_mixed_with_whole_ones(points: Path) -> None:
    with pytest.raises(StageError, match=r"written under a launch without FSDP, not FSDP; use that LAUNCH again"):
        last_checkpoint(points, fsdp=True)


def found_by(rank: int, points: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{points}/store", rank=rank, world_size=2)
    (points / f"found-{rank}").write_text(str(last_checkpoint(points, fsdp=False)))
    dist.destroy_process_group()


def test_all_processes_go_on_from_the_point_that_the_first_found(points: Path) -> None:
    flip(points / "checkpoint-10" / "optimizer.pt")
    multiprocessing.start_processes(found_by, (points,), nprocs=2, start_method="fork")
    assert {(points / f"found-{rank}").read_text() for rank in (0, 1)} == {str(points / "checkpoint-2")}


def test_a_point_that_cannot_be_read_is_not_taken_for_a_damaged_one(
    points: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> tuple[int, int]:
        raise OSError(errno.EIO, "why", str(path))

    monkeypatch.setattr(restart, "checksum", fail)
    with pytest.raises(OSError, match="why"):
        last_checkpoint(points, fsdp=False)
    assert (points / "checkpoint-10").exists()


def test_the_checksums_see_every_piece_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restart, "PIECE", 10)
    path = tmp_path / "file"
    path.write_bytes(bytes(range(95)))
    write_checksums(tmp_path)
    assert verified(tmp_path) and checksum(path)[0] == 95
    for place in (0, 9, 10, 47, 94):
        data = bytearray(range(95))
        data[place] ^= 1
        path.write_bytes(data)
        assert not verified(tmp_path), place
    path.write_bytes(bytes([*range(10, 20), *range(10), *range(20, 95)]))  # two pieces in the other order
    assert not verified(tmp_path)
