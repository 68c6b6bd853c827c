"""Apply presets: merge each presets/NAME.yaml into params.yaml, keep its comments, and show the difference.

python presets/apply.py ci         # then: dvc repro
python presets/apply.py qwen2.5-math-7b ablation   # several, in this order
python presets/apply.py mine.yaml  # any file of the same form
git checkout params.yaml           # back to the committed settings
"""

import difflib
import io
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq

sys.path.insert(0, str(Path(__file__).parent.parent))
from stages.lib.run.config import from_dict
from stages.lib.run.params import Params, ParamsError

yaml = YAML()
yaml.width = 10_000
yaml.indent(mapping=2, sequence=4, offset=2)
yaml.preserve_quotes = True
yaml.representer.add_representer(
    type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", "null")
)


def applied(text: str, preset: str) -> str:
    """The text of params.yaml with the preset's values.

    Raises:
        ParamsError: the preset names a key that params.yaml lacks, or a value that it cannot hold.
    """
    params = yaml.load(text)
    merge(params, yaml.load(preset) or {})
    from_dict(Params, plain(params))
    out = io.StringIO()
    yaml.dump(params, out)
    return out.getvalue()


def merge(params: Any, preset: Any, where: str = "") -> None:
    """Set the preset's values in `params`, in place; `where` is the dotted name of both, with a dot behind it.

    Raises:
        ParamsError: a key that `params` lacks.
    """
    for key, value in preset.items():
        if key not in params:
            raise ParamsError(f"the preset's key {where}{key} is not in params.yaml")
        if isinstance(value, dict) and isinstance(params[key], dict):
            merge(params[key], value, f"{where}{key}.")
        else:
            params[key] = listed(params[key], value) if isinstance(value, list) else value


def listed(old: Any, new: list[Any]) -> CommentedSeq:
    """The new list, followed by the blank line or comment that followed the old list."""
    result = CommentedSeq(new)
    if len(old) - 1 in old.ca.items:
        result.ca.items[len(new) - 1] = old.ca.items[len(old) - 1]
    return result


def plain(value: Any) -> Any:
    """ruamel's round-trip containers and scalars as plain Python ones."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def main() -> None:
    folder = Path(__file__).parent
    names = sorted(path.stem for path in folder.glob("*.yaml"))
    asked = sys.argv[1:]
    presets = [folder / f"{name}.yaml" if name in names else Path(name) for name in asked]
    if not presets or not all(preset.is_file() for preset in presets):
        sys.exit(f"error: usage: python presets/apply.py NAME..., each one of {', '.join(names)}, or a YAML file")
    path = folder.parent / "params.yaml"
    before = path.read_text(encoding="utf-8")
    after = before
    for preset in presets:
        try:
            after = applied(after, preset.read_text(encoding="utf-8"))
        except ParamsError as error:
            sys.exit(f"error: {preset}: {error}")
    path.write_text(after, encoding="utf-8")
    diff = difflib.unified_diff(
        before.splitlines(), after.splitlines(), "params.yaml", " ".join(asked), n=0, lineterm=""
    )
    print("\n".join(diff) or "params.yaml was so already")


if __name__ == "__main__":
    main()
