"""Score every training response under the initial policy: log p and entropy per token.

    python -m stages.score      # data/train/{expert,rewritten}.jsonl, data/problems.jsonl -> data/scores.parquet

The expert's solutions to benchmark problems are scored, too, where a benchmark has them: the gap of held-out problems.

Every response is scored under the plain prompt, exactly as training will see it (same prompt, same tokens, same end
token). A response that the policy itself wrote also gets its behaviour density: the log-probability under the prompt
and at the temperature that it was sampled with. That density is exact up to two things it leaves out: the verifier kept
only correct responses, and top-p below 1 or a length limit cut the distribution's tails. The expert's is unknown.

Killed and started again, it goes on at the first window of responses that is not in .scratch/ yet.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stages.lib import prompts
from stages.lib.policy import load_model, load_tokenizer, memory, response_ids, set_threads
from stages.lib.records import RESOLVED, SELF, Problem, RecordError, TrainingRow, read, read_problems
from stages.lib.rewriting.guides import Guided
from stages.lib.run.params import Params, root
from stages.lib.run.restart import mark_delivered, remove_recorded
from stages.lib.run.stage import Stage, run
from stages.lib.scoring.likelihood import Scorer
from stages.lib.scoring.token_scores import BENCHMARK, ResponseScores, find_part, join, write_part

INPUTS = ("data/train/expert.jsonl", "data/train/rewritten.jsonl")  # the other training sets are parts of these
WINDOW = 1024  # responses: what is sorted by length together, what is held in memory, what a kill loses at most


@dataclass(frozen=True)
class Job:
    """A response to score: token ids under the plain prompt, and under the guided one where that wrote it."""

    row: TrainingRow
    prompt: list[int]
    response: list[int]
    guided: list[int] | None


def main(stage: Stage) -> None:
    params = stage.params
    set_threads(params.policy, params.hardware.threads)
    problems = {problem.id: problem for problem in read_problems(stage.data / "problems.jsonl", need_solution=True)}
    total = sum(1 for _ in rows(problems))
    tokenizer, model = load_tokenizer(params.policy), load_model(params.policy)
    scorer, context = Scorer(model), getattr(model.config, "max_position_embeddings", 2**31)
    guided = Guided(params.resolve.guides[0], tokenizer, params.prompt, params.resolve, context)
    stage.assert_unchanged()
    folder, scored = stage.folder(), 0
    parts: list[Path] = []
    remove_recorded("score", keep=folder)
    source = rows(problems)
    with tqdm(total=total, desc="score", unit=" responses") as bar:
        while window := list(itertools.islice(source, WINDOW)):
            jobs = [job for row in window if longest(job := make_job(row, problems, guided)) <= context]
            scored += len(jobs)
            part = find_part(folder, len(parts))
            if part is None:
                with memory(f"lower hardware.score_batch, {params.hardware.score_batch} now"):
                    scores = score(jobs, scorer, params)
                part = write_part(folder, len(parts), scores)
            parts.append(part)
            bar.update(len(window))
    tokens = join(parts, stage.data / "scores.parquet")
    mark_delivered(folder, stage.instance.name)
    more = f"; left out {total - scored} longer than the policy's context of {context} tokens" if scored < total else ""
    print(f"score: {scored} responses, {tokens} tokens under {params.policy.name}{more}")


def rows(problems: dict[str, Problem]) -> Iterator[TrainingRow]:
    """Every distinct response of the training sets, each (id, source) once, and the benchmarks' solutions."""
    seen: set[tuple[str, str]] = set()
    for name in INPUTS:
        for row in read(TrainingRow, root() / name):
            if row.id not in problems:
                raise RecordError(f"{name}: id {row.id!r} is not in data/problems.jsonl; run `dvc repro`")
            if (row.id, row.source) not in seen:
                seen.add((row.id, row.source))
                yield row
    for path in sorted((root() / "data/benchmarks").glob("*.jsonl")):
        yield from (solution_row(path.stem, problem) for problem in read(Problem, path) if problem.solution)


def solution_row(benchmark: str, problem: Problem) -> TrainingRow:
    """A benchmark problem's solution in the form of a training response."""
    return TrainingRow(
        id=f"{benchmark}/{problem.id}",
        source=BENCHMARK,
        index=None,
        problem=problem.problem,
        answer=problem.answer,
        response=problem.solution or "",
        token_ids=None,
    )


def make_job(row: TrainingRow, problems: dict[str, Problem], guided: Guided) -> Job:
    """The guide is shortened exactly as it was in re-solving."""
    prompt = prompts.encode(guided.tokenizer, prompts.plain(row.problem, guided.prompt))
    response = response_ids(guided.tokenizer, row.response, row.token_ids)
    return Job(row, prompt, response, guided(problems[row.id]).ids if row.source == RESOLVED else None)


def longest(job: Job) -> int:
    """Tokens of the response with the longer of its prompts."""
    return max(len(job.prompt), len(job.guided or [])) + len(job.response)


def score(jobs: list[Job], scorer: Scorer, params: Params) -> list[ResponseScores]:
    size = params.hardware.score_batch
    plain = scorer.batched([(job.prompt, job.response) for job in jobs], size)
    behaviour: list[np.ndarray | None] = [None] * len(jobs)
    for name, temperature in ((SELF, params.sample.temperature), (RESOLVED, params.resolve.temperature)):
        chosen = [i for i, job in enumerate(jobs) if job.row.source == name]
        for i, logp in zip(chosen, behaviour_logp([jobs[i] for i in chosen], temperature, scorer, size), strict=True):
            behaviour[i] = plain[i][0] if logp is None else logp
    return [
        ResponseScores(
            id=job.row.id, source=job.row.source, token_ids=job.response, logp=logp, logp_behaviour=b, entropy=entropy
        )
        for job, (logp, entropy), b in zip(jobs, plain, behaviour, strict=True)
    ]


def behaviour_logp(jobs: list[Job], temperature: float, scorer: Scorer, size: int) -> list[np.ndarray | None]:
    """log p under what each response was sampled with; None: the same as under the plain prompt."""
    if temperature == 0:  # greedy: a point mass on what it wrote
        return [np.zeros(len(job.response), dtype=np.float32) for job in jobs]
    if temperature == 1 and not any(job.guided for job in jobs):
        return [None] * len(jobs)
    pairs = [(job.guided or job.prompt, job.response) for job in jobs]
    return [logp for logp, _ in scorer.batched(pairs, size, temperature)]


if __name__ == "__main__":
    run(main, resumable=True)
