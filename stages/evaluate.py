"""Draw n responses per benchmark problem from one policy and verify them.

    python -m stages.evaluate base             the initial policy
    python -m stages.evaluate rewritten dft 0  the policy of one cell of the grid
    data/evaluations/base.jsonl   {"benchmark": "chain-short", "id": "...", "index": 0, "correct": true, ...}

The prompt is the plain one that training saw. Cells that differ only in data or loss draw from the same random streams,
so their differences are paired. A problem too long for the context window is not asked: its n responses are empty, of
no tokens, cut off and wrong, for the reason "too_long".
"""

import sys
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import replace

from tqdm import tqdm

from stages.lib.generation.rollouts import fitting, open_engine, requests_for, rollouts
from stages.lib.policy import context_window, load_tokenizer
from stages.lib.prompts import plain_prompts
from stages.lib.records import Evaluation, Problem, RecordError, Rollout, Verdict, read, read_problems, write
from stages.lib.run.journal import Journal, identity, unchanged
from stages.lib.run.params import Params, ParamsError, Policy, load, root
from stages.lib.run.stage import run
from stages.lib.verifier.verdicts import judge

TOO_LONG = "too_long"
Problems = dict[str, tuple[str, Problem]]  # benchmark/id -> the benchmark's name, the problem


def main() -> None:
    words = sys.argv[1:]
    params, cell = load(), cell_of(words)
    key = target_identity(words)
    policy, seed = target(words, params)
    problems = {f"{name}/{row.id}": (name, row) for name, row in benchmark_problems()}
    asked = prompts_that_fit(problems, policy, params)
    engine = open_engine(params.sample.engine, policy, params.hardware)
    with Journal(f"evaluate-{cell}", unchanged(key, target_identity(words))) as journal:
        rollouts(journal, requests_for(asked, params.evaluate.n), engine, params.evaluate, seed)
        rows = list(evaluations(journal, problems, dict(asked), params))
        write(root() / "data" / "evaluations" / f"{cell}.jsonl", rows)
        journal.done()
    accuracy = 100 * sum(row.correct for row in rows) / len(rows)
    reasons = ", ".join(f"{count} {reason}" for reason, count in Counter(row.reason for row in rows).most_common())
    print(f"evaluate {cell}: {accuracy:.1f} % of {len(rows)} responses correct ({reasons})")


def cell_of(words: list[str]) -> str:
    """The name of what the command line asks for: base, or a cell of the grid."""
    if words == ["base"]:
        return "base"
    if len(words) != 3 or not words[2].isdigit():
        raise ParamsError(f"evaluate takes `base`, or data, loss and seed (rewritten dft 0), not {' '.join(words)!r}")
    return "-".join(words)


def target(words: list[str], params: Params) -> tuple[Policy, int]:
    """The policy and sampling seed that the command line asks for."""
    if words == ["base"]:
        return params.policy, params.evaluate.seed
    folder = root() / "models" / "cells" / cell_of(words)
    return replace(params.policy, name=str(folder), revision=None), params.evaluate.seed + int(words[2])


def target_identity(words: list[str]) -> str:
    if words == ["base"]:
        return identity("evaluate-base")
    return identity("evaluate", item=dict(zip(("data", "loss", "seed"), words, strict=True)))


def benchmark_problems() -> Iterator[tuple[str, Problem]]:
    folder = root() / "data" / "benchmarks"
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise RecordError(f"{folder}: no benchmarks; `dvc repro prepare` makes them")
    for file in files:
        yield from ((file.stem, row) for row in read_problems(file))


def prompts_that_fit(problems: Problems, policy: Policy, params: Params) -> list[tuple[str, list[int]]]:
    """(benchmark/id, prompt ids) of the problems that can be asked."""
    texts = {key: row.problem for key, (_, row) in problems.items()}
    prompts = plain_prompts(load_tokenizer(policy), texts, params.prompt)
    return fitting(prompts, params.evaluate, context_window(policy))


def evaluations(journal: Journal, problems: Problems, asked: Container[str], params: Params) -> Iterator[Evaluation]:
    """n rows per problem, in their order: the rollouts in the journal, which has those of the problems that were asked,
    with their verdicts."""
    references = {key: row.answer for key, (_, row) in problems.items()}
    verdicts = judge(read(Rollout, journal.path), references, params.verify, params.hardware.workers or None)
    drawn = zip(read(Rollout, journal.path), tqdm(verdicts, desc="verify", unit="response"), strict=True)
    for key, (benchmark, problem) in problems.items():
        for index in range(params.evaluate.n):
            rollout, verdict = next(drawn) if key in asked else too_long(key, index)
            yield Evaluation(
                benchmark=benchmark,
                id=problem.id,
                index=rollout.index,
                correct=verdict.correct,
                extracted=verdict.extracted,
                reason=verdict.reason,
                finish=rollout.finish,
                tokens=len(rollout.token_ids),
                response=rollout.response,
            )
    assert next(drawn, None) is None, f"{journal.path} has more rows than were asked for"


def too_long(key: str, index: int) -> tuple[Rollout, Verdict]:
    """What stands for a response of a problem that was not asked."""
    rollout = Rollout(id=key, index=index, response="", finish="length", token_ids=[], logprobs=[])
    return rollout, Verdict(id=key, index=index, correct=False, extracted=None, reason=TOO_LONG)


if __name__ == "__main__":
    run(main)
