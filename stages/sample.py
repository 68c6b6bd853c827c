"""Self-alignment, first half: draw k solutions per training problem from the policy, with the plain prompt.

python -m stages.sample
data/samples.jsonl   {"id": "train-17", "index": 0, "response": "4 - 3 ...", "finish": "stop", "token_ids": [...], ...}
"""

from stages.lib.cli import run
from stages.lib.generation import open_engine, requests_for, rollouts
from stages.lib.journal import Journal, identity
from stages.lib.params import load, root
from stages.lib.prompts import encode, plain
from stages.lib.records import Rollout, read, read_problems


def main() -> None:
    params = load()
    out = root() / "data" / "samples.jsonl"
    problems = read_problems(root() / "data" / "problems.jsonl")
    engine = open_engine(params.sample.engine, params.policy, params.hardware)
    prompts = [(row.id, encode(engine.tokenizer, plain(row.problem, params.prompt))) for row in problems]
    with Journal("sample", identity("sample")) as journal:
        rollouts(journal, requests_for(prompts, params.sample.n), engine, params.sample, params.sample.seed)
        journal.deliver(out)
    ends = [row.finish for row in read(Rollout, out)]
    print(
        f"sample: {len(ends)} responses to {len(problems)} problems, {ends.count('length')} cut off at "
        f"{params.sample.max_new_tokens} tokens"
    )


if __name__ == "__main__":
    run(main)
