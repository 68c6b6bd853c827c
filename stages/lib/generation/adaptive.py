"""Adaptive sampling: draw in waves, and no more for a problem once one of its responses is right.

    with Journal("sample", key) as journal, Journal("sample-solved", key) as solved:
        draw(journal, solved, prompts, engine, params.sample, judge)
    cost(read(Rollout, out), params.sample)     # {"responses": 1480, "tokens": 45010, ...}

A wave holds the next `wave` responses to each problem that is still open, in the problems' order. Responses are
independent and named by (seed, id, index), so a wave draws what sampling n for each would have drawn, and the first
right one has the law of one chosen at random among the right ones of n (tests/generation/test_adaptive.py enumerates
it; for waves of several, the random choice among the right ones of the last wave is fallback-merge's).
What is lost are pass rates: response j exists only where the wave before was wrong throughout.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from stages.lib.generation.rollouts import Engine, Request, rollouts
from stages.lib.records import Rollout, Verdict, parse
from stages.lib.run.files import replacing
from stages.lib.run.journal import Journal
from stages.lib.run.params import Waves

Judge = Callable[[Iterable[Rollout]], Iterator[Verdict]]


def draw(
    journal: Journal,
    solved: Journal,
    prompts: Sequence[tuple[str, list[int]]],
    engine: Engine | None,
    decoding: Waves,
    judge: Judge,
) -> None:
    """Fill `journal` with the rows of all waves, whatever of them it holds already.

    prompts: (problem id, prompt ids), unique ids; engine: None only where there are no prompts. `solved` keeps the ids
    that each wave solved, a line a wave: a verdict can hang on the clock (a timeout), and a restart must not judge a
    wave anew whose successor is in the journal. The last wave decides nothing and is left to the verify stage.
    """
    if next(journal.lines(), None) is None:
        solved.clear()
    requests: list[Request] = []
    left, known = list(prompts), list(solved.lines())
    for number, start in enumerate(range(0, decoding.n, decoding.first)):
        wave = [
            Request(id_, i, ids) for id_, ids in left for i in range(start, min(start + decoding.first, decoding.n))
        ]
        if not wave:
            break
        tqdm.write(f"{journal.stage}, wave {number + 1}: {len(left)} of {len(prompts)} problems open", file=sys.stderr)
        requests += wave
        rollouts(journal, requests, engine, decoding, decoding.seed)
        if start + decoding.first >= decoding.n:
            break
        if number == len(known):
            known.append(json.dumps(solved_by(judge, journal, len(requests) - len(wave), len(wave))))
            solved.append(known[-1:])
        closed = set(json.loads(known[number]))
        left = [prompt for prompt in left if prompt[0] not in closed]


def solved_by(judge: Judge, journal: Journal, start: int, count: int) -> list[str]:
    """The problems that the journal's rows from `start` on solve, `count` rows, streaming."""
    lines = enumerate(islice(journal.lines(), start, start + count), start + 1)
    rows = (parse(Rollout, line, f"{journal.path}, line {number}") for number, line in lines)
    verdicts = tqdm(judge(rows), total=count, unit="response", desc=f"{journal.stage}, verify")
    return list(dict.fromkeys(row.id for row in verdicts if row.correct))


def cost(rows: Iterable[Rollout], decoding: Waves) -> dict[str, Any]:
    """What the responses cost, and what n for every problem would have.

    tokens_if_fixed estimates the latter: sum over problems of n x the mean length of its first responses, those of the
    first wave. They are drawn whatever they say, so the estimate is unbiased; the mean of all that were drawn would
    not be, for it has too many right ones, which may be shorter or longer. Without `adaptive` it is the count itself.
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


def write_counts(path: Path, rows: Iterable[Rollout], decoding: Waves, **more: int) -> str:
    """Write the cost, and what `more` counts, as JSON; returns the cost in words."""
    counts = cost(rows, decoding) | more
    with replacing(path) as file:
        json.dump(counts, file, indent=2)
    words = f"{counts['responses']} responses to {counts['problems']} problems"
    if len(counts["responses_by_wave"]) > 1:
        words += f" in waves of {', '.join(map(str, counts['responses_by_wave']))}"
    words += f", {counts['cut_off']} cut off at {decoding.max_new_tokens} tokens"
    if counts["responses"] < counts["responses_if_fixed"]:
        share = f"{100 * counts['token_share']:.0f} % (estimated)"
        words += f"; {counts['tokens']} tokens, {share} of what {decoding.n} for each would take"
    words += "".join(f"; {count} {name.replace('_', ' ')}" for name, count in more.items() if count)
    return words
