"""Presets: each applies to the committed params, parses, and says nothing that params.yaml lacks."""

import importlib.util
from pathlib import Path

import pytest

from stages.lib.params import ParamsError

ROOT = Path(__file__).parent.parent
spec = importlib.util.spec_from_file_location("apply", ROOT / "presets" / "apply.py")
apply = importlib.util.module_from_spec(spec)
spec.loader.exec_module(apply)
TEXT = (ROOT / "params.yaml").read_text()


@pytest.mark.parametrize("path", sorted((ROOT / "presets").glob("*.yaml")), ids=lambda path: path.stem)
def test_preset_applies_and_keeps_every_comment(path: Path) -> None:
    after = apply.applied(TEXT, path.read_text())
    assert after.count("#") == TEXT.count("#")


def test_nothing_changes_without_a_reason() -> None:
    assert apply.applied(TEXT, "{}") == TEXT


@pytest.mark.parametrize(
    ("preset", "message"),
    [("loss: {kll: 1}", r"loss\.kll is not in params"), ("sample: {n: 0}", r"sample\.n must be at least 1")],
)
def test_a_preset_with_a_mistake_is_refused(preset: str, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        apply.applied(TEXT, preset)
