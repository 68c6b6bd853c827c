"""Results in a remote: what one clone pushes another pulls, and `dvc repro` there has nothing to run."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipeline.conftest import run

pytestmark = pytest.mark.slow
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture
def s3() -> Iterator[str]:
    """The address of a server that speaks S3's protocol, with the bucket `results`."""
    import boto3
    from moto.server import ThreadedMotoServer

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = ThreadedMotoServer("127.0.0.1", port)
    server.start()
    address = f"http://127.0.0.1:{port}"
    names = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=address, **names).create_bucket(Bucket="results")
    yield address
    server.stop()


def test_a_folder(small_clone: Path, tmp_path: Path) -> None:
    there_and_back(small_clone, tmp_path, str(tmp_path / "remote"), {})


def test_s3(small_clone: Path, tmp_path: Path, s3: str) -> None:
    there_and_back(small_clone, tmp_path, "s3://results/here", {"endpointurl": s3})


def there_and_back(small_clone: Path, folder: Path, url: str, settings: dict[str, str]) -> None:
    """The remote is each clone's own setting, as docs/reproducibility.md says."""
    fresh = folder / "fresh"
    run("git", "clone", "--quiet", str(small_clone), str(fresh), at=folder)
    for clone in (small_clone, fresh):
        run("dvc", "remote", "add", "--local", "--force", "--default", "results", url, at=clone)
        for name, value in settings.items():
            run("dvc", "remote", "modify", "--local", "results", name, value, at=clone)
    run("dvc", "push", at=small_clone, **KEYS)
    assert not (fresh / "data").exists()
    run("dvc", "pull", at=fresh, **KEYS)
    assert (fresh / "data" / "scores.parquet").read_bytes() == (small_clone / "data" / "scores.parquet").read_bytes()
    said = run("dvc", "repro", at=fresh)
    assert "Running stage" not in said and "up to date" in said
    assert run("git", "status", "--porcelain", at=fresh) == ""
