"""Guided re-solving ("digest and retell"): show the policy the expert's solution to each problem that no sample solved
and let it solve the problem again in its own way.

    python -m stages.resolve solution    # or another of guides.GUIDES
    data/resolved/solution.jsonl         # the same rows as data/samples.jsonl, for the unsolved problems only
    data/counts/resolve-solution.json    # responses and tokens drawn, against resolve.n for every unsolved problem
"""

import sys
from functools import partial

from stages.lib.generation.adaptive import draw, write_counts
from stages.lib.generation.rollouts import open_engine
from stages.lib.policy import context_window, load_tokenizer
from stages.lib.records import Problem, Rollout, Verdict, read, read_problems
from stages.lib.rewriting.guides import GUIDES, Guided, GuideError
from stages.lib.rewriting.verdicts import judge_resolved
from stages.lib.run.journal import Journal, identity, unchanged
from stages.lib.run.params import Params, ParamsError, load, root
from stages.lib.run.stage import run


def main() -> None:
    params, data = load(), root() / "data"
    kind = sys.argv[1] if len(sys.argv) == 2 else ""
    if kind not in GUIDES:
        raise ParamsError(f"resolve takes one of {', '.join(GUIDES)}, not {kind!r}")
    key = identity("resolve", item={"guide": kind})
    solved = {row.id for row in read(Verdict, data / "verdicts" / "sample.jsonl") if row.correct}
    problems = read_problems(data / "problems.jsonl", need_solution=True)
    unsolved = [row for row in problems if row.id not in solved]
    prompts, notes = guided_prompts(unsolved, kind, params) if unsolved else ([], {})
    engine = open_engine(params.sample.engine, params.policy, params.hardware) if prompts else None
    verdicts = partial(
        judge_resolved,
        problems={row.id: row for row in unsolved},
        kind=kind,
        verify=params.verify,
        copy=params.copy,
        workers=params.hardware.workers or None,
    )
    key = unchanged(key, identity("resolve", item={"guide": kind}))
    out = data / "resolved" / f"{kind}.jsonl"
    with Journal(f"resolve-{kind}", key) as journal, Journal(f"resolve-{kind}-solved", key) as closed:
        draw(journal, closed, prompts, engine, params.resolve, verdicts)
        journal.deliver(out)
        closed.done()
    counts = data / "counts" / f"resolve-{kind}.json"
    words = write_counts(counts, read(Rollout, out), params.resolve, **notes)
    print(f"resolve {kind}: {len(unsolved)} of {len(problems)} problems were unsolved; {words}")


def guided_prompts(
    rows: list[Problem], kind: str, params: Params
) -> tuple[list[tuple[str, list[int]]], dict[str, int]]:
    """Each problem's id and prompt, as token ids; and how many guides were shortened, how many problems are too
    long for the context window even so."""
    tokenizer, context = load_tokenizer(params.policy), context_window(params.policy)
    guided = Guided(kind, tokenizer, params.prompt, params.resolve, context)
    prompts, shortened = [], 0
    for row in rows:
        try:
            prompt = guided(row)
        except GuideError:
            continue
        prompts.append((row.id, prompt.ids))
        shortened += prompt.shortened
    return prompts, {"guides_shortened": shortened, "problems_too_long": len(rows) - len(prompts)}


if __name__ == "__main__":
    run(main)
