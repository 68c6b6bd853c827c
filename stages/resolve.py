"""Guided re-solving ("digest and retell"): show the policy the expert's solution to each problem that no sample solved
and let it solve the problem again in its own way.

    python -m stages.resolve solution    # or another of prompts.GUIDES
    data/resolved/solution.jsonl         # the same rows as data/samples.jsonl, for the unsolved problems only
"""

import sys

from stages.lib.cli import run
from stages.lib.generation import open_engine, requests_for, rollouts
from stages.lib.journal import Journal, identity
from stages.lib.params import ParamsError, Prompt, load, root
from stages.lib.prompts import GUIDES, Message, encode, guided
from stages.lib.records import Judgement, Problem, read, read_problems


def main() -> None:
    params, data = load(), root() / "data"
    kind = sys.argv[1] if len(sys.argv) == 2 else ""
    if kind not in GUIDES:
        raise ParamsError(f"resolve takes one of {', '.join(GUIDES)}, not {kind!r}")
    solved = {row.id for row in read(Judgement, data / "verdicts" / "sample.jsonl") if row.correct}
    problems = read_problems(data / "problems.jsonl", need_solution=True)
    unsolved = [row for row in problems if row.id not in solved]
    engine = open_engine(params.sample.engine, params.policy, params.hardware)
    prompts = [(row.id, encode(engine.tokenizer, guided_prompt(row, kind, params.prompt))) for row in unsolved]
    with Journal(f"resolve-{kind}", identity("resolve", item={"guide": kind})) as journal:
        rollouts(journal, requests_for(prompts, params.resolve.n), engine, params.resolve, params.resolve.seed)
        journal.deliver(data / "resolved" / f"{kind}.jsonl")
    print(
        f"resolve {kind}: {len(unsolved)} of {len(problems)} problems were unsolved; "
        f"{params.resolve.n} guided responses to each"
    )


def guided_prompt(row: Problem, kind: str, prompt: Prompt) -> list[Message]:
    return guided(row.problem, GUIDES[kind](row.solution or "", row.answer), prompt)


if __name__ == "__main__":
    run(main)
