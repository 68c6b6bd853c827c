"""Guided re-solving ("digest and retell"): show the policy the expert's solution to each problem that no sample solved
and let it solve the problem again in its own way.

    python -m stages.resolve
    data/resolved.jsonl   the same rows as data/samples.jsonl, for the unsolved problems only
"""

from stages.lib.cli import run
from stages.lib.generation import open_engine, requests_for, rollouts
from stages.lib.journal import Journal, identity
from stages.lib.params import load, root
from stages.lib.prompts import encode, guided
from stages.lib.records import Judgement, read, read_problems


def main() -> None:
    params, data = load(), root() / "data"
    solved = {row.id for row in read(Judgement, data / "verdicts" / "sample.jsonl") if row.correct}
    problems = read_problems(data / "problems.jsonl", need_solution=True)
    unsolved = [row for row in problems if row.id not in solved]
    engine = open_engine(params.sample.engine, params.policy, params.hardware)
    prompts = [
        (row.id, encode(engine.tokenizer, guided(row.problem, row.solution or "", params.prompt))) for row in unsolved
    ]
    with Journal("resolve", identity("resolve")) as journal:
        rollouts(journal, requests_for(prompts, params.resolve.n), engine, params.resolve, params.resolve.seed)
        journal.deliver(data / "resolved.jsonl")
    print(
        f"resolve: {len(unsolved)} of {len(problems)} problems were unsolved; "
        f"{params.resolve.n} guided responses to each"
    )


if __name__ == "__main__":
    run(main)
