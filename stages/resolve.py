"""Guided re-solving ("digest and retell"): show the policy the expert's solution to each problem that no sample solved
and let it solve the problem again in its own way.

    python -m stages.resolve solution    # or another of guides.GUIDES
    data/resolved/solution.jsonl         # the same rows as data/samples.jsonl, for the unsolved problems only
    data/counts/resolve-solution.json    # responses and tokens drawn, against resolve.n for every unsolved problem
"""

from functools import partial

from stages.lib.generation.adaptive import report_cost, sample_adaptively
from stages.lib.generation.rollouts import Drawn, open_engine
from stages.lib.policy import context_window, load_tokenizer
from stages.lib.records import Problem, Verdict, read, read_problems
from stages.lib.rewriting.guides import Guided, GuideError, known_guide
from stages.lib.rewriting.verdicts import judge_resolved
from stages.lib.run.params import Params
from stages.lib.run.stage import Stage, run

CHOOSING = (  # inputs that decide which responses are drawn, and shape none of them
    "params.yaml:resolve.n",
    "params.yaml:resolve.adaptive",
    "params.yaml:resolve.wave",
    "params.yaml:verify",
    "params.yaml:copy",
    "stages/lib/data/testbed_steps.py",
    "stages/lib/rewriting/copies.py",
    "stages/lib/rewriting/soundness.py",
    "stages/lib/rewriting/verdicts.py",
    "stages/lib/verifier",
    "data/verdicts/sample.jsonl",
)


def main(stage: Stage) -> None:
    params, kind = stage.params, known_guide(stage.item["guide"])
    solved = {row.id for row in read(Verdict, stage.data / "verdicts" / "sample.jsonl") if row.correct}
    problems = read_problems(stage.data / "problems.jsonl", need_solution=True)
    unsolved = [row for row in problems if row.id not in solved]
    prompts, notes = guided_prompts(unsolved, kind, params) if unsolved else ([], {})
    verdicts = partial(
        judge_resolved,
        problems={row.id: row for row in unsolved},
        kind=kind,
        verify=params.verify,
        copy=params.copy,
        workers=params.hardware.workers or None,
    )
    engine = partial(open_engine, params.sample.engine, params.policy, params.hardware)
    with stage.journal(unshaped_by=CHOOSING) as journal, stage.journal("solved") as closed:
        drawn = Drawn(journal, stage.checked(engine), params.resolve, params.resolve.seed)
        requests = sample_adaptively(drawn, closed, prompts, params.resolve, verdicts)
        words = report_cost(stage.name, drawn, requests, params.resolve, **notes)
        journal.deliver(stage.data / "resolved" / f"{kind}.jsonl", drawn.lines(requests))
        closed.mark_delivered()
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
    run(main, resumable=True)
