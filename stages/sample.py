"""Self-alignment, first half: draw up to k solutions per training problem from the policy, with the plain prompt.

    python -m stages.sample
    data/samples.jsonl       {"id": "train-17", "index": 0, "response": "4 - 3 ...", "finish": "stop", ...}
    data/counts/sample.json  responses and tokens drawn, against k for every problem

A problem with a correct response gets no more (`sample.adaptive`; stages/lib/generation/adaptive.py says what that
changes and what not). The verdicts that decide it are the verifier's; the verify stage then writes those that count.
"""

from functools import partial

from stages.lib.generation.adaptive import report_cost, sample_adaptively
from stages.lib.generation.rollouts import Drawn, fitting, open_engine
from stages.lib.policy import context_window, load_tokenizer
from stages.lib.prompts import plain_prompts
from stages.lib.records import read_problems
from stages.lib.run.stage import Stage, run
from stages.lib.verifier.verdicts import judge

CHOOSING = (  # inputs that decide which responses are drawn, and shape none of them
    "params.yaml:sample.n",
    "params.yaml:sample.adaptive",
    "params.yaml:sample.wave",
    "params.yaml:verify",
    "stages/lib/verifier",
)


def main(stage: Stage) -> None:
    params = stage.params
    problems = read_problems(stage.data / "problems.jsonl")
    prompts = plain_prompts(load_tokenizer(params.policy), {row.id: row.problem for row in problems}, params.prompt)
    kept = fitting(prompts, params.sample, context_window(params.policy))
    verdicts = partial(
        judge,
        problems={row.id: row for row in problems},
        verify=params.verify,
        workers=params.hardware.workers or None,
    )
    engine = partial(open_engine, params.sample.engine, params.policy, params.hardware)
    with stage.journal(unshaped_by=CHOOSING) as journal, stage.journal("solved") as solved:
        drawn = Drawn(journal, stage.checked(engine), params.sample, params.sample.seed)
        requests = sample_adaptively(drawn, solved, kept, params.sample, verdicts)
        words = report_cost("sample", drawn, requests, params.sample, problems_too_long=len(prompts) - len(kept))
        journal.deliver(stage.data / "samples.jsonl", drawn.lines(requests))
        solved.mark_delivered()
    print(f"sample: {words}")


if __name__ == "__main__":
    run(main, resumable=True)
