"""Draw n responses per benchmark problem from one policy and verify them.

    python -m stages.evaluate base 0.6             the initial policy, at temperature 0.6
    python -m stages.evaluate rewritten dft 0 0    the policy of one cell of the grid, greedily: one response
    data/evaluations/base-t0.6.jsonl   {"benchmark": "chain-short", "id": "...", "index": 0, "correct": true, ...}

The prompt is the plain one that training saw. Cells that differ only in data or loss draw from the same random streams,
so their differences are paired. A problem too long for the context window is not asked: its n responses are empty, of
no tokens, cut off and wrong, for the reason "too_long".
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

from tqdm import tqdm

from stages.lib.generation.rollouts import Drawn, Request, fitting, open_engine, requests_for
from stages.lib.policy import context_window, load_tokenizer
from stages.lib.prompts import plain_prompts
from stages.lib.records import (
    Cell,
    Evaluation,
    Problem,
    RecordError,
    Rollout,
    Verdict,
    evaluation_name,
    read_problems,
    write,
)
from stages.lib.run.params import Decoding, Hardware, Params, ParamsError, Policy, Prompt, Verify, root
from stages.lib.run.stage import Stage, run
from stages.lib.verifier.verdicts import judge
from stages.lib.verifier.verify import canonical

TOO_LONG = "too_long"
CHOOSING = ("params.yaml:evaluate.n", "params.yaml:verify", "stages/lib/verifier")  # they shape no response
Problems = dict[str, tuple[str, Problem]]  # benchmark/id -> the benchmark's name, the problem


def main(stage: Stage) -> None:
    params = stage.params
    name, policy, seed = target(stage.item, params)
    decoding = params.evaluate.decoding(temperature_of(stage.item["temperature"]))
    problems = {f"{benchmark}/{row.id}": (benchmark, row) for benchmark, row in benchmark_problems(stage)}
    requests = requests_for(prompts_that_fit(problems, policy, params.prompt, decoding), decoding.n)
    engine = partial(open_engine, params.sample.engine, policy, params.hardware)
    with stage.journal(unshaped_by=CHOOSING) as journal:
        drawn = Drawn(journal, stage.checked(engine), decoding, seed)
        drawn.draw(requests)
        rows = list(evaluations(drawn, requests, problems, params.verify, params.hardware))
        write(stage.data / "evaluations" / f"{evaluation_name(name, decoding.temperature)}.jsonl", rows)
        journal.mark_delivered()
    accuracy = 100 * sum(row.correct for row in rows) / len(rows)
    reasons = ", ".join(f"{count} {reason}" for reason, count in Counter(row.reason for row in rows).most_common())
    words = f"{accuracy:.1f} % of {len(rows)} responses correct ({reasons})"
    print(f"evaluate {name} at temperature {decoding.temperature:g}: {words}")


def target(item: dict[str, str], params: Params) -> tuple[str, Policy, int]:
    """The evaluations' name, the policy and the sampling seed: of a cell, or without one of the base."""
    if "data" not in item:
        return "base", params.policy, params.evaluate.seed
    cell = Cell.of(item)
    folder = root() / "models" / "cells" / cell.name
    return cell.name, replace(params.policy, name=str(folder), revision=None), params.evaluate.seed + cell.seed


def temperature_of(word: str) -> float:
    """Of the command line.

    Raises:
        ParamsError: it is written in another way than its file's name has it, so DVC would miss the file.
    """
    if word != f"{float(word):g}":
        raise ParamsError(f"evaluate.temperatures has {word}: write it as {float(word):g}")
    return float(word)


def benchmark_problems(stage: Stage) -> Iterator[tuple[str, Problem]]:
    folder = stage.data / "benchmarks"
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise RecordError(f"{folder}: no benchmarks; `dvc repro prepare` makes them")
    for file in files:
        yield from ((file.stem, row) for row in read_problems(file))


def prompts_that_fit(
    problems: Problems, policy: Policy, prompt: Prompt, decoding: Decoding
) -> list[tuple[str, list[int]]]:
    """(benchmark/id, prompt ids) of the problems that can be asked."""
    texts = {key: row.problem for key, (_, row) in problems.items()}
    prompts = plain_prompts(load_tokenizer(policy), texts, prompt)
    return fitting(prompts, decoding, context_window(policy))


def evaluations(
    drawn: Drawn, requests: list[Request], problems: Problems, verify: Verify, hardware: Hardware
) -> Iterator[Evaluation]:
    """n rows per problem, in the problems' order: its responses with their verdicts, or what stands for them where it
    was not asked."""
    asked, n = {request.id for request in requests}, drawn.decoding.n
    judged = verdicts(drawn, requests, problems, verify, hardware)
    for key, (benchmark, problem) in problems.items():
        for index in range(n):
            yield answered(benchmark, problem, *next(judged)) if key in asked else unasked(benchmark, problem, index)


def verdicts(
    drawn: Drawn, requests: list[Request], problems: Problems, verify: Verify, hardware: Hardware
) -> Iterator[tuple[Rollout, Verdict]]:
    """The responses with their verdicts, streaming."""
    by_key = {key: row for key, (_, row) in problems.items()}
    found: Iterable[Verdict] = judge(drawn.rows(requests), by_key, verify, hardware.workers or None)
    bar = tqdm(found, total=len(requests), desc="verify", unit="response")
    yield from zip(drawn.rows(requests), bar, strict=True)


def answered(benchmark: str, problem: Problem, rollout: Rollout, verdict: Verdict) -> Evaluation:
    return Evaluation(
        benchmark=benchmark,
        id=problem.id,
        index=rollout.index,
        correct=verdict.correct,
        extracted=verdict.extracted,
        canonical=None if verdict.extracted is None else canonical(verdict.extracted),
        reason=verdict.reason,
        finish=rollout.finish,
        tokens=len(rollout.token_ids),
        response=rollout.response,
    )


def unasked(benchmark: str, problem: Problem, index: int) -> Evaluation:
    """What stands for a response to a problem that is too long to be asked."""
    return Evaluation(
        benchmark=benchmark,
        id=problem.id,
        index=index,
        correct=False,
        extracted=None,
        canonical=None,
        reason=TOO_LONG,
        finish="length",
        tokens=0,
        response="",
    )


if __name__ == "__main__":
    run(main, resumable=True)
