"""Does the harness of tests/checks/kills.py see a stage that drops finished work and makes the same again?"""

from pathlib import Path

import pytest

from tests.checks.reliability.disk import finished
from tests.checks.reliability.processes import run
from tests.checks.reliability.repro_trials import other
from tests.checks.reliability.stage_trials import made_again

NAME = "sample-0123456789abcdef"
FOUND = '{"i": 0}\n{"i": 1}\n{"i": 2}\n'
REST = '{"i": 3}\n'
STAGE = """\
import os, time
from pathlib import Path
FOUND, REST = {found!r}, {rest!r}
path, done = Path(".scratch/{name}.jsonl"), Path(".scratch/{name}.done")
{body}
"""
STAGES = {  # what a restarted stage does with the three lines it finds, and how many of them count as made again
    "only grows": ("with path.open('a') as file: file.write(REST)", 0),
    "reopens a delivered journal": ("done.replace(path); time.sleep(0.3); path.replace(done)", 0),
    "drops a torn line": ("os.truncate(path, len(FOUND)); time.sleep(0.3); path.open('a').write(REST)", 0),
    "draws all again": ("path.write_text(''); time.sleep(0.3); path.write_text(FOUND)", 3),
    "draws the last line again": ("os.truncate(path, 18); time.sleep(0.3); path.open('a').write(FOUND[18:])", 1),
    "cuts a line": ("os.truncate(path, 20); time.sleep(0.3); path.open('a').write(FOUND[20:])", 1),
    "removes and draws again": ("path.unlink(); path.write_text(FOUND)", 3),
    "replaces": ("new = Path('new'); new.write_text(FOUND); new.replace(path)", 3),
    "delivers another": ("path.unlink(); done.write_text(FOUND)", 3),
    "loses all": ("path.unlink()", 3),
    "writes others": ("path.write_text(FOUND.replace('1', '7'))", 3),
}


@pytest.mark.parametrize(("body", "again"), STAGES.values(), ids=STAGES.keys())
def test_work_that_a_restarted_stage_makes_again_is_counted(tmp_path: Path, body: str, again: int) -> None:
    root = tmp_path / "clone"
    (root / ".scratch").mkdir(parents=True)
    found = root / ".scratch" / f"{NAME}{'.done' if body.startswith('done') else '.jsonl'}"
    found.write_text(FOUND + ('{"i": ' if "torn" in body else ""))
    (root / "stage.py").write_text(STAGE.format(found=FOUND, rest=REST, name=NAME, body=body))
    before = finished(root)
    ended = run("python stage.py", root, "sample", None, 0)
    assert (ended.status, ended.errors) == (0, "")
    assert made_again(before, finished(root), ended) == again


def test_a_differing_record_is_named_down_to_the_value() -> None:
    was = {"cmd": "x", "deps": [{"path": "a", "md5": "1"}, {"path": "b", "md5": "2"}], "params": {"p.yaml": {"n": 1}}}
    assert list(other(was, was)) == []
    now = {"cmd": "x", "deps": [{"path": "b", "md5": "3"}], "params": {"p.yaml": {"n": 1, "m": 2}}}
    assert list(other(was, now)) == [
        "deps a: None for {'path': 'a', 'md5': '1'}",
        "deps b md5: '3' for '2'",
        "params p.yaml m: 2 for None",
    ]
    seeds = [{"params": {"p.yaml": {"grid.seed": seed, "grid.data": ["expert"]}}} for seed in ([0, 1], [0])]
    assert list(other(seeds[0], seeds[0])) == []
    assert list(other(*seeds)) == ["params p.yaml grid.seed: [0] for [0, 1]"]
    assert list(other(was, None)) == [f"record: None for {was!r}"]
