"""A small, deterministic experiment on disk, as the earlier stages would leave it: what the reporting stages read.

    experiment(tmp_path)          # params.yaml, data/... under tmp_path; no model is run

Rewritten rows are made more probable than the expert's, and DR arms more accurate, by known amounts.
"""

import json
import shutil
from pathlib import Path

import numpy as np
from ruamel.yaml import YAML

from stages.lib.records import Evaluation, Merged, Problem, TrainingRow, Verdict, write
from stages.lib.scoring.token_scores import ResponseScores, join, write_part

ROOT = Path(__file__).resolve().parents[2]
ACCURACY = {"base": 0.5, "expert-sft": 0.2, "expert-dft": 0.25, "rewritten-sft": 0.6, "rewritten-dft": 0.7}
BENCHMARKS = ("near", "far")
TEMPERATURES = (1, 0)
MEASURES = ["weighted_loss", "nll", "entropy", "kl", "weight_var", "ess", "logp_var", "ratio_var", "ratio_ess"]
MEASURES += ["eos_prob", "accuracy"]


def experiment(
    folder: Path,
    problems: int = 60,
    test_problems: int = 25,
    seeds: int = 3,
    n: int = 4,
    sources: list[str] | None = None,
) -> Path:
    """Writes the whole data folder; returns `folder`."""
    rng = np.random.default_rng(0)
    params = YAML().load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["grid"] = {"data": ["expert", "rewritten"], "loss": ["sft", "dft"], "seed": list(range(seeds))}
    params["report"]["resamples"] = 200
    params["evaluate"]["n"] = n
    params["evaluate"]["temperatures"] = list(TEMPERATURES)
    params["report"]["in_distribution"] = ["near"]
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(params, file)
    shutil.copy(ROOT / "dvc.yaml", folder)
    data = folder / "data"
    sources = (
        sources or rng.choice(["self", "resolved", "expert"], size=problems, p=[0.6, 0.2, 0.2]).tolist()
    ) * problems
    sources = sources[:problems]
    rows = [problem(f"train-{i}") for i in range(problems)]
    write(data / "problems.jsonl", rows)
    write(data / "train/expert.jsonl", [training_row(row, "expert") for row in rows])
    merged = [training_row(row, source) for row, source in zip(rows, sources, strict=True)]
    write(data / "train/rewritten.jsonl", merged)
    write(data / "merged.jsonl", [outcome(row) for row in merged])
    verdicts(data / "verdicts", rows, sources)
    token_scores(data, rows, sources, rng)
    for name in BENCHMARKS:
        write(data / f"benchmarks/{name}.jsonl", [problem(f"{name}-{i}") for i in range(test_problems)])
    for temperature in TEMPERATURES:
        write(data / f"evaluations/base-t{temperature}.jsonl", answers("base", test_problems, temperature and n, rng))
    for cell in ACCURACY:
        for seed in range(seeds) if cell != "base" else ():
            for temperature in TEMPERATURES:
                rows = answers(cell, test_problems, temperature and n, rng)
                write(data / f"evaluations/{cell}-{seed}-t{temperature}.jsonl", rows)
            training_curve(data / f"training/{cell}-{seed}.csv", cell, seed, rng)
    (data / "counts").mkdir()
    (data / "counts/merge.json").write_text(json.dumps({"rows": problems, "sources": {"self": sources.count("self")}}))
    return folder


def problem(name: str) -> Problem:
    return Problem(id=name, problem=f"1 + 2 = <{name}>", answer="3", solution="The answer is \\boxed{3} & done.")


def training_row(row: Problem, source: str) -> TrainingRow:
    response = row.solution if source == "expert" else f"1 + 2 = 3\n\\boxed{{3}} ({source})"
    index = {"expert": None, "self": drawn(row.id, source) - 1}.get(source, 0)  # the sample that was right
    return TrainingRow(
        id=row.id, source=source, index=index, problem=row.problem, answer="3", response=response, token_ids=None
    )


def outcome(row: TrainingRow) -> Merged:
    solved, guided = row.source == "self", row.source == "resolved"
    return Merged(
        id=row.id, source=row.source, index=row.index, samples=drawn(row.id, row.source), samples_correct=int(solved),
        resolved=1 - solved, resolved_correct=int(guided), expert_correct=True,
    )  # fmt: skip


def drawn(name: str, source: str) -> int:
    """How many samples adaptive sampling drew: 1 to 4 until one was right, or 4 without success."""
    return 1 + int(name.rpartition("-")[2]) % 4 if source == "self" and "-" in name else 4


def verdicts(folder: Path, rows: list[Problem], sources: list[str]) -> None:
    def judge(name: str, correct: bool, index: int = 0) -> Verdict:
        reason = "equal" if correct else "different"
        return Verdict(id=name, index=index, correct=correct, extracted="3" if correct else "4", reason=reason)

    pairs = list(zip(rows, sources, strict=True))
    write(folder / "expert.jsonl", [judge(row.id, True) for row in rows])
    tries = [(row.id, source == "self", k, drawn(row.id, source)) for row, source in pairs for k in range(4)]
    write(folder / "sample.jsonl", [judge(id_, own and k == n - 1, k) for id_, own, k, n in tries if k < n])
    unsolved = [(row, source) for row, source in pairs if source != "self"]
    write(folder / "resolve-solution.jsonl", [judge(row.id, source == "resolved") for row, source in unsolved])


def token_scores(data: Path, rows: list[Problem], sources: list[str], rng: np.random.Generator) -> None:
    """Expert tokens at log p around -1.5, the policy's own around -0.5."""
    scored = [response(row.id, "expert", 1.5, rng) for row in rows]
    own = [(row, source) for row, source in zip(rows, sources, strict=True) if source != "expert"]
    scored += [response(row.id, source, 0.5 if source == "self" else 0.8, rng) for row, source in own]
    parts = [write_part(data / "parts", number, rows) for number, rows in enumerate((scored[:10], scored[10:]))]
    join(parts, data / "scores.parquet")
    shutil.rmtree(data / "parts")


def response(name: str, source: str, scale: float, rng: np.random.Generator) -> ResponseScores:
    length = int(rng.integers(8, 30))
    logp = -rng.exponential(scale, length).astype(np.float32)
    behaviour = None if source == "expert" else logp if source == "self" else logp + np.float32(0.1)
    entropy = rng.uniform(0, 1, length).astype(np.float32)
    return ResponseScores(
        id=name, source=source, token_ids=[5] * length, logp=logp, logp_behaviour=behaviour, entropy=entropy
    )


def answers(cell: str, problems: int, n: int, rng: np.random.Generator) -> list[Evaluation]:
    """n responses to each problem; n = 0 stands for greedy decoding: one."""
    n = n or 1
    difficulty = np.random.default_rng(1).normal(0, 0.15, (len(BENCHMARKS), problems))  # the same for every policy
    rows = []
    for b, name in enumerate(BENCHMARKS):
        for i in range(problems):
            right = rng.random(n) < ACCURACY[cell] + difficulty[b, i] - 0.1 * b
            rows += [answer(name, f"{name}-{i}", k, bool(right[k]), cell) for k in range(n)]
    return rows


def answer(benchmark: str, name: str, index: int, correct: bool, cell: str) -> Evaluation:
    return Evaluation(
        benchmark=benchmark, id=name, index=index, correct=correct, extracted="3" if correct else None,
        canonical="3" if correct else None,
        reason="equal" if correct else "no_answer", finish="stop", tokens=20 + index, response=f"1 + 2 = 3 ({cell})",
    )  # fmt: skip


def training_curve(path: Path, cell: str, seed: int, rng: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data, loss = cell.split("-")
    lines = ["data,loss,seed,step,tokens,probe," + ",".join(MEASURES)]
    for step in range(0, 61, 12):
        for probe in (data,):
            values = rng.uniform(0.2, 0.4, len(MEASURES)) + step / 200
            lines.append(f"{data},{loss},{seed},{step},{step * 900},{probe}," + ",".join(f"{v:.6g}" for v in values))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def fresh(folder: Path, **more: int) -> Path:
    """`experiment` in an emptied folder: for looking at reports by hand."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return experiment(folder, **more)
