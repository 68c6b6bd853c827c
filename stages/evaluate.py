"""Draw n responses per benchmark problem from one policy and verify them.

    python -m stages.evaluate base             the initial policy
    python -m stages.evaluate rewritten dft 0  the policy of one cell of the grid
    data/evaluations/base.jsonl   {"benchmark": "chain-short", "id": "...", "index": 0, "correct": true, ...}

The prompt is the plain one that training saw. Cells that differ only in data or loss draw from the same random streams,
so their differences are paired.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from tqdm import tqdm

from stages.lib.cli import run
from stages.lib.generation import Request, open_engine, requests_for, rollouts
from stages.lib.journal import Journal, identity, unchanged
from stages.lib.judging import judge
from stages.lib.params import Params, ParamsError, Policy, load, root
from stages.lib.prompts import encode, plain
from stages.lib.records import Evaluation, Problem, RecordError, Rollout, read, read_problems, write


def main() -> None:
    words = sys.argv[1:]
    params, cell = load(), cell_of(words)
    key = target_identity(words)
    policy, seed = target(words, params)
    problems = {f"{name}/{row.id}": (name, row) for name, row in benchmark_problems()}
    engine = open_engine(params.sample.engine, policy, params.hardware)
    with Journal(f"evaluate-{cell}", unchanged(key, target_identity(words))) as journal:
        requests = benchmark_requests(problems, engine.tokenizer, params)
        rollouts(journal, requests, engine, params.evaluate, seed)
        rows = list(evaluations(journal, problems, params))
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


def benchmark_requests(problems: dict[str, tuple[str, Problem]], tokenizer: object, params: Params) -> list[Request]:
    prompts = [(key, encode(tokenizer, plain(row.problem, params.prompt))) for key, (_, row) in problems.items()]
    return requests_for(prompts, params.evaluate.n)


def evaluations(journal: Journal, problems: dict[str, tuple[str, Problem]], params: Params) -> Iterator[Evaluation]:
    """The rollouts in the journal with their verdicts."""
    references = {key: row.answer for key, (_, row) in problems.items()}
    verdicts = judge(read(Rollout, journal.path), references, params.verify, params.hardware.workers or None)
    for rollout, verdict in zip(
        read(Rollout, journal.path), tqdm(verdicts, desc="verify", unit="response"), strict=True
    ):
        benchmark, problem = problems[rollout.id]
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


if __name__ == "__main__":
    run(main)
