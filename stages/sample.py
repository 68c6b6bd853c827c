"""Self-alignment, first half: draw up to k solutions per training problem from the policy, with the plain prompt.

    python -m stages.sample
    data/samples.jsonl       {"id": "train-17", "index": 0, "response": "4 - 3 ...", "finish": "stop", ...}
    data/counts/sample.json  responses and tokens drawn, against k for every problem

A problem with a correct response gets no more (`sample.adaptive`; stages/lib/generation/adaptive.py says what that
changes and what not). The verdicts that decide it are the verifier's; the verify stage then writes those that count.
"""

from functools import partial

from stages.lib.generation.adaptive import draw, write_counts
from stages.lib.generation.rollouts import fitting, open_engine
from stages.lib.policy import context_window, load_tokenizer
from stages.lib.prompts import plain_prompts
from stages.lib.records import Rollout, read, read_problems
from stages.lib.run.journal import Journal, identity, unchanged
from stages.lib.run.params import load, root
from stages.lib.run.stage import run
from stages.lib.verifier.verdicts import judge


def main() -> None:
    params, data, key = load(), root() / "data", identity("sample")
    problems = read_problems(data / "problems.jsonl")
    prompts = plain_prompts(load_tokenizer(params.policy), {row.id: row.problem for row in problems}, params.prompt)
    kept = fitting(prompts, params.sample, context_window(params.policy))
    engine = open_engine(params.sample.engine, params.policy, params.hardware)
    verdicts = partial(
        judge,
        problems={row.id: row for row in problems},
        verify=params.verify,
        workers=params.hardware.workers or None,
    )
    key, out = unchanged(key, identity("sample")), data / "samples.jsonl"
    with Journal("sample", key) as journal, Journal("sample-solved", key) as solved:
        draw(journal, solved, kept, engine, params.sample, verdicts)
        journal.deliver(out)
        solved.done()
    too_long = len(prompts) - len(kept)
    counts = data / "counts" / "sample.json"
    print(f"sample: {write_counts(counts, read(Rollout, out), params.sample, problems_too_long=too_long)}")


if __name__ == "__main__":
    run(main)
