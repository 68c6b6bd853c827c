"""reports/problems.html: a browser of problems, their responses side by side, token by token where it is known.

    page(training_entries(data, tokenizer, 200), benchmark_entries(data, cells, 200))     # the text of one HTML file

The page is one file that loads nothing. Texts from data reach it as JSON and are shown as text, never as markup. A
token's shade is its log-probability under the reference policy and the plain prompt (data/scores.parquet).
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup
from tokenizers.decoders import DecodeStream
from transformers import PreTrainedTokenizerBase

from stages.lib.records import Evaluation, Merged, TrainingRow, Verdict, read, read_problems
from stages.lib.scoring.token_scores import groups

Tokens = list[tuple[str, float]]  # text pieces and natural log-probabilities, in order
Pieces = Callable[[list[int]], list[str]]  # token ids to the text of each


@dataclass(frozen=True, kw_only=True)
class Response:
    """One response as the page shows it. tokens: empty where no log-probabilities are known."""

    label: str
    text: str
    correct: bool
    reason: str
    extracted: str | None
    tokens: Tokens = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One problem. set: "training", or the benchmark's name; source: of the rewritten row, "" for benchmarks."""

    id: str
    set: str
    source: str
    problem: str
    answer: str
    responses: list[Response]


def page(entries: Iterable[Entry]) -> str:
    """The whole page as HTML."""
    rows = [asdict(entry) for entry in entries]
    text = json.dumps(rows, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")  # closes no tag
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    return environment.get_template("browser.html").render(entries=Markup(text))


def pieces_of(tokenizer: PreTrainedTokenizerBase) -> Pieces:
    """The text of each token id; characters of several tokens stand with their last one."""

    def pieces(ids: list[int]) -> list[str]:
        if not tokenizer.is_fast:
            return [str(tokenizer.decode([token])) for token in ids]
        stream = DecodeStream(skip_special_tokens=False)
        return [stream.step(tokenizer.backend_tokenizer, token) or "" for token in ids]

    return pieces


def training_entries(data: Path, guide: str, pieces: Pieces, most: int) -> Iterator[Entry]:
    """Up to `most` training problems with the expert's and the rewritten response, sources in equal shares as far as
    they go, in the problems' order.

    Raises:
        RecordError: a file of the data folder is absent or not what its stage writes.
    """
    chosen = shares(read(Merged, data / "merged.jsonl"), most)
    scores = token_scores(data / "scores.parquet", chosen, pieces)
    files = {"self": "sample", "resolved": f"resolve-{guide}", "expert": "expert"}
    verdicts = {source: by_place(data / "verdicts" / f"{name}.jsonl") for source, name in files.items()}
    rewritten = {row.id: row for row in read(TrainingRow, data / "train" / "rewritten.jsonl") if row.id in chosen}
    for problem in read_problems(data / "problems.jsonl"):
        if problem.id not in chosen:
            continue
        row = rewritten[problem.id]
        shown = [("expert", "expert", problem.solution or "", 0)]
        if row.source != "expert":
            shown.append((f"rewritten ({row.source})", row.source, row.response, row.index or 0))
        yield Entry(
            id=problem.id,
            set="training",
            source=row.source,
            problem=problem.problem,
            answer=problem.answer,
            responses=[
                response(label, text, verdicts[source][problem.id, index], scores.get((problem.id, source), []))
                for label, source, text, index in shown
            ],
        )


def benchmark_entries(data: Path, policies: Mapping[str, Path], most: int) -> Iterator[Entry]:
    """Up to `most` problems of each benchmark with the first response of every policy (label: evaluation file)."""
    first: dict[tuple[str, str], list[Response]] = {}
    for label, path in policies.items():
        for row in read(Evaluation, path):
            if row.index == 0:
                first.setdefault((row.benchmark, row.id), []).append(response(label, row.response, row, []))
    for file in sorted((data / "benchmarks").glob("*.jsonl")):
        for problem in islice(read_problems(file), most):
            yield Entry(
                id=problem.id,
                set=file.stem,
                source="",
                problem=problem.problem,
                answer=problem.answer,
                responses=first.get((file.stem, problem.id), []),
            )


def response(label: str, text: str, verdict: Verdict | Evaluation, tokens: Tokens) -> Response:
    return Response(
        label=label,
        text=text,
        correct=verdict.correct,
        reason=verdict.reason,
        extracted=verdict.extracted,
        tokens=tokens,
    )


def shares(merged: Iterable[Merged], most: int) -> set[str]:
    """Up to `most` problem ids: the sources take turns, each in the problems' order."""
    waiting: dict[str, list[str]] = {}
    for row in merged:
        waiting.setdefault(row.source, []).append(row.id)
    chosen: list[str] = []
    for turn in range(max(map(len, waiting.values()), default=0)):
        chosen += [ids[turn] for ids in waiting.values() if turn < len(ids)]
    return set(chosen[:most])


def by_place(path: Path) -> dict[tuple[str, int], Verdict]:
    return {(row.id, row.index): row for row in read(Verdict, path)}


def token_scores(path: Path, wanted: set[str], pieces: Pieces) -> dict[tuple[str, str], Tokens]:
    """The scored tokens of the wanted problems by (id, source)."""
    found: dict[tuple[str, str], tuple[list[int], list[float]]] = {}
    for table in groups(path, ["id", "source", "token_id", "logp"]):
        columns = [table.column(name).to_pylist() for name in ("id", "source", "token_id", "logp")]
        for id_, source, token, logp in zip(*columns, strict=True):
            if id_ in wanted:
                ids, values = found.setdefault((id_, source), ([], []))
                ids.append(token)
                values.append(round(logp, 3))
    return {key: list(zip(pieces(ids), values, strict=True)) for key, (ids, values) in found.items()}
