"""Several engines side by side, in processes and over Ray: the rows of one engine, clear ends, no orphans."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stages.lib.generation import processes
from stages.lib.generation import ray as engine_ray
from stages.lib.generation.engine import Request, assign
from stages.lib.generation.hf import TransformersEngine
from stages.lib.generation.processes import attempt, device_shares, value_of
from stages.lib.generation.rollouts import Drawn, open_engine, requests_for
from stages.lib.policy import PolicyError
from stages.lib.prompts import encode, plain
from stages.lib.run.journal import Journal
from stages.lib.run.params import Decoding, Hardware, Params, Policy

ROOT = Path(__file__).parents[2]
DECODING = Decoding(n=1, temperature=1.0, top_p=1.0, max_new_tokens=40, seed=0)
PARENT = """
import sys
from stages.lib.run.exits import one_line_errors
from stages.lib.generation.processes import ParallelEngine
from stages.lib.generation.hf import TransformersEngine
from stages.lib.run.params import load
from dataclasses import replace

def main():
    params = load(sys.argv[1])
    policy = replace(params.policy, name=sys.argv[2])
    engine = ParallelEngine(TransformersEngine, policy, params.hardware)
    print(*(worker.process.pid for worker in engine.workers), flush=True)
    sys.stdin.read()

if __name__ == "__main__":
    one_line_errors(main)
"""


@pytest.fixture(scope="module")
def hardware() -> Hardware:
    from stages.lib.run.params import load

    return dataclasses.replace(load(ROOT / "params.yaml").hardware, generation_batch=4)


@pytest.fixture(scope="module")
def micro() -> Policy:
    return Policy(
        name=str(ROOT / "models" / "micro" / "policy"),
        revision=None,
        files="none",
        dtype="float32",
        trust_remote_code=False,
        deterministic=False,
    )


def some_requests(engine: TransformersEngine, params: Params, count: int = 20) -> list[Request]:
    texts = [(f"p{i}", encode(engine.tokenizer, plain("1 + " * (i % 7) + "1 =", params.prompt))) for i in range(count)]
    return requests_for(texts, 2)


def test_batches_are_those_of_one_engine() -> None:
    requests = [Request(str(i), 0, [0] * (i % 5)) for i in range(23)]
    assert assign(requests, 8, 3, 1) == assign(requests, 8, 3, 4)
    places = [place for portion in assign(requests, 8, 3) for place in portion]
    assert sorted(places) == list(range(23)) and max(map(len, assign(requests, 8, 3))) == 3


def test_every_engine_gets_some_of_every_benchmark() -> None:
    """Problem by problem in turn; the responses to one problem stay together."""
    requests = requests_for([(f"{name}/{i}", [0]) for name in ("aime", "math") for i in range(5)], 3)
    shares = assign(requests, 8, None, 4)
    assert sorted(place for share in shares for place in share) == list(range(30))
    owners = {requests[place].id: set() for place in range(30)}
    for engine, share in enumerate(shares):
        for place in share:
            owners[requests[place].id].add(engine)
        assert {requests[place].id[:4] for place in share} == {"aime", "math"}
    assert all(len(engines) == 1 for engines in owners.values())
    assert max(map(len, shares)) - min(map(len, shares)) <= 3
    assert assign([], 8, None, 2) == [] and len(assign(requests[:1], 8, None, 4)) == 1


@pytest.mark.slow
def test_processes_draw_the_rows_of_one_engine(
    micro: Policy, hardware: Hardware, params: Params, checkout: Path
) -> None:
    """Also: a killed engine ends in one line, and what was drawn before is kept."""
    one = TransformersEngine(micro, hardware)
    requests = some_requests(one, params, 24)
    engine = open_engine("transformers", micro, dataclasses.replace(hardware, engines=2))
    assert engine.chunk == 2 * one.chunk
    with Journal("killed", "a" * 16) as journal:
        Drawn(journal, lambda: engine, DECODING, 3).draw(requests[: engine.chunk])
        os.kill(engine.workers[1].process.pid, signal.SIGKILL)
        with pytest.raises(PolicyError, match=r"exit status -9.*lower hardware\.engines"):
            Drawn(journal, lambda: engine, DECODING, 3).draw(requests)
        assert sum(1 for _ in journal.lines()) == engine.chunk and engine.workers == []
        Drawn(journal, lambda: one, DECODING, 3).draw(requests)
    with Journal("whole", "a" * 16) as journal:
        Drawn(journal, lambda: one, DECODING, 3).draw(requests)
    killed, whole = ((checkout / ".scratch" / f"{name}-{'a' * 16}.jsonl") for name in ("killed", "whole"))
    assert killed.read_bytes() == whole.read_bytes()


@pytest.mark.slow
def test_an_engine_that_cannot_open_raises_a_stage_error(micro: Policy, hardware: Hardware) -> None:
    absent, two = dataclasses.replace(micro, name="models/absent"), dataclasses.replace(hardware, engines=2)
    with pytest.raises(PolicyError, match="models/absent: no such model folder"):
        open_engine("transformers", absent, two)


def test_errors_of_an_engine_are_raised_in_the_stage() -> None:
    def refuse() -> None:
        raise PolicyError("out of memory: lower it")

    with pytest.raises(PolicyError, match="out of memory: lower it"):
        value_of(attempt(refuse))
    with pytest.raises(RuntimeError, match=r"an engine failed:(.|\n)*ZeroDivisionError"):
        value_of(attempt(lambda: 1 / 0))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_its_parent(tiny_policy: Policy, tmp_path: Path, kind: signal.Signals) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    command = [sys.executable, str(script), str(ROOT / "params.yaml"), tiny_policy.name]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as parent:
        pids = [int(word) for word in parent.stdout.readline().split()]
        parent.send_signal(kind)
        parent.wait(60)
    assert len(pids) == 1
    until = time.monotonic() + 60
    while any(map(alive, pids)):
        assert time.monotonic() < until, "a process outlives its parent"
        time.sleep(0.1)


def alive(pid: int) -> bool:
    """Neither gone nor a zombie that nobody has collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_each_engine_has_its_own_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "gpu_count", lambda: 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    assert device_shares(2, 2) == [["4", "5"], ["6", "7"]]
    with pytest.raises(PolicyError, match="need 8; 4 are visible"):
        device_shares(4, 2)


@pytest.fixture
def ray_here(monkeypatch: pytest.MonkeyPatch):
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_worker_niceness", "0")  # Ray's own is 15: minutes beside other work
    yield ray
    ray.shutdown()


@pytest.mark.slow
def test_ray_draws_the_rows_of_one_engine(micro: Policy, hardware: Hardware, params: Params, ray_here: object) -> None:
    """Also: a killed engine ends in one line, and a cluster too small is refused."""
    one = TransformersEngine(micro, hardware)
    requests = some_requests(one, params)
    engine = open_engine("transformers", micro, dataclasses.replace(hardware, engines=2, ray=True))
    assert engine.chunk == 2 * one.chunk
    assert engine.generate(requests, DECODING, 3) == one.generate(requests, DECODING, 3)
    assert engine.generate([], DECODING, 3) == []
    ray_here.kill(engine.engines[0])
    with pytest.raises(PolicyError, match=r"process ended \(ActorDiedError\)"):
        engine.generate(requests, DECODING, 3)
    with pytest.raises(PolicyError, match=r"need 64; Ray's cluster has 2"):
        open_engine("transformers", micro, dataclasses.replace(hardware, engines=64, ray=True))


def test_ray_that_is_not_installed(micro: Policy, hardware: Hardware, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PolicyError, match=r"requirements\.txt"):
        open_engine("transformers", micro, dataclasses.replace(hardware, ray=True))


def test_ray_address_that_is_not_there(
    micro: Policy, hardware: Hardware, monkeypatch: pytest.MonkeyPatch, ray_here: object
) -> None:
    monkeypatch.setattr(ray_here, "init", lambda **_: (_ for _ in ()).throw(ConnectionError("no Ray at 10.0.0.1")))
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert "object_store_memory" not in engine_ray.options(2)
    with pytest.raises(PolicyError, match=r"RAY_ADDRESS 10\.0\.0\.1:6379: Ray does not start: no Ray"):
        open_engine("transformers", micro, dataclasses.replace(hardware, ray=True))
