"""Adaptive sampling: draw in waves, and stop for a problem once one of its responses is correct.

    drawn = Drawn(journal, open_engine, params.sample, params.sample.seed)
    requests = sample_adaptively(drawn, solved, prompts, params.sample, judge)
    cost(drawn.rows(requests), params.sample)     # {"responses": 1480, "tokens": 45010, ...}

A wave holds the next `wave` responses to each problem that is still open, in the problems' order. Responses are
independent and named by (seed, id, index), so a wave draws the same responses as sampling n for each problem. The first
correct response has the same distribution as one drawn uniformly from the correct ones of n
(tests/generation/test_adaptive.py enumerates this). If a wave holds several correct responses, fallback-merge chooses
one of them at random. The cost: pass rates can only be computed from the first wave, because later responses exist only
for problems that failed it.

Verdicts decide which responses are drawn; they do not change a response. After an edit of the verifier, the waves are
judged again on the responses in the journal, and new responses are drawn only where a verdict flipped.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from tqdm import tqdm

from stages.lib.generation.rollouts import Drawn, Request
from stages.lib.records import Rollout, Verdict
from stages.lib.run.files import write_counts
from stages.lib.run.journal import Journal
from stages.lib.run.params import Waves

Judge = Callable[[Iterable[Rollout]], Iterator[Verdict]]


def sample_adaptively(
    drawn: Drawn, solved: Journal, prompts: Sequence[tuple[str, list[int]]], decoding: Waves, judge: Judge
) -> list[Request]:
    """Draw all waves; returns their requests, in the order of the stage's rows.

    prompts: (problem id, prompt ids), unique ids. `solved` keeps the ids that each wave solved, a line a wave, so that
    a restart judges no wave twice: a verdict can hang on the clock (a timeout). The last wave decides nothing and is
    left to the verify stage.
    """
    requests: list[Request] = []
    left = list(prompts)
    for number, start in enumerate(range(0, decoding.n, decoding.first)):
        end = min(start + decoding.first, decoding.n)
        wave = [Request(id_, index, ids) for id_, ids in left for index in range(start, end)]
        if not wave:
            break
        name = drawn.journal.name
        tqdm.write(f"{name}, wave {number + 1}: {len(left)} of {len(prompts)} problems open", file=sys.stderr)
        if drawn.draw(wave):
            solved.keep(number)  # no verdict outlives the responses that it was given on
        requests += wave
        if end < decoding.n:
            closed = set(solved_by_wave(drawn, solved, number, wave, judge))
            left = [prompt for prompt in left if prompt[0] not in closed]
    return requests


def solved_by_wave(drawn: Drawn, solved: Journal, number: int, wave: list[Request], judge: Judge) -> list[str]:
    """The ids of the problems that a wave solved: what `solved` says, or, said there from now on, the verdicts."""
    known = list(solved.lines())
    if number == len(known):
        bar = tqdm(judge(drawn.rows(wave)), total=len(wave), unit="response", desc=f"{drawn.journal.name}, verify")
        known.append(json.dumps(list(dict.fromkeys(row.id for row in bar if row.correct))))
        solved.append(known[-1:])
    return json.loads(known[number])


def cost(rows: Iterable[Rollout], decoding: Waves) -> dict[str, Any]:
    """Counts of the drawn responses and tokens, and of those that n for every problem would take.

    tokens_if_fixed is an estimate: the sum over problems of n x the mean length of the first wave's responses. The
    first wave is drawn for every problem, so the estimate is unbiased. The mean over all waves would be biased: whether
    a later response is drawn depends on the verdicts. Without `adaptive` it is the count itself.
    """
    drawn: Counter[int] = Counter()
    problems = tokens = first = cut_off = 0
    for row in rows:
        drawn[row.index // decoding.first] += 1
        problems += row.index == 0
        tokens += len(row.token_ids)
        first += len(row.token_ids) * (row.index < decoding.first)
        cut_off += row.finish == "length"
    fixed = first * decoding.n / decoding.first
    return {
        "problems": problems,
        "responses": drawn.total(),
        "responses_by_wave": [drawn[wave] for wave in sorted(drawn)],
        "cut_off": cut_off,
        "tokens": tokens,
        "responses_if_fixed": problems * decoding.n,
        "tokens_if_fixed": round(fixed),
        "token_share": round(tokens / fixed, 4) if fixed else None,
    }


def report_cost(name: str, drawn: Drawn, requests: Sequence[Request], decoding: Waves, **more: int) -> str:
    """Write the cost, and what `more` counts, as data/counts/<name>.json; returns it in words."""
    counts = cost(drawn.rows(requests), decoding) | more
    write_counts(name, counts)
    words = f"{counts['responses']} responses to {counts['problems']} problems"
    if len(counts["responses_by_wave"]) > 1:
        words += f" in waves of {', '.join(map(str, counts['responses_by_wave']))}"
    words += f", {counts['cut_off']} cut off at {decoding.max_new_tokens} tokens"
    if counts["responses"] < counts["responses_if_fixed"]:
        share = f"{100 * counts['token_share']:.0f} % (estimated)"
        words += f"; {counts['tokens']} tokens, {share} of what {decoding.n} for each would take"
    words += "".join(f"; {count} {name.replace('_', ' ')}" for name, count in more.items() if count)
    if drawn.before:
        words += f"; {len(drawn.places) - drawn.before} drawn now, the others were in .scratch/"
    return words
