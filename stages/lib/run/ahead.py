"""What later stages would refuse, refused by the first: names of the grid, and an adapter that the policy cannot take.

    check_ahead("sample", found)     # ParamsError: grid.loss 'dtf': ...

Nothing here changes a result, and no stage depends on what it asks: it looks into rooms whose names it has as text.
So a typo is found before anything is sampled, and an edit of a loss does not sample again.
"""

import difflib
from collections.abc import Iterable
from importlib import import_module

from stages.lib.run.config import ParamsError
from stages.lib.run.params import Params

FIRST = ("prepare", "sample", "evaluate")  # the scripts that may be the first of a run, or the first with a policy


def check_ahead(script: str, found: Params) -> None:
    """Refuse, in the first stages of a run, what a later one would.

    Raises:
        ParamsError: grid.data or grid.loss has a name that there is not. StageError: no adapter fits on the policy.
    """
    if script not in FIRST:
        return
    check_data(found.grid.data, found.resolve.guides)
    named = import_module("stages.lib.training.losses").named
    for loss in found.grid.loss:
        named(loss, found.loss)
    if script != "prepare" and found.train.lora.rank:
        import_module("stages.lib.training.model").check_adapter(found.policy, found.train.lora)


def check_data(names: Iterable[str], guides: Iterable[str]) -> None:
    """Raises:
    ParamsError: a data set that fallback-merge does not make, or not with these guides."""
    known = import_module("stages.lib.rewriting.training_sets").VARIANTS
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise ParamsError(f"grid.data {name!r} is none of {', '.join(known)}; did you mean {near}?")
        if name == "answer-hint" and "answer" not in guides:
            raise ParamsError("grid.data answer-hint is made from the guide `answer`: add answer to resolve.guides")
